"""Count what a user costs in Convex: bytes and index entries written, and documents and bytes read.

    python -m benchmarks.costs [--json]

The functions of `convex/` run in the local Convex, whose meter adds up what Convex's backend would write
(`clerk_convex/local/convex/backend/meter.ts`). Convex bills these bytes and limits them per second. The
changes are those of a typical user of the local Clerk, one webhook at a time. The numbers are counts, so
they are the same on every machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from pydantic import SecretStr

from benchmarks.webhook import HERE
from clerk_convex.backfill.nightly import nightly
from clerk_convex.entities import Change, Delete, Source, Upsert, read_user
from clerk_convex.entities.changes import encode
from clerk_convex.local.clerk import LocalClerk
from clerk_convex.local.clerk.objects import new_user
from clerk_convex.local.convex import LocalConvex
from clerk_convex.settings import Settings

MINUTE = 60_000.0  # milliseconds
PAGE = 500  # users that a nightly run compares in one call
BATCH = 100  # users that a run writes in one mutation
CREATED_AT = 1_790_000_000_000.0  # Unix milliseconds
FOLDS = "const MOST_FOLDS = 1 / 8;"  # the share of changes, at most, that schedule a fold


@dataclass(frozen=True)
class Cost:
    """The bytes, documents and index entries that one step has written and read in Convex."""

    bytes_written: int
    documents_written: int
    entries_written: int
    bytes_read: int
    documents_read: int


class Convex:
    """The functions of `convex/` in a local Convex with a meter."""

    def __init__(self, convex: LocalConvex) -> None:
        self._convex = convex
        headers = {"Authorization": f"Convex {convex.deploy_key}", "Content-Type": "application/json"}
        self.url, self.deploy_key = convex.url, convex.deploy_key
        self._http = httpx.Client(base_url=convex.url, headers=headers, trust_env=False, timeout=60)

    def close(self) -> None:
        self._http.close()

    def clear(self) -> None:
        self._convex.clear()

    def sync(self, *changes: Change) -> None:
        body = b'{"path":"users:syncUsers","args":{"changes":[' + b",".join(map(encode, changes)) + b"]}}"
        answer = self._http.post("/api/mutation", content=body).raise_for_status().json()
        if answer["status"] != "success":
            raise RuntimeError(answer["errorMessage"])

    def cost(self, step: Callable[[], None]) -> Cost:
        self._convex.metered()
        step()
        metered = self._convex.metered()
        return Cost(
            metered["bytesWritten"],
            metered["documentsWritten"],
            metered["entriesWritten"],
            metered["bytesRead"],
            metered["documentsRead"],
        )


def typical_user(number: int = 0, **changes: object) -> dict[str, Any]:
    """Return a user as Clerk has many: a name, an address, a picture, and some metadata."""
    user = new_user(
        {
            "id": f"user_{number:027}",
            "first_name": "Grace",
            "last_name": f"Hopper{number:05}",
            "email_address": [f"grace.hopper{number:05}@example.com"],
            "public_metadata": {"plan": "free", "teams": ["one", "two"]},
        },
        lambda prefix: f"{prefix}_{number:027}",
        int(CREATED_AT),
    )
    return {**user, "last_sign_in_at": int(CREATED_AT), **changes}


def upsert(user: Mapping[str, Any], observed_at: float, source: Source = "webhook") -> Upsert:
    read = read_user(user, observed_at=observed_at)
    event_id = "msg_2cYQ3kFJr8vFiKzQ0Hh8XkXkXkX" if source == "webhook" else None
    return Upsert(read.clerk_id, read.updated_at, observed_at, read.columns, source, event_id)


def costs(convex: Convex) -> Iterator[tuple[str, Cost]]:
    """Yield each step of a user's life with its cost.

    Another user comes first. The totals that these steps change are added up by a job seconds later, which
    is not part of the cost: it writes some 200 bytes for each step that changed a total.
    """
    at = CREATED_AT
    convex.sync(upsert(typical_user(1), at))
    user = typical_user(updated_at=int(at))
    yield "created", convex.cost(lambda: convex.sync(upsert(user, at)))
    renamed = {**user, "first_name": "Amazing", "updated_at": int(at + MINUTE)}
    yield "updated", convex.cost(lambda: convex.sync(upsert(renamed, at + MINUTE)))
    yield "unchanged", convex.cost(lambda: convex.sync(upsert(renamed, at + 2 * MINUTE)))
    signed_in = {**renamed, "last_sign_in_at": int(at + 3 * MINUTE)}
    yield "signed in", convex.cost(lambda: convex.sync(upsert(signed_in, 0.0)))
    deletion = Delete(user["id"], at + 4 * MINUTE, "webhook", "msg_2cYQ3kFJr8vFiKzQ0Hh8XkXkXkX")
    yield "deleted", convex.cost(lambda: convex.sync(deletion))
    filled = typical_user(2, updated_at=int(at))
    yield "backfilled", convex.cost(lambda: convex.sync(upsert(filled, at, "backfill")))


def nightly_costs(convex: Convex) -> Cost:
    """Return what a nightly run over users that have not changed costs for each of them.

    It is the difference between runs over a page of users and over two pages, divided by the users of a page:
    the start and the end of a run do not count. It begins with empty tables.
    """
    convex.clear()
    with LocalClerk(rate_limit=0) as clerk:
        settings = Settings(
            clerk_secret_key=SecretStr(clerk.secret_key),
            clerk_api_url=clerk.url,
            convex_url=convex.url,
            convex_deploy_key=SecretStr(convex.deploy_key),
        )

        def run() -> None:
            report, verification = asyncio.run(nightly(settings))
            if not (report.ok and verification is not None and verification.equal):
                raise RuntimeError(f"The nightly run found differences: {report} {verification}")

        measured: list[Cost] = []
        for page in range(2):
            numbers = range(100_000 + page * PAGE, 100_000 + (page + 1) * PAGE)
            times = [{"created_at": CREATED_AT + number, "updated_at": CREATED_AT} for number in numbers]
            people = [typical_user(number, **time) for number, time in zip(numbers, times, strict=True)]
            users = clerk.create_users(people)
            convex.sync(*(upsert(user, CREATED_AT, "backfill") for user in users))
            measured.append(convex.cost(run))
        one, two = measured
        return Cost(*(round((vars(two)[name] - number) / PAGE) for name, number in vars(one).items()))


def in_a_batch(convex: Convex) -> Iterator[float]:
    """Yield the bytes that a run writes for a new user, and for one that has changed, beyond its JSON."""
    for turn in range(2):
        at = CREATED_AT + turn
        changes = [
            upsert(typical_user(number, first_name=f"Name {turn}", updated_at=int(at)), at, "backfill")
            for number in range(10_000, 10_000 + BATCH)
        ]
        written = convex.cost(partial(convex.sync, *changes)).bytes_written
        yield (written - sum(len(encode(change)) for change in changes)) / BATCH


@contextmanager
def running() -> Iterator[Convex]:
    """Run a copy of `convex/` whose changes add up no totals: whether one does is drawn by lot."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(HERE.parent / "convex", folder / "convex")
        (folder / "node_modules").symlink_to(HERE.parent / "node_modules")
        totals = folder / "convex/clerk/users/totals.ts"
        text = totals.read_text()
        if FOLDS not in text:
            raise RuntimeError(f"{totals} does not have the line {FOLDS!r}")
        totals.write_text(text.replace(FOLDS, "const MOST_FOLDS = 0;"))
        with LocalConvex(project=folder) as local, closing(Convex(local)) as convex:
            yield convex


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.costs", description="Count what a user costs in Convex."
    )
    parser.add_argument("--json", action="store_true", help="the numbers as JSON")
    options = parser.parse_args()
    with running() as convex:
        measured = {**dict(costs(convex)), "verified at night": nightly_costs(convex)}
    if options.json:
        sys.stdout.write(json.dumps({name: vars(cost) for name, cost in measured.items()}) + "\n")
        return 0
    sys.stdout.write(f"{'user':<20}{'bytes':>8}{'documents':>11}{'entries':>9}{'read':>9}\n")
    for name, it in measured.items():
        numbers = (
            f"{it.bytes_written:>8,}{it.documents_written:>11}{it.entries_written:>9}{it.bytes_read:>9,}"
        )
        sys.stdout.write(f"{name:<20}{numbers}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
