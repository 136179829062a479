/* eslint-disable */
/**
 * Generated `api` utility.
 *
 * THIS CODE IS AUTOMATICALLY GENERATED.
 *
 * To regenerate, run `npx convex dev`.
 * @module
 */

import type {
  ApiFromModules,
  FilterApi,
  FunctionReference,
} from "convex/server";
import type * as clerk_access from "../clerk/access.js";
import type * as clerk_attempts from "../clerk/attempts.js";
import type * as clerk_audit from "../clerk/audit.js";
import type * as clerk_backfill from "../clerk/backfill.js";
import type * as clerk_columns from "../clerk/columns.js";
import type * as clerk_derived from "../clerk/derived.js";
import type * as clerk_duplicates from "../clerk/duplicates.js";
import type * as clerk_onUserChange from "../clerk/onUserChange.js";
import type * as clerk_pages from "../clerk/pages.js";
import type * as clerk_queries from "../clerk/queries.js";
import type * as clerk_rules from "../clerk/rules.js";
import type * as clerk_search from "../clerk/search.js";
import type * as clerk_state from "../clerk/state.js";
import type * as clerk_stats from "../clerk/stats.js";
import type * as clerk_sync from "../clerk/sync.js";
import type * as clerk_tables from "../clerk/tables.js";
import type * as clerk_text from "../clerk/text.js";
import type * as crons from "../crons.js";
import type * as users from "../users.js";

/**
 * A utility for referencing Convex functions in your app's API.
 *
 * Usage:
 * ```js
 * const myFunctionReference = api.myModule.myFunction;
 * ```
 */
declare const fullApi: ApiFromModules<{
  "clerk/access": typeof clerk_access;
  "clerk/attempts": typeof clerk_attempts;
  "clerk/audit": typeof clerk_audit;
  "clerk/backfill": typeof clerk_backfill;
  "clerk/columns": typeof clerk_columns;
  "clerk/derived": typeof clerk_derived;
  "clerk/duplicates": typeof clerk_duplicates;
  "clerk/onUserChange": typeof clerk_onUserChange;
  "clerk/pages": typeof clerk_pages;
  "clerk/queries": typeof clerk_queries;
  "clerk/rules": typeof clerk_rules;
  "clerk/search": typeof clerk_search;
  "clerk/state": typeof clerk_state;
  "clerk/stats": typeof clerk_stats;
  "clerk/sync": typeof clerk_sync;
  "clerk/tables": typeof clerk_tables;
  "clerk/text": typeof clerk_text;
  crons: typeof crons;
  users: typeof users;
}>;
export declare const api: FilterApi<
  typeof fullApi,
  FunctionReference<any, "public">
>;
export declare const internal: FilterApi<
  typeof fullApi,
  FunctionReference<any, "internal">
>;
