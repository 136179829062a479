import type { NewUser as Body } from "./calls.ts";
import { Field } from "./Field.tsx";
import { Form } from "./Form.tsx";
import { RoleField } from "./RoleField.tsx";
import { WORDS } from "./words.tsx";

const NAMES = ["email_address", "phone_number", "username", "first_name", "last_name", "external_id"] as const;

export function NewUser() {
  return (
    <Form title="New user" submit="Create user" progress={WORDS.create.progress} read={read}>
      {(errors) => (
        <>
          <Field name="email_address" label="Email" inputMode="email" dir="ltr" errors={errors} data-first />
          <Field
            name="phone_number"
            label="Phone"
            inputMode="tel"
            dir="ltr"
            placeholder="+15551234567"
            errors={errors}
          />
          <Field
            name="username"
            label="Username"
            errors={errors}
            hint="One of these three is needed. Which ones, Clerk’s settings say."
          />
          <div className="form-pair">
            <Field name="first_name" label="First name" errors={errors} />
            <Field name="last_name" label="Last name" errors={errors} />
          </div>
          <Field name="external_id" label="External id" errors={errors} />
          <RoleField role="" errors={errors} />
        </>
      )}
    </Form>
  );
}

function read(values: Record<string, string>) {
  const body: Body = {};
  for (const name of NAMES) {
    const value = values[name];
    if (value) body[name] = name === "phone_number" ? value.replace(/[\s().-]/g, "") : value;
  }
  const identifier = body.email_address ?? body.phone_number ?? body.username;
  if (identifier === undefined) return "An email address, a phone number or a username is needed.";
  if (values.public_metadata) body.public_metadata = { role: values.public_metadata };
  const fullName = [body.first_name, body.last_name].filter(Boolean).join(" ");
  return { call: { action: "create" as const, body }, name: fullName || identifier };
}
