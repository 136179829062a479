import { useMessages } from "../messages/messages.ts";
import { Region } from "../ui/Region.tsx";
import { useTitle } from "../ui/useTitle.ts";
import { AuditFilters } from "./AuditFilters.tsx";
import { AuditTable } from "./AuditTable.tsx";
import { useAuditUrl } from "./useAuditUrl.ts";

// The content of the page, within <Admin>.
export function Audit() {
  const { audit } = useMessages();
  useTitle(audit.title);
  const { view, setView } = useAuditUrl();
  return (
    <>
      <h1 className="visually-hidden">{audit.title}</h1>
      <AuditFilters view={view} onChange={setView} />
      <Region title={audit.failed} resetKey={view}>
        <AuditTable view={view} onChange={setView} />
      </Region>
    </>
  );
}
