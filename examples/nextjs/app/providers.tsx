"use client";
// The providers that an app with Clerk and Convex has already.
import { ClerkProvider, useAuth } from "@clerk/react";
import { ConvexProviderWithAuth, ConvexReactClient } from "convex/react";
import { ConvexProviderWithClerk } from "convex/react-clerk";
import type { ReactNode } from "react";

const KEY = process.env.NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY;
const client = new ConvexReactClient(process.env.NEXT_PUBLIC_CONVEX_URL ?? "https://happy-animal-123.convex.cloud");

export function Providers({ children }: { children: ReactNode }) {
  if (KEY === undefined) return <Nobody>{children}</Nobody>;
  return (
    <ClerkProvider publishableKey={KEY}>
      <ConvexProviderWithClerk client={client} useAuth={useAuth}>
        {children}
      </ConvexProviderWithClerk>
    </ClerkProvider>
  );
}

const nobody = { isLoading: false, isAuthenticated: false, fetchAccessToken: async () => null };

// Without a key of Clerk nobody can sign in, and the page says so.
function Nobody({ children }: { children: ReactNode }) {
  return (
    <ConvexProviderWithAuth client={client} useAuth={() => nobody}>
      {children}
    </ConvexProviderWithAuth>
  );
}
