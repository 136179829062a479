// Sets the globals of a running function: a clock that stands still, a console that collects lines for the caller, and
// the deployment's environment. convex-test gives each running function its own set of globals, which an assignment
// changes.
import { AsyncLocalStorage } from "node:async_hooks";
import { inspect } from "node:util";

const MAX_LOG_LINES = 256;
const MAX_LOG_LINE_LENGTH = 32_768;

export interface PageEnd {
  request: string;
  endCursor: string;
}

// The state of one call of the engine: of a function and of all functions that it calls. A transaction within an action
// has a copy of the action's frame.
export interface Frame {
  time: number | null; // the result of Date.now() in Unix milliseconds; null: not in a transaction, so the real time
  snapshot: number; // the number of the last commit before the transaction
  logLines: string[];
  reads: Set<string>;
  writes: Set<string>;
  knownPages: PageEnd[]; // the ends of pages from the journal of the last run
  pages: PageEnd[]; // the ends of the pages that this run has read
}

export const frames = new AsyncLocalStorage<Frame>();

export function newFrame(knownPages: PageEnd[] = []): Frame {
  return {
    time: null,
    snapshot: 0,
    logLines: [],
    reads: new Set(),
    writes: new Set(),
    knownPages,
    pages: [],
  };
}

const FrozenDate = new Proxy(Date, {
  apply: () => new Date(currentTime()).toString(),
  construct: (target, args: unknown[], newTarget) =>
    Reflect.construct(target, args.length === 0 ? [currentTime()] : args, newTarget) as Date,
  get: (target, name, receiver) =>
    name === "now" ? currentTime : (Reflect.get(target, name, receiver) as unknown),
});

// Sets the globals. Must only be called inside a running function.
export function setGlobals(kind: "query" | "mutation" | "action", env: Record<string, string>): void {
  if (kind !== "action") {
    globalThis.Date = FrozenDate;
  }
  globalThis.console = capturedConsole;
  globalThis.process = Object.create(process, { env: { value: { ...env } } }) as NodeJS.Process;
}

const RealDate = Date;

function currentTime(): number {
  return frames.getStore()?.time ?? RealDate.now();
}

const LEVELS: Partial<Record<string, string>> = {
  debug: "DEBUG",
  dir: "LOG",
  error: "ERROR",
  info: "INFO",
  log: "LOG",
  table: "LOG",
  trace: "LOG",
  warn: "WARN",
};

const capturedConsole = Object.fromEntries(
  Object.keys(console).map((method) => [
    method,
    (...values: unknown[]) => {
      const level = LEVELS[method];
      if (level !== undefined) {
        addLine(level, values);
      }
    },
  ]),
) as unknown as Console;

function addLine(level: string, values: unknown[]): void {
  const lines = frames.getStore()?.logLines;
  if (lines === undefined || lines.length === MAX_LOG_LINES) {
    return;
  }
  if (lines.length === MAX_LOG_LINES - 1) {
    lines.push(`[ERROR] Log overflow (maximum ${String(MAX_LOG_LINES)}). Remaining log lines omitted.`);
    return;
  }
  const text = values.map((value) => inspect(value)).join(" ");
  lines.push(`[${level}] ${text.slice(0, MAX_LOG_LINE_LENGTH)}`);
}
