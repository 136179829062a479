import { useState } from "react";
import type { Problem, Request } from "./calls.ts";
import { useManaging, useObstacle } from "./context.ts";
import { useWait } from "./Notices.tsx";

// Sends requests whose result is shown beside the button, one at a time. `told` is for the one who asks to set.
export function useAsk() {
  const { manager } = useManaging();
  const obstacle = useObstacle();
  const [busy, setBusy] = useState<string | null>(null); // what was asked for
  const [told, setTold] = useState("");
  const [problem, setProblem] = useState<Problem | null>(null);
  const wait = useWait(problem);

  const clear = () => {
    setTold("");
    setProblem(null);
  };
  // Returns the value, or undefined after a problem.
  const ask = async <Value>(
    what: string,
    request: Request,
    read: (body: any) => Value | undefined,
  ): Promise<Value | undefined> => {
    setBusy(what);
    clear();
    const answer = await manager.ask(request, read);
    setBusy(null);
    if (answer.isDone) return answer.value;
    setProblem(answer);
    return undefined;
  };
  const isOff = busy !== null || obstacle !== null || wait > 0;
  return { ask, busy, clear, isOff, obstacle, problem, setTold, told, wait };
}
