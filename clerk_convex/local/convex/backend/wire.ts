// How values and timestamps are written on Convex's wire.
import { convexToJson, jsonToConvex, type JSONValue, type Value } from "convex/values";

declare global {
  interface JSON {
    rawJSON(text: string): unknown; // in Node 24, not yet in TypeScript's library
  }
}

/** The JSON text of a Convex value. Floats keep their fraction: the official Python client refuses `5`, it wants `5.0`. */
export function valueToText(value: JSONValue): string {
  return JSON.stringify(value, (_key, item: unknown) => {
    if (typeof item !== "number") return item;
    const digits = Object.is(item, -0) ? "-0" : String(item);
    return JSON.rawJSON(/[.e]/.test(digits) ? digits : `${digits}.0`);
  });
}

/** The `json` format of the HTTP API: readable, and lossy where JSON has no such type. Takes and gives JSON. */
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

/** Parses what a client sent. Like Convex it refuses lone surrogates. Throws an error that quotes nothing. */
export function parseJson(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    // Only an escape can hide one in what came as UTF-8, and stringify escapes nothing else of that form.
    if (!/\\u[dD]/.test(text) || !/(?<!\\)(\\\\)*\\ud[89a-f]/.test(JSON.stringify(value))) return value;
  } catch {
    // The parser's own message would quote the text.
  }
  throw new Error("not valid JSON");
}

/** Nanoseconds that only grow. Starting at the wall clock keeps them growing when the server is started again. */
export class Clock {
  latest = BigInt(Date.now()) * 1_000_000n;

  tick(): void {
    const now = BigInt(Date.now()) * 1_000_000n;
    this.latest = now > this.latest ? now : this.latest + 1n;
  }

  /** A client has seen this much of an earlier run; ahead by more than a day is no clock that was set back, but nonsense. */
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
