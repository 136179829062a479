import type { ReactNode } from "react";
import type { UserStatus } from "../functions.ts";
import { useMessages } from "../messages/messages.ts";

const SHAPES: Record<UserStatus, ReactNode> = {
  active: <circle cx="6" cy="6" r="3.5" fill="currentColor" />,
  banned: (
    <path
      d="M6 1.75a4.25 4.25 0 1 1 0 8.5a4.25 4.25 0 0 1 0-8.5zM3 9l6-6"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.5"
    />
  ),
  deprovisioned: (
    <path
      d="M6 1.75a4.25 4.25 0 1 1 0 8.5a4.25 4.25 0 0 1 0-8.5zM4 6h4"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.5"
    />
  ),
  locked: (
    <>
      <rect x="2" y="5" width="8" height="5.5" rx="1.25" fill="currentColor" />
      <path d="M3.75 5V3.75a2.25 2.25 0 0 1 4.5 0V5" fill="none" stroke="currentColor" strokeWidth="1.5" />
    </>
  ),
};

export function StatusShape({ status }: { status: UserStatus }) {
  return (
    <svg
      className={`status-shape is-${status}`}
      viewBox="0 0 12 12"
      width="12"
      height="12"
      aria-hidden="true"
    >
      {SHAPES[status]}
    </svg>
  );
}

export function Status({ status }: { status: UserStatus }) {
  const { ui } = useMessages();
  return (
    <span className={`status is-${status}`}>
      <StatusShape status={status} />
      {ui[status]}
    </span>
  );
}
