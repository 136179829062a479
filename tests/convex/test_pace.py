"""clerk_convex/convex/pace.py: a run writes no faster than it may, and slows down where Convex has too much
to do. A webhook never waits for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from convex.values import ConvexValue

from clerk_convex.convex.client import Conflicted, Deployment, Kind, Throttled
from clerk_convex.convex.pace import INDEXED_BYTES, Pace, cost_of
from clerk_convex.convex.writer import Writer, WriterLimits
from clerk_convex.entities.changes import Upsert, encode
from clerk_convex.errors import DeploymentUnavailable
from tests.support.stand_in import DEPLOY_KEY
from tests.support.virtual_time import now, run

RATE = 1_000_000.0  # bytes a second


def user(number: int, **columns: Any) -> Upsert:
    return Upsert(f"user_{number:08}", 1.7e12, 1.7e12, {"status": "active", **columns}, "backfill")


COST = cost_of(encode(user(0)))


@dataclass
class Written:
    at: float
    changes: int
    bytes: int


class Convex(Deployment):
    """Takes `latency` seconds for a mutation, and answers with `outcome`, or with what `answer` raises."""

    def __init__(self, *, latency: float = 0.05, outcome: str = "created") -> None:
        super().__init__("http://convex.test", DEPLOY_KEY)
        self.latency = latency
        self.outcome = outcome
        self.answer: Callable[[], None] = lambda: None
        self.written: list[Written] = []

    async def aclose(self) -> None:
        """There is nothing to close."""

    async def send(self, kind: Kind, name: str, args: bytes) -> ConvexValue:
        changes = json.loads(args)["changes"]
        await asyncio.sleep(self.latency)
        self.answer()
        size = sum(cost_of(json.dumps(change, separators=(",", ":")).encode()) for change in changes)
        self.written.append(Written(now(), len(changes), size))
        return [self.outcome] * len(changes)

    def most_within(self, seconds: float) -> int:
        """Return the most bytes that were written in any period of so many seconds."""
        return max(
            sum(it.bytes for it in self.written if start.at <= it.at < start.at + seconds)
            for start in self.written
        )


def paced(convex: Convex, pace: float | None = RATE, **limits: Any) -> Writer:
    return Writer(convex, limits=WriterLimits(in_flight=4, queue_size=100_000, pace=pace, **limits))


async def submit(writer: Writer, changes: Sequence[Upsert]) -> list[Any]:
    return await asyncio.gather(*(writer.submit(change) for change in changes), return_exceptions=True)


def seconds_of(main: Coroutine[Any, Any, object]) -> float:
    async def timed() -> float:
        await main
        return now()

    return run(timed())


def test_a_run_writes_no_faster_than_its_pace() -> None:
    """In any second, and not much slower: 3,000 changes take as long as their bytes."""
    convex = Convex()
    taken = seconds_of(submit(paced(convex), [user(number) for number in range(3000)]))
    assert sum(it.changes for it in convex.written) == 3000
    assert taken == pytest.approx(3000 * COST / RATE, rel=0.05)
    assert convex.most_within(1.0) <= RATE * 1.25 + COST
    assert max(it.bytes for it in convex.written) <= RATE * 0.125 + COST


def test_a_large_user_counts_with_its_size() -> None:
    """A user with much metadata writes it too. One that is larger than a portion travels alone."""
    convex = Convex()
    large = [user(number, publicMetadata="x" * 200_000) for number in range(20)]
    assert seconds_of(submit(paced(convex), large)) == pytest.approx(20 * 203_300 / RATE, rel=0.1)
    assert {it.changes for it in convex.written} == {1}


def test_without_a_pace_nothing_waits() -> None:
    """That is how webhooks are written."""
    convex = Convex()
    taken = seconds_of(submit(paced(convex, pace=None), [user(number) for number in range(3000)]))
    assert taken < 0.2


def test_what_is_not_written_does_not_count() -> None:
    """A nightly run over unchanged users waits only for Convex's answers."""
    convex = Convex(outcome="unchanged")
    changes = [user(number) for number in range(3000)]
    assert seconds_of(submit(paced(convex), changes)) < 3000 * COST / RATE / 2


@pytest.mark.parametrize("trouble", [Throttled, Conflicted])
def test_the_pace_is_halved_when_convex_has_too_much_to_do(trouble: type[DeploymentUnavailable]) -> None:
    """Calls that were in flight together count once. Within a minute the pace is what it was."""
    convex = Convex()
    writer = paced(convex)
    assert writer.pace is not None

    def refuse() -> None:
        if now() < 0.06:
            raise trouble("no")

    convex.answer = refuse

    async def main() -> tuple[float, float]:
        assert writer.pace is not None
        assert await submit(writer, [user(number) for number in range(200)]) == ["created"] * 200
        halved = writer.pace.rate
        await asyncio.sleep(60)
        writer.pace.wait()
        return halved, writer.pace.rate

    halved, later = run(main())
    assert RATE / 2 <= halved < RATE * 0.55
    assert later == RATE


def test_the_pace_is_halved_when_a_call_is_late() -> None:
    """Convex has then tried it again, or let it wait for a slot: the app's calls wait just as long."""

    async def main(slow: float, quick: float) -> float:
        convex = Convex(latency=quick)
        writer = paced(convex)
        await writer.submit(user(0))
        convex.latency = slow
        await submit(writer, [user(number) for number in range(1, 70)])
        assert writer.pace is not None
        return writer.pace.rate

    assert run(main(1.5, 0.05)) < RATE * 0.55
    assert run(main(0.9, 0.05)) == RATE
    assert run(main(1.5, 0.5)) == RATE  # this Convex is far away


def test_the_pace_has_a_floor() -> None:
    """A run goes on, whatever happens."""

    async def main() -> float:
        pace = Pace(RATE)
        for _ in range(100):
            pace.slow_down()
        return pace.rate

    assert run(main()) == RATE / 32


def test_a_change_that_waits_for_the_pace_does_not_expire() -> None:
    """The deadline is for a Convex that does not answer."""
    convex = Convex()
    answers = run(submit(paced(convex, deadline=0.5), [user(number) for number in range(1000)]))
    assert answers == ["created"] * 1000


def test_changes_expire_while_convex_does_not_answer() -> None:
    """Also those that would have waited for the pace."""
    convex = Convex()

    def refuse() -> None:
        raise DeploymentUnavailable("no")

    convex.answer = refuse

    async def main() -> float:
        answers = await submit(paced(convex, deadline=2.0), [user(number) for number in range(1000)])
        assert {type(answer) for answer in answers} == {DeploymentUnavailable}
        return now()

    assert run(main()) < 4.1


def test_changes_expire_while_convex_hangs() -> None:
    """At their deadline: those that were sent, and those behind them."""

    async def main() -> float:
        writer = paced(Convex(latency=1000), deadline=2.0)
        answers = await submit(writer, [user(number) for number in range(1000)])
        assert {type(answer) for answer in answers} == {DeploymentUnavailable}
        ended = now()
        await writer.aclose()
        return ended

    assert run(main()) < 4.1


def test_closing_ends_the_wait() -> None:
    """No timer is left that would send something."""
    convex = Convex()

    async def main() -> None:
        writer = paced(convex)
        waiting = asyncio.create_task(submit(writer, [user(number) for number in range(1000)]))
        await asyncio.sleep(0.2)
        await writer.aclose()
        sent = len(convex.written)
        assert {type(answer) for answer in await waiting} == {str, DeploymentUnavailable}
        await asyncio.sleep(1)
        assert len(convex.written) == sent > 0

    run(main())


def test_other_mutations_wait_for_their_turn() -> None:
    """Those of `adopt` and of the repair of duplicates have no batches; they count all the same."""

    async def main() -> float:
        pace = Pace(RATE)
        for _ in range(10):
            await pace.turn(100 * INDEXED_BYTES)
        return now()

    assert run(main()) == pytest.approx(9 * 100 * INDEXED_BYTES / RATE, rel=0.1)
