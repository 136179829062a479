import assert from "node:assert/strict";
import { test } from "node:test";
import type { Value } from "convex/values";

import type { Outcome } from "../../../../clerk_convex/local/convex/backend/outcome.ts";
import type { Person, Read, Step } from "./fixture/convex/lib/steps.ts";
import { startEngine, value } from "./helpers.ts";

const TEAMS = [undefined, null, "a", "b", "B", "é", "\u{1F600}", "\uFF5E"];
const RANKS = [undefined, -1, -0, 0, 1, 1.5, NaN, Infinity];
const WORDS = ["red", "Green", "blue", "redder"];

// mulberry32: the same numbers for the same seed.
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

class Author {
  readonly #below: (below: number) => number;
  cursors: string[] = [];

  constructor(seed: number) {
    this.#below = numbers(seed);
  }

  pick<T>(values: T[]): T {
    return values[this.#below(values.length)] as T;
  }

  person(): Person {
    const team = this.pick(TEAMS);
    const rank = this.pick(RANKS);
    return {
      key: `k${String(this.#below(8))}`,
      note: `${this.pick(WORDS)} ${this.pick(WORDS)}`,
      ...(team !== undefined && { team }),
      ...(rank !== undefined && { rank }),
    };
  }

  bounds(field: string, values: unknown[]): Read["range"] {
    const lower: Read["range"] = [[this.pick(["gt", "gte"]), field, this.pick(values)]];
    const upper: Read["range"] = [[this.pick(["lt", "lte"]), field, this.pick(values)]];
    return this.pick([[], lower, upper, [...lower, ...upper], [...upper, ...lower]]);
  }

  source(): Pick<Read, "index" | "range" | "search"> {
    const team = this.pick(TEAMS);
    switch (this.#below(7)) {
      case 0:
        return {};
      case 1:
        return { index: "by_creation_time", range: this.bounds("_creationTime", [1e12, 1e12 + 5, 1e12 + 9]) };
      case 2:
        return { index: "by_key", range: [["eq", "key", `k${String(this.#below(8))}`]] };
      case 3:
        return { index: "by_team_and_rank", range: this.bounds("team", TEAMS) };
      case 4:
        return {
          index: "by_team_and_rank",
          range: [["eq", "team", team], ...(this.bounds("rank", RANKS) ?? [])],
        };
      case 5:
        return { index: "by_id", range: [] };
      default:
        return { search: { text: this.pick(WORDS), ...(team !== undefined && { team }) } };
    }
  }

  read(): Read {
    const filter = this.pick([undefined, undefined, undefined, null, "a"]);
    const page = this.#below(2) === 0 && this.cursors.length > 0;
    return {
      ...this.source(),
      order: this.pick(["asc", "desc"]),
      end: this.pick(["collect", "first", "unique", "take", "break", "paginate", "paginate"]),
      count: this.#below(4),
      ...(filter !== undefined && { filter }),
      ...(page && { cursor: this.pick([...this.cursors, "_end_cursor"]) }),
      ...(page && this.#below(2) === 0 && { endCursor: this.pick(this.cursors) }),
    };
  }

  step(depth: number): Step {
    const choice = this.#below(1000);
    const kind = this.#below(depth < 3 ? 14 : 11);
    if (kind < 4) {
      return { choice, do: "insert", fields: this.person() };
    }
    if (kind < 9) {
      return { choice, do: "read", read: this.read() };
    }
    switch (kind) {
      case 9:
        return this.pick<Step>([
          { choice, do: "patch", fields: this.person() },
          { choice, do: "replace", fields: this.person() },
        ]);
      case 10:
        return this.pick<Step>([
          { choice, do: "delete" },
          { choice, do: "get" },
        ]);
      case 11:
        return { choice, do: "look", read: this.read(), stale: this.#below(2) === 0 };
      default:
        return { choice, do: "nest", ...this.transaction(depth + 1) };
    }
  }

  transaction(depth = 0): { steps: Step[]; fails: boolean } {
    const steps = Array.from({ length: 2 + this.#below(6) }, () => this.step(depth));
    return { steps, fails: this.#below(3) === 0 };
  }

  // Later reads continue where these pages ended.
  note(outcome: Outcome): void {
    const found = JSON.stringify(outcome.ok ? outcome.value : null).matchAll(
      /"continueCursor":("(?:[^"\\]|\\.)*")/g,
    );
    this.cursors = [
      ...this.cursors,
      ...Array.from(found, (match) => JSON.parse(match[1] ?? "") as string),
    ].slice(-8);
  }
}

function clock(): () => number {
  let time = 1e12;
  return () => time++;
}

test("every transaction has the same result with and without the accelerator", async () => {
  const plain = await startEngine({ accelerated: false, now: clock() });
  const quick = await startEngine({ accelerated: true, now: clock() });
  let rows = 0;
  for (let seed = 1; seed <= 60; seed++) {
    await plain.clear();
    await quick.clear();
    const author = new Author(seed);
    for (let transaction = 0; transaction < 15; transaction++) {
      const script = author.transaction() as unknown as Value;
      const everyone = { order: "asc", end: "collect", count: 0 };
      for (const [path, args] of [
        ["script:play", script],
        ["script:look", everyone],
      ] as [string, Value][]) {
        const call = { path, args, identity: null };
        const [expected, actual] = [await plain.run(call), await quick.run(call)];
        assert.deepEqual(actual, expected, `seed ${String(seed)}: ${JSON.stringify(script)}`);
        author.note(expected);
        rows += expected.ok ? (expected.value as unknown[]).length : 0;
      }
    }
  }
  assert.ok(rows > 5_000, `only ${String(rows)} results were compared`);
});

test("the cost of a change does not grow with the table", async () => {
  const engine = await startEngine();
  const apply = async (from: number, step: number): Promise<number> => {
    const changes = Array.from({ length: 500 }, (_, i) => ({
      key: `user_${String(from + i * step)}`,
      note: "x",
      at: 1,
    }));
    // The processor's time: other work on the machine has no part in it.
    const start = process.cpuUsage();
    await value(engine, "sync:apply", { changes });
    const { user, system } = process.cpuUsage(start);
    return (user + system) / 1000;
  };
  // The best of five: the collector of garbage slows single runs.
  const best = async (step: number): Promise<number> => {
    const times = [];
    for (let run = 0; run < 5; run++) {
      times.push(await apply(0, step));
    }
    return Math.min(...times);
  };
  await apply(0, 1);
  const small = await best(1);
  for (let batch = 1; batch < 20; batch++) {
    await apply(batch * 500, 1);
  }
  const large = await best(20);
  // A scan over 20 times the rows would take 20 times as long.
  assert.ok(
    large < small * 5,
    `500 changes: ${String(small)} ms onto 500 rows, ${String(large)} ms onto 10,000`,
  );
});
