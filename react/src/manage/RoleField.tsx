import { useState } from "react";
import { useOptions } from "../admin/options.ts";
import { useMessages } from "../messages/messages.ts";
import { Field } from "./Field.tsx";
import type { Errors } from "./Form.tsx";

// Any text can be a role, and the app decides what it means; this page only knows "admin".
export function RoleField({ role, errors, isFirst }: { role: string; errors: Errors; isFirst?: boolean }) {
  const { roles } = useOptions();
  const { forms } = useMessages();
  const [text, setText] = useState(role);
  return (
    <div className="role-field">
      <Field
        name="public_metadata"
        label={forms.role}
        errors={errors}
        placeholder={forms.noRole}
        maxLength={100}
        hint={text.trim() === "admin" ? forms.adminHint : forms.roleHint}
        value={text}
        data-first={isFirst}
        onChange={(event) => setText(event.target.value)}
      />
      <div className="choices" role="group" aria-label={forms.usualRoles}>
        {[...roles, ""].map((choice) => (
          <button
            key={choice}
            className="choice"
            type="button"
            aria-pressed={text.trim() === choice}
            onClick={() => setText(choice)}
          >
            {choice || forms.none}
          </button>
        ))}
      </div>
    </div>
  );
}
