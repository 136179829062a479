// Runs of queries: shared between equal ones, and known to be stale when a commit touches what they read.
import type { JSONValue } from "convex/values";
import type { Engine } from "./engine.ts";
import type { Outcome } from "./outcome.ts";
import { callFunction, type Caller } from "./calls.ts";
import { valueToText } from "./wire.ts";

export type Query = { path: string; args: JSONValue; journal: string | null; caller: Caller };

/** `body` is what a client is told, but for log lines: two equal bodies are one result. All of it is JSON text. */
export type Result = { body: string; logLines: string; journal: string | null };

export class Run {
  readonly key: string;
  readonly listeners = new Set<() => void>();
  result!: Promise<Result>;
  reads: Set<string> | null = null; // null until the query has run
  readonly meanwhile: { commit: number; writes: Set<string> }[] = []; // commits until then

  constructor(key: string) {
    this.key = key;
  }
}

export class QueryRuns {
  readonly #engine: Engine;
  readonly #runs = new Set<Run>();
  readonly #shared = new Map<string, Run>();

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** Runs a query, or joins an equal run that is still true. `onStale` is called once, when its result may have changed. */
  start(query: Query, onStale: () => void): Run {
    const key = JSON.stringify([query.path, query.args, query.journal, query.caller]);
    let run = this.#shared.get(key);
    if (run === undefined) {
      run = new Run(key);
      this.#runs.add(run);
      this.#shared.set(key, run);
      run.result = this.#execute(run, query);
    }
    run.listeners.add(onStale);
    return run;
  }

  /** A run that everybody has left is forgotten. */
  leave(run: Run, onStale: () => void): void {
    run.listeners.delete(onStale);
    if (run.listeners.size === 0) this.#drop(run);
  }

  async #execute(run: Run, query: Query): Promise<Result> {
    const outcome = await callFunction(this.#engine, "query", query, query.caller);
    run.reads = outcome.reads;
    // A query that waited behind a mutation has seen its commit.
    const unseen = run.meanwhile.filter(({ commit }) => commit > (outcome.snapshot ?? 0));
    if (unseen.some(({ writes }) => touches(writes, outcome.reads))) this.#stale(run);
    return describe(outcome, query.journal);
  }

  /** To be called after each commit with the tables it wrote and its number. */
  commit(writes: Set<string>, commit: number): void {
    for (const run of [...this.#runs]) {
      if (run.reads === null) {
        run.meanwhile.push({ commit, writes });
        // Whoever comes from now on must see this commit; those who wait already came before it.
        this.#unshare(run);
      } else if (touches(writes, run.reads)) {
        this.#stale(run);
      }
    }
  }

  #stale(run: Run): void {
    this.#drop(run);
    for (const listener of run.listeners) listener();
  }

  #drop(run: Run): void {
    this.#runs.delete(run);
    this.#unshare(run);
  }

  #unshare(run: Run): void {
    if (this.#shared.get(run.key) === run) this.#shared.delete(run.key);
  }
}

function touches(writes: Set<string>, reads: Set<string>): boolean {
  return !writes.isDisjointFrom(reads);
}

function describe(outcome: Outcome, before: string | null): Result {
  const logLines = JSON.stringify(outcome.logLines);
  if (outcome.ok) {
    const journal = outcome.journal;
    const body = `"type":"QueryUpdated","value":${valueToText(outcome.value)},"journal":${JSON.stringify(journal)}`;
    return { body, logLines, journal };
  }
  // The journal stays: with it the page ends where it ended before the failure.
  const data = outcome.errorData === undefined ? "" : `,"errorData":${valueToText(outcome.errorData)}`;
  const message = JSON.stringify(outcome.errorMessage);
  const body = `"type":"QueryFailed","errorMessage":${message}${data},"journal":${JSON.stringify(before)}`;
  return { body, logLines, journal: before };
}
