// Runs queries for subscribers. Equal queries share one run, and a run becomes stale when a commit writes to a table
// that it read.
import type { JSONValue } from "convex/values";
import type { Engine } from "./engine.ts";
import { EVERY_QUERY, type Outcome } from "./outcome.ts";
import { callFunction, type Caller } from "./calls.ts";
import { valueToText } from "./wire.ts";

export type Query = { path: string; args: JSONValue; journal: string | null; caller: Caller };

/** A result as JSON text. `body` is the message to the client without log lines; results with equal bodies are equal. */
export type Result = { body: string; logLines: string; journal: string | null };

export class Run {
  readonly key: string;
  readonly listeners = new Set<() => void>();
  result!: Promise<Result>;
  reads: Set<string> | null = null; // null until the query has run
  readonly meanwhile: { commit: number; writes: Set<string> }[] = []; // the commits while the query runs

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

  /** Runs a query, or joins an equal run that is not stale. `onStale` is called once, when its result may have changed. */
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

  /** Removes a subscriber from a run. A run without subscribers is dropped. */
  leave(run: Run, onStale: () => void): void {
    run.listeners.delete(onStale);
    if (run.listeners.size === 0) this.#drop(run);
  }

  async #execute(run: Run, query: Query): Promise<Result> {
    const outcome = await callFunction(this.#engine, "query", query, query.caller);
    run.reads = outcome.reads;
    // A query that waited for a mutation has seen the commit of that mutation.
    const unseen = run.meanwhile.filter(({ commit }) => commit > (outcome.snapshot ?? 0));
    if (unseen.some(({ writes }) => touches(writes, outcome.reads))) this.#stale(run);
    return describe(outcome, query.journal);
  }

  /** Must be called after each commit, with the tables that it wrote and its number. */
  commit(writes: Set<string>, commit: number): void {
    for (const run of [...this.#runs]) {
      if (run.reads === null) {
        run.meanwhile.push({ commit, writes });
        // Later subscribers must see this commit, so they cannot join this run.
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
  return writes.has(EVERY_QUERY) || !writes.isDisjointFrom(reads);
}

function describe(outcome: Outcome, before: string | null): Result {
  const logLines = JSON.stringify(outcome.logLines);
  if (outcome.ok) {
    const journal = outcome.journal;
    const body = `"type":"QueryUpdated","value":${valueToText(outcome.value)},"journal":${JSON.stringify(journal)}`;
    return { body, logLines, journal };
  }
  // The journal is kept, so that after the failure the page ends where it ended before.
  const data = outcome.errorData === undefined ? "" : `,"errorData":${valueToText(outcome.errorData)}`;
  const message = JSON.stringify(outcome.errorMessage);
  const body = `"type":"QueryFailed","errorMessage":${message}${data},"journal":${JSON.stringify(before)}`;
  return { body, logLines, journal: before };
}
