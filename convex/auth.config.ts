import type { AuthConfig } from "convex/server";

// Declared here for projects that do not have @types/node.
declare const process: { env: Record<string, string | undefined> };

const domain = process.env.CLERK_JWT_ISSUER_DOMAIN!;

export default {
  providers: [{ domain, applicationID: "convex" }],
} satisfies AuthConfig;
