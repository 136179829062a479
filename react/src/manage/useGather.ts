import { useConvex } from "convex/react";
import { useEffect, useRef, useState } from "react";
import { useFunctions, type UsersArgs } from "../functions.ts";
import { useLatest } from "../ui/useLayout.ts";
import { MOST_FOUND, walk, type ReadPage } from "../users/walk.ts";
import { useManaging } from "./context.ts";
import { gather } from "./gather.ts";

export type Gathering = { is: "running"; count: number } | { is: "failed"; error: Error } | { is: "done"; count: number; isCut: boolean };

// Selects all users of a search or a filter, also those that are not loaded. `key` names the search and the filter:
// with another one it stops.
export function useGather(args: UsersArgs, key: string) {
  const convex = useConvex();
  const { getUsers } = useFunctions();
  const { manager, myId } = useManaging();
  const [state, setState] = useState<{ key: string; now: Gathering } | null>(null);
  const running = useRef<AbortController | null>(null);
  useEffect(() => () => running.current?.abort(), [key]);

  const start = useLatest(async () => {
    running.current?.abort();
    const controller = new AbortController();
    running.current = controller;
    const set = (now: Gathering) => {
      if (!controller.signal.aborted) setState({ key, now });
    };
    set({ is: "running", count: 0 });
    try {
      const read: ReadPage = (wanted) => convex.query(getUsers, wanted);
      const onCount = (count: number) => set({ is: "running", count });
      const mostFound = args.search === undefined ? Infinity : MOST_FOUND;
      const { users, isCut } = await gather(walk(read, args, controller.signal), myId, onCount, mostFound);
      if (controller.signal.aborted) return;
      manager.select(users, true);
      set({ is: "done", count: users.length, isCut });
    } catch (error) {
      set({ is: "failed", error: error instanceof Error ? error : new Error(String(error)) });
    }
  });
  const stop = useLatest(() => {
    running.current?.abort();
    setState(null);
  });
  return { gathering: state?.key === key ? state.now : null, start, stop };
}
