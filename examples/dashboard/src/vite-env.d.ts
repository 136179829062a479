// The variables of the build; see config.ts.
interface ImportMetaEnv {
  readonly VITE_CONVEX_URL?: string;
  readonly VITE_CLERK_PUBLISHABLE_KEY?: string;
  readonly VITE_CONVEX_USERS_MODULE?: string;
  readonly VITE_CLERK_CONVEX_API?: string;
}
