// Reads and writes values and timestamps as Convex does on the wire.
import { convexToJson, jsonToConvex, type JSONValue, type Value } from "convex/values";

declare global {
  interface JSON {
    rawJSON(text: string): unknown; // in Node 24, not yet in TypeScript's library
  }
}

/** Returns the JSON text of a Convex value. Floats keep their fraction, because the official Python client refuses `5` and
 * accepts `5.0`. */
export function valueToText(value: JSONValue): string {
  return JSON.stringify(value, (_key, item: unknown) => {
    if (typeof item !== "number") return item;
    const digits = Object.is(item, -0) ? "-0" : String(item);
    return JSON.rawJSON(/[.e]/.test(digits) ? digits : `${digits}.0`);
  });
}

/** Converts convex-encoded JSON to the `json` format of the HTTP API, which loses the types that JSON does not have. */
export function cleanJson(value: JSONValue): JSONValue {
  return clean(jsonToConvex(value));
}

function clean(value: Value | undefined): JSONValue {
  if (typeof value === "bigint") return value.toString();
  if (typeof value === "number") return Number.isFinite(value) ? value : String(value);
  if (value instanceof ArrayBuffer) return Buffer.from(value).toString("base64");
  if (Array.isArray(value)) return value.map(clean);
  if (typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, clean(item)]));
  }
  return convexToJson(value ?? null);
}

/** Parses the JSON of a client. Like Convex it refuses lone surrogates. Throws an error that quotes nothing of the text. */
export function parseJson(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    // UTF-8 cannot encode a lone surrogate, so only an escape can contain one. JSON.stringify escapes nothing else as
    // \ud….
    if (!/\\u[dD]/.test(text) || !/(?<!\\)(\\\\)*\\ud[89a-f]/.test(JSON.stringify(value))) return value;
  } catch {
    // The message of the parser would quote the text.
  }
  throw new Error("not valid JSON");
}

/** A clock in nanoseconds that only increases. It starts at the wall clock, so it also increases over restarts. */
export class Clock {
  latest = BigInt(Date.now()) * 1_000_000n;

  tick(): void {
    const now = BigInt(Date.now()) * 1_000_000n;
    this.latest = now > this.latest ? now : this.latest + 1n;
  }

  /** Advances to a timestamp that a client saw before a restart. One that is more than a day ahead is ignored as invalid. */
  catchUp(seen: bigint): void {
    const limit = BigInt(Date.now() + 86_400_000) * 1_000_000n;
    if (seen > this.latest && seen < limit) this.latest = seen;
  }
}

export function timestampToText(timestamp: bigint): string {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(timestamp);
  return bytes.toString("base64");
}

export function textToTimestamp(text: string): bigint | null {
  const bytes = Buffer.from(text, "base64");
  return bytes.length === 8 ? bytes.readBigUInt64LE() : null;
}
