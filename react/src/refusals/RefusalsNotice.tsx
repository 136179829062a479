import { useAdminAnswer } from "../data/useAnswer.ts";
import { useFunctions, type Refusal } from "../functions.ts";
import { useFormats, useMessages } from "../messages/messages.ts";
import { Time } from "../ui/Time.tsx";

const NO_ARGS = {};

// Tells admins which users could not be written to Convex, and why. It shows nothing while there are none.
export function RefusalsNotice() {
  const { number } = useFormats();
  const words = useMessages().refusals;
  const { refusals } = useFunctions();
  const { value } = useAdminAnswer(refusals, NO_ARGS);
  if (value === undefined || value.count === 0) return null;
  return (
    <details className="refusals">
      <summary>{words.title(value.count, number(value.count), value.isMore)}</summary>
      <p className="muted">{words.text(<code>clerk-convex repair --refused</code>)}</p>
      <ul>
        {value.latest.map((refusal) => (
          <Refused key={refusal.clerkId} refusal={refusal} />
        ))}
      </ul>
    </details>
  );
}

function Refused({ refusal: { clerkId, reason, count, lastAt } }: { refusal: Refusal }) {
  const { number } = useFormats();
  const words = useMessages().refusals;
  return (
    <li>
      <code>{clerkId}</code>{" "}
      <span className="muted">
        {words.times(count, number(count))}, <Time value={lastAt} />
      </span>
      <br />
      {reason}
    </li>
  );
}
