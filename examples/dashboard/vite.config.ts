import react from "@vitejs/plugin-react";
import { createElement } from "react";
import { renderToStaticMarkup } from "react-dom/server";
import { defineConfig, loadEnv, type Plugin } from "vite";
import { Router } from "wouter";
import { usersApi } from "./src/config.ts";
import { PageSkeleton } from "./src/frame/PageSkeleton.tsx";

const base = "/dashboard/";

// The page is on the screen, empty, before any script runs.
const firstPaint = (isManaged: boolean): Plugin => ({
  name: "first-paint",
  transformIndexHtml(html) {
    const page = createElement(PageSkeleton, { page: "users", isManaged });
    const router = createElement(Router, { base: "/dashboard", ssrPath: "/dashboard/users", children: page });
    return html.replace("<!-- first paint -->", () => renderToStaticMarkup(router));
  },
});

export default defineConfig(({ mode }) => ({
  base,
  plugins: [react(), firstPaint(usersApi(loadEnv(mode, import.meta.dirname).VITE_CLERK_CONVEX_API) !== null)],
  build: {
    target: "es2023",
    cssTarget: ["chrome123", "firefox120", "safari17.5"], // the first with light-dark()
  },
}));
