import { useConvex } from "convex/react";
import { useEffect, useRef, useState } from "react";
import { useOptions } from "../admin/options.ts";
import { useFunctions, type UsersArgs } from "../functions.ts";
import { csvHead, csvName, csvRows } from "./csv.ts";
import { MOST_FOUND, walk } from "./walk.ts";

export type CsvState =
  | { is: "running"; count: number }
  | { is: "done"; count: number; name: string; isCut: boolean } // isCut: there may be more
  | { is: "failed"; error: Error };

export type Csv = {
  state: CsvState | null;
  start: (args: UsersArgs) => void;
  stop: () => void; // cancels, and takes the result away
};

// Downloads the users of a search or a filter as a file.
export function useCsv(): Csv {
  const convex = useConvex();
  const { getUsers } = useFunctions();
  const { columns } = useOptions();
  const [state, setState] = useState<CsvState | null>(null);
  const running = useRef<AbortController | null>(null);
  useEffect(() => () => running.current?.abort(), []);

  const stop = () => {
    running.current?.abort();
    setState(null);
  };
  const start = (args: UsersArgs) => {
    running.current?.abort();
    const controller = new AbortController();
    running.current = controller;
    const set = (now: CsvState) => {
      if (!controller.signal.aborted) setState(now);
    };
    set({ is: "running", count: 0 });
    const write = async () => {
      const own = columns.map(({ name }) => name);
      // A Blob for each page: the browser may keep it outside of the memory of the page.
      const parts = [new Blob([csvHead(own)])];
      let count = 0;
      for await (const users of walk((wanted) => convex.query(getUsers, wanted), args, controller.signal)) {
        parts.push(new Blob([csvRows(users, own)]));
        count += users.length;
        set({ is: "running", count });
      }
      const name = csvName(new Date());
      save(new Blob(parts, { type: "text/csv;charset=utf-8" }), name);
      set({ is: "done", count, name, isCut: args.search !== undefined && count >= MOST_FOUND });
    };
    write().catch((error: unknown) => set({ is: "failed", error: error instanceof Error ? error : new Error(String(error)) }));
  };
  return { state, start, stop };
}

const KEPT_MS = 60_000; // a browser may begin to read the file after it has asked where to put it

function save(blob: Blob, name: string): void {
  const url = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), KEPT_MS);
}
