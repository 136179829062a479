import react from "@vitejs/plugin-react";
import { createElement } from "react";
import { renderToStaticMarkup } from "react-dom/server";
import { defineConfig, type Plugin } from "vite";
import { Router } from "wouter";
import { PageSkeleton } from "./src/frame/PageSkeleton.tsx";

const base = "/dashboard/";

// The page is on the screen, empty, before any script runs.
const firstPaint: Plugin = {
  name: "first-paint",
  transformIndexHtml(html) {
    const page = createElement(PageSkeleton, { page: "users" });
    const router = createElement(Router, { base: "/dashboard", ssrPath: "/dashboard/users", children: page });
    return html.replace("<!-- first paint -->", () => renderToStaticMarkup(router));
  },
};

export default defineConfig({
  base,
  plugins: [react(), firstPaint],
  build: {
    target: "es2023",
    cssTarget: ["chrome123", "firefox120", "safari17.5"], // the first with light-dark()
  },
});
