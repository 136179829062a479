const ADMIN = "admin"; // the role that convex/clerk/access.ts takes for an admin's

// A role. That of admins stands out, by its weight and shape as well as its colour.
export function Role({ role }: { role: string }) {
  return (
    <span className={role === ADMIN ? "tag is-admin truncate" : "tag truncate"} dir="auto" title={role}>
      {role}
    </span>
  );
}
