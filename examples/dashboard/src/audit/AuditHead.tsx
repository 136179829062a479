export function AuditHead() {
  return (
    <thead role="rowgroup">
      <tr role="row">
        <th role="columnheader" scope="col" className="col-when">
          When
        </th>
        <th role="columnheader" scope="col" className="col-outcome">
          Outcome
        </th>
        <th role="columnheader" scope="col" className="col-who">
          User
        </th>
        <th role="columnheader" scope="col" className="col-what">
          What
        </th>
        <th role="columnheader" scope="col" className="col-source">
          Source
        </th>
        <th role="columnheader" scope="col" className="col-actor">
          By
        </th>
      </tr>
    </thead>
  );
}
