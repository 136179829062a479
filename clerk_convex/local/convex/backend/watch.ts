// Watches the folder of the functions, so that they are loaded again when a file changes.
import { watch } from "node:fs";
import { sep } from "node:path";

const QUIET_MS = 100; // an editor writes a file in several steps, and a checkout writes many files

// Calls `changed` when the files of a folder have changed and then been left alone for a moment. Changes while it runs
// lead to one more call. Generated files and hidden ones do not count. Returns a function that stops.
export function watchFolder(folder: string, changed: () => Promise<void>): () => void {
  let timer: NodeJS.Timeout | undefined;
  let running = false;
  let again = false;

  async function run(): Promise<void> {
    if (running) {
      again = true;
      return;
    }
    running = true;
    do {
      again = false;
      await changed();
    } while (again);
    running = false;
  }

  const watcher = watch(folder, { recursive: true }, (_event, name) => {
    if (name !== null && /(^|\/)(\.|_generated|node_modules)/.test(name.replaceAll(sep, "/"))) return;
    clearTimeout(timer);
    timer = setTimeout(() => void run(), QUIET_MS);
  });
  watcher.on("error", () => watcher.close()); // the folder is gone
  return () => {
    clearTimeout(timer);
    watcher.close();
  };
}
