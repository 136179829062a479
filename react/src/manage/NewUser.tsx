import { useMessages, type Messages } from "../messages/messages.ts";
import type { NewUser as Body } from "./calls.ts";
import { Field } from "./Field.tsx";
import { Form } from "./Form.tsx";
import { RoleField } from "./RoleField.tsx";

const NAMES = ["email_address", "phone_number", "username", "first_name", "last_name", "external_id"] as const;

export function NewUser() {
  const { manage } = useMessages();
  return (
    <Form
      title={manage.label.create}
      submit={manage.createUser}
      progress={manage.progress.create}
      read={(values) => read(values, manage)}
    >
      {(errors) => (
        <>
          <Field name="email_address" label={manage.email} inputMode="email" dir="ltr" errors={errors} data-first />
          <Field
            name="phone_number"
            label={manage.phone}
            inputMode="tel"
            dir="ltr"
            placeholder="+15551234567"
            errors={errors}
          />
          <Field
            name="username"
            label={manage.username}
            errors={errors}
            hint={manage.identifierHint}
          />
          <div className="form-pair">
            <Field name="first_name" label={manage.firstName} errors={errors} />
            <Field name="last_name" label={manage.lastName} errors={errors} />
          </div>
          <Field name="external_id" label={manage.externalId} errors={errors} />
          <RoleField role="" errors={errors} />
        </>
      )}
    </Form>
  );
}

function read(values: Record<string, string>, texts: Messages["manage"]) {
  const body: Body = {};
  for (const name of NAMES) {
    const value = values[name];
    if (value) body[name] = name === "phone_number" ? value.replace(/[\s().-]/g, "") : value;
  }
  const identifier = body.email_address ?? body.phone_number ?? body.username;
  if (identifier === undefined) return texts.noIdentifier;
  if (values.public_metadata) body.public_metadata = { role: values.public_metadata };
  const fullName = [body.first_name, body.last_name].filter(Boolean).join(" ");
  return { call: { action: "create" as const, body }, name: fullName || identifier };
}
