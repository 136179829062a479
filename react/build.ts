// Builds dist/, which is what is published: ECMAScript modules, their types, and one stylesheet.
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { bundle } from "lightningcss";

const HERE = import.meta.dirname;
const DIST = join(HERE, "dist");

rmSync(DIST, { recursive: true, force: true });
const compiler = createRequire(import.meta.url).resolve("typescript/bin/tsc");
const compiled = spawnSync(process.execPath, [compiler, "-p", join(HERE, "tsconfig.build.json")], { stdio: "inherit" });
if (compiled.status !== 0) process.exit(1);

// The compiler rewrites the extensions of imports in modules, but not in types.
for (const name of readdirSync(DIST, { recursive: true, encoding: "utf8" })) {
  if (!name.endsWith(".d.ts")) continue;
  const file = join(DIST, name);
  writeFileSync(file, readFileSync(file, "utf8").replace(/(["']\.{1,2}\/[^"']*)\.tsx?(["'])/g, "$1.js$2"));
}

const { code } = bundle({ filename: join(HERE, "src/styles/index.css"), minify: false });
writeFileSync(join(DIST, "styles.css"), code);
