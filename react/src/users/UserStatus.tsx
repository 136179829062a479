import type { UserSummary } from "../functions.ts";
import { Status } from "../ui/Status.tsx";
import type { Manage } from "./manage.ts";

export function UserStatus({ user, manage }: { user: UserSummary; manage: Manage | undefined }) {
  const status = <Status status={user.status} />;
  return manage === undefined ? status : <manage.Progress user={user}>{status}</manage.Progress>;
}
