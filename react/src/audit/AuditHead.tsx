import { AUDIT_COLUMNS } from "./cells.ts";

export function AuditHead() {
  return (
    <thead role="rowgroup">
      <tr role="row">
        {AUDIT_COLUMNS.map(({ className, heading }) => (
          <th key={className} role="columnheader" scope="col" className={className}>
            {heading}
          </th>
        ))}
      </tr>
    </thead>
  );
}
