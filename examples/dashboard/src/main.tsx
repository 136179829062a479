import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./app.tsx";
import { setUp } from "./setup.ts";

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <App setup={setUp()} />
  </StrictMode>,
);
