import { useMessages } from "../messages/messages.ts";
import { pathText, type Change } from "../metadata/difference.ts";
import { pretty } from "../metadata/judge.ts";
import type { Json } from "../metadata/parse.ts";

// Lists what changes in metadata, in words: no colour is needed to read it.
export function Changes({ changes }: { changes: readonly Change[] }) {
  const { forms } = useMessages();
  return (
    <ul className="changes">
      {changes.map(({ path, before, after }) => (
        <li key={JSON.stringify(path)} className="change">
          <span className="change-kind">
            {before === null ? forms.added : after === null ? forms.removed : forms.changed}
          </span>{" "}
          <code className="change-path" dir="ltr">
            {pathText(path)}
          </code>
          {before !== null && <Value label={forms.before} value={before} isOld />}
          {after !== null && <Value label={forms.after} value={after} />}
        </li>
      ))}
    </ul>
  );
}

function Value({ label, value, isOld = false }: { label: string; value: Json; isOld?: boolean }) {
  return (
    <div className={isOld ? "change-value is-old" : "change-value"}>
      <span className="muted">{label}</span>
      <code dir="ltr">{pretty(value)}</code>
    </div>
  );
}
