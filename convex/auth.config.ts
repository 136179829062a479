import type { AuthConfig } from "convex/server";

// eslint-disable-next-line @convex-dev/no-process-env -- an auth config is no function: it has no typed env
const domain = process.env.CLERK_JWT_ISSUER_DOMAIN!;

export default {
  providers: [{ domain, applicationID: "convex" }],
} satisfies AuthConfig;
