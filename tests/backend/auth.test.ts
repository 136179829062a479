import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";
import { exportJWK, generateKeyPair, SignJWT, type CryptoKey, type JWTPayload } from "jose";

import {
  readProviders,
  Tokens,
  type TokensOptions,
} from "../../clerk_convex/local/backend/auth.ts";

const pairs: { [kid: string]: { publicKey: CryptoKey; privateKey: CryptoKey; alg: string } } = {};
for (const [kid, alg] of [["first", "RS256"], ["second", "RS256"], ["edwards", "EdDSA"], ["curve", "ES256"]] as const) {
  pairs[kid] = { ...(await generateKeyPair(alg, { extractable: true })), alg };
}

/** An identity provider on a port of its own. Its answers are the test's to change. */
class Idp {
  url = "";
  kids = ["first"];
  asked: string[] = [];
  answer: ((path: string, response: ServerResponse) => boolean) | null = null;
  readonly #server = createServer((request, response) => this.#respond(request, response));

  async start(port = 0): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(port, "127.0.0.1", resolve));
    this.url = `http://127.0.0.1:${String((this.#server.address() as AddressInfo).port)}`;
    return this;
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  async #respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url ?? "";
    this.asked.push(path);
    if (this.answer?.(path, response)) return;
    response.setHeader("Content-Type", "application/json");
    if (path === "/.well-known/openid-configuration") {
      response.end(JSON.stringify({ issuer: this.url, jwks_uri: `${this.url}/jwks` }));
    } else {
      const keys = this.kids.map(async (kid) => ({ ...(await exportJWK(pairs[kid]!.publicKey)), kid, use: "sig" }));
      response.end(JSON.stringify({ keys: await Promise.all(keys) }));
    }
  }
}

async function startIdp(t: TestContext): Promise<Idp> {
  const idp = await new Idp().start();
  t.after(() => idp.stop());
  return idp;
}

const NOW = Date.UTC(2026, 10, 22);
const seconds = NOW / 1000;

type TokenOptions = { kid?: string; header?: object; claims?: JWTPayload };

function sign(issuer: string, { kid = "first", header = {}, claims = {} }: TokenOptions = {}): Promise<string> {
  const { alg, privateKey } = pairs[kid]!;
  const usual = { iss: issuer, sub: "user_1", aud: "convex", iat: seconds, nbf: seconds - 10, exp: seconds + 60 };
  return new SignJWT({ ...usual, ...claims })
    .setProtectedHeader({ alg, kid, typ: "JWT", ...header })
    .sign(privateKey);
}

function oidc(idp: Idp, options: TokensOptions = {}): Tokens {
  const config = { providers: [{ domain: idp.url, applicationID: "convex" }] };
  return new Tokens(readProviders(config), { now: () => NOW, ...options });
}

test("a token of the provider is accepted and says who it is", async (t) => {
  const idp = await startIdp(t);
  const { identity, expires } = await oidc(idp).verify(await sign(idp.url));
  assert.deepEqual(identity, {
    tokenIdentifier: `${idp.url}|user_1`,
    issuer: idp.url,
    subject: "user_1",
  });
  assert.equal(expires, NOW + 60_000);
});
