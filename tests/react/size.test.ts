// What the package adds to an app.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { build, type Rolldown } from "vite";

const DIST = new URL("../../react/dist/", import.meta.url);

test("the scripts have at most 60 kB gzipped in an app that Vite builds, and the stylesheet 10 kB", async () => {
  const built = await build({
    configFile: false,
    logLevel: "silent",
    build: {
      write: false,
      rolldownOptions: {
        input: new URL("index.js", DIST).pathname,
        external: [/^react(-dom)?($|\/)/, /^convex\//],
        preserveEntrySignatures: "strict", // an app that uses all of it
      },
    },
  });
  const { output } = built as Rolldown.RolldownOutput;
  const [code, ...more] = output.flatMap((file) => (file.type === "chunk" ? [file.code] : []));
  assert.deepEqual(more, []);
  const script = gzipSync(code!).length;
  const styles = gzipSync(readFileSync(new URL("styles.css", DIST))).length;
  assert.ok(script > 10_000 && script <= 60_000, `${script} bytes of scripts`);
  assert.ok(styles > 3000 && styles <= 10_000, `${styles} bytes of styles`);
});

test("nothing that is published imports TypeScript", async () => {
  const { globSync } = await import("node:fs");
  const files = globSync("**/*.{js,d.ts}", { cwd: DIST.pathname });
  assert.ok(files.length > 100);
  for (const file of files) {
    assert.doesNotMatch(readFileSync(new URL(file, DIST), "utf8"), /from "[^"]*\.tsx?"|import\("[^"]*\.tsx?"\)/, file);
  }
  for (const entry of ["index", "router/next", "router/react-router", "router/wouter"]) {
    assert.match(readFileSync(new URL(`${entry}.js`, DIST), "utf8"), /^"use client";/, entry);
  }
});
