import type { AuthConfig } from "convex/server";

// Its type, for projects without @types/node.
declare const process: { env: Record<string, string | undefined> };

const domain = process.env.CLERK_JWT_ISSUER_DOMAIN!;

export default {
  providers: [{ domain, applicationID: "convex" }],
} satisfies AuthConfig;
