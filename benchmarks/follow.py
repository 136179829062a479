"""Measure how soon a change at Clerk is in Convex when webhooks are lost, all or some of them.

    python -m benchmarks.follow [--every 5] [--rounds 6] [--users 1000] [--lost 1] [--kill] [--json]

A local Clerk, a local Convex, and two processes of `clerk-convex follow`. In each round each kind of change
happens once, to a user of its own and at a random moment of an interval. The benchmark measures the time
from the answer of Clerk to the changed row, by the clock on the wall. With `--lost 0.5` the webhooks of half
of the changes reach the webhook route in a process of its own. With `--kill` the follower that works is
killed with -9 after half of the rounds; the other one takes over when the lease has expired, an interval and
15 s after it was last renewed.

The exit status is 1 if a change was not in Convex a minute after the last round.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import httpx

from benchmarks.webhook import HERE, SECRET, child, server
from clerk_convex.local.clerk import LocalClerk
from clerk_convex.local.clerk.svix import Delivery
from clerk_convex.local.convex import LocalConvex

SEED = 12
LOOK = 0.05  # seconds between two looks at the table
PATIENCE = 60.0  # seconds after the last round
PAGE = 1000.0  # rows
SPARE = 5.0  # seconds beside the intervals that a change may take
LEASE = 15.0  # seconds for which a killed follower keeps the lease, beside an interval
INTERVALS = {"deletion": 3}  # that a kind of change may take; the others one

Row = Mapping[str, Any]
Change = Callable[[LocalClerk, str], object]
"""Makes a change of a user."""
Seen = Callable[[Row | None], bool]
"""Whether the row has the change."""

KINDS: Mapping[str, tuple[Change, Seen]] = {
    "edit": (
        lambda clerk, user: clerk.update_user(user, first_name="Ada"),
        lambda row: _is(row, "firstName", "Ada"),
    ),
    "promotion": (
        lambda clerk, user: clerk.update_metadata(user, public_metadata={"role": "admin"}),
        lambda row: _is(row, "role", "admin"),
    ),
    "demotion": (
        lambda clerk, user: clerk.update_metadata(user, public_metadata={"role": "member"}),
        lambda row: _is(row, "role", "member"),
    ),
    "ban": (lambda clerk, user: clerk.ban(user), lambda row: _is(row, "status", "banned")),
    "lock": (lambda clerk, user: clerk.lock(user), lambda row: _is(row, "status", "locked")),
    "deprovision": (
        lambda clerk, user: clerk.deprovision(user),
        lambda row: _is(row, "status", "deprovisioned"),
    ),
    "sign-in": (
        lambda clerk, user: clerk.sign_in(user),
        lambda row: row is not None and "lastSignInAt" in row,
    ),
    "deletion": (lambda clerk, user: clerk.delete_user(user), lambda row: row is None),
}
SIGN_UP = "sign-up"  # the only kind that has no user before


@dataclasses.dataclass(frozen=True)
class Latency:
    """The seconds from a change of one kind at Clerk to its row in Convex."""

    kind: str
    changes: int
    median: float
    worst: float
    lost: int


@dataclasses.dataclass(frozen=True)
class Run:
    every: float
    users: int
    lost: float
    killed: bool
    latencies: list[Latency]


@dataclasses.dataclass(frozen=True)
class _Planned:
    at: float
    kind: str
    user: str


class _Rows:
    """The rows in Convex, by Clerk id."""

    def __init__(self, convex: LocalConvex) -> None:
        headers = {"Authorization": f"Convex {convex.deploy_key}"}
        self._http = httpx.Client(base_url=convex.url, headers=headers, trust_env=False, timeout=30)

    def close(self) -> None:
        self._http.close()

    def all(self) -> dict[str, Row]:
        found: dict[str, Row] = {}
        cursor = None
        while True:
            # The newest first, so that rows which are created meanwhile move none to another page.
            options = {"numItems": PAGE, "cursor": cursor}
            body = {"path": "users:exportUsers", "args": {"paginationOpts": options, "order": "desc"}}
            answer = self._http.post("/api/query", json=body).raise_for_status().json()
            found |= {row["clerkId"]: row for row in answer["value"]["page"]}
            if answer["value"]["isDone"]:
                return found
            cursor = answer["value"]["continueCursor"]


def _is(row: Row | None, column: str, value: object) -> bool:
    return row is not None and row.get(column) == value


def plan(ids: Sequence[str], every: float, rounds: int) -> list[_Planned]:
    """Return the changes in the order of their times, which are seconds. The first users are admins."""
    dice = random.Random(SEED)
    admins, others = iter(ids[:rounds]), iter(ids[rounds:])
    changes = [
        _Planned((number + dice.random()) * every, kind, next(admins if kind == "demotion" else others))
        for number in range(rounds)
        for kind in (*KINDS, SIGN_UP)
    ]
    return sorted(changes, key=lambda planned: planned.at)


def measure(every: float, rounds: int, users: int, *, lost: float, kill: bool) -> Run:
    with ExitStack() as parts:
        clerk = parts.enter_context(LocalClerk(rate_limit=0, secret_key="sk_live_" + "0" * 20))
        convex = parts.enter_context(LocalConvex(project=HERE.parent))
        rows = _Rows(convex)
        parts.callback(rows.close)
        made = clerk.create_users(
            {
                "username": f"user{number}",
                "public_metadata": {"role": "admin" if number < rounds else "member"},
            }
            for number in range(users)
        )
        env = {
            "CLERK_SECRET_KEY": clerk.secret_key,
            "CLERK_API_URL": clerk.url,
            "CONVEX_URL": convex.url,
            "CONVEX_DEPLOY_KEY": convex.deploy_key,
        }
        command = [sys.executable, "-m", "clerk_convex", "follow", "--quiet", "--every", f"{every:g}"]
        working = parts.enter_context(child(command, env, stdout=subprocess.DEVNULL))
        while len(rows.all()) < users:
            time.sleep(LOOK)
        parts.enter_context(child(command, env, stdout=subprocess.DEVNULL))
        if lost < 1:
            _, port = parts.enter_context(server("ours", convex.url, env))
            clerk.webhooks.add_endpoint(f"http://127.0.0.1:{port}/webhooks/clerk", SECRET)
            clerk.webhooks.delivery = Delivery(lost=lost)
        half = every * rounds / 2 if kill else float("inf")
        waiting = _play(clerk, rows, plan([user["id"] for user in made], every, rounds), half, working.kill)
        return Run(every, users, lost, kill, list(_latencies(waiting)))


def _play(
    clerk: LocalClerk, rows: _Rows, planned: Sequence[_Planned], half: float, kill: Callable[[], None]
) -> dict[str, list[float]]:
    """Make the changes, and return the seconds that each took, by kind; infinite for one that was lost."""
    taken: dict[str, list[float]] = {}
    left = list(planned)
    waiting: list[tuple[str, Seen, str, float]] = []
    started = time.monotonic()
    until = started + planned[-1].at + PATIENCE
    while (left or waiting) and time.monotonic() < until:
        if time.monotonic() - started >= half:
            kill()
            half = float("inf")
        while left and left[0].at <= time.monotonic() - started:
            change = left.pop(0)
            if change.kind == SIGN_UP:
                seen: Seen = _exists
                user = clerk.create_user()["id"]
            else:
                make, seen = KINDS[change.kind]
                user = change.user
                make(clerk, user)
            waiting.append((change.kind, seen, user, time.monotonic()))
        table = rows.all()
        now = time.monotonic()
        for one in list(waiting):
            kind, seen, user, since = one
            if seen(table.get(user)):
                taken.setdefault(kind, []).append(now - since)
                waiting.remove(one)
        time.sleep(LOOK)
    for kind, _, _, _ in waiting:
        taken.setdefault(kind, []).append(float("inf"))
    return taken


def _exists(row: Row | None) -> bool:
    return row is not None


def _latencies(taken: Mapping[str, Sequence[float]]) -> Iterator[Latency]:
    for kind in (SIGN_UP, *KINDS):
        times = taken.get(kind, ())
        found = [seconds for seconds in times if seconds < float("inf")]
        median, worst = (statistics.median(found), max(found)) if found else (0.0, 0.0)
        yield Latency(kind, len(times), median, worst, len(times) - len(found))


def report(run: Run) -> str:
    which = "All webhooks" if run.lost == 1 else f"{run.lost:.0%} of the webhooks"
    title = f"{which} lost, {run.users:,} users, an interval of {run.every:g} s"
    if run.killed:
        title += ", the follower killed with -9"
    lines = [
        title + ":",
        "",
        "| | changes | median s | worst s | worst, in intervals |",
        "| :-- | --: | --: | --: | --: |",
    ]
    lines += [
        f"| {one.kind} | {one.changes} | {one.median:.1f} | {one.worst:.1f} | {one.worst / run.every:.1f} |"
        for one in run.latencies
    ]
    lines.append("")
    for one in run.latencies:
        intervals = INTERVALS.get(one.kind, 1)
        bound = intervals * run.every + SPARE + (run.every + LEASE if run.killed else 0)
        state = "met   " if one.worst <= bound and not one.lost else "MISSED"
        lines.append(f"{state}  {one.kind}: within {bound:g} s ({one.worst:.1f})")
    lines += [f"LOST    {one.lost} of {one.kind}" for one in run.latencies if one.lost]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.follow", description="Measure how soon a follower finds a change."
    )
    parser.add_argument("--every", type=float, default=5.0, help="seconds of an interval (default: 5)")
    parser.add_argument("--rounds", type=int, default=6, help="changes of each kind (default: 6)")
    parser.add_argument("--users", type=int, default=1000, help="users before the changes (default: 1000)")
    parser.add_argument(
        "--lost", type=float, default=1.0, help="the part of the webhooks, 0 to 1 (default: 1)"
    )
    parser.add_argument("--kill", action="store_true", help="kill the follower that works with -9 meanwhile")
    parser.add_argument("--json", action="store_true", help="print all measurements as JSON")
    options = parser.parse_args(arguments)
    run = measure(
        options.every,
        options.rounds,
        max(options.users, options.rounds * (len(KINDS) + 1)),
        lost=options.lost,
        kill=options.kill,
    )
    sys.stdout.write((json.dumps(dataclasses.asdict(run)) if options.json else report(run)) + "\n")
    return 1 if any(one.lost for one in run.latencies) else 0


if __name__ == "__main__":
    sys.exit(main())
