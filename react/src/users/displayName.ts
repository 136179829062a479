export type Named = {
  clerkId: string;
  firstName?: string;
  lastName?: string;
  username?: string;
  email?: string;
  phone?: string;
};

// Returns the name that a user is shown by, which is never empty. It matches convex/clerk/users/derived.ts, by which
// Convex sorts names.
export function displayName(user: Named): string {
  const fullName = [user.firstName, user.lastName].filter(Boolean).join(" ");
  return fullName || user.username || user.email || user.phone || user.clerkId;
}
