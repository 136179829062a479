import type { UserSummary } from "../functions.ts";
import { useMessages } from "../messages/messages.ts";
import { displayName } from "../users/displayName.ts";
import { useManaging } from "./context.ts";
import type { Asked } from "./Manager.ts";
import { Person } from "./Person.tsx";
import { Question } from "./Question.tsx";

export function Confirm({ user, action }: { user: UserSummary; action: Asked }) {
  const { manager } = useManaging();
  const { forms, manage } = useMessages();
  const name = displayName(user);
  const label = manage.label[action];
  const close = () => manager.set({ dialog: null });
  const isAdmin = user.role === "admin";

  return (
    <Question
      title={forms.ask(label, <bdi>{name}</bdi>)}
      text={`${manage.consequence[action]}${isAdmin ? ` ${forms.isAdmin}` : ""}`}
      confirm={forms.confirm(label, <bdi className="truncate">{name}</bdi>)}
      onClose={close}
      onConfirm={() => {
        close();
        void manager.do({ action, clerkId: user.clerkId }, name);
      }}
    >
      <Person user={user} />
    </Question>
  );
}
