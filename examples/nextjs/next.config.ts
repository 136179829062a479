import type { NextConfig } from "next";

// Where the Python service has user_routes(). The app passes requests on, so the browser stays on one origin.
const service = process.env.CLERK_CONVEX_SERVICE?.replace(/\/+$/, "");

const config: NextConfig = {
  env: { CLERK_CONVEX_API: service ? "/api/users" : "" },
  rewrites: async () => (service ? [{ source: "/api/users/:path*", destination: `${service}/api/users/:path*` }] : []),
  turbopack: { root: new URL("../..", import.meta.url).pathname }, // this repository; an app of its own needs no root
  typescript: { ignoreBuildErrors: process.env.SKIP_TYPES === "1" }, // where `npm run typecheck` has run before
};

export default config;
