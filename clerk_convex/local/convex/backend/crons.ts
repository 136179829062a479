// Runs the jobs of convex/crons.ts when they are due. A job that is still running is not started again.
import { jsonToConvex, type JSONValue, type Value } from "convex/values";

import { canonicalPath } from "./functions.ts";
import type { Outcome } from "./outcome.ts";
import { describeSchedule, nextRun, runAt, type Schedule } from "./schedule.ts";

interface Exported {
  name: string;
  args: [JSONValue];
  schedule: Schedule;
}

export interface CronJob {
  name: string;
  path: string;
  schedule: string; // a description such as "daily 3 17"
  nextRun: number | null; // Unix milliseconds; null: this kind of schedule is not run here
}

export interface Crons {
  list(): CronJob[];
  run(name: string): Promise<Outcome>;
  stop(): void;
}

// `exported` is the default export of crons.ts, or null.
export function createCrons(
  exported: { export(): string } | null,
  now: () => number,
  run: (path: string, args: Value) => Promise<Outcome>,
): Crons {
  const jobs = new Map(Object.entries(JSON.parse(exported?.export() ?? "{}") as Record<string, Exported>));
  const start = now();
  const due = new Map<string, number>();
  const timers = new Map<string, () => void>();
  const running = new Map<string, Promise<Outcome>>();

  function perform(name: string, { name: path, args }: Exported): Promise<Outcome> {
    const outcome = run(path, jsonToConvex(args[0])).finally(() => running.delete(name));
    running.set(name, outcome);
    return outcome;
  }

  function arm(name: string, job: Exported): void {
    const time = nextRun(job.schedule, start, now());
    if (time === null) {
      return;
    }
    due.set(name, time);
    const cancel = runAt(time, now, () => {
      arm(name, job);
      if (running.has(name)) {
        return;
      }
      void perform(name, job);
    });
    timers.set(name, cancel);
  }

  for (const [name, job] of jobs) {
    arm(name, job);
  }
  return {
    list: () =>
      Array.from(jobs, ([name, job]) => ({
        name,
        path: canonicalPath(job.name),
        schedule: describeSchedule(job.schedule),
        nextRun: due.get(name) ?? null,
      })),
    async run(name) {
      const job = jobs.get(name);
      if (job === undefined) {
        const names = [...jobs.keys()].join(", ") || "none";
        throw new Error(`There is no cron job "${name}". convex/crons.ts has: ${names}.`);
      }
      while (running.has(name)) {
        await running.get(name);
      }
      return perform(name, job);
    },
    stop() {
      for (const cancel of timers.values()) {
        cancel();
      }
    },
  };
}
