import { Link } from "wouter";

export function AuditLink({ clerkId }: { clerkId: string }) {
  return (
    <Link className="button" href={`/audit?user=${encodeURIComponent(clerkId)}`}>
      Audit log of this user
    </Link>
  );
}
