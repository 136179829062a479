import { Region } from "../ui/Region.tsx";
import { useTitle } from "../ui/useTitle.ts";
import { AuditFilters } from "./AuditFilters.tsx";
import { AuditTable } from "./AuditTable.tsx";
import { useAuditUrl } from "./useAuditUrl.ts";

// The content of the page, within <Admin>.
export function Audit() {
  useTitle("Audit log");
  const { view, setView } = useAuditUrl();
  return (
    <>
      <h1 className="visually-hidden">Audit log</h1>
      <AuditFilters view={view} onChange={setView} />
      <Region title="The audit log could not be loaded" resetKey={view}>
        <AuditTable view={view} onChange={setView} />
      </Region>
    </>
  );
}
