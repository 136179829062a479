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
import type * as clerk_admin_actions from "../clerk/admin/actions.js";
import type * as clerk_adopt_rows from "../clerk/adopt/rows.js";
import type * as clerk_adopt_whole from "../clerk/adopt/whole.js";
import type * as clerk_audit_entries from "../clerk/audit/entries.js";
import type * as clerk_audit_log from "../clerk/audit/log.js";
import type * as clerk_audit_older from "../clerk/audit/older.js";
import type * as clerk_backfill_compare from "../clerk/backfill/compare.js";
import type * as clerk_backfill_follow from "../clerk/backfill/follow.js";
import type * as clerk_backfill_runs from "../clerk/backfill/runs.js";
import type * as clerk_columns from "../clerk/columns.js";
import type * as clerk_module from "../clerk/module.js";
import type * as clerk_onUserChange from "../clerk/onUserChange.js";
import type * as clerk_order_duplicates from "../clerk/order/duplicates.js";
import type * as clerk_order_rules from "../clerk/order/rules.js";
import type * as clerk_order_sync from "../clerk/order/sync.js";
import type * as clerk_state from "../clerk/state.js";
import type * as clerk_tables from "../clerk/tables.js";
import type * as clerk_upkeep_person from "../clerk/upkeep/person.js";
import type * as clerk_upkeep_refusals from "../clerk/upkeep/refusals.js";
import type * as clerk_upkeep_status from "../clerk/upkeep/status.js";
import type * as clerk_upkeep_webhook from "../clerk/upkeep/webhook.js";
import type * as clerk_users_derived from "../clerk/users/derived.js";
import type * as clerk_users_filters from "../clerk/users/filters.js";
import type * as clerk_users_pages from "../clerk/users/pages.js";
import type * as clerk_users_queries from "../clerk/users/queries.js";
import type * as clerk_users_rebuild from "../clerk/users/rebuild.js";
import type * as clerk_users_search from "../clerk/users/search.js";
import type * as clerk_users_sorted from "../clerk/users/sorted.js";
import type * as clerk_users_stats from "../clerk/users/stats.js";
import type * as clerk_users_tally from "../clerk/users/tally.js";
import type * as clerk_users_text from "../clerk/users/text.js";
import type * as clerk_users_totals from "../clerk/users/totals.js";
import type * as clerk_version from "../clerk/version.js";
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
  "clerk/admin/actions": typeof clerk_admin_actions;
  "clerk/adopt/rows": typeof clerk_adopt_rows;
  "clerk/adopt/whole": typeof clerk_adopt_whole;
  "clerk/audit/entries": typeof clerk_audit_entries;
  "clerk/audit/log": typeof clerk_audit_log;
  "clerk/audit/older": typeof clerk_audit_older;
  "clerk/backfill/compare": typeof clerk_backfill_compare;
  "clerk/backfill/follow": typeof clerk_backfill_follow;
  "clerk/backfill/runs": typeof clerk_backfill_runs;
  "clerk/columns": typeof clerk_columns;
  "clerk/module": typeof clerk_module;
  "clerk/onUserChange": typeof clerk_onUserChange;
  "clerk/order/duplicates": typeof clerk_order_duplicates;
  "clerk/order/rules": typeof clerk_order_rules;
  "clerk/order/sync": typeof clerk_order_sync;
  "clerk/state": typeof clerk_state;
  "clerk/tables": typeof clerk_tables;
  "clerk/upkeep/person": typeof clerk_upkeep_person;
  "clerk/upkeep/refusals": typeof clerk_upkeep_refusals;
  "clerk/upkeep/status": typeof clerk_upkeep_status;
  "clerk/upkeep/webhook": typeof clerk_upkeep_webhook;
  "clerk/users/derived": typeof clerk_users_derived;
  "clerk/users/filters": typeof clerk_users_filters;
  "clerk/users/pages": typeof clerk_users_pages;
  "clerk/users/queries": typeof clerk_users_queries;
  "clerk/users/rebuild": typeof clerk_users_rebuild;
  "clerk/users/search": typeof clerk_users_search;
  "clerk/users/sorted": typeof clerk_users_sorted;
  "clerk/users/stats": typeof clerk_users_stats;
  "clerk/users/tally": typeof clerk_users_tally;
  "clerk/users/text": typeof clerk_users_text;
  "clerk/users/totals": typeof clerk_users_totals;
  "clerk/version": typeof clerk_version;
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
