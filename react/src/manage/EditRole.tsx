import type { UserSummary } from "../functions.ts";
import { useMessages } from "../messages/messages.ts";
import { displayName } from "../users/displayName.ts";
import { Form } from "./Form.tsx";
import { Person } from "./Person.tsx";
import { RoleField } from "./RoleField.tsx";

export function EditRole({ user }: { user: UserSummary }) {
  const { forms, manage } = useMessages();
  const name = displayName(user);
  const before = user.role ?? "";
  return (
    <Form
      title={forms.changeRole}
      submit={forms.save}
      progress={manage.progress.role}
      read={({ public_metadata: role = "" }) =>
        role === before ? null : { call: { action: "role", clerkId: user.clerkId, role: role || null, before: before || null }, name }
      }
    >
      {(errors) => (
        <>
          <Person user={user} />
          <RoleField role={before} errors={errors} isFirst />
        </>
      )}
    </Form>
  );
}
