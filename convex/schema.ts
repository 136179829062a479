import { defineSchema } from "convex/server";
import { clerkTables } from "./clerk/tables";

export default defineSchema({ ...clerkTables });
