import { useMessages } from "../messages/messages.ts";
import type { NewInvitation as Body } from "../manage/calls.ts";
import { Field } from "../manage/Field.tsx";
import { Form } from "../manage/Form.tsx";
import { RoleField } from "../manage/RoleField.tsx";

export function NewInvitation() {
  const { invitations, manage } = useMessages();

  const read = (values: Record<string, string>) => {
    const { email_address, public_metadata: role, expires_in_days: days } = values;
    if (!email_address) return invitations.noEmail;
    const body: Body = { email_address };
    if (role) body.public_metadata = { role };
    if (days && !/^\d+$/.test(days)) return invitations.noDays;
    if (days) body.expires_in_days = Number(days);
    return { call: { action: "invite" as const, body }, name: email_address };
  };

  return (
    <Form title={invitations.invite} submit={invitations.send} progress={manage.progress.invite} read={read}>
      {(errors) => (
        <>
          <Field name="email_address" label={invitations.email} inputMode="email" dir="ltr" errors={errors} data-first />
          <RoleField role="" errors={errors} />
          <Field
            name="expires_in_days"
            label={invitations.days}
            inputMode="numeric"
            hint={invitations.daysHint}
            errors={errors}
          />
        </>
      )}
    </Form>
  );
}
