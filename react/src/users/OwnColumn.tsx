import type { ReactNode } from "react";
import type { Column } from "../admin/options.ts";
import type { UserSummary } from "../functions.ts";
import { Nothing } from "../ui/Nothing.tsx";

// Shows the value of a team's own column. What the team renders keeps the styles of the app.
export function OwnColumn({ column, user }: { column: Column; user: UserSummary }): ReactNode {
  const row = user as UserSummary & Record<string, unknown>;
  if (column.render !== undefined) return <span className="foreign">{column.render(row)}</span>;
  const value = row[column.name];
  if (value === undefined || value === null) return <Nothing />;
  const text = textOf(value);
  return (
    <span className="truncate" dir="auto" title={text}>
      {text}
    </span>
  );
}

export function textOf(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}
