// Reads and writes the filters of the log in the URL: ?user= &by= &action= &outcome= &from= &until=. Invalid values are
// ignored.
import type { AuditFilter, AuditOutcome } from "../functions.ts";

// The outcomes of changes, then those of admins' actions. The type makes sure that none is missing.
const ALL: Record<AuditOutcome, true> = {
  created: true,
  updated: true,
  deleted: true,
  reset: true,
  merged: true,
  started: true,
  done: true,
  denied: true,
  failed: true,
  unknown: true,
};
export const OUTCOMES = Object.keys(ALL) as AuditOutcome[];

// `from` and `until` are days of the viewer, such as "2026-11-22". Both are inside.
export type AuditView = {
  clerkId: string | null;
  actor: string | null;
  action: string | null;
  outcome: AuditOutcome | null;
  from: string | null;
  until: string | null;
};

export const EVERYTHING: AuditView = {
  clerkId: null,
  actor: null,
  action: null,
  outcome: null,
  from: null,
  until: null,
};

// The parameter of each filter.
const PARAMETERS = {
  clerkId: "user",
  actor: "by",
  action: "action",
  outcome: "outcome",
  from: "from",
  until: "until",
} as const satisfies Record<keyof AuditView, string>;

export function readView(params: URLSearchParams): AuditView {
  const text = (name: keyof AuditView) => params.get(PARAMETERS[name])?.trim() || null;
  const day = (name: "from" | "until") => (startOf(text(name)) === null ? null : text(name));
  return {
    clerkId: text("clerkId"),
    actor: text("actor"),
    action: text("action"),
    outcome: OUTCOMES.find((outcome) => outcome === text("outcome")) ?? null,
    from: day("from"),
    until: day("until"),
  };
}

// Keeps the parameters that are not of this page.
export function writeView(params: URLSearchParams, view: AuditView): URLSearchParams {
  const written = new URLSearchParams(params);
  for (const [name, parameter] of Object.entries(PARAMETERS)) {
    const value = view[name as keyof AuditView];
    if (value === null) written.delete(parameter);
    else written.set(parameter, value);
  }
  return written;
}

// Returns the arguments of the query.
export function filterOf({ from, until, ...view }: AuditView): AuditFilter {
  const times = { from: startOf(from), before: startOf(until, 1) };
  const given = Object.entries({ ...view, ...times }).filter(([, value]) => value !== null);
  return Object.fromEntries(given) as AuditFilter;
}

// Returns when a day begins in the viewer's time zone, or so many days later; null: this is no day.
export function startOf(day: string | null, later = 0): number | null {
  const [, year, month, date] = /^(\d{4})-(\d\d)-(\d\d)$/.exec(day ?? "") ?? [];
  if (date === undefined) return null;
  const isDay = new Date(Date.UTC(Number(year), Number(month) - 1, Number(date))).toISOString().startsWith(day!);
  return isDay ? new Date(Number(year), Number(month) - 1, Number(date) + later).getTime() : null;
}
