import { useFormats, useMessages } from "../messages/messages.ts";
import { useConnection, type Connection } from "./useConnection.ts";

export function Live() {
  return <LiveSign connection={useConnection()} />;
}

export function LiveSign({ connection }: { connection: Connection }) {
  const { ui } = useMessages();
  const { clock } = useFormats();
  const text =
    connection.state === "offline" && connection.since !== null
      ? ui.offlineSince(clock(connection.since))
      : ui[connection.state];
  return (
    <div className="live" role="status">
      {/* One element per state, so that nothing moves when a text is longer. */}
      <span
        key={connection.state}
        className={`live-state is-${connection.state}`}
        title={ui[`${connection.state}Title`]}
      >
        <span className="live-dot" aria-hidden="true" />
        {text}
      </span>
    </div>
  );
}
