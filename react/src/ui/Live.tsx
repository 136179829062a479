import { useConnection, type Connection } from "./useConnection.ts";

const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });

const EXPLANATIONS = {
  live: "Changes appear here as they happen.",
  connecting: "The connection to Convex is being made.",
  offline: "This is the state of that time. The page continues by itself when the connection is back.",
};

export function Live() {
  return <LiveSign connection={useConnection()} />;
}

export function LiveSign({ connection }: { connection: Connection }) {
  return (
    <div className="live" role="status">
      {/* One element per state, so that nothing moves when a text is longer. */}
      <span
        key={connection.state}
        className={`live-state is-${connection.state}`}
        title={EXPLANATIONS[connection.state]}
      >
        <span className="live-dot" aria-hidden="true" />
        {text(connection)}
      </span>
    </div>
  );
}

function text(connection: Connection): string {
  if (connection.state === "live") return "Live";
  if (connection.state === "connecting") return "Connecting…";
  return connection.since === null ? "Offline" : `Offline since ${clock.format(connection.since)}`;
}
