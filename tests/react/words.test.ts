// No text that people read is in a component: all are in react/src/messages.
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { test } from "node:test";
import ts from "typescript";

const SRC = new URL("../../react/src/", import.meta.url);

// Attributes whose text is shown or read out.
const READ = new Set(["alt", "aria-description", "aria-label", "hint", "label", "placeholder", "submit", "progress", "title"]);

// Calls with text for programs and developers.
const FOR_PROGRAMS = /^console\.|(closest|querySelector(All)?|matchMedia|setProperty)$/;

const isText = (text: string) => /\p{L}{2,}/u.test(text);
// Not the names of classes, and not what the console tells developers.
const isSentence = (text: string) => /\p{L}{2,},? \p{L}|^\p{Lu}\p{Ll}+…?$/u.test(text) && !/^[a-z]+-[a-z -]+$|^clerk-convex: /.test(text);

function textsIn(code: string, name = "a.tsx"): string[] {
  const found: string[] = [];
  const file = ts.createSourceFile(name, code, ts.ScriptTarget.Latest, true, ts.ScriptKind.TSX);
  const visit = (node: ts.Node, isShown: boolean): void => {
    if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node) || ts.isTypeNode(node)) return;
    if (ts.isThrowStatement(node)) return;
    if (ts.isExpressionStatement(node) && ts.isStringLiteral(node.expression)) return; // "use client"
    if (ts.isNewExpression(node) && /Error$/.test(node.expression.getText())) return;
    if (ts.isJsxElement(node) && node.openingElement.tagName.getText() === "code") return;
    if (ts.isCallExpression(node) && FOR_PROGRAMS.test(node.expression.getText())) return;
    if (ts.isJsxText(node)) {
      if (isText(node.text)) found.push(node.text.trim());
      return;
    }
    if (ts.isJsxAttribute(node)) {
      const attribute = node.name.getText();
      if (["className", "d", "key", "style"].includes(attribute)) return;
      if (node.initializer) visit(node.initializer, READ.has(attribute));
      return;
    }
    if (ts.isJsxElement(node) || ts.isJsxSelfClosingElement(node) || ts.isJsxFragment(node)) {
      node.forEachChild((child) => visit(child, true));
      return;
    }
    if (ts.isStringLiteralLike(node) || ts.isTemplateHead(node) || ts.isTemplateMiddle(node) || ts.isTemplateTail(node)) {
      const { text } = node;
      if (isResult(node) && (isSentence(text) || (isShown && isText(text)))) found.push(text);
      return;
    }
    // Only what an expression results in is shown: not its conditions, and not the arguments of calls.
    node.forEachChild((child) => visit(child, isShown && !ts.isCallExpression(node)));
  };
  visit(file, false);
  return found;
}

// Returns whether the text may be the value of an expression: it is compared with nothing, and is no index or key.
function isResult(node: ts.Node): boolean {
  const { parent } = ts.isTemplateSpan(node.parent) ? node.parent.parent : node;
  if (ts.isBinaryExpression(parent)) return !/^[!=]==$/.test(parent.operatorToken.getText());
  if (ts.isPropertyAssignment(parent)) return parent.name !== node;
  return !ts.isElementAccessExpression(parent) && !ts.isCaseClause(parent);
}

test("no component has a text of its own", () => {
  const files = globSync("**/*.{ts,tsx}", { cwd: SRC.pathname }).filter((name) => !name.startsWith("messages/"));
  assert.ok(files.length > 80);
  const found = files.flatMap((name) =>
    textsIn(readFileSync(new URL(name, SRC), "utf8"), name).map((text) => `${name}: ${text}`),
  );
  assert.deepEqual(found, []);
});

test("a text is found wherever it stands", () => {
  const wrong = [
    "<p>Hello</p>",
    '<p>{isOld ? "Old" : text}</p>',
    '<p>{isOld && "old"}</p>',
    "<p>{`by ${name}`}</p>",
    '<p>{name ?? "none"}</p>',
    '<input aria-label="name" />',
    '<input title={isOff ? "off" : undefined} />',
    'const LABELS = { active: "Active" };',
    'setProblem("Clerk cannot be reached.");',
    "return `Wait for ${seconds} s.`;",
  ];
  for (const code of wrong) assert.equal(textsIn(code).length, 1, code);
  const right = [
    '<p className="muted truncate">{texts.hello}</p>',
    '<p>{kind === "old" ? texts.old : texts.young}</p>',
    '<button type="button" role="menuitem" aria-live="polite">–</button>',
    'throw new Error("There is no router.");',
    'console.info("clerk-convex: no row.");',
    'element.querySelector("tr td");',
    'import { A } from "B C";',
    'const kind = "user_action";',
    'type Kind = "Old one";',
    "<p>{format(value, \"long\")}</p>",
  ];
  for (const code of right) assert.deepEqual(textsIn(code), [], code);
});
