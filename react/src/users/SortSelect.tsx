import type { Sort } from "./usersView.ts";

const CHOICES: (Sort & { label: string })[] = [
  { by: "createdAt", order: "desc", label: "Newest first" },
  { by: "createdAt", order: "asc", label: "Oldest first" },
  { by: "lastSignInAt", order: "desc", label: "Last sign-in, latest first" },
  { by: "lastSignInAt", order: "asc", label: "Last sign-in, longest ago first" },
  { by: "name", order: "asc", label: "Name, A to Z" },
  { by: "name", order: "desc", label: "Name, Z to A" },
  { by: "email", order: "asc", label: "Email, A to Z" },
  { by: "email", order: "desc", label: "Email, Z to A" },
];

type Props = { sort: Sort; isDisabled: boolean; onSort: (sort: Sort) => void };

// Selects the order on narrow screens, which have no column headers.
export function SortSelect({ sort, isDisabled, onSort }: Props) {
  const index = CHOICES.findIndex(({ by, order }) => by === sort.by && order === sort.order);
  const choose = (position: number) => {
    const { by, order } = CHOICES[position]!;
    onSort({ by, order });
  };
  return (
    <select
      className="sort-select"
      aria-label="Sort"
      disabled={isDisabled}
      value={isDisabled ? "relevance" : index}
      onChange={(event) => choose(Number(event.target.value))}
    >
      {isDisabled && <option value="relevance">Best match first</option>}
      {CHOICES.map(({ label }, position) => (
        <option key={position} value={position}>
          {label}
        </option>
      ))}
    </select>
  );
}
