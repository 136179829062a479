// The options that an app sets once for all parts of the pages.
import { createContext, useContext, type ReactNode } from "react";
import type { UserSummary } from "../functions.ts";
import type { Switch } from "../manage/calls.ts";
import { ENGLISH } from "../messages/messages.ts";

// A column of a team, in the table and in the details. `name` is that of the column in Convex, or any text that is
// unique. Without `render` the value of the column is shown.
export type Column = {
  name: string;
  label?: string; // default: the name
  render?: (user: UserSummary & Record<string, unknown>) => ReactNode;
  width?: string; // of the column in the table, such as "120px"
};

export type Options = {
  title: string;
  frame: boolean;
  paths: { users: string | null; audit: string | null; invitations: string | null };
  roles: readonly string[];
  columns: readonly Column[];
  keys: boolean;
  isOn: (action: Switch) => boolean;
};

export const DEFAULTS: Options = {
  title: ENGLISH.frame.title,
  frame: true,
  paths: { users: "/users", audit: "/audit", invitations: "/invitations" },
  roles: ["admin", "editor", "member"],
  columns: [],
  keys: true,
  isOn: () => true,
};

const OptionsContext = createContext(DEFAULTS);
export const OptionsProvider = OptionsContext.Provider;

export function useOptions(): Options {
  return useContext(OptionsContext);
}
