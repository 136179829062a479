// What npm gets: the package in an empty project.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, suite, test } from "node:test";
import ts from "typescript";

const REACT = new URL("../../react", import.meta.url).pathname;
const ROOT_MODULES = new URL("../../node_modules", import.meta.url).pathname;
const EIGHTEEN_MODULES = new URL("eighteen/node_modules", import.meta.url).pathname;

const PAGE = `
import { AuditPage, UsersPage, type Column } from "clerk-convex-react";
import { NextRouter } from "clerk-convex-react/next";
import { ReactRouter } from "clerk-convex-react/react-router";
import { WouterRouter } from "clerk-convex-react/wouter";

const columns: Column[] = [{ name: "plan", render: (user) => user.clerkId.toUpperCase() }];

export const users = (
  <WouterRouter>
    <UsersPage columns={columns} roles={["admin"]} paths={{ audit: null }} frame={false} />
  </WouterRouter>
);
export const audit = (
  <NextRouter fallback={<p>Wait</p>}>
    <ReactRouter>
      {/* @ts-expect-error The types are there: a title is a text. */}
      <AuditPage title={1} />
    </ReactRouter>
  </NextRouter>
);
`;

const folder = mkdtempSync(join(tmpdir(), "package-"));
after(() => rmSync(folder, { recursive: true }));

function run(command: string, ...args: string[]): string {
  const ran = spawnSync(command, args, { cwd: REACT, encoding: "utf8" });
  assert.equal(ran.status, 0, ran.stderr);
  return ran.stdout;
}

// An empty project with the package and its peers.
function project(name: string, modules: string): string {
  const at = join(folder, name);
  const installed = join(at, "node_modules");
  mkdirSync(join(installed, "@types"), { recursive: true });
  mkdirSync(join(installed, "clerk-convex-react"));
  run("tar", "-xzf", tarball(), "-C", join(installed, "clerk-convex-react"), "--strip-components=1");
  for (const peer of ["react", "@types/react"]) symlinkSync(join(modules, peer), join(installed, peer));
  for (const peer of ["convex", "next", "react-router", "wouter", "csstype", "@types/prop-types"]) {
    symlinkSync(join(ROOT_MODULES, peer), join(installed, peer));
  }
  writeFileSync(join(at, "package.json"), '{ "type": "module" }');
  writeFileSync(join(at, "page.tsx"), PAGE);
  return at;
}

let packed: string | undefined;

function tarball(): string {
  packed ??= (() => {
    run("npm", "pack", "--ignore-scripts", "--loglevel=error", "--pack-destination", folder);
    return join(folder, readdirSync(folder).find((name) => name.endsWith(".tgz"))!);
  })();
  return packed;
}

suite("the package in an empty project", () => {
  test("has what is needed, and nothing else", () => {
    const names = run("tar", "-tzf", tarball()).trim().split("\n").map((name) => name.replace("package/", ""));
    const outside = names.filter((name) => !name.startsWith("dist/")).sort();
    assert.deepEqual(outside, ["LICENSE", "README.md", "package.json"]);
    assert.deepEqual(names.filter((name) => !/\.(js|d\.ts|css|json|md)$|LICENSE$/.test(name)), []);
    const { exports } = createRequire(import.meta.url)(join(REACT, "package.json")) as {
      exports: Record<string, string | Record<string, string>>;
    };
    for (const target of Object.values(exports).flatMap((it) => (typeof it === "string" ? [it] : Object.values(it)))) {
      assert.ok(names.includes(target.replace("./", "")), target);
    }
  });

  const RESOLUTIONS = {
    bundler: { module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler },
    node16: { module: ts.ModuleKind.Node16, moduleResolution: ts.ModuleResolutionKind.Node16 },
    nodenext: { module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext },
  };

  for (const [name, modules, ways] of [
    ["React 19", ROOT_MODULES, ["bundler", "nodenext"]],
    ["React 18", EIGHTEEN_MODULES, ["bundler", "node16"]],
  ] as const) {
    test(`has types that are right with ${name}, however modules are resolved`, () => {
      const at = project(name, modules);
      for (const way of ways) {
        const program = ts.createProgram([join(at, "page.tsx")], {
          ...RESOLUTIONS[way],
          target: ts.ScriptTarget.ES2022,
          jsx: ts.JsxEmit.ReactJSX,
          strict: true,
          noEmit: true,
          types: [],
          preserveSymlinks: true,
        });
        // Only our own files: those of the peers are not ours to check, and are most of the work.
        const own = program.getSourceFiles().filter(({ fileName }) => fileName.startsWith(at) && isOurs(fileName));
        assert.ok(own.length > 20, `${own.length} files`);
        const found = own.flatMap((file) => [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)]);
        const lines = found.map((it) => `${it.file?.fileName}: ${ts.flattenDiagnosticMessageText(it.messageText, " ")}`);
        assert.deepEqual(lines, [], way);
      }
    });
  }
});

function isOurs(fileName: string): boolean {
  return dirname(fileName).includes("node_modules/clerk-convex-react") || fileName.endsWith("page.tsx");
}
