import type { NextConfig } from "next";

const config: NextConfig = {
  turbopack: { root: new URL("../..", import.meta.url).pathname }, // this repository; an app of its own needs no root
};

export default config;
