// Runs scheduled functions. They are rows of a system table, and get a timer when their transaction has committed.
import type { Value } from "convex/values";

import type { Database, Document } from "./database.ts";
import { runAt } from "./schedule.ts";
import { tableOf } from "./validators.ts";

export const JOBS = "_scheduled_functions";

interface Job {
  name: string; // canonical path
  args: [Value];
  scheduledTime: number; // Unix milliseconds
  state: { kind: "pending" | "inProgress" | "success" | "failed" | "canceled" };
}

export interface JobRunner {
  // Must be called after every commit, with the ids of its documents.
  committed(ids: string[]): void;
  // Must be called before the jobs are deleted: none of them starts after this.
  drop(): void;
  stop(): void;
}

// `transact` runs a change of the database as one transaction. `run` runs a function and returns whether it succeeded.
export function createJobRunner(
  database: Database,
  now: () => number,
  transact: (change: () => void) => Promise<void>,
  run: (path: string, args: Value) => Promise<boolean>,
): JobRunner {
  const timers = new Map<string, () => void>();
  let drops = 0;

  function jobAt(id: string): Job | null {
    return database.get(JOBS, id) as (Document & Job) | null;
  }

  async function perform(id: string): Promise<void> {
    let job: Job | null = null;
    const before = drops;
    await transact(() => {
      const found = jobAt(id);
      // The job may have been cancelled or removed meanwhile.
      if (found?.state.kind === "pending") {
        job = found;
        database.patch(JOBS, id, { state: { kind: "inProgress" } });
      }
    });
    if (job === null || drops !== before) {
      return;
    }
    const { name, args } = job as Job;
    const succeeded = await run(name, args[0]);
    await transact(() => {
      if (jobAt(id) !== null) {
        database.patch(JOBS, id, { state: { kind: succeeded ? "success" : "failed" }, completedTime: now() });
      }
    });
  }

  function stop(): void {
    for (const cancel of timers.values()) {
      cancel();
    }
    timers.clear();
  }

  return {
    committed(ids) {
      for (const id of ids) {
        if (tableOf(id) !== JOBS) {
          continue;
        }
        const job = jobAt(id);
        if (job?.state.kind === "pending") {
          const cancel = runAt(job.scheduledTime, now, () => {
            timers.delete(id);
            void perform(id);
          });
          timers.set(id, cancel);
        }
      }
    },
    drop() {
      drops += 1;
      stop();
    },
    stop,
  };
}
