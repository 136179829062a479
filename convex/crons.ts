import { cronJobs } from "convex/server";
import { functions } from "./clerk/module";

const crons = cronJobs();
crons.daily("prune the Clerk audit log", { hourUTC: 3, minuteUTC: 17 }, functions().pruneClerkAudit, {});
export default crons;
