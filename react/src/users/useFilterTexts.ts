import type { Formats } from "../messages/formats.ts";
import { useFormats, useMessages, type Messages } from "../messages/messages.ts";
import { startOf, type Filtered, type When } from "./usersView.ts";

export type FilterText = { name: keyof Filtered; label: string; value: string };

// Returns the filters that are on, in words.
export function useFilterTexts({ role, verified, joined, signedIn }: Filtered): FilterText[] {
  const { filters } = useMessages();
  const formats = useFormats();
  const values: [keyof Filtered, string, string | null][] = [
    ["role", filters.role, role === "" ? filters.noRole : role],
    ["verified", filters.address, verified === null ? null : verified ? filters.verified : filters.unverified],
    ["joined", filters.joined, joined && textOf(joined, filters, formats)],
    ["signedIn", filters.signedIn, signedIn && textOf(signedIn, filters, formats)],
  ];
  return values.flatMap(([name, label, value]) => (value === null ? [] : [{ name, label, value }]));
}

export function textOf(when: When, filters: Messages["filters"], { number, date, dates }: Formats): string {
  switch (when.kind) {
    case "last":
      return filters.last(when.days, number(when.days));
    case "before":
      return filters.before(when.days, number(when.days));
    case "never":
      return filters.never;
    case "dates":
      if (when.to === null) return filters.since(date(startOf(when.from!)!));
      if (when.from === null) return filters.until(date(startOf(when.to)!));
      return dates(startOf(when.from)!, startOf(when.to)!);
  }
}
