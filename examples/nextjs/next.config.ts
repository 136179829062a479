import type { NextConfig } from "next";

const config: NextConfig = {
  turbopack: { root: new URL("../..", import.meta.url).pathname }, // this repository; an app of its own needs no root
  typescript: { ignoreBuildErrors: process.env.SKIP_TYPES === "1" }, // where `npm run typecheck` has run before
};

export default config;
