// Words of the changes that were refused.
import type { ReactNode } from "react";

export const refusals = {
  title: (count: number, text: string, isMore: boolean) =>
    `Changes of ${count === 1 ? "1 user" : `${isMore ? "over " : ""}${text} users`} were refused`,
  text: (command: ReactNode): ReactNode => (
    <>
      The rows of these users are not up to date. When the cause is removed, the next change of a user, the nightly run or{" "}
      {command} writes them.
    </>
  ),
  times: (count: number, text: string) => (count === 1 ? "once" : `${text} times`),
};
