export type Named = {
  clerkId: string;
  firstName?: string;
  lastName?: string;
  username?: string;
  email?: string;
  phone?: string;
};

// Never empty, and what Convex sorts names by (clerk/users/derived.ts there).
export function displayName(user: Named): string {
  const fullName = [user.firstName, user.lastName].filter(Boolean).join(" ");
  return fullName || user.username || user.email || user.phone || user.clerkId;
}
