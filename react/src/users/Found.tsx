import { useState } from "react";
import { useFormats, useMessages } from "../messages/messages.ts";
import type { Counts } from "./useCounts.ts";
import type { UsersView } from "./usersView.ts";

type Props = { view: UsersView; counts: Counts | undefined; countsKey: string };

// Tells screen readers how many users a choice has found: once for each choice, and not when the number changes later.
export function Found({ view, counts, countsKey }: Props) {
  const { filters } = useMessages();
  const { number } = useFormats();
  const key = `${view.status ?? ""} ${countsKey}`;
  const [said, setSaid] = useState({ key, text: "" });
  if (key !== said.key && counts !== undefined) {
    const { count, isMore } = counts[view.status ?? "total"];
    const found = isMore ? filters.foundMore : filters.found;
    setSaid({ key, text: isMore && count === 0 ? filters.notAllLookedAt : found(count, number(count)) });
  }
  return (
    <p className="visually-hidden" role="status">
      {said.text}
    </p>
  );
}
