import { useId, type InputHTMLAttributes } from "react";
import type { Errors } from "./Form.tsx";

type Props = InputHTMLAttributes<HTMLInputElement> & {
  name: string;
  label: string;
  errors: Errors;
  hint?: string;
};

// The limit of the service, in characters.
const LONGEST: Record<string, number> = { email_address: 254, phone_number: 40, username: 64 };

// A field of a form. `errors` has messages by the service's name of the field.
export function Field({ name, label, errors, hint, ...input }: Props) {
  const id = useId();
  const error = errors[name];
  const described = [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(" ");
  return (
    <div className="form-field">
      <label htmlFor={id}>{label}</label>
      <input
        id={id}
        name={name}
        type="text"
        autoComplete="off"
        spellCheck={false}
        dir="auto"
        maxLength={LONGEST[name] ?? 255}
        aria-invalid={error === undefined ? undefined : true}
        aria-describedby={described || undefined}
        {...input}
      />
      {hint && (
        <p className="form-hint muted" id={`${id}-hint`}>
          {hint}
        </p>
      )}
      {error && (
        <p className="form-error" id={`${id}-error`}>
          {error}
        </p>
      )}
    </div>
  );
}
