// Builds dist/, which is what is published: ECMAScript modules, their types, and one stylesheet.
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { Features, transform } from "lightningcss";

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

// The files in src/styles are written as if the page were alone. This puts them into one layer and below one class, and
// makes every declaration important: only in that way does a layer win over the rules of an app that are in no layer.
const STYLES = join(HERE, "src/styles");
const files = [...readFileSync(join(STYLES, "index.css"), "utf8").matchAll(/@import "(.+)";/g)].map(([, name]) => name!);
const css = files.map((name) => readFileSync(join(STYLES, name), "utf8")).join("\n");
const keyframes = /^@keyframes [^{]+\{(?:[^{}]|\{[^{}]*\})*\}/gm;
const nested = `@layer clerk-convex {
  ${(css.match(keyframes) ?? []).join("\n")}
  .ccx { ${css.replace(keyframes, "")} }
}`;
const flat = transform({ filename: "styles.css", code: Buffer.from(nested), include: Features.Nesting }).code;

let inKeyframes = false;
let selector = "";
const important = Buffer.from(flat)
  .toString()
  .split("\n")
  .map((line) => {
    if (line.startsWith("  @keyframes")) inKeyframes = true;
    else if (line === "  }") inKeyframes = false;
    if (line.endsWith("{") || line.endsWith(",")) selector = line;
    const name = /^ +([a-z-]+): .*;$/.exec(line)?.[1];
    if (inKeyframes || name === undefined || name.startsWith("--")) return line;
    // Rows flash, and an animation does not win over what is important.
    if (/\btr(:hover)?[ ,{]*$/.test(selector) && name.startsWith("background")) return line;
    return line.replace(/;$/, " !important;");
  });
writeFileSync(join(DIST, "styles.css"), transform({ filename: "styles.css", code: Buffer.from(important.join("\n")), minify: true }).code);
