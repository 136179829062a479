// The functions of users.ts that other functions and crons.ts schedule. If users.ts has another name in your project,
// change it here and nowhere else. (This is a function, because the type of a constant would depend on itself.)
import { internal } from "../_generated/api";

export function functions() {
  return internal.users;
}
