// Answers the Convex CLI (`npx convex …`): the system queries of the commands that read, and plain refusals for commands
// that need what the local Convex does not have.
import type { JSONValue } from "convex/values";
import type { Engine } from "./engine.ts";
import type { Outcome } from "./outcome.ts";

// Paths of the CLI, each with the reason why the local Convex refuses it.
const REFUSED: [path: RegExp, reason: string][] = [
  [
    /^\/api\/(deploy2\/|push_config|prepare_schema|get_config|schema_state|v1\/deploy)/,
    "takes no pushed functions: it runs the folder that it was started with",
  ],
  [/^\/api\/stream_(function|udf)_/, "keeps no logs: they are on stderr of the command that started it"],
  [/^\/api\/(update_environment_variables|v1\/update_environment)/, "takes its environment at the start only"],
  [/^\/api\/export\//, "has no export: `npx convex data TABLE` prints rows"],
  [/^\/api\/(import\/|perform_import)/, "has no import: `clerk-convex local --data PATH` starts with rows"],
  [/^\/api\/run_test_function/, "runs no inline queries: call a function with `npx convex run`"],
  [/^\/api\/storage\//, "has no file storage"],
  [/^\/echo$/, "has no echo: it is on this machine"],
];

/** Returns why a path of the CLI is refused, or null if it is none. `fromCli`: the client is the CLI. */
export function refusalOf(path: string, fromCli: boolean): string | null {
  const reason = REFUSED.find(([pattern]) => pattern.test(path))?.[1];
  if (reason !== undefined) return `The local Convex ${reason}.`;
  if (!fromCli) return null;
  return "The local Convex does not have what this command needs. It has `npx convex run`, `data`, `env list` and `function-spec`.";
}

export function isSystemPath(path: string): boolean {
  return path.startsWith("_system/");
}

type Args = { [name: string]: JSONValue | undefined };

/** Runs a system query of the CLI. An unknown one fails, in the only words that the CLI prints without a stack. */
export function systemQuery(engine: Engine, path: string, args: Args): Outcome {
  const answer = (value: JSONValue, reads: string[] = []): Outcome => ({
    ok: true,
    value,
    logLines: [],
    journal: null,
    reads: new Set(reads),
    writes: new Set(),
    snapshot: engine.commits(),
  });
  switch (path) {
    case "_system/cli/tables:default": {
      const tables = engine.tables();
      return answer(page(tables.map((name) => ({ name }))), tables);
    }
    case "_system/cli/tableData:default":
      return answer(rowsOf(engine, args), [String(args.table)]);
    case "_system/cli/queryEnvironmentVariables:default":
      return answer(variables(engine));
    case "_system/cli/queryEnvironmentVariables:get":
      return answer(variables(engine).find(({ name }) => name === args.name) ?? null);
    case "_system/cli/modules:apiSpec":
      return answer(engine.functionSpec());
    case "_system/cli/convexUrl:cloudUrl":
      return answer(engine.url);
    case "_system/frontend/components:list":
      return answer([]);
    default: {
      const errorMessage = `You do not have permission to perform this operation: the local Convex has no ${path}.`;
      return { ok: false, errorMessage, logLines: [], reads: new Set() };
    }
  }
}

function page(items: JSONValue[]): JSONValue {
  return { page: items, isDone: true, continueCursor: "" };
}

function variables(engine: Engine): { name: string; value: string }[] {
  return Object.entries(engine.env)
    .map(([name, value]) => ({ name, value }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Returns a page of a table. The cursor is the number of the rows before the page. */
function rowsOf(engine: Engine, { table, order, paginationOpts }: Args): JSONValue {
  const { cursor = null, numItems = 100 } = (paginationOpts ?? {}) as { cursor?: string; numItems?: number };
  const rows = engine.rows(String(table));
  if (order === "desc") rows.reverse();
  const start = Number(cursor ?? "0");
  const end = start + numItems;
  return { page: rows.slice(start, end), isDone: end >= rows.length, continueCursor: String(end) };
}
