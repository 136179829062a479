import type { UserSummary } from "../functions.ts";
import { displayName } from "../users/displayName.ts";
import type { Changes } from "./calls.ts";
import { Field } from "./Field.tsx";
import { Form } from "./Form.tsx";
import { Person } from "./Person.tsx";
import { WORDS } from "./words.tsx";

export function EditUser({ user }: { user: UserSummary }) {
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
    <Form title="Edit user" submit="Save" progress={WORDS.update.progress} read={read}>
      {(errors) => (
        <>
          <Person user={user} />
          <div className="form-pair">
            <Field name="first_name" label="First name" errors={errors} defaultValue={before.first_name} data-first />
            <Field name="last_name" label="Last name" errors={errors} defaultValue={before.last_name} />
          </div>
          <Field name="username" label="Username" errors={errors} defaultValue={before.username} />
          <Field
            name="external_id"
            label="External id"
            errors={errors}
            defaultValue={before.external_id}
            hint="What another system calls this user."
          />
        </>
      )}
    </Form>
  );
}
