import { useState } from "react";
import { useOptions } from "../admin/options.ts";
import { Field } from "./Field.tsx";
import type { Errors } from "./Form.tsx";

// Any text can be a role, and the app decides what it means; this page only knows "admin".
export function RoleField({ role, errors, isFirst }: { role: string; errors: Errors; isFirst?: boolean }) {
  const { roles } = useOptions();
  const [text, setText] = useState(role);
  return (
    <div className="role-field">
      <Field
        name="public_metadata"
        label="Role"
        errors={errors}
        placeholder="None"
        maxLength={100}
        hint={text.trim() === "admin" ? "Sees every user on this page, and may do all that you may." : HINT}
        value={text}
        data-first={isFirst}
        onChange={(event) => setText(event.target.value)}
      />
      <div className="choices" role="group" aria-label="Usual roles">
        {[...roles, ""].map((choice) => (
          <button
            key={choice}
            className="choice"
            type="button"
            aria-pressed={text.trim() === choice}
            onClick={() => setText(choice)}
          >
            {choice || "none"}
          </button>
        ))}
      </div>
    </div>
  );
}

const HINT = "Any text. It is kept in the public metadata at Clerk.";
