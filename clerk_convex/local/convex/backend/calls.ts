// Authenticates callers, and lets them call the functions that they may call.
import { createHash, timingSafeEqual } from "node:crypto";
import type { UserIdentity } from "convex/server";
import { jsonToConvex, type JSONValue } from "convex/values";
import { AuthenticationError, Tokens, type Providers, type TokensOptions } from "./auth.ts";
import type { Engine } from "./engine.ts";
import { canonicalPath } from "./functions.ts";
import type { Outcome } from "./outcome.ts";
import { isSystemPath, systemQuery } from "./system.ts";

export type Kind = "query" | "mutation" | "action";

/** With the deploy key a client may act as a user: `npx convex run --identity`. */
export type Credential =
  | { type: "None" }
  | { type: "User"; value: string }
  | { type: "Admin"; value: string; identity?: UserIdentity | null };

/** A caller. With `admin` it may call internal functions, and has no identity unless it acts as a user. */
export type Caller = { admin: boolean; identity: UserIdentity | null };

/** A caller, and whether its token has expired. The time is not part of Caller, because results do not depend on it. */
export type Admission = { caller: Caller; isExpired: () => boolean };

/** Authenticates the callers of HTTP and of the websocket. */
export class Doorkeeper {
  readonly #deployKey: string;
  readonly #engine: Engine;
  readonly #options: TokensOptions | undefined;
  #tokens: { of: Providers; verifier: Tokens } | null = null;

  constructor(deployKey: string, engine: Engine, options?: TokensOptions) {
    this.#deployKey = deployKey;
    this.#engine = engine;
    this.#options = options;
  }

  /** The verifier of the engine's providers, which a reload may have changed. */
  get #verifier(): Tokens {
    const { providers } = this.#engine;
    if (this.#tokens?.of !== providers) {
      this.#tokens = { of: providers, verifier: new Tokens(providers, this.#options) };
    }
    return this.#tokens.verifier;
  }

  /** Throws AuthenticationError. */
  async authenticate(credential: Credential): Promise<Admission> {
    switch (credential.type) {
      case "None":
        return visitor;
      case "Admin":
        if (sameKey(credential.value, this.#deployKey)) {
          return unlimited({ admin: true, identity: credential.identity ?? null });
        }
        throw new AuthenticationError("BadAdminKey", "The provided admin key was invalid for this instance");
      case "User": {
        const verifier = this.#verifier;
        const { identity, expires } = await verifier.verify(credential.value);
        return { caller: { admin: false, identity }, isExpired: () => verifier.isPast(expires) };
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
  if (caller.admin && isSystemPath(path) && kind === "query") {
    return systemQuery(engine, path, call.args as { [name: string]: JSONValue });
  }
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
