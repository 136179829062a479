import type { UserSummary } from "../functions.ts";
import { useMessages } from "../messages/messages.ts";
import { displayName } from "../users/displayName.ts";
import type { Changes } from "./calls.ts";
import { Field } from "./Field.tsx";
import { Form } from "./Form.tsx";
import { Person } from "./Person.tsx";

export function EditUser({ user }: { user: UserSummary }) {
  const { forms, manage } = useMessages();
  const before = {
    first_name: user.firstName ?? "",
    last_name: user.lastName ?? "",
    username: user.username ?? "",
    external_id: user.externalId ?? "",
  };

  // Sends only the fields that were changed here, because others may have changed elsewhere meanwhile.
  const read = (values: Record<string, string>) => {
    const body: Changes = {};
    for (const name of Object.keys(before) as (keyof typeof before)[]) {
      const value = values[name] ?? "";
      if (value !== before[name].trim()) body[name] = value || null;
    }
    if (Object.keys(body).length === 0) return null;
    return { call: { action: "update" as const, clerkId: user.clerkId, body }, name: displayName(user) };
  };

  return (
    <Form title={forms.editUser} submit={forms.save} progress={manage.progress.update} read={read}>
      {(errors) => (
        <>
          <Person user={user} />
          <div className="form-pair">
            <Field name="first_name" label={forms.firstName} errors={errors} defaultValue={before.first_name} data-first />
            <Field name="last_name" label={forms.lastName} errors={errors} defaultValue={before.last_name} />
          </div>
          <Field name="username" label={forms.username} errors={errors} defaultValue={before.username} />
          <Field
            name="external_id"
            label={forms.externalId}
            errors={errors}
            defaultValue={before.external_id}
            hint={forms.externalIdHint}
          />
        </>
      )}
    </Form>
  );
}
