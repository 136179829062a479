"""Measure the dashboard in Chromium on one machine.

    python -m benchmarks.dashboard [--users N] [--changes N] [--json]

An admin has the users page of a local set open. The benchmark renames users of that page at the local Clerk,
one after the other. It measures the milliseconds from the call to the changed row in the document: through
the webhook, its signature, the service's writer, Convex and its websocket. It needs chromium and the built
dashboard.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
import sys
import time

from benchmarks.page import run_command, users_page

# Resolves `window.seen` with the time in Unix milliseconds at which a user's row contains a text.
WATCH = """
([id, text]) => {
  window.seen = new Promise((resolve) => {
    const look = () => {
      if (!document.querySelector(`[data-clerk-id="${id}"]`)?.textContent.includes(text)) return;
      observer.disconnect();
      resolve(performance.timeOrigin + performance.now());
    };
    const observer = new MutationObserver(look);
    observer.observe(document.body, { subtree: true, childList: true, characterData: true });
  });
}
"""


@dataclasses.dataclass(frozen=True)
class Run:
    """The result. Times are in milliseconds."""

    users: int
    changes: int
    median: float
    p95: float
    worst: float


def measure(users: int, changes: int) -> Run:
    with users_page(users) as (stack, page, user_ids):
        shown = page.locator("[data-clerk-id]").evaluate_all("rows => rows.map(row => row.dataset.clerkId)")
        known = [user_id for user_id in shown if user_id in set(user_ids)]
        times = []
        for number in range(changes):
            user_id, name = known[number % len(known)], f"Renamed{number}"
            page.evaluate(WATCH, [user_id, name])
            changed = time.time() * 1000
            stack.clerk.update_user(user_id, first_name=name)
            times.append(page.evaluate("window.seen") - changed)
    times.sort()
    p95 = times[math.ceil(0.95 * changes) - 1]
    return Run(users, changes, statistics.median(times), p95, times[-1])


def report(run: Run) -> str:
    return (
        f"From a change at Clerk to the changed row, {run.changes} times, with {run.users} users: "
        f"median {run.median:.1f} ms, 95 of 100 within {run.p95:.1f} ms, worst {run.worst:.1f} ms"
    )


def main() -> int:
    return run_command("benchmarks.dashboard", __doc__, measure, report, users=200, changes=200)


if __name__ == "__main__":
    sys.exit(main())
