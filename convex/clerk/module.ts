// The functions of users.ts that other functions and crons.ts schedule. If users.ts has another name in your project,
// change it here and nowhere else.
import { internal } from "../_generated/api";

export const functions = internal.users;
