import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cpSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";

import { checkDatabase } from "../../../../clerk_convex/local/convex/backend/database.ts";
import { createEngine } from "../../../../clerk_convex/local/convex/backend/engine.ts";
import { makeProject, startEngine, value } from "./helpers.ts";

const QUERY = (body: string): string => `
  import { queryGeneric as query } from "convex/server";
  ${body}`;

test("files may have all that TypeScript and Convex allow: enums, bare type imports, folders, aliases", async () => {
  const functionsDir = makeProject({
    "tsconfig.json": '{"compilerOptions": {"paths": {"@/*": ["./shared/*"]}}}',
    "_generated/dataModel.d.ts": "export type Id<T> = string & { table: T };",
    "_generated/api.js": "throw new Error('not a module of functions');",
    "shared/kind.ts":
      'export enum Kind { Big = "big" }\nexport class Box { constructor(public kind: Kind) {} }',
    "deep/er/things.ts": QUERY(`
      import { Id } from "../../_generated/dataModel";
      import { Box, Kind } from "../../shared/kind";
      import { Kind as Again } from "@/kind";
      import data from "../../data.json";
      export const get = query((): [string, boolean, number] => [new Box(Kind.Big).kind, Kind === Again, data.n]);
      export default query(async () => "default" as Id<"x">);`),
    "data.json": '{"n": 1}',
    "plain.js": QUERY('export const get = query(() => "js");'),
    "types.d.ts": "throw 1;",
    "skipped.test.ts": "throw new Error('not a module of functions');",
    ".hidden.ts": "throw new Error('not a module of functions');",
  });
  const engine = await startEngine({ functionsDir });
  assert.deepEqual(await value(engine, "deep/er/things:get"), ["big", true, 1]);
  assert.equal(await value(engine, "deep/er/things"), "default");
  assert.equal(await value(engine, "plain:get"), "js");
});

test("functions that cannot be loaded give one line that names the file", async () => {
  for (const [files, message] of [
    [{ "a.ts": "export const x = ;" }, /^The Convex functions cannot be loaded: a\.ts:1:18: Unexpected ";"$/],
    [
      { "b/c.ts": 'import "./missing";' },
      /^The Convex functions cannot be loaded: b\/c\.ts:1:8: Could not resolve "\.\/missing"$/,
    ],
    [
      { "b/g.ts": 'import "../_generated/missing";' },
      /: Could not resolve "\.\.\/_generated\/missing"\. Generate it: npx convex codegen --system-udfs --typecheck disable$/,
    ],
    [
      { "d.ts": 'throw new TypeError("at\\nimport");' },
      /^The Convex functions cannot be loaded: d\.ts: TypeError: at$/,
    ],
    [
      { "e.ts": 'import "no-such-package";' },
      /^The Convex functions cannot be loaded: e\.ts: Error \[ERR_MODULE_NOT_FOUND\]: Cannot find package 'no-such-package'/,
    ],
    [
      { "f.ts": QUERY("export const f = query({ args: { x: undefined as any }, handler: () => 1 });") },
      /^The Convex functions cannot be loaded: f:f: Error: A validator is undefined for field "x"/,
    ],
  ] as [Record<string, string>, RegExp][]) {
    await assert.rejects(createEngine({ functionsDir: makeProject(files), env: {} }), (error: Error) => {
      assert.match(error.message, message);
      assert.ok(!error.message.includes("\n"));
      return true;
    });
  }
  await assert.rejects(createEngine({ functionsDir: "/no/such/folder", env: {} }), {
    message: "/no/such/folder does not exist. Name the folder that holds the Convex functions.",
  });
});

test("backend and functions may be in folders without packages: they use those of the named project", async () => {
  const project = dirname(makeProject({ "unused.ts": "" }));
  const functionsDir = makeProject({
    "a.ts": QUERY('import { WebSocket } from "ws"; export const get = query(() => typeof WebSocket);'),
  });
  const elsewhere = dirname(functionsDir);
  rmSync(join(elsewhere, "node_modules"));
  const backend = join(elsewhere, "site-packages");
  cpSync(join(import.meta.dirname, "../../../../clerk_convex/local/convex/backend"), backend, { recursive: true });
  const main = join(backend, "try.ts");
  writeFileSync(
    main,
    `import { resolvePackagesFrom } from "./loader.ts";
     resolvePackagesFrom(${JSON.stringify(project)});
     const { createEngine } = await import("./engine.ts");
     const engine = await createEngine({ functionsDir: ${JSON.stringify(functionsDir)}, env: {} });
     console.log(JSON.stringify(await engine.run({ path: "a:get", args: {}, identity: null })));
     await engine.close();`,
  );
  const { stdout } = await promisify(execFile)(process.execPath, [main]);
  assert.equal((JSON.parse(stdout) as { value: unknown }).value, "function");
});

test("a convex-test with another structure is refused at the start, by name", () => {
  const database = { get: () => null, _writes: [] } as unknown as Parameters<typeof checkDatabase>[0];
  assert.throws(() => {
    checkDatabase(database);
  }, /has no insert, .*_iterateDocs, .*_documents.*made for 0\.0\.60/);
});
