// Names the Convex functions that the page reads; no other file names them. An app that keeps our module as users.ts
// may use `api.users` instead.
import { anyApi, type FunctionReturnType } from "convex/server";
import { createContext, useContext } from "react";
import type { api } from "../../../convex/_generated/api";
import type { AccessDenied } from "../../../convex/clerk/access";

const NAMES = ["currentUser", "getUsers", "getUser", "stats", "auditLog", "refusals"] as const;

export type Functions = Pick<typeof api.users, (typeof NAMES)[number]>;

export type { AccessDenied };
export type UserSummary = FunctionReturnType<Functions["getUsers"]>["page"][number];
export type UserDetails = NonNullable<FunctionReturnType<Functions["getUser"]>>;
export type UserStatus = UserSummary["status"];
export type Me = Extract<FunctionReturnType<Functions["currentUser"]>, { state: "synced" }>;
export type Stats = FunctionReturnType<Functions["stats"]>;
export type AuditEntry = FunctionReturnType<Functions["auditLog"]>["page"][number];
export type Refusal = FunctionReturnType<Functions["refusals"]>["latest"][number];
export type AuditOutcome = AuditEntry["outcome"];

// Returns the functions of a module. `module` is its path in convex/, as in CONVEX_USERS_MODULE. anyApi creates a new
// reference at each access, but hooks need stable ones, so they are created once.
export function functionsOf(module: string): Functions {
  const functions = module.split("/").reduce<any>((found, name) => found[name], anyApi) as Functions;
  return Object.fromEntries(NAMES.map((name) => [name, functions[name]])) as Functions;
}

const FunctionsContext = createContext(functionsOf("users"));
export const FunctionsProvider = FunctionsContext.Provider;

export function useFunctions(): Functions {
  return useContext(FunctionsContext);
}
