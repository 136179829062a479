import { useAdminAnswer } from "../data/useAnswer.ts";
import { useFunctions, type Refusal } from "../functions.ts";
import { useFormats } from "../messages/messages.ts";
import { Time } from "../ui/Time.tsx";

const NO_ARGS = {};

// Tells admins which users could not be written to Convex, and why. It shows nothing while there are none.
export function RefusalsNotice() {
  const { number } = useFormats();
  const { refusals } = useFunctions();
  const { value } = useAdminAnswer(refusals, NO_ARGS);
  if (value === undefined || value.count === 0) return null;
  const users = value.count === 1 ? "1 user" : `${value.isMore ? "over " : ""}${number(value.count)} users`;
  return (
    <details className="refusals">
      <summary>Changes of {users} were refused</summary>
      <p className="muted">
        The rows of these users are not up to date. When the cause is removed, the next change of a user, the nightly
        run or <code>clerk-convex repair --refused</code> writes them.
      </p>
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
  return (
    <li>
      <code>{clerkId}</code>{" "}
      <span className="muted">
        {count === 1 ? "once" : `${number(count)} times`}, <Time value={lastAt} />
      </span>
      <br />
      {reason}
    </li>
  );
}
