"""Measure how smoothly a long list scrolls in Chromium, while its users change.

    python -m benchmarks.scrolling [--users N] [--seconds N] [--json]

An admin has the users page of a local set open, with the processor slowed down to a quarter. The benchmark
scrolls down all the time, which loads row after row, and changes 25 users a second at the local Clerk. It
reads Chromium's list of tasks that kept the page busy for more than 50 ms. It needs chromium and the built
dashboard.
"""

from __future__ import annotations

import dataclasses
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.page import run_command, users_page
from clerk_convex.local.clerk import LocalClerk

CHANGES = 25  # users changed in a second
SLOWER = 4  # times that Chromium's processor is slowed down
WARM_UP = 2  # seconds after the first rows in which nothing is measured
STEP = 0.05  # seconds between two turns of the wheel
LEAST_CHANGES = 3  # with fewer, or without a further row, a run goes on
PATIENCE = 60  # seconds that it goes on at most
WATCH = """
window.tasks = [];
new PerformanceObserver((list) => {
  for (const { duration } of list.getEntries()) window.tasks.push(duration);
}).observe({ type: "longtask" });
"""
SHOWN = "[...document.querySelectorAll('[data-clerk-id]')].map(row => row.dataset.clerkId)"
LAST = """
Math.max(...[...document.querySelectorAll("[aria-rowindex]")].map(row => +row.getAttribute("aria-rowindex")))
"""


@dataclasses.dataclass(frozen=True)
class Run:
    """The result. Times are in milliseconds of the slowed page."""

    users: int
    seconds: float
    changes: int
    scrolled: int  # rows
    most_rows: int  # in the document
    over_50: int
    over_100: int
    worst: float


@contextmanager
def changes(clerk: LocalClerk, shown: list[str]) -> Iterator[list[str]]:
    """Rename users of `shown` in a thread, one after the other. The list has the ids of the renamed ones."""
    stopped = threading.Event()
    changed: list[str] = []

    def run() -> None:
        started = time.monotonic()
        while not stopped.wait(max(0.0, started + len(changed) / CHANGES - time.monotonic())):
            user_id = shown[len(changed) % len(shown)]
            clerk.update_user(user_id, first_name=f"Renamed{len(changed)}")
            changed.append(user_id)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield changed
    finally:
        stopped.set()
        thread.join()


def measure(users: int, seconds: float) -> Run:
    with users_page(users) as (stack, page, _):
        page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
        page.mouse.move(400, 500)
        time.sleep(WARM_UP)
        page.evaluate(WATCH)
        shown: list[str] = page.evaluate(SHOWN)
        most_rows, first = len(shown), min(page.evaluate(LAST), users)
        with changes(stack.clerk, shown) as changed:

            def is_measured() -> bool:
                return len(changed) >= LEAST_CHANGES and page.evaluate(LAST) > first

            started = time.monotonic()
            while (took := time.monotonic() - started) < seconds or (
                took < seconds + PATIENCE and not is_measured()
            ):
                page.mouse.wheel(0, 400)
                shown[:] = page.evaluate(SHOWN)
                most_rows = max(most_rows, len(shown))
                time.sleep(STEP)
        tasks = page.evaluate("window.tasks")
        scrolled = page.evaluate(LAST)
    over_100 = sum(task > 100 for task in tasks)
    worst = max(tasks, default=0.0)
    return Run(users, took, len(changed), scrolled, most_rows, len(tasks), over_100, worst)


def report(run: Run) -> str:
    return (
        f"Scrolled through {run.scrolled:,} of {run.users:,} users in {run.seconds:.0f} s, "
        f"with {run.changes} changes and a processor {SLOWER} times slower: {run.over_50} tasks over 50 ms, "
        f"{run.over_100} over 100 ms, the worst {run.worst:.0f} ms; "
        f"at most {run.most_rows} rows in the document"
    )


def main() -> int:
    return run_command("benchmarks.scrolling", __doc__, measure, report, users=5000, seconds=20.0)


if __name__ == "__main__":
    sys.exit(main())
