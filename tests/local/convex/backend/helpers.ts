import assert from "node:assert/strict";
import { after, type TestContext } from "node:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { jsonToConvex, type Value } from "convex/values";
import { WebSocket } from "ws";

import {
  createEngine,
  type Call,
  type Engine,
  type EngineOptions,
} from "../../../../clerk_convex/local/convex/backend/engine.ts";
import type { Outcome } from "../../../../clerk_convex/local/convex/backend/outcome.ts";

export const FUNCTIONS = join(import.meta.dirname, "fixture", "convex");

// An engine that is closed when the test file is through.
export async function startEngine(options: Partial<EngineOptions> = {}): Promise<Engine> {
  const engine = await createEngine({ functionsDir: FUNCTIONS, env: {}, ...options });
  after(() => engine.close());
  return engine;
}

// A project of its own, made of `files` (path in convex/ -> source), that finds this repository's packages.
export function makeProject(files: Record<string, string>): string {
  const project = mkdtempSync(join(tmpdir(), "convex-project-"));
  after(() => {
    rmSync(project, { recursive: true });
  });
  symlinkSync(join(import.meta.dirname, "../../../../node_modules"), join(project, "node_modules"));
  for (const [path, source] of Object.entries(files)) {
    const file = join(project, "convex", path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, source);
  }
  return join(project, "convex");
}

export function call(
  engine: Engine,
  path: string,
  args: Value = {},
  more: Partial<Call> = {},
): Promise<Outcome> {
  return engine.run({ path, args, identity: null, ...more });
}

// Returns the value of the function. Throws an Error if it failed.
export async function value(
  engine: Engine,
  path: string,
  args: Value = {},
  more: Partial<Call> = {},
): Promise<any> {
  const outcome = await call(engine, path, args, more);
  if (!outcome.ok) {
    throw new Error(outcome.errorMessage);
  }
  return jsonToConvex(outcome.value);
}

// Returns the error message that the caller gets.
export async function failure(engine: Engine, path: string, args: Value = {}): Promise<string> {
  const outcome = await call(engine, path, args);
  if (outcome.ok) {
    throw new Error(`${path} went well`);
  }
  return outcome.errorMessage;
}

export async function eventually(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (!(await condition())) {
    if (performance.now() > deadline) {
      throw new Error("It did not happen within 60 s.");
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

export async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (!condition()) {
    assert.ok(Date.now() < deadline, "it never happened");
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

export type Message = { type: string; [field: string]: any };

/** Speaks the protocol by hand and keeps what it receives. */
export class Peer {
  readonly received: Message[] = [];
  readonly socket: WebSocket;
  closed: number | null = null;

  constructor(t: TestContext, url: string, path = "/api/sync") {
    this.socket = new WebSocket(url.replace("http", "ws") + path);
    this.socket.on("message", (data) => this.received.push(JSON.parse(String(data as Buffer)) as Message));
    this.socket.on("close", (code) => (this.closed = code));
    this.socket.on("error", () => {});
    t.after(() => this.socket.terminate());
  }

  async connect(more: object = {}): Promise<this> {
    await until(() => this.socket.readyState === WebSocket.OPEN);
    this.send({
      type: "Connect",
      sessionId: "s",
      connectionCount: 0,
      lastCloseReason: "InitialConnect",
      ...more,
    });
    return this;
  }

  send(message: unknown): void {
    this.socket.send(typeof message === "string" ? message : JSON.stringify(message));
  }

  add(version: number, udfPath: string, args: object = {}, journal?: string): void {
    const modifications = [{ type: "Add", queryId: version, udfPath, args: [args], journal }];
    this.send({ type: "ModifyQuerySet", baseVersion: version, newVersion: version + 1, modifications });
  }

  of(type: string): Message[] {
    return this.received.filter((message) => message.type === type);
  }

  /** The first message of a type that was not yet taken. */
  async take(type: string): Promise<Message> {
    await until(() => this.of(type).length > 0);
    const [message] = this.received.splice(
      this.received.findIndex((each) => each.type === type),
      1,
    );
    return message as Message;
  }
}
