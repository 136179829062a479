import { cronJobs } from "convex/server";
import { internal } from "./_generated/api";

const crons = cronJobs();
crons.daily("prune the Clerk audit log", { hourUTC: 3, minuteUTC: 17 }, internal.users.pruneClerkAudit, {});
export default crons;
