import { useEffect, useId, useRef, useState, type FormEvent, type ReactNode } from "react";
import { useFormats, useMessages } from "../messages/messages.ts";
import type { Answer, Call, Problem } from "./calls.ts";
import { useManaging, useObstacle } from "./context.ts";
import { DialogButtons } from "./DialogButtons.tsx";
import { Modal } from "./Modal.tsx";
import { ProblemText, useWait } from "./Notices.tsx";

export type Errors = Record<string, string>;

type Props = {
  title: ReactNode;
  submit: string;
  progress: string;
  // Returns the call to send, null if nothing has changed, or a message if the input is invalid.
  read: (values: Record<string, string>) => { call: Call; name: string } | string | null;
  children: (errors: Errors) => ReactNode;
};

const NO_ERRORS: Errors = {};

// A form in a dialog. It stays open until the call succeeds, so that nothing must be typed again.
export function Form({ title, submit, progress, read, children }: Props) {
  const { manager } = useManaging();
  const { forms } = useMessages();
  const { number } = useFormats();
  const obstacle = useObstacle();
  const [problem, setProblem] = useState<Problem | string | null>(null);
  const [isSending, setSending] = useState(false);
  const form = useRef<HTMLFormElement>(null);
  const isOpen = useRef(true);
  const id = useId();
  const close = () => manager.set({ dialog: null });

  useEffect(() => {
    isOpen.current = true;
    return () => {
      isOpen.current = false;
    };
  }, []);

  const errors = typeof problem === "object" && problem !== null ? problem.fields : NO_ERRORS;
  useEffect(() => {
    form.current?.querySelector<HTMLElement>("[aria-invalid]")?.focus();
  }, [errors]);

  const wait = useWait(typeof problem === "string" ? null : problem);
  const isRefused = isSending || obstacle !== null || wait > 0;

  const onSubmit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    if (isRefused) return;
    const entries = [...new FormData(event.currentTarget)];
    const wanted = read(Object.fromEntries(entries.map(([key, value]) => [key, String(value).trim()])));
    if (wanted === null) return close();
    if (typeof wanted === "string") return setProblem(wanted);
    setProblem(null);
    setSending(true);
    const answer: Answer | null = await manager.act(wanted.call, wanted.name);
    if (!isOpen.current) {
      if (answer !== null && !answer.isDone) manager.tell({ ...wanted, answer });
      return;
    }
    if (answer?.isDone) return close();
    setSending(false);
    setProblem(answer ?? forms.isBusy);
  };

  return (
    <Modal labelId={id} onClose={close}>
      <h2 id={id} className="modal-title">
        {title}
      </h2>
      <form ref={form} className="form" noValidate autoComplete="off" onSubmit={(event) => void onSubmit(event)}>
        {children(errors)}
        {problem !== null && (
          <div className="form-problem" role="alert">
            {typeof problem !== "string" && Object.keys(errors).length === 0 ? (
              <ProblemText problem={problem} />
            ) : (
              <p>{typeof problem === "string" ? problem : (errors.body ?? forms.correct)}</p>
            )}
          </div>
        )}
        <DialogButtons obstacle={obstacle} isOff={isRefused} onCancel={close}>
          {isSending ? progress : wait > 0 ? forms.submitIn(submit, number(wait)) : submit}
        </DialogButtons>
      </form>
    </Modal>
  );
}
