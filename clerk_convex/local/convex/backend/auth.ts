// Verifies JWTs by the auth providers in convex/auth.config.ts, and reads the identity in them.
// Follows get-convex/convex-backend: crates/authentication/src/lib.rs and crates/keybroker/src/broker.rs.
import type { UserIdentity } from "convex/server";
import type { JSONValue } from "convex/values";
import { compactVerify, createLocalJWKSet, decodeJwt, errors } from "jose";
import type { CompactJWSHeaderParameters, CryptoKey, JSONWebKeySet, LocalJWKSet } from "jose";

export type Provider = { issuer: string; applicationID: string | null } & (
  | { type: "oidc" }
  | { type: "customJwt"; jwks: string; algorithm: "RS256" | "ES256" }
);

/** `skipped`: the number of providers without an address, because an environment variable is not set. */
export type Providers = { list: Provider[]; skipped: number };

/** `expires`: Unix milliseconds. */
export type Verified = { identity: UserIdentity; expires: number };

type Claims = { [claim: string]: JSONValue };

export class AuthenticationError extends Error {
  readonly code: string;
  readonly status: number; // 503: retry later; any other: this credential is refused

  constructor(code: string, message: string, status = 401) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

/** Reads the default export of auth.config.ts, or null if there is no such file. Throws an Error if it is malformed. */
export function readProviders(config: unknown): Providers {
  const providers = config === null ? [] : (config as { providers?: unknown } | undefined)?.providers;
  if (!Array.isArray(providers)) throw new Error("its default export must be {providers: […]}");
  const all = providers.map(readProvider);
  const list = all.filter((provider) => provider !== null);
  return { list, skipped: all.length - list.length };
}

function readProvider(given: { [field: string]: unknown }): Provider | null {
  const { type, domain, issuer, jwks, algorithm, applicationID = null } = given;
  if ((type === undefined ? [domain] : [issuer, jwks]).some((url) => url === undefined || url === "")) return null;
  if (type === undefined && isText(domain) && isText(applicationID)) {
    return { type: "oidc", issuer: withProtocol(domain), applicationID };
  }
  const known = algorithm === "RS256" || algorithm === "ES256";
  const named = applicationID === null || isText(applicationID);
  if (type === "customJwt" && isText(issuer) && isText(jwks) && known && named) {
    return { type, issuer: withProtocol(issuer), jwks, algorithm, applicationID };
  }
  throw new Error(
    "a provider must be {domain, applicationID} or " +
      '{type: "customJwt", issuer, jwks, algorithm: "RS256" or "ES256", applicationID?}',
  );
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}

export type TokensOptions = {
  now?: () => number; // returns Unix milliseconds
  deadline?: number; // milliseconds until a request to a provider times out
  cooldown?: number; // milliseconds after a fetch during which an unknown key does not cause another one
};

export class Tokens {
  readonly #providers: Providers;
  readonly #keys: Map<Provider, Keys>;
  readonly #now: () => number;

  constructor(
    providers: Providers,
    { now = Date.now, deadline = 5_000, cooldown = 1_000 }: TokensOptions = {},
  ) {
    this.#providers = providers;
    this.#keys = new Map(providers.list.map((each) => [each, new Keys(each, now, deadline, cooldown)]));
    this.#now = now;
  }

  /** Returns the identity in a token. Throws AuthenticationError, whose message quotes nothing of the token. */
  async verify(token: string): Promise<Verified> {
    const { iss: issuer, aud } = unverifiedClaims(token);
    if (typeof issuer !== "string") {
      throw refused(
        "Missing issuer claim ('iss') in JWT payload. The JWT must include an 'iss' claim that matches one of your " +
          "configured auth providers.",
      );
    }
    const audiences = Array.isArray(aud) ? aud : [aud];
    const provider = this.#providers.list.find(
      ({ issuer: known, applicationID }) =>
        sameIssuer(known, issuer) && (applicationID === null || audiences.includes(applicationID)),
    );
    if (provider === undefined) throw new AuthenticationError("NoAuthProvider", this.#noProvider());
    const keys = this.#keys.get(provider) as Keys;
    return provider.type === "oidc"
      ? await this.#verifyOidc(token, keys, provider.applicationID as string)
      : await this.#verifyCustom(token, keys, provider.algorithm);
  }

  isPast(time: number): boolean {
    return this.#now() >= time;
  }

  async #verifyOidc(token: string, keys: Keys, applicationID: string): Promise<Verified> {
    const claims = await checkSignature(token, keys, ["RS256", "EdDSA"], isIdToken, unverified);
    const issuer = await keys.issuer();
    if (claims.iss !== issuer) {
      throw discoveryFailed(issuer, "its issuer and the token's 'iss' differ; a slash counts");
    }
    if (Array.isArray(claims.aud) && claims.aud.some((audience) => audience !== applicationID)) {
      throw unverified("it has other audiences as well");
    }
    const verified = oidcIdentity(claims);
    if (this.isPast(verified.expires)) throw unverified("it has expired");
    return verified;
  }

  async #verifyCustom(token: string, keys: Keys, algorithm: string): Promise<Verified> {
    const claims = await checkSignature(token, keys, [algorithm], hasKeyId, (reason) =>
      refused(`Could not decode token: ${reason}. Check its 'kid' (key ID), 'alg' and the provider's JWKS.`),
    );
    const now = this.#now() / 1000;
    const { sub, exp, nbf, iat } = claims;
    const tolerance = 5; // seconds
    if (typeof exp === "number" && now - exp > tolerance) throw refused("Could not validate token: it has expired.");
    for (const time of [nbf, iat]) {
      if (typeof time === "number" && time - now > tolerance)
        throw refused("Could not validate token: it is not valid yet.");
    }
    if (typeof sub !== "string" || typeof exp !== "number") {
      throw refused("Could not verify token claim. The JWT must have 'sub' and 'exp'.");
    }
    return customIdentity(claims);
  }

  #noProvider(): string {
    const { list, skipped } = this.#providers;
    const unset =
      skipped > 0
        ? " A provider in convex/auth.config.ts has no domain: is its environment variable set?"
        : "";
    if (list.length === 0) {
      return (
        "No auth provider found matching the given token (no providers configured). " +
        `Check convex/auth.config.ts.${unset}`
      );
    }
    const configured = list.map(
      ({ type, issuer, applicationID }) =>
        `${type === "oidc" ? "OIDC(domain" : "CustomJWT(issuer"}=${issuer}, app_id=${applicationID ?? "none"})`,
    );
    return (
      "No auth provider found matching the given token. Check that your JWT's issuer and audience match one of your " +
      `configured providers: [${configured.join(", ")}]${unset}`
    );
  }
}

/** The keys of one provider. They are fetched when first needed, and again when a token names an unknown key. */
class Keys {
  readonly #provider: Provider;
  readonly #now: () => number;
  readonly #deadline: number;
  readonly #cooldown: number;
  #loading: Promise<Loaded> | null = null;
  #loaded: Loaded | null = null; // still used when the provider cannot be reached any more
  #loadedAt = 0;

  constructor(provider: Provider, now: () => number, deadline: number, cooldown: number) {
    this.#provider = provider;
    this.#now = now;
    this.#deadline = deadline;
    this.#cooldown = cooldown;
  }

  readonly get = async (header: CompactJWSHeaderParameters): Promise<CryptoKey> => {
    const { keys } = this.#loaded ?? (await this.#load());
    try {
      return await keys(header);
    } catch (error) {
      const soon = this.#now() < this.#loadedAt + this.#cooldown;
      if (!(error instanceof errors.JWKSNoMatchingKey) || soon) throw error;
      return await (await this.#load()).keys(header);
    }
  };

  /** Returns the issuer exactly as the provider writes it. */
  async issuer(): Promise<string> {
    return (this.#loaded ?? (await this.#load())).issuer;
  }

  #load(): Promise<Loaded> {
    this.#loading ??= this.#fetch().finally(() => (this.#loading = null));
    return this.#loading;
  }

  async #fetch(): Promise<Loaded> {
    const provider = this.#provider;
    const { issuer, jwks } = provider.type === "oidc" ? await this.#discover() : provider;
    const keys = await this.#fetchJson(jwks);
    try {
      this.#loaded = { issuer, keys: createLocalJWKSet(keys as JSONWebKeySet) };
    } catch {
      throw this.#failed(jwks, "did not answer with a JWKS");
    }
    this.#loadedAt = this.#now();
    return this.#loaded;
  }

  async #discover(): Promise<{ issuer: string; jwks: string }> {
    const url = `${withoutSlash(this.#provider.issuer)}/.well-known/openid-configuration`;
    const { issuer, jwks_uri: jwks } = ((await this.#fetchJson(url)) ?? {}) as Claims;
    if (typeof issuer !== "string" || typeof jwks !== "string") {
      throw this.#failed(url, "answered without an issuer or a jwks_uri");
    }
    if (withoutSlash(issuer) !== withoutSlash(this.#provider.issuer)) {
      throw this.#failed(url, `says that the issuer is ${issuer}`);
    }
    return { issuer, jwks };
  }

  async #fetchJson(url: string): Promise<unknown> {
    let response;
    try {
      response = await fetch(url, {
        headers: { Accept: "application/json" },
        redirect: "manual",
        signal: AbortSignal.timeout(this.#deadline),
      });
      if (response.status === 200) return await response.json();
    } catch (error) {
      const { name, cause } = error as Error & { cause?: { code?: string } };
      if (name === "TimeoutError") throw this.#failed(url, "did not answer in time");
      if (name === "SyntaxError") throw this.#failed(url, "did not answer with JSON");
      throw this.#failed(url, `cannot be reached (${cause?.code ?? name}). Is it running?`);
    }
    throw this.#failed(url, `answered ${String(response.status)}`, response.status);
  }

  #failed(url: string, what: string, status = 0): AuthenticationError {
    if (this.#provider.type === "oidc") {
      return discoveryFailed(this.#provider.issuer, `${url} ${what}`, status >= 500 ? 503 : 400);
    }
    return refused(`Could not fetch JWKS from URL '${url}': it ${what}`);
  }
}

type Loaded = { issuer: string; keys: LocalJWKSet };

function unverifiedClaims(token: string): Claims {
  try {
    return decodeJwt(token) as Claims;
  } catch {
    throw refused(
      "Could not parse JWT payload. Check that the token is a valid JWT format with three base64-encoded parts " +
        "separated by dots.",
    );
  }
}

async function checkSignature(
  token: string,
  keys: Keys,
  algorithms: string[],
  accepts: (header: CompactJWSHeaderParameters) => boolean,
  refuse: (reason: string) => AuthenticationError,
): Promise<Claims> {
  const keyOf = (header: CompactJWSHeaderParameters) => {
    if (!accepts(header)) throw new errors.JWSInvalid();
    return keys.get(header);
  };
  try {
    const { payload } = await compactVerify(token, keyOf, { algorithms });
    return JSON.parse(new TextDecoder().decode(payload)) as Claims;
  } catch (error) {
    throw error instanceof AuthenticationError ? error : refuse(describeFault(error));
  }
}

function isIdToken({ typ, cty }: CompactJWSHeaderParameters): boolean {
  return cty === undefined && (typ === undefined || /^(application\/)?(jwt|jose)$/i.test(typ));
}

function hasKeyId({ kid }: CompactJWSHeaderParameters): boolean {
  return kid !== undefined;
}

function describeFault(error: unknown): string {
  if (error instanceof errors.JOSEAlgNotAllowed) return "its algorithm is not accepted";
  if (error instanceof errors.JWKSNoMatchingKey) return "the provider has no such key";
  if (error instanceof errors.JWSSignatureVerificationFailed) return "its signature is wrong";
  return "its header is not accepted";
}

// The names of claims in OpenID Connect, and in Convex's UserIdentity.
const TEXTS: { [claim: string]: keyof UserIdentity } = {
  name: "name",
  given_name: "givenName",
  family_name: "familyName",
  nickname: "nickname",
  preferred_username: "preferredUsername",
  profile: "profileUrl",
  picture: "pictureUrl",
  website: "websiteUrl",
  email: "email",
  gender: "gender",
  birthdate: "birthday",
  zoneinfo: "timezone",
  locale: "language",
  phone_number: "phoneNumber",
};
const FLAGS: { [claim: string]: keyof UserIdentity } = {
  email_verified: "emailVerified",
  phone_number_verified: "phoneNumberVerified",
};

// Claims that functions do not see: those of the protocol, and `fva`, which differs between two tokens of one session.
const REGISTERED = new Set(["iss", "sub", "aud", "exp", "iat", "nbf", "jti", "fva"]);
const OF_OPENID = new Set([
  ...["auth_time", "nonce", "acr", "amr", "azp", "at_hash", "c_hash", "middle_name", "birthday"],
  ...["address", "updated_at", ...Object.keys(TEXTS), ...Object.keys(FLAGS)],
]);

function oidcIdentity(claims: Claims): Verified {
  const { iss, sub, exp, iat, address, updated_at: updatedAt } = claims;
  if (typeof sub !== "string" || typeof exp !== "number" || typeof iat !== "number") throw notAnIdToken();
  const identity: Record<string, JSONValue> = {};
  for (const [fields, type] of [[TEXTS, "string"], [FLAGS, "boolean"]] as const) {
    for (const [claim, field] of Object.entries(fields)) {
      const value = claims[claim] ?? null;
      if (value === null) continue;
      if (typeof value !== type) throw notAnIdToken();
      identity[field] = value;
    }
  }
  const formatted = (address as { formatted?: unknown } | undefined)?.formatted;
  if (typeof formatted === "string") identity.address = formatted;
  if (updatedAt !== undefined && updatedAt !== null) identity.updatedAt = rfc3339(updatedAt);
  const custom = Object.entries(claims).filter(
    // "name#fr" is the claim "name" in another language.
    ([claim]) => !REGISTERED.has(claim) && !OF_OPENID.has(claim.replace(/#.*/s, "")),
  );
  return verified(iss as string, sub, exp, identity, custom);
}

// Returns the identity in a custom JWT. Claims keep their names; a claim within an object becomes "object.claim".
function customIdentity(claims: Claims): Verified {
  const custom = Object.fromEntries(Object.entries(claims).filter(([claim]) => !REGISTERED.has(claim)));
  return verified(claims.iss as string, claims.sub as string, claims.exp as number, {}, flatten(custom, ""));
}

function flatten(claims: Claims, prefix: string): [string, JSONValue][] {
  return Object.entries(claims).flatMap(([claim, value]) =>
    typeof value === "object" && value !== null && !Array.isArray(value)
      ? flatten(value as Claims, `${prefix}${claim}.`)
      : [[prefix + claim, value]],
  );
}

// Sorts the custom claims, so that tokens with equal claims have equal identities.
function verified(
  issuer: string,
  subject: string,
  exp: number,
  known: Record<string, JSONValue>,
  custom: [string, JSONValue][],
): Verified {
  const sorted = custom.sort(([a], [b]) => (a < b ? -1 : 1));
  const tokenIdentifier = `${issuer}|${subject}`;
  const identity = { tokenIdentifier, issuer, subject, ...known, ...Object.fromEntries(sorted) };
  return { identity, expires: exp * 1000 };
}

// Converts Unix seconds, or a text that Date can read, to RFC 3339.
function rfc3339(time: JSONValue): string {
  const date = new Date(typeof time === "number" ? time * 1000 : String(time));
  if (Number.isNaN(date.getTime())) throw notAnIdToken();
  return date.toISOString().replace(/(\.000)?Z$/, "+00:00");
}

function withProtocol(address: string): string {
  return /^\w+:\/\//.test(address) ? address : `https://${address}`;
}

function withoutSlash(url: string): string {
  return url.replace(/\/+$/, "");
}

function sameIssuer(known: string, issuer: string): boolean {
  return withoutSlash(known) === withoutSlash(withProtocol(issuer));
}

function refused(message: string): AuthenticationError {
  return new AuthenticationError("InvalidAuthHeader", message);
}

function unverified(reason: string): AuthenticationError {
  return new AuthenticationError(
    "Unauthenticated",
    "Could not verify OIDC token claim. Check that the token signature is valid and the token hasn't expired. " +
      `Here: ${reason}.`,
  );
}

function notAnIdToken(): AuthenticationError {
  return refused("Could not parse as OIDC ID token. Token might not be an OIDC-compliant JWT.");
}

function discoveryFailed(issuer: string, reason: string, status = 400): AuthenticationError {
  return new AuthenticationError(
    "AuthProviderDiscoveryFailed",
    `Auth provider discovery of ${issuer} failed: ${reason}`,
    status,
  );
}
