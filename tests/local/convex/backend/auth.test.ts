import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { after, test, type TestContext } from "node:test";
import { ConvexClient, ConvexHttpClient } from "convex/browser";
import { makeFunctionReference } from "convex/server";
import { exportJWK, exportSPKI, generateKeyPair, SignJWT, type CryptoKey, type JWTPayload } from "jose";
import { WebSocket } from "ws";

import type { Engine } from "../../../../clerk_convex/local/convex/backend/engine.ts";
import {
  AuthenticationError,
  readProviders,
  Tokens,
  type TokensOptions,
  type Verified,
} from "../../../../clerk_convex/local/convex/backend/auth.ts";
import { startServer } from "../../../../clerk_convex/local/convex/backend/server.ts";
import { makeProject, Peer, startEngine, until, type Message } from "./helpers.ts";

const pairs: { [kid: string]: { publicKey: CryptoKey; privateKey: CryptoKey; alg: string } } = {};
for (const [kid, alg] of [["first", "RS256"], ["second", "RS256"], ["edwards", "EdDSA"], ["curve", "ES256"]] as const) {
  pairs[kid] = { ...(await generateKeyPair(alg, { extractable: true })), alg };
}

/** An identity provider on a port of its own. Its answers are the test's to change. */
class Idp {
  url = "";
  kids = ["first"];
  asked: string[] = [];
  answer: ((path: string, response: ServerResponse) => boolean | Promise<boolean>) | null = null;
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
    if (await this.answer?.(path, response)) return;
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

async function refusal(verified: Promise<Verified>): Promise<{ status: number; code: string; message: string }> {
  const error = await verified.then(() => assert.fail("it was accepted"), (thrown: unknown) => thrown);
  assert.ok(error instanceof AuthenticationError, String(error));
  return error;
}

test("a token of the provider is accepted and identifies the user", async (t) => {
  const idp = await startIdp(t);
  const { identity, expires } = await oidc(idp).verify(await sign(idp.url));
  assert.deepEqual(identity, {
    tokenIdentifier: `${idp.url}|user_1`,
    issuer: idp.url,
    subject: "user_1",
  });
  assert.equal(expires, NOW + 60_000);
});

test("a token of two audiences, with a slash too many, or of the wrong kind is refused", async (t) => {
  const idp = await startIdp(t);
  const tokens = oidc(idp);
  for (const aud of ["convex", ["convex"]]) await tokens.verify(await sign(idp.url, { claims: { aud } }));
  const several = await refusal(tokens.verify(await sign(idp.url, { claims: { aud: ["convex", "other"] } })));
  assert.match(several.message, /Here: it has other audiences as well\./);
  const slash = await refusal(tokens.verify(await sign(`${idp.url}/`)));
  assert.equal(slash.code, "AuthProviderDiscoveryFailed");
  for (const header of [{ typ: "at+jwt" }, { cty: "JWT" }]) {
    const { code, message } = await refusal(tokens.verify(await sign(idp.url, { header })));
    assert.equal(code, "Unauthenticated");
    assert.match(message, /its header is not accepted/);
  }
  for (const typ of ["jwt", "application/JWT", undefined]) await tokens.verify(await sign(idp.url, { header: { typ } }));
});

test("a token of another issuer or audience has no provider, and the answer lists those there are", async (t) => {
  const idp = await startIdp(t);
  const tokens = oidc(idp);
  for (const claims of [{ iss: "https://elsewhere.test" }, { aud: "other" }, { aud: undefined }, { aud: ["a", "b"] }]) {
    const { status, code, message } = await refusal(tokens.verify(await sign(idp.url, { claims })));
    assert.deepEqual([status, code], [401, "NoAuthProvider"]);
    assert.ok(message.endsWith(`providers: [OIDC(domain=${idp.url}, app_id=convex)]`), message);
  }
  assert.deepEqual(idp.asked, []);
});

test("no algorithm but RS256 and EdDSA is accepted, neither none nor HS256 with the public key as a secret", async (t) => {
  const idp = await startIdp(t);
  idp.kids = ["first", "edwards", "curve"];
  const tokens = oidc(idp);
  await tokens.verify(await sign(idp.url, { kid: "edwards", header: { kid: "edwards" } }));
  const [, payload] = (await sign(idp.url)).split(".");
  const text = (value: string) => Buffer.from(value).toString("base64url");
  const none = `${text('{"alg":"none","typ":"JWT"}')}.${payload}.`;
  const signed = `${text('{"alg":"HS256","typ":"JWT","kid":"first"}')}.${payload}`;
  const forged = [none];
  for (const secret of [
    await exportSPKI(pairs.first!.publicKey),
    JSON.stringify({ ...(await exportJWK(pairs.first!.publicKey)), kid: "first", use: "sig" }),
  ]) {
    forged.push(`${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`);
  }
  forged.push(await sign(idp.url, { kid: "curve", header: { kid: "curve" } }));
  for (const token of forged) {
    const { code, message } = await refusal(tokens.verify(token));
    assert.equal(code, "Unauthenticated");
    assert.match(message, /Here: its algorithm is not accepted\./);
  }
});

test("a forged or changed token is refused, and the answer does not quote it", async (t) => {
  const idp = await startIdp(t);
  const tokens = oidc(idp);
  const [header, , signature] = (await sign(idp.url)).split(".");
  const [, other] = (await sign(idp.url, { claims: { sub: "user_secret" } })).split(".");
  const cases: [string, string, RegExp][] = [
    [`${header}.${other}.${signature}`, "Unauthenticated", /its signature is wrong/],
    [await sign(idp.url, { kid: "second", header: { kid: "first" } }), "Unauthenticated", /its signature is wrong/],
    [await sign(idp.url, { kid: "second", header: { kid: "secret" } }), "Unauthenticated", /has no such key/],
    [`${header}.${other}`, "InvalidAuthHeader", /Could not parse JWT payload/],
    [`${header}.${other}.!secret!`, "Unauthenticated", /its header is not accepted/],
    ["secret", "InvalidAuthHeader", /Could not parse JWT payload/],
    [`${header}.secret.${signature}`, "InvalidAuthHeader", /Could not parse JWT payload/],
    [await sign(idp.url, { claims: { iss: undefined } }), "InvalidAuthHeader", /Missing issuer/],
    [await sign(idp.url, { claims: { sub: undefined } }), "InvalidAuthHeader", /parse as OIDC ID token/],
    [await sign(idp.url, { claims: { iat: undefined } }), "InvalidAuthHeader", /parse as OIDC ID token/],
    [await sign(idp.url, { claims: { exp: undefined } }), "InvalidAuthHeader", /parse as OIDC ID token/],
    [await sign(idp.url, { claims: { email: 5 } }), "InvalidAuthHeader", /parse as OIDC ID token/],
    [await sign(idp.url, { claims: { updated_at: 1e30 } }), "InvalidAuthHeader", /parse as OIDC ID token/],
  ];
  for (const [token, code, message] of cases) {
    const error = await refusal(tokens.verify(token));
    assert.equal(error.status, 401);
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    assert.doesNotMatch(error.message, /secret|user_/);
  }
});

test("a token is valid until the second of its expiry, and nbf does not count, as on Convex", async (t) => {
  const idp = await startIdp(t);
  let now = NOW;
  const tokens = oidc(idp, { now: () => now });
  const token = await sign(idp.url, { claims: { nbf: seconds + 30, iat: seconds + 30 } });
  now = NOW + 59_999;
  await tokens.verify(token);
  now = NOW + 60_000;
  const { code, message } = await refusal(tokens.verify(token));
  assert.equal(code, "Unauthenticated");
  assert.match(message, /Here: it has expired\./);
});

test("claims get Convex's names, custom claims keep theirs, and claims that differ between tokens are left out", async (t) => {
  const idp = await startIdp(t);
  const claims = {
    ...{ jti: "j", fva: [1, -1], auth_time: 1, nonce: "n", acr: "a", amr: ["m"], azp: "z", at_hash: "h", c_hash: "c" },
    ...{ name: "Ada L", given_name: "Ada", family_name: "L", nickname: "A", preferred_username: "ada", "name#fr": "x" },
    ...{ profile: "p", picture: "i", website: "w", email: "a@x.test", email_verified: true, gender: "f" },
    ...{ birthdate: "1815-12-10", zoneinfo: "Europe/London", locale: "en", phone_number: "1" },
    ...{ phone_number_verified: false, address: { formatted: "London" }, updated_at: seconds, middle_name: "B" },
    ...{ sid: "sess_1", v: 2, metadata: { role: "admin", deep: { er: [1] } }, middle: null, "é $": "odd" },
  };
  const { identity } = await oidc(idp).verify(await sign(idp.url, { claims }));
  assert.deepEqual(identity, {
    ...{ tokenIdentifier: `${idp.url}|user_1`, issuer: idp.url, subject: "user_1" },
    ...{ name: "Ada L", givenName: "Ada", familyName: "L", nickname: "A", preferredUsername: "ada" },
    ...{ profileUrl: "p", pictureUrl: "i", websiteUrl: "w", email: "a@x.test", emailVerified: true, gender: "f" },
    ...{ birthday: "1815-12-10", timezone: "Europe/London", language: "en", phoneNumber: "1" },
    ...{ phoneNumberVerified: false, address: "London", updatedAt: "2026-11-22T00:00:00+00:00" },
    ...{ sid: "sess_1", v: 2, metadata: { role: "admin", deep: { er: [1] } }, middle: null, "é $": "odd" },
  });
  const words = await sign(idp.url, { claims: { updated_at: "2026-11-22T01:00:00.5+01:00" } });
  assert.equal((await oidc(idp).verify(words)).identity.updatedAt, "2026-11-22T00:00:00.500+00:00");
});

test("equal claims are one identity, in whatever order and whenever the token was made", async (t) => {
  const idp = await startIdp(t);
  const tokens = oidc(idp);
  const first = await tokens.verify(await sign(idp.url, { claims: { sid: "s", org: "o", jti: "1" } }));
  const claims = { org: "o", sid: "s", jti: "2", iat: seconds + 9, exp: seconds + 99 };
  const second = await tokens.verify(await sign(idp.url, { claims }));
  assert.equal(JSON.stringify(second.identity), JSON.stringify(first.identity));
  assert.notEqual(second.expires, first.expires);
});

function custom(idp: Idp, more: object = {}, algorithm = "ES256"): Tokens {
  const provider = { type: "customJwt", issuer: idp.url, jwks: `${idp.url}/jwks`, algorithm, ...more };
  return new Tokens(readProviders({ providers: [provider] }), { now: () => NOW });
}

test("customJwt: its one algorithm, a kid, an audience only if one is configured, claims flattened", async (t) => {
  const idp = await startIdp(t);
  idp.kids = ["first", "curve"];
  const curve = (claims: JWTPayload = {}, header: object = {}) =>
    sign(idp.url, { kid: "curve", header: { kid: "curve", typ: "anything", ...header }, claims });
  const claims = { aud: undefined, name: "Ada", email: "a@x.test", jti: "j", fva: 1, azp: "z", a: { b: { c: 1 }, d: [2] } };
  const { identity } = await custom(idp).verify(await curve(claims));
  assert.deepEqual(identity, {
    ...{ tokenIdentifier: `${idp.url}|user_1`, issuer: idp.url, subject: "user_1" },
    ...{ name: "Ada", email: "a@x.test", azp: "z", "a.b.c": 1, "a.d": [2] },
  });
  assert.deepEqual(idp.asked, ["/jwks"]);
  const strict = custom(idp, { applicationID: "convex" });
  await strict.verify(await curve({ aud: ["other", "convex"] }));
  assert.equal((await refusal(strict.verify(await curve(claims)))).code, "NoAuthProvider");
  const cases: [Tokens, string, RegExp][] = [
    [custom(idp), await sign(idp.url, { header: { kid: "first" } }), /algorithm is not accepted/],
    [custom(idp, {}, "RS256"), await curve(), /algorithm is not accepted/],
    [custom(idp), await curve({}, { kid: undefined }), /its header is not accepted/],
    [custom(idp), await curve({}, { kid: "other" }), /the provider has no such key/],
    [custom(idp), await curve({ sub: undefined }), /must have 'sub' and 'exp'/],
    [custom(idp), await curve({ exp: undefined }), /must have 'sub' and 'exp'/],
    [custom(idp), await curve({ exp: seconds - 6 }), /it has expired/],
    [custom(idp), await curve({ nbf: seconds + 6 }), /it is not valid yet/],
    [custom(idp), await curve({ iat: seconds + 6 }), /it is not valid yet/],
  ];
  for (const [tokens, token, message] of cases) {
    const error = await refusal(tokens.verify(token));
    assert.deepEqual([error.status, error.code], [401, "InvalidAuthHeader"], error.message);
    assert.match(error.message, message);
  }
  await custom(idp).verify(await curve({ exp: seconds - 5, nbf: seconds + 5, iat: seconds + 5 }));
});

test("customJwt: the keys may be in the configuration itself", async (t) => {
  const idp = await startIdp(t);
  const keys = [{ ...(await exportJWK(pairs.curve!.publicKey)), kid: "curve" }];
  const jwks = `data:text/plain;base64,${Buffer.from(JSON.stringify({ keys })).toString("base64")}`;
  await custom(idp, { jwks }).verify(await sign(idp.url, { kid: "curve", header: { kid: "curve" } }));
  assert.deepEqual(idp.asked, []);
});

test("keys are fetched when the first token comes, once, and asked for again when one is missing", async (t) => {
  const idp = await startIdp(t);
  let now = NOW;
  const tokens = oidc(idp, { now: () => now, cooldown: 1_000 });
  const first = () => sign(idp.url, { header: { kid: "first" } });
  const second = () => sign(idp.url, { kid: "second", header: { kid: "second" } });
  assert.deepEqual(idp.asked, []);
  await Promise.all([tokens.verify(await first()), tokens.verify(await first())]);
  await tokens.verify(await first());
  assert.deepEqual(idp.asked, ["/.well-known/openid-configuration", "/jwks"]);
  idp.kids = ["first", "second"];
  now += 999;
  await refusal(tokens.verify(await second()));
  assert.equal(idp.asked.length, 2);
  now += 1;
  await tokens.verify(await second());
  assert.equal(idp.asked.length, 4);
});

test("a provider that stops is not needed for the keys it gave, and one that starts late is no problem", async () => {
  const idp = await new Idp().start();
  const { port } = new URL(idp.url);
  const tokens = oidc(idp, { cooldown: 0 });
  await idp.stop();
  const token = await sign(idp.url, { header: { kid: "first" } });
  const { status, code, message } = await refusal(tokens.verify(token));
  assert.deepEqual([status, code], [400, "AuthProviderDiscoveryFailed"]);
  assert.match(message, /^Auth provider discovery of http:\S+ failed: \S+ cannot be reached \(ECONNREFUSED\)\. Is it running\?$/);
  const again = await new Idp().start(Number(port));
  await tokens.verify(token);
  await again.stop();
  await tokens.verify(token);
  const unknown = await sign(idp.url, { kid: "second", header: { kid: "second" } });
  assert.equal((await refusal(tokens.verify(unknown))).code, "AuthProviderDiscoveryFailed");
  await tokens.verify(token);
});

test("an error of a provider is reported, and not as an error of the token", async (t) => {
  const idp = await startIdp(t);
  idp.kids = ["curve"];
  const token = await sign(idp.url, { kid: "curve", header: { kid: "curve" } });
  const json = (value: unknown) => (_path: string, response: ServerResponse) => (response.end(JSON.stringify(value)), true);
  const status = (code: number) => (_path: string, response: ServerResponse) => (response.writeHead(code).end(), true);
  const jwks = (value: unknown) => (path: string, response: ServerResponse) => path === "/jwks" && json(value)(path, response);
  const cases: [NonNullable<Idp["answer"]>, number, RegExp][] = [
    [status(500), 503, /openid-configuration answered 500/],
    [status(404), 400, /openid-configuration answered 404/],
    [(_path, response) => (response.writeHead(302, { Location: idp.url }).end(), true), 400, /answered 302/],
    [(_path, response) => (response.end("<html>"), true), 400, /did not answer with JSON/],
    [() => true, 400, /did not answer in time/],
    [(_path, response) => (response.write("{"), true), 400, /did not answer in time/],
    [json(null), 400, /answered without an issuer or a jwks_uri/],
    [json({ issuer: idp.url }), 400, /answered without an issuer or a jwks_uri/],
    [json({ issuer: "https://x.test", jwks_uri: idp.url }), 400, /says that the issuer is https:\/\/x\.test/],
    [(path, response) => path === "/jwks" && status(503)(path, response), 503, /jwks answered 503/],
    [jwks({ keys: 5 }), 400, /did not answer with a JWKS/],
    [jwks("text"), 400, /did not answer with a JWKS/],
  ];
  for (const [answer, expected, message] of cases) {
    idp.answer = answer;
    const deadline = message.source.includes("in time") ? 50 : 20_000;
    const error = await refusal(oidc(idp, { deadline }).verify(await sign(idp.url)));
    assert.deepEqual([error.code, error.status], ["AuthProviderDiscoveryFailed", expected]);
    assert.match(error.message, message);
  }
  const error = await refusal(custom(idp).verify(token));
  assert.deepEqual([error.code, error.status], ["InvalidAuthHeader", 401]);
  assert.match(error.message, /^Could not fetch JWKS from URL '\S+jwks': it did not answer with a JWKS$/);
});

test("auth.config.ts: an unset value counts as no provider, an invalid one is refused", () => {
  const read = (...providers: unknown[]) => readProviders({ providers });
  assert.deepEqual(readProviders(null), { list: [], skipped: 0 });
  assert.deepEqual(read({ domain: "clerk.test", applicationID: "convex" }).list, [
    { type: "oidc", issuer: "https://clerk.test", applicationID: "convex" },
  ]);
  const jwt = { type: "customJwt", issuer: "https://x.test", jwks: "https://x.test/jwks", algorithm: "ES256" };
  assert.deepEqual(read(jwt).list, [{ ...jwt, applicationID: null }]);
  const unset = [{ applicationID: "c" }, { domain: "", applicationID: "c" }, { ...jwt, issuer: undefined }];
  assert.deepEqual(read(...unset, { ...jwt, jwks: undefined }), { list: [], skipped: 4 });
  const wrong = [{ domain: "x" }, { domain: 1, applicationID: "c" }, { ...jwt, algorithm: "HS256" }, { ...jwt, type: "x" }];
  for (const provider of [...wrong, { ...jwt, applicationID: 1 }]) {
    assert.throws(() => read(provider), /a provider must be \{domain, applicationID\} or \{type: "customJwt"/);
  }
  for (const config of [undefined, {}, { providers: 1 }]) assert.throws(() => readProviders(config), /default export/);
});

test("without a provider the answer says why there is none", async () => {
  const token = await sign("https://clerk.test");
  const none = await refusal(new Tokens(readProviders({ providers: [] })).verify(token));
  assert.match(none.message, /\(no providers configured\)\. Check convex\/auth\.config\.ts\.$/);
  const unset = await refusal(new Tokens(readProviders({ providers: [{ applicationID: "c" }] })).verify(token));
  assert.match(unset.message, /has no domain: is its environment variable set\?$/);
});

// The server

const PROJECT = {
  "auth.config.ts": `
    export default { providers: [{ domain: process.env.ISSUER!, applicationID: "convex" }] };`,
  "schema.ts": `
    import { defineSchema, defineTable } from "convex/server";
    import { v } from "convex/values";
    export default defineSchema({ notes: defineTable({ by: v.string(), text: v.string() }) });`,
  "notes.ts": `
    import { mutationGeneric as mutation, queryGeneric as query } from "convex/server";
    export const me = query(async (ctx) => (await ctx.auth.getUserIdentity()) as any);
    export const mine = query(async (ctx) => {
      const by = (await ctx.auth.getUserIdentity())?.subject ?? "nobody";
      const notes = await ctx.db.query("notes").collect();
      return notes.filter((note) => note.by === by).map((note) => note.text);
    });
    export const write = mutation(async (ctx, { text }: any) => {
      const by = (await ctx.auth.getUserIdentity())?.subject ?? "nobody";
      await ctx.db.insert("notes", { by, text });
    });`,
};

const idp = await new Idp().start();
after(() => idp.stop());
const engine = await startEngine({ functionsDir: makeProject(PROJECT), env: { ISSUER: idp.url } });

async function serve(t: TestContext, options: { engine?: Engine; now?: () => number } = {}): Promise<string> {
  await engine.clear();
  const now = options.now ?? (() => NOW);
  const server = await startServer({ engine, deployKey: "local|key", port: 0, ...options, tokens: { now } });
  t.after(() => server.close());
  return server.url;
}

const me = makeFunctionReference<"query">("notes:me");
const mine = makeFunctionReference<"query">("notes:mine");
const write = makeFunctionReference<"mutation">("notes:write");

function sendWrite(peer: Peer, requestId: number, text: string): void {
  peer.send({ type: "Mutation", requestId, udfPath: "notes:write", args: [{ text }] });
}

async function authenticate(peer: Peer, baseVersion: number, claims: JWTPayload = {}): Promise<void> {
  peer.send({ type: "Authenticate", tokenType: "User", value: await sign(idp.url, { claims }), baseVersion });
}

test("HTTP: functions get the caller's identity, and a bad token gets 401, a code and a message", async (t) => {
  const url = await serve(t);
  const convex = new ConvexHttpClient(url, { logger: false });
  assert.equal(await convex.query(me, {}), null);
  convex.setAuth(await sign(idp.url, { claims: { sid: "sess_1" } }));
  const identity = { tokenIdentifier: `${idp.url}|user_1`, issuer: idp.url, subject: "user_1", sid: "sess_1" };
  assert.deepEqual(await convex.query(me, {}), identity);
  await convex.mutation(write, { text: "hello" });
  assert.deepEqual(await convex.query(mine, {}), ["hello"]);
  const token = await sign(idp.url, { claims: { exp: seconds } });
  const headers = { "Content-Type": "application/json", Authorization: `Bearer ${token}` };
  const response = await fetch(`${url}/api/query`, { method: "POST", headers, body: '{"path":"notes:me","args":{}}' });
  assert.equal(response.status, 401);
  const { code, message, ...rest } = (await response.json()) as Message;
  assert.deepEqual([code, rest], ["Unauthenticated", {}]);
  assert.match(message, /^Could not verify OIDC token claim\./);
});

test("websocket: a token gives a session its identity, another token another, and none takes it away", async (t) => {
  const peer = await new Peer(t, await serve(t)).connect();
  peer.add(0, "notes:me");
  assert.equal((await peer.take("Transition")).modifications[0].value, null);
  for (const [version, sub] of [[0, "user_1"], [1, "user_2"]] as const) {
    await authenticate(peer, version, { sub });
    const { modifications, endVersion } = await peer.take("Transition");
    assert.deepEqual([modifications[0].value.subject, endVersion.identity], [sub, version + 1]);
  }
  peer.send({ type: "Authenticate", tokenType: "None", baseVersion: 2 });
  assert.equal((await peer.take("Transition")).modifications[0].value, null);
});

test("websocket: a refused token ends the session with AuthError, before anything else is done for it", async (t) => {
  const peer = await new Peer(t, await serve(t)).connect();
  peer.add(0, "notes:mine");
  await peer.take("Transition");
  await authenticate(peer, 0);
  await peer.take("Transition");
  await authenticate(peer, 1, { exp: seconds });
  sendWrite(peer, 0, "late");
  const { error, baseVersion, authUpdateAttempted } = await peer.take("AuthError");
  assert.deepEqual([baseVersion, authUpdateAttempted], [1, true]);
  assert.match(error, /Here: it has expired\./);
  await until(() => peer.closed === 1008);
  assert.deepEqual(peer.received, []);
  assert.deepEqual(await engine.run({ path: "notes:mine", args: {}, identity: null }).then((o) => o.ok && o.value), []);
});

test("websocket: a fresh token with the same claims reruns the queries and sends no equal result again", async (t) => {
  const runs: unknown[] = [];
  const run: Engine["run"] = (call) => (runs.push(call.path), engine.run(call));
  const peer = await new Peer(t, await serve(t, { engine: { ...engine, run } })).connect();
  await authenticate(peer, 0, { jti: "1" });
  await peer.take("Transition");
  peer.add(0, "notes:me");
  assert.equal((await peer.take("Transition")).modifications[0].value.subject, "user_1");
  await authenticate(peer, 1, { jti: "2", iat: seconds + 5, exp: seconds + 65 });
  const { modifications, startVersion, endVersion } = await peer.take("Transition");
  assert.deepEqual([modifications, startVersion.identity, endVersion.identity], [[], 1, 2]);
  assert.equal(runs.length, 2);
  await authenticate(peer, 2, { sid: "another" });
  assert.equal((await peer.take("Transition")).modifications[0].value.sid, "another");
});

test("websocket: sessions of one user share a run, whatever their tokens; those of others do not", async (t) => {
  let runs = 0;
  const run: Engine["run"] = (call) => ((runs += 1), engine.run(call));
  const url = await serve(t, { engine: { ...engine, run } });
  for (const [sub, exp, expected] of [["user_1", 50, 1], ["user_1", 60, 1], ["user_2", 50, 2]] as const) {
    const peer = await new Peer(t, url).connect();
    await authenticate(peer, 0, { sub, exp: seconds + exp });
    await peer.take("Transition");
    peer.add(0, "notes:me");
    assert.equal((await peer.take("Transition")).modifications[0].value.subject, sub);
    assert.equal(runs, expected);
  }
});

test("websocket: an expired token gets AuthError and no more data, and an idle session stays open", async (t) => {
  let now = NOW;
  const url = await serve(t, { now: () => now });
  const [reader, idle] = [await new Peer(t, url).connect(), await new Peer(t, url).connect()];
  for (const peer of [reader, idle]) {
    await authenticate(peer, 0);
    await peer.take("Transition");
  }
  reader.add(0, "notes:mine");
  await reader.take("Transition");
  now += 60_000;
  const convex = new ConvexHttpClient(url, { logger: false });
  convex.setAuth(await sign(idp.url, { claims: { exp: seconds + 120 } }));
  await convex.mutation(write, { text: "private" });
  const type = "AuthError";
  assert.deepEqual(await reader.take(type), { type, error: "Convex token identity expired", baseVersion: 1, authUpdateAttempted: false });
  await until(() => reader.closed === 1008);
  assert.deepEqual(reader.received, []);
  assert.equal(idle.closed, null);
  idle.add(0, "notes:mine");
  assert.equal((await idle.take("AuthError")).authUpdateAttempted, false);
});

test("websocket: with an expired token no function runs, and earlier calls are answered first", async (t) => {
  let now = NOW;
  let release!: () => void;
  const gate = new Promise<void>((resolve) => (release = resolve));
  const run: Engine["run"] = async (call) => (await gate, engine.run(call));
  const peer = await new Peer(t, await serve(t, { now: () => now, engine: { ...engine, run } })).connect();
  await authenticate(peer, 0);
  await peer.take("Transition");
  sendWrite(peer, 0, "in time");
  peer.send({ type: "Action", requestId: 9, udfPath: "none:none", args: [{}] });
  await peer.take("ActionResponse"); // so the mutation was read too
  now += 60_000;
  sendWrite(peer, 1, "late");
  await new Promise((resolve) => setTimeout(resolve, 20));
  release();
  assert.equal((await peer.take("MutationResponse")).requestId, 0);
  assert.equal((await peer.take("AuthError")).authUpdateAttempted, false);
  await until(() => peer.closed === 1008);
  assert.deepEqual(peer.of("MutationResponse"), []);
  const outcome = await engine.run({ path: "notes:mine", args: {}, identity: { subject: "user_1" } as never });
  assert.deepEqual(outcome.ok && outcome.value, ["in time"]);
});

test("websocket: while a new token is being checked, the expiry of the old one is ignored", async (t) => {
  let now = NOW;
  const slow = await startIdp(t);
  const providers = readProviders({ providers: [{ domain: slow.url, applicationID: "convex" }] });
  const peer = await new Peer(t, await serve(t, { now: () => now, engine: { ...engine, providers } })).connect();
  const send = async (baseVersion: number, options: TokenOptions) =>
    peer.send({ type: "Authenticate", tokenType: "User", value: await sign(slow.url, options), baseVersion });
  await send(0, { header: { kid: "first" } });
  peer.add(0, "notes:mine");
  await until(() => peer.of("Transition").at(-1)?.endVersion.querySet === 1);
  now += 60_000;
  let release!: () => void;
  const gate = new Promise<boolean>((resolve) => (release = () => resolve(false)));
  slow.kids = ["first", "second"];
  slow.answer = () => gate;
  await send(1, { kid: "second", header: { kid: "second" }, claims: { exp: seconds + 120 } });
  await until(() => slow.asked.length === 3);
  peer.received.length = 0;
  await engine.run({ path: "notes:write", args: { text: "new" }, identity: { subject: "user_1" } as never });
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual(peer.received, []);
  release();
  const { endVersion, modifications } = await peer.take("Transition");
  assert.deepEqual([endVersion.identity, modifications[0].value], [2, ["new"]]);
});

test("websocket: while the provider answers 500 the client is disconnected, and returns with the same token", async (t) => {
  const broken = await startIdp(t);
  broken.answer = (_path, response) => (response.writeHead(500).end(), true);
  const providers = readProviders({ providers: [{ domain: broken.url, applicationID: "convex" }] });
  const url = await serve(t, { engine: { ...engine, providers } });
  const value = await sign(broken.url);
  const peer = await new Peer(t, url).connect();
  peer.send({ type: "Authenticate", tokenType: "User", value, baseVersion: 0 });
  await until(() => peer.closed !== null);
  assert.deepEqual([peer.closed, peer.received], [1013, []]);
  broken.answer = null;
  const again = await new Peer(t, url).connect();
  again.send({ type: "Authenticate", tokenType: "User", value, baseVersion: 0 });
  assert.equal((await again.take("Transition")).endVersion.identity, 1);
});

test("the official websocket client fetches a new token when its own has expired, and is signed out with null", async (t) => {
  let now = NOW;
  const url = await serve(t, { now: () => now });
  const convex = new ConvexClient(url, { webSocketConstructor: WebSocket as never, logger: false });
  t.after(() => convex.close());
  let signedOut = false;
  const fetched: boolean[] = [];
  const states: boolean[] = [];
  const fetchToken = ({ forceRefreshToken }: { forceRefreshToken: boolean }) => {
    fetched.push(forceRefreshToken);
    if (signedOut) return Promise.resolve(null);
    const iat = Math.floor(now / 1000);
    return sign(idp.url, { claims: { iat, exp: iat + 60, jti: String(fetched.length) } });
  };
  convex.setAuth(fetchToken, (isAuthenticated) => states.push(isAuthenticated));
  let seen: string[] | null = null;
  const sees = (...texts: string[]) => until(() => JSON.stringify(seen) === JSON.stringify(texts));
  convex.onUpdate(mine, {}, (texts: string[]) => (seen = texts));
  await sees();
  await until(() => fetched.length === 2);
  await convex.mutation(write, { text: "one" });
  await sees("one");
  now += 60_000;
  const before = fetched.length;
  await convex.mutation(write, { text: "two" });
  await sees("one", "two");
  assert.ok(fetched.length > before && fetched.at(-1));
  assert.ok(states.every(Boolean));
  signedOut = true;
  now += 60_000;
  await convex.mutation(write, { text: "nobody's" });
  await sees("nobody's");
  assert.equal(states.at(-1), false);
});

test("an invalid auth.config.ts prevents loading, and the error names it", async () => {
  const functionsDir = makeProject({ "auth.config.js": "export default { providers: [{ domain: 'x.test' }] };" });
  await assert.rejects(startEngine({ functionsDir }), /cannot be loaded: auth\.config: .*a provider must be/);
});
