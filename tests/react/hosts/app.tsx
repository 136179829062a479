// What every app here has around the pages: React's StrictMode, Clerk's provider and Convex's.
import { ClerkProvider, useAuth } from "@clerk/react";
import type { PageProps } from "clerk-convex-react";
import { ConvexReactClient } from "convex/react";
import { ConvexProviderWithClerk } from "convex/react-clerk";
import { StrictMode, useMemo, version, type ComponentType } from "react";
import { createRoot } from "react-dom/client";

export const { base = "", convex = "" } = document.documentElement.dataset; // the path of the app; where Convex is

document.documentElement.dataset.react = version;
const client = new ConvexReactClient(convex);

export function start(App: ComponentType): void {
  createRoot(document.getElementById("root")!).render(
    <StrictMode>
      <ClerkProvider publishableKey="pk_test_Y2xlcmsuZXhhbXBsZS5jb20k">
        <ConvexProviderWithClerk client={client} useAuth={useAuth}>
          <App />
        </ConvexProviderWithClerk>
      </ClerkProvider>
    </StrictMode>,
  );
}

export function useProps(): PageProps {
  const { getToken, isSignedIn } = useAuth();
  const session = useMemo(() => ({ getToken, isSignedIn }), [getToken, isSignedIn]);
  return { api: "/api/users", session };
}
