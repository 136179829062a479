// Words of the frame: the header, the navigation and the menu of one's own account.
export const frame = {
  title: "Dashboard",
  pages: "Pages",
  users: "Users",
  audit: "Audit log",
  invitations: "Invitations",
  account: (name: string) => `Your account: ${name}`,
  role: (role: string) => `Role: ${role}`,
  switchAccount: "Switch account",
  signOut: "Sign out",
  stillSignedIn: "Clerk cannot be reached, so you are still signed in. Try again.",
};
