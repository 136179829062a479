import { useMessages } from "../messages/messages.ts";
import type { Sort } from "./usersView.ts";

const CHOICES = [
  { by: "createdAt", order: "desc", label: "newest" },
  { by: "createdAt", order: "asc", label: "oldest" },
  { by: "lastSignInAt", order: "desc", label: "latestSignIn" },
  { by: "lastSignInAt", order: "asc", label: "oldestSignIn" },
  { by: "name", order: "asc", label: "nameUp" },
  { by: "name", order: "desc", label: "nameDown" },
  { by: "email", order: "asc", label: "emailUp" },
  { by: "email", order: "desc", label: "emailDown" },
] as const satisfies (Sort & { label: string })[];

type Props = { sort: Sort; isDisabled: boolean; onSort: (sort: Sort) => void };

// Selects the order on narrow screens, which have no column headers.
export function SortSelect({ sort, isDisabled, onSort }: Props) {
  const { users } = useMessages();
  const index = CHOICES.findIndex(({ by, order }) => by === sort.by && order === sort.order);
  const choose = (position: number) => {
    const { by, order } = CHOICES[position]!;
    onSort({ by, order });
  };
  return (
    <select
      className="sort-select"
      aria-label={users.sort}
      disabled={isDisabled}
      value={isDisabled ? "relevance" : index}
      onChange={(event) => choose(Number(event.target.value))}
    >
      {isDisabled && <option value="relevance">{users.bestMatch}</option>}
      {CHOICES.map(({ label }, position) => (
        <option key={position} value={position}>
          {users[label]}
        </option>
      ))}
    </select>
  );
}
