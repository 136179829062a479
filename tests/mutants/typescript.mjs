// Prints the mutants that Stryker makes of a file: a JSON list of its texts, each changed in one place.
import { readFileSync } from "node:fs";
import { Instrumenter } from "@stryker-mutator/instrumenter";

const name = process.argv[2];
const content = readFileSync(name, "utf8");
const silent = new Proxy({}, { get: () => () => false });
const options = { ignorers: [], excludedMutations: [], plugins: null };
const { mutants } = await new Instrumenter(silent).instrument([{ name, content, mutate: true }], options);

const lines = content.split("\n");
const offset = ({ line, column }) => lines.slice(0, line).reduce((sum, text) => sum + text.length + 1, column);
const texts = mutants.flatMap(({ location, replacement, mutatorName }) => {
  const [start, end] = [offset(location.start), offset(location.end)];
  // Text for people is left alone.
  const isProse = mutatorName === "StringLiteral" && content.slice(start, end).includes(" ");
  return isProse ? [] : [content.slice(0, start) + replacement + content.slice(end)];
});
console.log(JSON.stringify(texts));
