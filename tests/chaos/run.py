"""One run: a history at Clerk, while everything between Clerk and Convex goes wrong; then a comparison."""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

from clerk_convex.local.clerk.svix import Delivery
from tests.chaos.actors import Backfills, Workers
from tests.chaos.clerk import UNRELIABLE, Clerk, History, clerk
from tests.chaos.project import Tables, deployed
from tests.chaos.proxy import CLERK, CONVEX, FRONT, Proxy, Trouble, through
from tests.chaos.truth import differences

__all__ = ["Options", "Report", "run", "run_in_rounds"]

WEBHOOK_PATH = "/webhooks/clerk"
BACKFILLED = 0.6  # the part of the history after which the last backfill starts
LAST = 10  # messages on their way when the calm begins
ROUND = 20_000  # events; tables of a million rows would only make the local Convex slow
DRAIN_SECONDS = 20.0  # without a delivery, until the rest counts as lost


@dataclass(frozen=True)
class Options:
    """What a run does. It ends after `seconds` or after `events`, whichever comes first."""

    seconds: float | None = None
    events: int | None = None
    seed: int = 0
    workers: int = 3
    rate: float = 0.08
    """The probability of a fault of one request."""
    hang: float = 5.0
    """Seconds for which a hung answer is held; a worker gives up after 4."""
    backlog: int = 400
    """The greatest number of messages on their way. Some are late or held for seconds; the others go on."""
    before: int = 200
    """Users who were there before the webhook. 0 runs no backfill."""
    delivery: Delivery = UNRELIABLE
    broken: Sequence[tuple[str, str, str]] = ()
    """Files of convex/, each with a text of it and what takes its place: to see the comparison fail."""

    def progress(self, events: int, seconds: float) -> float:
        """Return the part of the run that is over; 1 is the end."""
        parts = [events / self.events if self.events else 0, seconds / self.seconds if self.seconds else 0]
        return max(parts)

    @property
    def turns(self) -> int:
        """How often each disturbance comes."""
        by_time = self.seconds / 8 if self.seconds else 1e9
        return max(1, int(min(by_time, self.events / 800 if self.events else 1e9)))


@dataclass
class Report:
    """The figures of a run. `str()` is for a person."""

    seconds: float
    events: int
    messages: int
    attempts: int
    users: int
    deleted: int
    faults: dict[str, Counter[str]]
    requests: int
    kills: dict[str, int]
    turns: Counter[str] = field(default_factory=Counter)
    backfills: int = 0
    differences: list[str] = field(default_factory=list)

    def __add__(self, other: Report) -> Report:
        """Return the figures of both together."""
        return Report(
            seconds=self.seconds + other.seconds,
            events=self.events + other.events,
            messages=self.messages + other.messages,
            attempts=self.attempts + other.attempts,
            users=self.users + other.users,
            deleted=self.deleted + other.deleted,
            faults={name: count + other.faults[name] for name, count in self.faults.items()},
            requests=self.requests + other.requests,
            kills={name: number + other.kills[name] for name, number in self.kills.items()},
            turns=self.turns + other.turns,
            backfills=self.backfills + other.backfills,
            differences=self.differences + other.differences,
        )

    def __str__(self) -> str:
        faults = sum(one.total() for one in self.faults.values())
        lines = [
            f"{self.events:,} events in {self.seconds:.0f} s: {self.users:,} users, {self.deleted:,} deleted",
            f"{self.messages:,} messages in {self.attempts:,} attempts",
            f"{faults:,} faults in {self.requests:,} requests",
            *(f"  {name}: {_counts(one)}" for name, one in self.faults.items()),
            f"killed with -9: {_counts(Counter(self.kills))}; backfills that ended: {self.backfills}",
            f"meanwhile: {_counts(self.turns)}",
            f"lost {len(self.differences)}",
        ]
        return "\n".join(lines)


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{number:,} {name}" for name, number in sorted(counts.items())) or "none"


def run_in_rounds(options: Options, say: Callable[[str], None]) -> Iterator[Report]:
    """Run many events in rounds, and yield the report of each.

    Each round has a seed of its own, begins with new tables and is compared by itself.
    """
    left = options.events
    if left is None or left <= ROUND:
        yield run(options, say)
        return
    for seed in count(options.seed):
        if left <= 0:
            return
        events = min(left, ROUND)
        say(f"seed {seed}")
        report = run(replace(options, events=events, seed=seed), say)
        report.differences = [f"seed {seed}: {line}" for line in report.differences]
        yield report
        left -= events


def run(options: Options, say: Callable[[str], None]) -> Report:
    """Run it, and return the report. `say` gets the progress."""
    with ExitStack() as parts:
        folder = Path(parts.enter_context(tempfile.TemporaryDirectory()))
        tables = parts.enter_context(deployed(folder, options.broken))
        instance = parts.enter_context(clerk(options.seed))
        history = History(instance, options.seed)
        history.sign_up(options.before)
        trouble = Trouble(options.rate, options.hang, options.seed)
        front = Proxy("Svix to workers", [], FRONT, trouble, garbage=False)
        convex = Proxy("workers to Convex", [tables.url], CONVEX, trouble)
        written = Proxy("backfills to Convex", [tables.url], CONVEX, trouble)
        read = Proxy("backfills to Clerk", [instance.url], CLERK, trouble, date=instance.date)
        proxies = (front, convex, written, read)
        parts.enter_context(through(*proxies))
        endpoint = instance.webhooks.add_endpoint(front.url + WEBHOOK_PATH)
        instance.webhooks.delivery = options.delivery
        env = {
            "PATH": os.environ.get("PATH", os.defpath),
            "CONVEX_DEPLOY_KEY": tables.key,
            "CLERK_SECRET_KEY": instance.secret_key,
            "CLERK_WEBHOOK_SIGNING_SECRET": endpoint.secret,
        }
        workers = Workers(options.workers, {**env, "CONVEX_URL": convex.url}, options.seed)
        parts.enter_context(closing(workers))
        front.targets = workers.urls
        backfills = Backfills(
            {**env, "CONVEX_URL": written.url, "CLERK_API_URL": read.url}, start=options.before > 0
        )
        parts.enter_context(closing(backfills))
        # The plan: what happens at which part of the history. It depends only on the options.
        disturbances = {
            "workers killed": workers.kill,
            "backfills killed": backfills.kill,
            "rebuilds of totals": lambda: tables.call("rebuildStats"),
            "folds of totals": lambda: tables.call("foldStats"),
            "prunes of the audit log": lambda: tables.call("pruneClerkAudit"),
            "clock set ahead": history.turn_clock,
        }
        plan = _plan(options, list(disturbances))
        turns: Counter[str] = Counter()
        started, next_at = time.monotonic(), next(plan)
        progress = 0.0
        while progress < 1:
            history.step()
            instance.wait_for_backlog(options.backlog, 1.0)
            elapsed = time.monotonic() - started
            progress = options.progress(history.events, elapsed)
            while progress >= next_at[0]:
                turns[next_at[1]] += 1
                disturbances[next_at[1]]()
                next_at = next(plan)
            if progress > BACKFILLED:
                backfills.finish()
            if history.events % 1000 == 0:
                say(f"{progress:.0%}: {history.events:,} events, {elapsed:.0f} s")
        instance.wait_for_backlog(LAST, DRAIN_SECONDS)  # most of the last messages meet faults, too
        say("calm: the last messages and the last backfill")
        trouble.rate = 0
        backfills.join()
        _drain(instance)
        _settle(tables)
        say("comparing")
        stats = instance.webhooks.stats
        return Report(
            seconds=time.monotonic() - started,
            events=history.events,
            messages=stats.sent,
            attempts=stats.attempts,
            users=instance.count,
            deleted=len(instance.deleted),
            faults={proxy.name: proxy.faults for proxy in proxies},
            requests=sum(proxy.requests for proxy in proxies),
            kills={"workers": workers.kills, "backfills": backfills.kills},
            turns=Counter({name: number for name, number in turns.items() if "killed" not in name}),
            backfills=backfills.done,
            differences=differences(instance, tables),
        )


def _plan(options: Options, names: list[str]) -> Iterator[tuple[float, str]]:
    """Yield each disturbance with the part of the history at which it comes. The last one never comes."""
    rng = random.Random(f"{options.seed}:plan")
    yield from sorted((rng.random(), name) for name in names for _ in range(options.turns))
    yield 2.0, names[0]


def _drain(clerk: Clerk) -> None:
    """Wait for all messages. Those that Svix gave up are replayed, as an operator does in the dashboard."""
    delivered = -1
    while clerk.webhooks.stats.delivered > delivered:
        delivered = clerk.webhooks.stats.delivered
        if clerk.webhooks.drain(DRAIN_SECONDS) and clerk.webhooks.replay_failed() == 0:
            return


def _settle(tables: Tables) -> None:
    """Wait until no rebuild of the totals runs."""
    deadline = time.monotonic() + DRAIN_SECONDS
    while any("next" in state for state in tables.all("clerkStatsState")):
        if time.monotonic() > deadline:
            return
        time.sleep(0.02)
