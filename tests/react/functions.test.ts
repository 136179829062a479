// The types that the package writes out are those of the functions. The compiler is the test.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { FunctionArgs, FunctionReturnType } from "convex/server";
import type { api } from "../../convex/_generated/api";
import type { AccessDenied as Denied } from "../../convex/clerk/access";
import { functionsOf, type AccessDenied, type Functions } from "../../react/src/functions.ts";

type Name = keyof Functions;
type Users = typeof api.users;

// An error here: the package sends what a function does not take, or reads what it does not return.
const takes: { [It in Name]: (args: FunctionArgs<Functions[It]>) => FunctionArgs<Users[It]> } = {
  currentUser: (args) => args,
  getUsers: (args) => args,
  segments: (args) => args,
  getUser: (args) => args,
  stats: (args) => args,
  auditLog: (args) => args,
  refusals: (args) => args,
};
const returns: { [It in Name]: (value: FunctionReturnType<Users[It]>) => FunctionReturnType<Functions[It]> } = {
  currentUser: (value) => value,
  getUsers: (value) => value,
  segments: (value) => value,
  getUser: (value) => value,
  stats: (value) => value,
  auditLog: (value) => value,
  refusals: (value) => value,
};
const denied = (data: Denied): AccessDenied => data;

test("the package names each function that it has a type for", () => {
  const names = Object.keys(functionsOf("users"));
  assert.deepEqual(names, Object.keys(takes));
  assert.deepEqual(names, Object.keys(returns));
  const data = { code: "access_denied", reason: "not_admin", message: "" } as const;
  assert.equal(denied(data), data);
});

test("a module in a folder", () => {
  const { getUsers } = functionsOf("clerk/people");
  assert.equal((getUsers as any)[Symbol.for("functionName")], "clerk/people:getUsers");
});
