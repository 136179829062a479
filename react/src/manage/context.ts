import { createContext, useContext, useSyncExternalStore } from "react";
import { useMessages } from "../messages/messages.ts";
import { useConnection } from "../ui/useConnection.ts";
import { useSteady } from "../ui/useSteady.ts";
import { Manager, type State } from "./Manager.ts";

export type Managing = { manager: Manager; myId: string };

const ManagerContext = createContext<Managing | null>(null);
export const ManagerProvider = ManagerContext.Provider;

export function useManaging(): Managing {
  const managing = useContext(ManagerContext);
  if (managing === null) throw new Error("useManaging: there is no ManageProvider around this component.");
  return managing;
}

// Subscribes to a part of the state. `pick` must return the same object until that part changes.
export function useManaged<Value>(pick: (state: State) => Value): Value {
  const { manager } = useManaging();
  const read = () => pick(manager.state);
  return useSyncExternalStore(manager.subscribe, read, read);
}

// Returns why no action is possible at the moment, or null if actions are possible. It does not
// change while a button is pressed: what was offered is done, or the service’s answer says why not.
export function useObstacle(): string | null {
  const outage = useManaged((state) => state.outage);
  const { state } = useConnection();
  const { ui } = useMessages();
  return useSteady(state === "offline" ? ui.noConvex : outage);
}
