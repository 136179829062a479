"""Count how often mutations conflict because of the totals.

    python -m benchmarks.totals [--calls N] [--json]

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
import collections
import json
import math
import sys
from dataclasses import dataclass

import httpx

from benchmarks.webhook import Model, model

WRITERS = 8
LONG = 1_875  # users of a mutation of 400 ms
SHORT_FOR_LONG = 100  # calls with one user for each mutation of 400 ms
BYTES = 1  # that a user writes: the budget is not what is measured here


@dataclass(frozen=True)
class Counted:
    totals: str  # "deltas": as they are
    commits: int
    conflicts: int
    committed_in_rebuild: int  # of the mutations of 400 ms
    refused_in_rebuild: int


async def write(convex: Model, users: int, calls: int) -> tuple[int, int]:
    """Make `calls` mutations of `users` from each writer. Return how many committed, and were refused."""
    answers = collections.Counter[int]()
    body = {"path": "users:syncUsers", "args": {"changes": [{}] * users}}

    async def writer(http: httpx.AsyncClient) -> None:
        for _ in range(calls):
            answers[(await http.post("/api/mutation", json=body)).status_code] += 1

    async with httpx.AsyncClient(base_url=convex.url, trust_env=False, timeout=60) as http:
        await asyncio.gather(*(writer(http) for _ in range(WRITERS)))
    return answers[200], answers[503]


async def measure(totals: str, calls: int) -> Counted:
    with model(row_bytes=BYTES, totals=totals) as convex:
        commits, _ = await write(convex, 1, calls)
        conflicts = convex.written()["conflicts"]
        convex.rebuild()
        committed, refused = await write(convex, LONG, math.ceil(calls / SHORT_FOR_LONG))
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
    parser.add_argument(
        "--calls",
        type=int,
        default=1000,
        help="of each writer (1000), and a hundredth of that in mutations of 400 ms",
    )
    parser.add_argument("--json", action="store_true", help="the numbers as JSON")
    options = parser.parse_args()
    counted = [asyncio.run(measure(totals, options.calls)) for totals in ("shards", "deltas")]
    sys.stdout.write(json.dumps([vars(it) for it in counted]) + "\n" if options.json else report(counted))
    return 0


if __name__ == "__main__":
    sys.exit(main())
