import react from "@vitejs/plugin-react";
import { PageSkeleton, Shell } from "clerk-convex-react";
import { WouterRouter } from "clerk-convex-react/wouter";
import { createElement } from "react";
import { renderToStaticMarkup } from "react-dom/server";
import { defineConfig, loadEnv, type Plugin } from "vite";
import { Router } from "wouter";
import { usersApi } from "./src/config.ts";

const base = "/dashboard/";

// Renders the empty page into the HTML, so that it is visible before any script runs.
const firstPaint = (isManaged: boolean): Plugin => ({
  name: "first-paint",
  transformIndexHtml(html) {
    const page = createElement(PageSkeleton, { page: "users", isManaged });
    const shell = createElement(WouterRouter, { children: createElement(Shell, { children: page }) });
    const router = createElement(Router, { base: "/dashboard", ssrPath: "/dashboard/users", children: shell });
    return html.replace("<!-- first paint -->", () => renderToStaticMarkup(router));
  },
});

// Each VITE_ variable becomes part of the page, which everyone can read.
function checkPublic(env: Record<string, string>): void {
  for (const [name, value] of Object.entries(env)) {
    if (/\bsk_(test|live)_|\bwhsec_|\|/.test(value)) {
      throw new Error(`${name} is a secret, and would be in the page. Set what the README says instead.`);
    }
  }
  const key = env.VITE_CLERK_PUBLISHABLE_KEY;
  if (key && !/^pk_(test|live)_[A-Za-z0-9+/=]+\$?$/.test(key)) {
    throw new Error("VITE_CLERK_PUBLISHABLE_KEY is not a publishable key. Copy it (pk_…) from Clerk, API keys.");
  }
}

export default defineConfig(({ mode }) => {
  const env = loadEnv(mode, import.meta.dirname);
  checkPublic(env);
  return {
    base,
    plugins: [react(), firstPaint(usersApi(env.VITE_CLERK_CONVEX_API) !== null)],
    build: {
      target: "es2023",
      cssTarget: ["chrome123", "firefox120", "safari17.5"], // the first versions with light-dark()
    },
  };
});
