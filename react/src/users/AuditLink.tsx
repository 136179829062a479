import { useMessages } from "../messages/messages.ts";
import { useOptions } from "../admin/options.ts";
import { useRouter } from "../router/router.tsx";

export function AuditLink({ clerkId }: { clerkId: string }) {
  const { Link } = useRouter();
  const { list } = useMessages();
  const { paths } = useOptions();
  if (paths.audit === null) return null;
  return (
    <Link className="button" href={`${paths.audit}?user=${encodeURIComponent(clerkId)}`}>
      {list.auditLog}
    </Link>
  );
}
