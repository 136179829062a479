// Loads a project's convex/ folder as Convex does when it pushes functions: esbuild, which the `convex` package depends
// on, bundles each file. So imports without extension, enums, type imports without `type` and path aliases work as they
// do there. Packages are not bundled; they come from the project's node_modules.
import { existsSync, readdirSync } from "node:fs";
import { createRequire, registerHooks, setSourceMapsSupport } from "node:module";
import { join, relative, sep } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { BuildFailure, Message } from "esbuild";

import { INTERNALS } from "./database.ts";

const SOURCE = /^[^.#][^.]*\.(ts|tsx|js|jsx|mts|mjs)$/;
const AUTH_CONFIG = /^auth\.config\.(ts|js)$/;
const NOT_FUNCTIONS: Partial<Record<string, "schema" | "crons" | "authConfig">> = {
  schema: "schema",
  crons: "crons",
  "auth.config": "authConfig",
};

// Appended to the source of convex-test, so that the engine can import its internals.
const EXPORTS = `\nexport { ${INTERNALS.join(", ")} };\n`;

const bundled = new Map<string, string>();
const projects: string[] = [];
let installed = false;
let builds = 0;

export interface Project {
  // By module path as Convex writes it, without extension: "users", "clerk/access".
  modules: Map<string, Record<string, unknown>>;
  schema: unknown;
  crons: unknown;
  authConfig: unknown;
}

// Registers a hook, so that the files of this backend find `convex`, `convex-test`, `jose` and `ws` in the project's
// node_modules, wherever the backend is installed. Must be called before a module that imports them. A further call
// adds another folder, which is searched first.
export function resolvePackagesFrom(directory: string): void {
  projects.unshift(pathToFileURL(join(directory, "_")).href);
  if (installed) {
    return;
  }
  installed = true;
  const backend = new URL(".", import.meta.url).href;
  registerHooks({
    resolve(specifier, context, nextResolve) {
      const parent = context.parentURL ?? "";
      if (bundled.has(parent) && specifier.startsWith(".")) {
        return { url: new URL(specifier, parent).href, format: "module", shortCircuit: true };
      }
      if (bundled.has(specifier)) {
        return { url: specifier, format: "module", shortCircuit: true };
      }
      const isConvex = specifier === "convex" || specifier.startsWith("convex/");
      const isPackage = !/^(\.|\/|node:|file:)/.test(specifier);
      if (isConvex || (isPackage && (parent.startsWith(backend) || bundled.has(parent)))) {
        for (const project of projects) {
          try {
            return nextResolve(specifier, { ...context, parentURL: project });
          } catch {
            // Continue with the next folder, and at last with Node's own resolution.
          }
        }
      }
      return nextResolve(specifier, context);
    },
    load(url, context, nextLoad) {
      const source = bundled.get(url);
      if (source !== undefined) {
        return { format: "module", source, shortCircuit: true };
      }
      const loaded = nextLoad(url, context);
      if (url.endsWith("/convex-test/dist/index.js")) {
        loaded.source = String(loaded.source) + EXPORTS;
      }
      return loaded;
    },
  });
  setSourceMapsSupport(true, { generatedCode: true });
}

// Builds and imports all files of the folder. `env` is process.env while the files are imported. Throws an Error of one
// line that names the file that cannot be built or imported.
export async function loadProject(functionsDir: string, env: Record<string, string>): Promise<Project> {
  if (!existsSync(functionsDir)) {
    throw new Error(`${functionsDir} does not exist. Name the folder that holds the Convex functions.`);
  }
  const authConfig = readdirSync(functionsDir).filter((name) => AUTH_CONFIG.test(name));
  const files = [...sourceFiles(functionsDir), ...authConfig.map((name) => join(functionsDir, name))];
  const outdir = join(functionsDir, `.local-${String(++builds)}`); // never written: only a name for the hook
  bundle(functionsDir, files, outdir);
  const project: Project = { modules: new Map(), schema: null, crons: null, authConfig: null };
  const processEnv = process.env;
  process.env = { ...env };
  try {
    await importFiles(functionsDir, outdir, files, project);
  } finally {
    process.env = processEnv;
  }
  return project;
}

async function importFiles(
  functionsDir: string,
  outdir: string,
  files: string[],
  project: Project,
): Promise<void> {
  for (const file of files) {
    const path = relative(functionsDir, file)
      .split(sep)
      .join("/")
      .replace(/\.[^.]+$/, "");
    const module = await importFile(
      pathToFileURL(join(outdir, `${path}.js`)).href,
      `${path}${/\.[^.]+$/.exec(file)?.[0] ?? ""}`,
    );
    const field = NOT_FUNCTIONS[path];
    if (field === undefined) {
      project.modules.set(path, module);
    } else {
      project[field] = module.default;
    }
  }
}

function sourceFiles(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = join(directory, entry.name);
      if (entry.isDirectory()) {
        return /^[_.]|^node_modules$/.test(entry.name) ? [] : sourceFiles(path);
      }
      return SOURCE.test(entry.name) ? [path] : [];
    });
}

function bundle(functionsDir: string, files: string[], outdir: string): void {
  const requireFromConvex = createRequire(fileURLToPath(import.meta.resolve("convex/server")));
  const esbuild = requireFromConvex("esbuild") as typeof import("esbuild");
  try {
    // buildSync leaves no esbuild process behind.
    const result = esbuild.buildSync({
      entryPoints: files,
      outbase: functionsDir,
      outdir,
      absWorkingDir: functionsDir,
      bundle: true,
      splitting: true,
      packages: "external",
      format: "esm",
      platform: "neutral",
      target: "node24",
      conditions: ["convex", "module"],
      sourcemap: "inline",
      write: false,
      logLevel: "silent",
      keepNames: true,
    });
    for (const file of result.outputFiles) {
      bundled.set(pathToFileURL(file.path).href, file.text);
    }
  } catch (error) {
    const failure = (error as Partial<BuildFailure>).errors?.[0];
    throw failure === undefined ? error : new Error(describeFailure(failure));
  }
}

function describeFailure({ text, location }: Message): string {
  const place =
    location === null ? "" : `${location.file}:${String(location.line)}:${String(location.column + 1)}: `;
  const remedy = /^Could not resolve "(\.\.?\/)+_generated\//.test(text)
    ? ". Generate it: npx convex codegen --system-udfs --typecheck disable"
    : "";
  return `The Convex functions cannot be loaded: ${place}${text}${remedy}`;
}

async function importFile(url: string, name: string): Promise<Record<string, unknown>> {
  try {
    return (await import(url)) as Record<string, unknown>;
  } catch (error) {
    throw loadFailure(name, error);
  }
}

export function loadFailure(name: string, error: unknown): Error {
  const [reason] = String(error).split("\n", 1);
  return new Error(`The Convex functions cannot be loaded: ${name}: ${reason ?? ""}`, { cause: error });
}
