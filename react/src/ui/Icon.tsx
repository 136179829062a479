import type { ReactNode } from "react";

type Props = { children: ReactNode; size?: number };

// An icon of lines on a grid of 16 by 16, in the colour of the text. It is decoration: its meaning is in the text
// beside it or in the label of its button.
export function Icon({ children, size = 14 }: Props) {
  return (
    <svg
      className="icon"
      viewBox="0 0 16 16"
      width={size}
      height={size}
      fill="none"
      stroke="currentColor"
      strokeWidth="1.5"
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
    >
      {children}
    </svg>
  );
}
