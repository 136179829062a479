// Bundles the apps, each under the version of React that it names, into the folder that the first argument names.
import { join } from "node:path";
import { build, type BuildOptions } from "esbuild";

const HERE = import.meta.dirname;
const EIGHTEEN = join(HERE, "../eighteen/node_modules");
const common: BuildOptions = {
  bundle: true,
  format: "iife",
  jsx: "automatic",
  define: { "process.env.NODE_ENV": '"development"' }, // React says more then
  outdir: process.argv[2]!,
  logLevel: "warning",
};

await Promise.all([
  build({
    ...common,
    entryPoints: ["clerk.ts", "foreign.tsx", "history.tsx", "react-router.tsx", "team.tsx", "wouter.tsx"].map((name) => join(HERE, name)),
  }),
  build({
    ...common,
    entryPoints: [{ in: join(HERE, "history.tsx"), out: "react-18" }],
    alias: { react: join(EIGHTEEN, "react"), "react-dom": join(EIGHTEEN, "react-dom") },
  }),
]);
