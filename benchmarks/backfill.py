"""Measure the backfill on one machine.

    python -m benchmarks.backfill [--users 100000,1000000] [--loop N] [--limits] [--app RATE] [--pace MIB]
        [--concurrency N] [--json]

The backfill reads from a Clerk with generated users (`benchmarks/clerk.ts`: 150 ms a page, one sign-up per
second) and writes to a model of a hosted Convex deployment (`benchmarks/model.ts`: 25 ms a mutation and
0.2 ms a row, 16 at once). Each of the three runs in its own process. The secret key has the form of a
production key. For comparison, the same run measures the usual script: one `ConvexClient.mutation` for each
of N users (`benchmarks/peers/mutation_loop.py`).

Without limits the backfill is told to write as fast as it can (`--pace 1000`). With `--limits` the model
refuses and conflicts as Convex does, and the backfill keeps to its usual pace, half of what may be written
per second; another `--pace` shows what it would cost. `--app 200` adds an app that makes 200 small mutations
per second. The report has how many of these were refused.

The report has the users per second, and the command's CPU time per user and peak resident memory. The exit
status is 1 if the model did not receive one row for each user. A missed target does not change it.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, cast

from benchmarks.costs import CREATED_AT, upsert
from benchmarks.webhook import HERE, NODE, Target, child, first_line, model, numbers
from clerk_convex.convex.pace import cost_of
from clerk_convex.entities.changes import encode
from clerk_convex.local.clerk.objects import new_user

KEY = "sk_live_benchmark00000000000"


@dataclasses.dataclass(frozen=True)
class Run:
    users: int
    rows: int
    mutations: int
    conflicts: int
    refused: Mapping[str, int]
    app_calls: int
    app_refused: int
    app_slowest_ms: float
    seconds: float
    users_per_second: float
    cpu_us: float
    memory_mb: float
    loop_users_per_second: float
    has_limits: bool = False


def pattern() -> bytes:
    """Return a user of Clerk's size and shape, as one line of JSON."""
    user = new_user(
        {
            "id": "USER",
            "first_name": "Someone",
            "last_name": "of the benchmark",
            "email_address": ["USER@users.example"],
            "public_metadata": {"role": "member", "plan": "free", "teams": ["one", "two"]},
        },
        lambda prefix: f"{prefix}_{'0' * 27}",
        1_111_111_111_111,
    )
    return json.dumps(user).encode() + b"\n"


@contextlib.contextmanager
def clerk(users: int) -> Iterator[str]:
    """Run the generated Clerk and yield its URL."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with child([str(NODE), str(HERE / "clerk.ts"), str(users)], {}, **pipes) as process:
        stdin = cast("IO[bytes]", process.stdin)
        stdin.write(pattern())
        stdin.flush()
        yield f"http://127.0.0.1:{first_line(process)}"


def bytes_of_a_user() -> int:
    """Return the bytes that a new user writes in the limited model, as benchmarks/costs.py counts it."""
    return cost_of(encode(upsert(json.loads(pattern()), CREATED_AT, "backfill")))


def measure(
    users: int,
    loop: int,
    row_bytes: int = 0,
    app_rate: float = 0,
    pace: str | None = None,
    concurrency: int | None = None,
) -> Run:
    with clerk(users) as clerk_url, model(row_bytes=row_bytes, app_rate=app_rate) as convex:
        env = {
            "CLERK_API_URL": clerk_url,
            "CLERK_SECRET_KEY": KEY,
            "CONVEX_URL": convex.url,
            "CONVEX_DEPLOY_KEY": "prod:benchmark|key",
        }
        command = [sys.executable, "-m", "clerk_convex.backfill", "--json", "--quiet"]
        command += [] if pace is None else ["--pace", pace]
        command += [] if concurrency is None else ["--concurrency", str(concurrency)]
        with child(command, env, stdout=subprocess.PIPE) as process:
            output = cast("IO[bytes]", process.stdout).read()
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise SystemExit(f"benchmarks: the backfill ended with {process.returncode}")
        seconds = json.loads(output)["seconds"]
        written, app = convex.written(), convex.app()
        command = [sys.executable, "-m", "benchmarks.peers.mutation_loop", str(min(loop, users))]
        with child(command, env, stdout=subprocess.PIPE) as process:
            looped = float(first_line(process))
        return Run(
            users=users,
            seconds=seconds,
            users_per_second=users / seconds,
            cpu_us=(used.ru_utime + used.ru_stime) / users * 1e6,
            memory_mb=used.ru_maxrss / 1024,
            loop_users_per_second=looped,
            app_calls=app["calls"],
            app_refused=app["refused"],
            app_slowest_ms=app["slowest_ms"],
            has_limits=row_bytes > 0,
            **written,
        )


def targets(runs: Sequence[Run]) -> list[Target]:
    found = [
        Target(
            f"{run.users:,} users: at least 20,000 a second",
            run.users_per_second,
            run.users_per_second >= 20_000,
        )
        for run in runs
        if run.users >= 100_000 and not run.has_limits
    ]
    found += [
        Target(
            f"{run.users:,} users: less than 1 of 1,000 of the app's mutations refused",
            run.app_refused,
            run.app_refused * 1000 < run.app_calls,
        )
        for run in runs
        if run.app_calls
    ]
    found += [
        Target(f"{run.users:,} users: below 150 MB", run.memory_mb, run.memory_mb < 150)
        for run in runs
        if run.users >= 100_000
    ]
    return found


def report(runs: Sequence[Run]) -> str:
    columns = ["users", "rows", "mutations", "seconds", "users/s", "CPU us/user", "peak MB"]
    columns += ["one mutation a user, users/s"]
    lines = [f"| {' | '.join(columns)} |", "|" + " --: |" * len(columns)]
    for run in runs:
        values = [f"{run.users:,}", f"{run.rows:,}", f"{run.mutations:,}", f"{run.seconds:.1f}"]
        values += [f"{run.users_per_second:,.0f}", f"{run.cpu_us:.0f}", f"{run.memory_mb:.0f}"]
        values += [f"{run.loop_users_per_second:.0f}"]
        lines.append(f"| {' | '.join(values)} |")
    lines.append("")
    lines += [
        f"{run.users:,} users: {run.conflicts:,} conflicts tried again, calls refused {dict(run.refused)}; of"
        f" the app {run.app_refused:,} of {run.app_calls:,} refused, the slowest {run.app_slowest_ms:,.0f} ms"
        for run in runs
        if any(run.refused.values()) or run.app_calls
    ]
    lines += [f"WRONG   {run.rows:,} rows of {run.users:,} users" for run in runs if run.rows != run.users]
    lines += [
        f"{'met   ' if target.met else 'MISSED'}  {target.name} ({target.measured:,.0f})"
        for target in targets(runs)
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.backfill", description="Measure the backfill.")
    parser.add_argument("--users", type=numbers, default=[100_000, 1_000_000], help="default: 100000,1000000")
    parser.add_argument("--loop", type=int, default=500, help="users of the usual script (default: 500)")
    parser.add_argument("--limits", action="store_true", help="give the model Convex's own limits")
    parser.add_argument("--app", type=float, default=0, help="small mutations per second of an app beside it")
    parser.add_argument(
        "--pace", metavar="MIB", help="of the backfill (default: 1000; with --limits its own)"
    )
    parser.add_argument("--concurrency", type=int, help="that of the backfill (default: its own)")
    parser.add_argument("--json", action="store_true", help="print all measurements as JSON")
    options = parser.parse_args()
    row_bytes = bytes_of_a_user() if options.limits else 0
    pace = options.pace or (None if options.limits else "1000")
    runs = [
        measure(users, options.loop, row_bytes, options.app, pace, options.concurrency)
        for users in options.users
    ]
    if options.json:
        found = [dataclasses.asdict(target) for target in targets(runs)]
        result = {"runs": [dataclasses.asdict(run) for run in runs], "targets": found}
        sys.stdout.write(json.dumps(result, indent=2) + "\n")
    else:
        sys.stdout.write(report(runs) + "\n")
    return 0 if all(run.rows == run.users for run in runs) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
