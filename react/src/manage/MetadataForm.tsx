import { useEffect, useId, useMemo, useRef, useState, type FormEvent } from "react";
import type { UserDetails } from "../functions.ts";
import { useFormats, useMessages } from "../messages/messages.ts";
import { applied, areInConflict, changesOf, patchOf, pathText, without } from "../metadata/difference.ts";
import { judge, LARGEST, pretty, readObject, type Judged } from "../metadata/judge.ts";
import { placeOf } from "../metadata/parse.ts";
import type { Problem } from "./calls.ts";
import { Changes } from "./Changes.tsx";
import { useManaging, useObstacle } from "./context.ts";
import { DialogButtons } from "./DialogButtons.tsx";
import { Modal } from "./Modal.tsx";
import { ProblemText } from "./Notices.tsx";
import { Person } from "./Person.tsx";
import { Question } from "./Question.tsx";

const SETTLED_MS = 300; // without a key, until the text is judged
const SHOWN = 3; // rounded numbers

type Props = {
  user: UserDetails; // as Convex has it now
  isSending: boolean;
  problem: Problem | null;
  wait: number; // seconds until the service takes the call again
  isNewer: boolean; // Clerk had a newer state when this was to be saved
  onSave: (patch: string) => void;
  onClose: () => void;
};

// An editor of JSON text. It says what is wrong, what changes, and what others have changed meanwhile.
export function MetadataForm({ user, isSending, problem, wait, isNewer, onSave, onClose }: Props) {
  const { myId } = useManaging();
  const { forms } = useMessages();
  const { number } = useFormats();
  const obstacle = useObstacle();
  const now = useMemo(() => readObject(user.publicMetadata), [user.publicMetadata]);
  const [base, setBase] = useState(now); // what the text began with
  const [text, setText] = useState(() => pretty(now));
  const [settled, setSettled] = useState(text);
  const [isLeaving, setLeaving] = useState(false);
  const area = useRef<HTMLTextAreaElement>(null);
  const id = useId();

  useEffect(() => {
    const timer = setTimeout(() => setSettled(text), SETTLED_MS);
    return () => clearTimeout(timer);
  }, [text]);

  const judged = useMemo(() => judge(settled, base), [settled, base]);
  const theirs = useMemo(
    () => without(changesOf(base, now), judged.isRight ? judged.changes : []),
    [base, now, judged],
  );
  const isMine = user.clerkId === myId;
  const fault = faultOf(judged);

  // Returns why this cannot be saved, or null.
  function faultOf(found: Judged): string | null {
    if (!found.isRight) {
      const { line, column } = placeOf(settled, found.wrong.at);
      return forms.wrongAt(number(line), number(column), forms.wrong(found.wrong.fault, found.wrong.what));
    }
    if (found.bytes > LARGEST) return forms.tooLarge(number(found.bytes), number(LARGEST));
    if (found.lostNull !== null) return forms.lostNull(pathText(found.lostNull));
    return isMine && found.admin === "unmade" ? forms.ownAdmin : null;
  }
  const hasConflict = judged.isRight && areInConflict(judged.changes, theirs);
  const isOff = isSending || obstacle !== null || wait > 0 || hasConflict;

  const replace = (value: string) => {
    setBase(now);
    setText(value);
    setSettled(value);
    area.current?.focus(); // the button that was pressed disappears
  };

  // Ask before typed text is dropped.
  const close = () => {
    if (text === pretty(base) || isSending) onClose();
    else setLeaving(true);
  };

  const onSubmit = (event: FormEvent) => {
    event.preventDefault();
    if (isOff) return;
    if (text !== settled) setSettled(text);
    const latest = judge(text, base);
    if (faultOf(latest) !== null) return area.current?.focus();
    if (!latest.isRight || areInConflict(latest.changes, theirs)) return;
    if (latest.changes.length === 0) return onClose();
    onSave(patchOf(latest.changes));
  };

  const goThere = () => {
    const { current } = area;
    if (current === null || judged.isRight) return;
    current.focus();
    current.setSelectionRange(judged.wrong.at, judged.wrong.at + 1);
  };

  const serverSays = problem?.fields.public_metadata;
  return (
    <Modal labelId={id} isWide onClose={close}>
      <h2 id={id} className="modal-title">
        {forms.editMetadataTitle}
      </h2>
      <form className="form" noValidate autoComplete="off" onSubmit={onSubmit}>
        <Person user={user} />
        <div className="form-field">
          <label htmlFor={`${id}-text`}>{forms.metadataText}</label>
          <textarea
            ref={area}
            id={`${id}-text`}
            className="json-text"
            value={text}
            rows={Math.min(18, Math.max(6, text.split("\n").length + 1))}
            spellCheck={false}
            autoCapitalize="off"
            autoComplete="off"
            dir="ltr"
            wrap="off"
            data-first
            aria-invalid={fault === null ? undefined : true}
            aria-describedby={`${id}-hint ${id}-state`}
            onChange={(event) => setText(event.target.value)}
          />
          <p className="form-hint muted" id={`${id}-hint`}>
            {forms.metadataHint}
          </p>
          <p className={fault === null ? "form-hint muted" : "form-error"} id={`${id}-state`} role="status">
            {fault ??
              (judged.isRight &&
                forms.rightJson(
                  forms.changeCount(judged.changes.length, number(judged.changes.length)),
                  number(judged.bytes),
                  number(LARGEST),
                ))}
          </p>
          {!judged.isRight && (
            <button className="button json-place" type="button" onClick={goThere}>
              {forms.goThere}
            </button>
          )}
          {judged.isRight &&
            judged.rounded.slice(0, SHOWN).map(({ text: written, read, at }) => (
              <p key={at} className="form-warning">
                {forms.rounded(written, read)}
              </p>
            ))}
        </div>
        {theirs.length > 0 && !isSending && (
          <section className="json-news" aria-labelledby={`${id}-news`}>
            <div role="status">
              <h3 id={`${id}-news`}>{forms.meanwhile}</h3>
              {judged.isRight && <p>{hasConflict ? forms.meanwhileConflict : forms.meanwhileStays}</p>}
            </div>
            <Changes changes={theirs} />
            <div className="buttons">
              <button
                className="button"
                type="button"
                aria-disabled={!judged.isRight}
                onClick={() => judged.isRight && replace(pretty(applied(now, judged.changes)))}
              >
                {forms.keepMine}
              </button>
              <button className="button" type="button" onClick={() => replace(pretty(now))}>
                {forms.startAgain}
              </button>
            </div>
          </section>
        )}
        {judged.isRight && judged.changes.length > 0 && (
          <section aria-labelledby={`${id}-changes`}>
            <h3 id={`${id}-changes`}>{forms.changes}</h3>
            <Changes changes={judged.changes} />
          </section>
        )}
        {judged.isRight && judged.admin !== null && (
          <p className="form-warning" role="alert">
            {judged.admin === "made" ? forms.makesAdmin : forms.unmakesAdmin}
          </p>
        )}
        {isNewer && (
          <p className="form-problem" role="alert">
            {forms.newer}
          </p>
        )}
        {problem !== null && (
          <div className="form-problem" role="alert">
            {serverSays === undefined ? <ProblemText problem={problem} /> : <p>{serverSays}</p>}
          </div>
        )}
        <DialogButtons
          obstacle={obstacle}
          isOff={isOff || fault !== null}
          describedBy={`${id}-state`}
          onCancel={close}
        >
          {isSending ? forms.metadataSaving : wait > 0 ? forms.submitIn(forms.save, number(wait)) : forms.save}
        </DialogButtons>
      </form>
      {isLeaving && (
        <Question
          title={forms.leave}
          text={forms.leaveText}
          confirm={forms.leaveNow}
          isLocal
          onClose={() => setLeaving(false)}
          onConfirm={onClose}
        />
      )}
    </Modal>
  );
}
