// Who calls, and what may be called.
import { createHash, timingSafeEqual } from "node:crypto";
import type { UserIdentity } from "convex/server";
import { jsonToConvex, type JSONValue } from "convex/values";
import { AuthenticationError, type Tokens } from "./auth.ts";
import type { Engine, Outcome } from "./engine.ts";

export type Kind = "query" | "mutation" | "action";

export type Credential = { type: "None" } | { type: "Admin" | "User"; value: string };

/** `admin` may call internal functions and has no identity. */
export type Caller = { admin: boolean; identity: UserIdentity | null };

/** A caller, until his token expires. The time is no part of the caller: what he sees does not depend on it. */
export type Admission = { caller: Caller; isExpired: () => boolean };

/** The one place that decides who a caller is, for HTTP and for the websocket. Throws AuthenticationError. */
export class Doorkeeper {
  readonly #deployKey: string;
  readonly #tokens: Tokens;

  constructor(deployKey: string, tokens: Tokens) {
    this.#deployKey = deployKey;
    this.#tokens = tokens;
  }

  async authenticate(credential: Credential): Promise<Admission> {
    switch (credential.type) {
      case "None":
        return visitor;
      case "Admin":
        if (sameKey(credential.value, this.#deployKey)) return lasting({ admin: true, identity: null });
        throw new AuthenticationError("BadAdminKey", "The provided admin key was invalid for this instance");
      case "User": {
        const { identity, expires } = await this.#tokens.verify(credential.value);
        return { caller: { admin: false, identity }, isExpired: () => this.#tokens.isPast(expires) };
      }
    }
  }
}

function lasting(caller: Caller): Admission {
  return { caller, isExpired: () => false };
}

export const visitor: Admission = lasting({ admin: false, identity: null });

function sameKey(given: string, expected: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(given), digest(expected));
}

/** "users.js:list" and "users:list" name the same function; "users" is the default export. */
export function canonicalPath(path: string): string {
  const colon = path.lastIndexOf(":");
  const module = colon === -1 ? path : path.slice(0, colon);
  return `${module.replace(/\.js$/, "")}:${colon === -1 ? "default" : path.slice(colon + 1)}`;
}

export type Call = { path: string; args: JSONValue; journal?: string | null };

/** Runs a function as this caller. It never rejects: what goes wrong is an outcome, as it is on a real deployment. */
export async function callFunction(engine: Engine, kind: Kind, call: Call, caller: Caller): Promise<Outcome> {
  const path = canonicalPath(call.path);
  const found = engine.describe(path);
  if (found === null || (found.visibility === "internal" && !caller.admin)) {
    const what = caller.admin ? "function" : "public function";
    return refusal(
      `Could not find ${what} for '${path}'. Did you forget to run \`npx convex dev\` or \`npx convex deploy\`?`,
    );
  }
  if (found.kind !== kind) {
    return refusal(`Trying to execute ${path} as ${title(kind)}, but it is defined as ${title(found.kind)}.`);
  }
  let args;
  try {
    args = jsonToConvex(call.args);
  } catch {
    return refusal(`The arguments of '${path}' are not Convex values.`);
  }
  return await engine.run({ path, args, identity: caller.identity, journal: call.journal ?? null });
}

function refusal(errorMessage: string): Outcome {
  return { ok: false, errorMessage, logLines: [], reads: new Set() };
}

function title(kind: Kind): string {
  return kind.charAt(0).toUpperCase() + kind.slice(1);
}
