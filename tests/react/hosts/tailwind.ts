// Prints the stylesheet that Tailwind makes of examples/nextjs/app/globals.css for the classes of a page.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { compile } from "tailwindcss";

const require = createRequire(import.meta.url);
const globals = new URL("../../../examples/nextjs/app/globals.css", import.meta.url);
const html = readFileSync(process.argv[2]!, "utf8");
const classes = [...html.matchAll(/class="([^"]*)"/g)].flatMap(([, text]) => text!.split(" "));
const loadStylesheet = async () => {
  const path = require.resolve("tailwindcss/index.css");
  return { path, base: "", content: readFileSync(path, "utf8") };
};
const { build } = await compile(readFileSync(globals, "utf8"), { loadStylesheet });
process.stdout.write(build(classes));
