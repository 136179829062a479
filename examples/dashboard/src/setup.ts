import { functionsOf, type Functions } from "clerk-convex-react";
import { ConvexReactClient } from "convex/react";
import type { ComponentType, ReactNode } from "react";
import { loadConfig } from "./config.ts";

export type Setup = { functions: Functions; AuthProvider: ComponentType<{ children: ReactNode }> };

// Each way to sign in is a separate chunk, and only one of them is loaded.
export async function setUp(): Promise<Setup> {
  const { convexUrl, usersModule, auth } = await loadConfig();
  const convex = new ConvexReactClient(convexUrl);
  const AuthProvider =
    auth.kind === "clerk"
      ? (await import("./auth/clerk.tsx")).clerkAuth(convex, auth.publishableKey)
      : (await import("./auth/local.tsx")).localAuth(convex, auth.clerkUrl);
  return { functions: functionsOf(usersModule), AuthProvider };
}
