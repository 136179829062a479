"""Count how often mutations conflict because of the totals.

    python -m benchmarks.totals [--seconds N] [--json]

Writers change users in a model of a hosted Convex deployment (`benchmarks/model.ts`), which tries a mutation
again that has read what another one changed meanwhile, as Convex does. Three things are counted: the
conflicts for each commit of eight writers with one user at a time; and of mutations that take 400 ms, those
that commit and those that are refused after four retries, while the totals are counted again. Each is
counted for the totals as they are, and for counters in 16 shards with a rebuild that keeps its position in
the document that every mutation reads. Beside the totals nothing conflicts here: each call has users of its
own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from dataclasses import dataclass

import httpx

from benchmarks.webhook import Model, model

WRITERS = 8
LONG = 1_875  # users of a mutation of 400 ms
BYTES = 1  # that a user writes: the budget is not what is measured here


@dataclass(frozen=True)
class Counted:
    totals: str  # "deltas": as they are
    commits: int
    conflicts: int
    committed_in_rebuild: int  # of the mutations of 400 ms
    refused_in_rebuild: int


async def write(convex: Model, users: int, seconds: float) -> tuple[int, int]:
    """Call mutations with `users` each from all writers. Return how many committed, and were refused."""
    answers: list[int] = []
    deadline = time.monotonic() + seconds
    body = {"path": "users:syncUsers", "args": {"changes": [{}] * users}}

    async def writer(http: httpx.AsyncClient) -> None:
        while time.monotonic() < deadline:
            answers.append((await http.post("/api/mutation", json=body)).status_code)

    async with httpx.AsyncClient(base_url=convex.url, trust_env=False, timeout=60) as http:
        await asyncio.gather(*(writer(http) for _ in range(WRITERS)))
    return answers.count(200), answers.count(503)


async def measure(totals: str, seconds: float) -> Counted:
    with model(row_bytes=BYTES, totals=totals) as convex:
        commits, _ = await write(convex, 1, seconds)
        conflicts = convex.written()["conflicts"]
        convex.rebuild()
        committed, refused = await write(convex, LONG, seconds)
    return Counted(totals, commits, conflicts, committed, refused)


def report(counted: list[Counted]) -> str:
    lines = [f"{'totals':<10}{'conflicts a commit':>20}{'400 ms in a rebuild: committed':>32}{'refused':>9}"]
    lines += [
        f"{it.totals:<10}{it.conflicts / max(it.commits, 1):>20.2f}"
        f"{it.committed_in_rebuild:>32}{it.refused_in_rebuild:>9}"
        for it in counted
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.totals",
        description="Count how often mutations conflict because of the totals.",
    )
    parser.add_argument("--seconds", type=float, default=10, help="of each of the four parts (10)")
    parser.add_argument("--json", action="store_true", help="the numbers as JSON")
    options = parser.parse_args()
    counted = [asyncio.run(measure(totals, options.seconds)) for totals in ("shards", "deltas")]
    sys.stdout.write(json.dumps([vars(it) for it in counted]) + "\n" if options.json else report(counted))
    return 0


if __name__ == "__main__":
    sys.exit(main())
