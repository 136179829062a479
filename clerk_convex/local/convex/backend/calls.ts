// Authenticates callers, and lets them call the functions that they may call.
import { createHash, timingSafeEqual } from "node:crypto";
import type { UserIdentity } from "convex/server";
import { jsonToConvex, type JSONValue } from "convex/values";
import { AuthenticationError, type Tokens } from "./auth.ts";
import type { Engine } from "./engine.ts";
import { canonicalPath } from "./functions.ts";
import type { Outcome } from "./outcome.ts";

export type Kind = "query" | "mutation" | "action";

export type Credential = { type: "None" } | { type: "Admin" | "User"; value: string };

/** A caller. With `admin` it may call internal functions and has no identity. */
export type Caller = { admin: boolean; identity: UserIdentity | null };

/** A caller, and whether its token has expired. The time is not part of Caller, because results do not depend on it. */
export type Admission = { caller: Caller; isExpired: () => boolean };

/** Authenticates the callers of HTTP and of the websocket. */
export class Doorkeeper {
  readonly #deployKey: string;
  readonly #tokens: Tokens;

  constructor(deployKey: string, tokens: Tokens) {
    this.#deployKey = deployKey;
    this.#tokens = tokens;
  }

  /** Throws AuthenticationError. */
  async authenticate(credential: Credential): Promise<Admission> {
    switch (credential.type) {
      case "None":
        return visitor;
      case "Admin":
        if (sameKey(credential.value, this.#deployKey)) return unlimited({ admin: true, identity: null });
        throw new AuthenticationError("BadAdminKey", "The provided admin key was invalid for this instance");
      case "User": {
        const { identity, expires } = await this.#tokens.verify(credential.value);
        return { caller: { admin: false, identity }, isExpired: () => this.#tokens.isPast(expires) };
      }
    }
  }
}

function unlimited(caller: Caller): Admission {
  return { caller, isExpired: () => false };
}

export const visitor: Admission = unlimited({ admin: false, identity: null });

function sameKey(given: string, expected: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(given), digest(expected));
}

export type Call = { path: string; args: JSONValue; journal?: string | null };

/** Runs a function for this caller. It never rejects: like a real deployment it returns every error as an outcome. */
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
