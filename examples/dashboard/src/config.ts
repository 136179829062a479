// Reads where Convex and Clerk are from the variables of the build. Without VITE_CLERK_PUBLISHABLE_KEY, the page asks
// the local set that serves it.
export type Config = {
  convexUrl: string;
  usersModule: string; // the name of users.ts in convex/
  auth: { kind: "clerk"; publishableKey: string } | { kind: "local"; clerkUrl: string };
};

export async function loadConfig(): Promise<Config> {
  const env = import.meta.env;
  if (env.VITE_CLERK_PUBLISHABLE_KEY) {
    if (!env.VITE_CONVEX_URL) {
      throw new Error(
        "VITE_CONVEX_URL was not set when this page was built. Set it and build the page again.",
      );
    }
    return {
      convexUrl: env.VITE_CONVEX_URL,
      usersModule: env.VITE_CONVEX_USERS_MODULE ?? "users",
      auth: { kind: "clerk", publishableKey: env.VITE_CLERK_PUBLISHABLE_KEY },
    };
  }
  const response = await fetch(`${env.BASE_URL}config.json`);
  if (!response.headers.get("Content-Type")?.includes("json")) {
    throw new Error(
      "VITE_CLERK_PUBLISHABLE_KEY was not set when this page was built, and no local set serves it. " +
        "Set it with VITE_CONVEX_URL and build the page again.",
    );
  }
  const { convexUrl, clerkUrl, usersModule } = (await response.json()) as Record<string, string>;
  return { convexUrl: convexUrl!, usersModule: usersModule!, auth: { kind: "local", clerkUrl: clerkUrl! } };
}

// Returns the URL of clerk_convex's user_routes(), through which admins act, or null with "off": then the pages only
// read.
export function usersApi(given: string | undefined): string | null {
  return given === "off" ? null : (given || "/api/users").replace(/\/+$/, "");
}
