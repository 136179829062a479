// Words of the parts that all pages use.
export const ui = {
  active: "Active",
  banned: "Banned",
  deprovisioned: "Deprovisioned",
  locked: "Locked",
  none: "none", // read out where a cell is empty
  unknownTime: "unknown",
  close: "Close",
  dismiss: "Dismiss",
  retry: "Retry",
  copy: (label: string) => `Copy ${label}`,
  copied: "Copied",
  notCopied: "Could not copy",
  loadMore: "Load more",
  loading: "Loading…",
  live: "Live",
  connecting: "Connecting…",
  offline: "Offline",
  offlineSince: (clock: string) => `Offline since ${clock}`,
  liveTitle: "Changes appear here as they happen.",
  connectingTitle: "The connection to Convex is being made.",
  offlineTitle: "This is the state of that time. The page continues by itself when the connection is back.",
};
