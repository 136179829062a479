// A Clerk with as many users as one likes, for the benchmark: none is kept, each is made from its number.
//
// `node clerk.ts USERS` reads one user from stdin, the pattern of all, and prints its port. User n was created n seconds
// after the first. Only what a backfill asks for is answered: pages in the order of created_at, and counts, each after
// 150 ms. It ends when its parent does.

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";

const PAGE_MS = 150;
const FIRST = 1_600_000_000_000;
const STEP = 1000;

const users = Number(process.argv[2]);
const pattern: Buffer[] = [];
for await (const chunk of process.stdin) {
  pattern.push(chunk as Buffer);
  if ((chunk as Buffer).includes("\n")) break;
}
const parts = Buffer.concat(pattern).toString().trim().split(/(USER|1111111111111)/);

function user(number: number): string {
  const id = `user_${String(number).padStart(27, "0")}`;
  const time = String(FIRST + number * STEP);
  return parts.map((part) => (part === "USER" ? id : part === "1111111111111" ? time : part)).join("");
}

// The numbers of the users within the bounds, which are exclusive.
function range(query: URLSearchParams): [number, number] {
  const after = query.get("created_at_after");
  const before = query.get("created_at_before");
  const low = after === null ? 0 : Math.max(0, Math.floor((Number(after) - FIRST) / STEP) + 1);
  const high = before === null ? users : Math.min(users, Math.ceil((Number(before) - FIRST) / STEP));
  return [low, Math.max(low, high)];
}

const server = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url ?? "/", "http://clerk");
  let [low, high] = range(searchParams);
  let body: string;
  if (pathname === "/v1/users/count") {
    body = `{"object":"total_count","total_count":${high - low}}`;
  } else {
    const limit = Number(searchParams.get("limit"));
    if (searchParams.get("order_by") === "-created_at") low = Math.max(low, high - limit);
    else high = Math.min(high, low + limit);
    body = `[${Array.from({ length: high - low }, (_, index) => user(low + index)).join(",")}]`;
  }
  void sleep(PAGE_MS).then(() => response.setHeader("Content-Type", "application/json").end(body));
});
server.listen(0, "127.0.0.1", () => console.log((server.address() as AddressInfo).port));
process.stdin.resume().on("end", () => process.exit());
