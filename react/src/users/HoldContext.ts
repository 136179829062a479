import { createContext, useContext } from "react";
import type { Hold } from "./HeldList.ts";

// How the parts of a row keep the list still, and say what happened to it. null: there is no list.
type Holding = { hold: Hold; tell: (text: string) => void };

const HoldContext = createContext<Holding | null>(null);
export const HoldProvider = HoldContext.Provider;

export function useHold(): Holding | null {
  return useContext(HoldContext);
}
