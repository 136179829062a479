import { useMessages } from "../messages/messages.ts";
import { AUDIT_COLUMNS } from "./cells.ts";

export function AuditHead() {
  const { audit } = useMessages();
  return (
    <thead role="rowgroup">
      <tr role="row">
        {AUDIT_COLUMNS.map(({ className, heading }) => (
          <th key={className} role="columnheader" scope="col" className={className}>
            {heading === "details" ? <span className="visually-hidden">{audit.details}</span> : audit[heading]}
          </th>
        ))}
      </tr>
    </thead>
  );
}
