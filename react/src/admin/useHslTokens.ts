import { useState, type RefObject } from "react";
import { useLayout } from "../ui/useLayout.ts";

const NUMBERS = /^\s*-?[\d.]+(deg)?\s+[\d.]+%\s+[\d.]+%/;

// Returns whether the app's tokens are those of shadcn for Tailwind 3, which need hsl() around them. Only the browser
// knows, so the server's HTML has the page's own colours.
export function useHslTokens(root: RefObject<HTMLElement | null>): boolean {
  const [isHsl, setIsHsl] = useState(false);
  useLayout(() => {
    setIsHsl(NUMBERS.test(getComputedStyle(root.current!).getPropertyValue("--background")));
  }, [root]);
  return isHsl;
}
