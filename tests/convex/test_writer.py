from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import json
import logging
import random
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from convex.values import ConvexValue

from clerk_convex.convex import writer as module
from clerk_convex.convex.client import CallRefused, Conflicted, Deployment, Kind, Throttled
from clerk_convex.convex.writer import Writer, WriterLimits
from clerk_convex.entities.changes import Change, Delete, Outcome, Upsert, encode
from clerk_convex.errors import (
    ChangeRefused,
    ClerkConvexError,
    DeploymentMisconfigured,
    DeploymentUnavailable,
    QueueFull,
)
from clerk_convex.net import logs
from clerk_convex.service import Timeouts
from tests.support import stand_in
from tests.support.stand_in import DEPLOY_KEY, HOSTED, Behaviour, StandIn
from tests.support.virtual_time import now, run

pytestmark = pytest.mark.anyio

SECRET = "ada@example.com"
Result = Outcome | BaseException


def user(name: object, **columns: Any) -> Upsert:
    return Upsert(f"user_{name}", 1.7e12, 1.7e12, {"status": "active", "email": SECRET, **columns}, "webhook")


async def submit_all(writer: Writer, changes: Sequence[Change]) -> list[Result]:
    return await asyncio.gather(*(writer.submit(change) for change in changes), return_exceptions=True)


async def submit_until_written(writer: Writer, change: Change) -> Outcome:
    """Submit the change until it is written. A busy machine may miss a short deadline."""
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(DeploymentUnavailable):
                return await writer.submit(change)


def names(changes: Sequence[dict[str, Any]]) -> list[str]:
    return [change["clerkId"].removeprefix("user_") for change in changes]


def has_name(*wanted: object) -> Callable[[dict[str, Any]], bool]:
    return lambda change: change["clerkId"] in {f"user_{name}" for name in wanted}


@dataclass
class Sent:
    function: str
    users: list[str]
    answer: asyncio.Future[ConvexValue]

    def succeed(self) -> None:
        self.answer.set_result(["updated"] * len(self.users))


class Scripted(Deployment):
    """Answers when the test lets it."""

    def __init__(self) -> None:
        super().__init__("http://convex.test", DEPLOY_KEY)
        self.sent: list[Sent] = []
        self.closed = 0

    async def aclose(self) -> None:
        self.closed += 1

    async def send(self, kind: Kind, name: str, args: bytes) -> ConvexValue:
        sent = Sent(name, names(json.loads(args)["changes"]), asyncio.get_running_loop().create_future())
        self.sent.append(sent)
        return await sent.answer


async def turns(count: int = 4) -> None:
    """Let the event loop make a few turns, in which no time passes."""
    for _ in range(count):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.001)


async def test_a_single_change_is_sent_immediately() -> None:
    """If a slot is free, it is sent in the same turns of the event loop, whatever other calls are in
    flight."""
    deployment = Scripted()
    writer = Writer(deployment)
    tasks = []
    for number in range(8):
        tasks.append(asyncio.create_task(writer.submit(user(number))))
        await turns()
        assert [sent.users for sent in deployment.sent] == [[str(n)] for n in range(number + 1)]
    for sent in deployment.sent:
        sent.succeed()
    assert await asyncio.gather(*tasks) == ["updated"] * 8


async def test_changes_of_one_moment_are_one_batch() -> None:
    """In their order of arrival, also for several changes of one user."""
    deployment = Scripted()
    writer = Writer(deployment)
    tasks = [asyncio.create_task(writer.submit(user(name))) for name in "baab"]
    await turns()
    assert [sent.users for sent in deployment.sent] == [["b", "a", "a", "b"]]
    deployment.sent[0].answer.set_result(["created", "updated", "stale", "deleted"])
    assert await asyncio.gather(*tasks) == ["created", "updated", "stale", "deleted"]


async def test_changes_wait_while_all_slots_are_taken_and_leave_together() -> None:
    """Group commit: after one slow call all of them are sent, in one mutation."""
    deployment = Scripted()
    writer = Writer(deployment, limits=WriterLimits(in_flight=2))
    tasks = []
    for name in ("first", "second", *range(20)):
        tasks.append(asyncio.create_task(writer.submit(user(name))))
        await turns()
    assert [sent.users for sent in deployment.sent] == [["first"], ["second"]]
    assert (writer.status.queued, writer.status.in_flight) == (20, 2)
    deployment.sent[0].succeed()
    await turns()
    assert [sent.users for sent in deployment.sent[2:]] == [[str(n) for n in range(20)]]
    for sent in deployment.sent[1:]:
        sent.succeed()
    assert await asyncio.gather(*tasks) == ["updated"] * 22


async def test_many_changes_are_divided_among_the_free_slots() -> None:
    """So that 512 users do not wait for one mutation of 500 rows while seven slots are idle."""
    deployment = Scripted()
    writer = Writer(deployment, limits=WriterLimits(in_flight=4))
    tasks = [asyncio.create_task(writer.submit(user(number))) for number in range(800)]
    await turns()
    assert [len(sent.users) for sent in deployment.sent] == [200, 200, 200, 200]
    for sent in deployment.sent:
        sent.succeed()
    await asyncio.gather(*tasks)


async def test_a_thousand_concurrent_changes_take_few_mutations(convex: StandIn) -> None:
    convex.behave(then=stand_in.sync(base=0.01))
    writer = Writer(Deployment(convex.url, DEPLOY_KEY))
    assert await submit_all(writer, [user(n) for n in range(1000)]) == ["created"] * 1000
    assert len(convex.mutations) <= 8
    assert sum(len(call.changes) for call in convex.mutations) == 1000
    assert {call.path for call in convex.calls} == {"users:syncUsers"}
    assert writer.status.last_success is not None
    assert (writer.status.last_error, writer.status.last_error_at) == (None, None)
    await writer.aclose()


async def test_batches_have_a_size(convex: StandIn) -> None:
    """In changes and in bytes. A change that is larger than a batch is sent alone."""
    deployment = Deployment(convex.url, DEPLOY_KEY)
    await submit_all(
        Writer(deployment, limits=WriterLimits(in_flight=1, batch_size=30)), [user(n) for n in range(100)]
    )
    assert [len(call.changes) for call in convex.mutations] == [30, 30, 30, 10]
    convex.calls.clear()
    size = len(encode(user(0))) + 1
    changes = [user(n) for n in range(5)] + [user(5, role="x" * 4 * size), user(6)]
    await submit_all(Writer(deployment, limits=WriterLimits(in_flight=1, batch_bytes=3 * size)), changes)
    assert [names(call.changes) for call in convex.mutations] == [["0", "1", "2"], ["3", "4"], ["5"], ["6"]]
    await deployment.aclose()


async def test_the_module_can_be_set(convex: StandIn) -> None:
    writer = Writer(Deployment(convex.url, DEPLOY_KEY), module="lib/clerkUsers")
    await writer.submit(Delete("user_1", 1.7e12, "webhook"))
    assert [call.path for call in convex.calls] == ["lib/clerkUsers:syncUsers"]
    await writer.aclose()


@pytest.mark.parametrize(
    "message", [HOSTED, f"{HOSTED}\nArgumentValidationError: {SECRET}", f"Uncaught Error: {SECRET}"]
)
async def test_a_refused_change_fails_alone(convex: StandIn, message: str) -> None:
    """All other changes of its batch are written, each once, and its error shows none of its data."""
    convex.behave(then=stand_in.sync(refuse=has_name(137), message=message))
    writer = Writer(Deployment(convex.url, DEPLOY_KEY), limits=WriterLimits(in_flight=1))
    results = await submit_all(writer, [user(n) for n in range(500)])
    refused = results.pop(137)
    assert results == ["created"] * 499
    assert isinstance(refused, ChangeRefused)
    assert SECRET not in str(refused)
    assert len(convex.calls) <= 32
    written = [
        name for call in convex.mutations if "user_137" not in str(call.body) for name in names(call.changes)
    ]
    assert written == [str(n) for n in range(500) if n != 137]
    await writer.aclose()


async def test_a_batch_is_never_more_than_32_calls(convex: StandIn) -> None:
    """With many bad changes the last ones fail as unavailable, so that the number of calls is limited."""
    bad = [user(n) for n in range(0, 500, 5)]
    convex.behave(then=stand_in.sync(refuse=has_name(*range(0, 500, 5))))
    writer = Writer(Deployment(convex.url, DEPLOY_KEY), limits=WriterLimits(in_flight=1))
    results = await submit_all(writer, [user(n) for n in range(500)])
    assert len(convex.calls) == 32
    kinds = {type(result) for result in results}
    assert kinds == {str, CallRefused, DeploymentUnavailable}
    assert all(results[int(change.clerk_id.removeprefix("user_"))] != "created" for change in bad)
    await writer.aclose()


@pytest.mark.parametrize(
    ("column", "change"),
    [
        ("plan", user(1, plan={"clé": 1})),
        ("plan", user(1, locale="fr", plan=2**60, team=None)),
        ("plan", user(1, plan=object())),
        ("email", user(1, email="\ud800")),
        ("$plan", user(1, **{"$plan": 1.0})),
    ],
)
async def test_a_change_that_cannot_be_encoded_fails_alone(
    convex: StandIn, column: str, change: Change
) -> None:
    """It is refused before it is sent. The error names the column and does not quote its value."""
    writer = Writer(Deployment(convex.url, DEPLOY_KEY))
    first, refused, last = await submit_all(writer, [user(0), change, user(2)])
    assert (first, last) == ("created", "created")
    assert isinstance(refused, ChangeRefused)
    assert refused.__context__ is None
    assert (refused.clerk_id, last) == (change.clerk_id, "created")
    assert str(refused).startswith(
        f"CLERK_CONVEX_FIELDS returns '{column}' with a value or a name that Convex cannot hold ("
    )
    assert "clé" not in str(refused)
    assert str(2**60) not in str(refused)
    assert names(convex.calls[0].changes) == ["0", "2"]
    await writer.aclose()


async def test_a_value_nested_too_deeply_is_refused() -> None:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(ChangeRefused, match="RecursionError"):
        await Writer(Scripted()).submit(user(1, plan=value))
    while value:  # otherwise freeing it overflows the stack
        value = value[0]


TROUBLE: dict[str, tuple[Behaviour, type[ClerkConvexError]]] = {
    "hangs": (stand_in.hang, DeploymentUnavailable),
    "drips headers": (stand_in.drip_headers, DeploymentUnavailable),
    "drips a body": (stand_in.drip_body, DeploymentUnavailable),
    "too slow": (stand_in.after(30, stand_in.sync()), DeploymentUnavailable),
    "drops": (stand_in.drop, DeploymentUnavailable),
    "redirects": (stand_in.answer(301, b"", "Location: /elsewhere"), DeploymentMisconfigured),
    "429": (stand_in.status(429, "TooManyConcurrentRequests"), DeploymentUnavailable),
    "503": (stand_in.status(503, "OptimisticConcurrencyControlFailure"), DeploymentUnavailable),
    "500": (stand_in.status(500), DeploymentUnavailable),
    "560": (stand_in.answer(560, b"?"), DeploymentUnavailable),
    "garbage": (stand_in.answer(200, b"<html>" + SECRET.encode()), DeploymentUnavailable),
    "wrong key": (stand_in.status(401, "BadAdminKey", DEPLOY_KEY), DeploymentMisconfigured),
    "no permission": (stand_in.status(403, "OperationNotPermitted"), DeploymentMisconfigured),
    "no functions": (
        stand_in.failure(f"{HOSTED}\nCould not find public function for 'users:syncUsers'."),
        DeploymentMisconfigured,
    ),
    "older functions": (
        stand_in.failure(f"{HOSTED}\nArgumentValidationError: {SECRET}"),
        DeploymentMisconfigured,
    ),
    "refuses all, redacted, 560": (stand_in.failure(code=560), DeploymentMisconfigured),
    "too few outcomes": (stand_in.value(["created"]), DeploymentMisconfigured),
    "unknown outcomes": (stand_in.value(["created", SECRET]), DeploymentMisconfigured),
    "outcomes that are none": (stand_in.value([["created"], 1.0]), DeploymentMisconfigured),
    "no list": (stand_in.value({"outcome": "created"}), DeploymentMisconfigured),
}
HANGING = {"hangs", "drips headers", "drips a body", "too slow"}


@pytest.mark.parametrize("name", TROUBLE)
async def test_every_trouble_ends_in_time_with_its_error(
    convex: StandIn, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Within the deadline, without blocking the loop or showing a secret. Afterwards writes succeed again."""
    caplog.set_level(logging.DEBUG)
    behaviour, expected = TROUBLE[name]
    convex.behave(then=behaviour)
    # The time runs out only where nothing else ends the attempts.
    timeout, deadline = (0.25, 0.5) if expected is DeploymentUnavailable else (20.0, 60.0)
    limits = WriterLimits(deadline=deadline)
    writer = Writer(Deployment(convex.url, DEPLOY_KEY, timeout=timeout), limits=limits)
    started = time.monotonic()
    pending = asyncio.gather(*(writer.submit(user(n)) for n in range(2)), return_exceptions=True)
    ticks = 0
    while not pending.done():
        await asyncio.sleep(0.002)
        ticks += 1
    results = await pending
    assert time.monotonic() - started < 30
    if name in HANGING:
        assert ticks > 2
    for result in results:
        assert isinstance(result, ClerkConvexError)
        assert isinstance(result, expected)
    for hidden in (SECRET, DEPLOY_KEY, DEPLOY_KEY.partition("|")[2]):
        assert hidden not in f"{results}{caplog.text}"
    assert writer.status.last_error == expected.__name__
    assert writer.status.last_error_at is not None

    convex.behave(then=stand_in.sync())
    assert await submit_until_written(writer, user("later")) == "created"
    await writer.aclose()


async def test_a_convex_that_is_down_is_waited_for(convex: StandIn) -> None:
    """When Convex is back, the waiting changes are written."""
    convex.stop()
    writer = Writer(Deployment(convex.url, DEPLOY_KEY), limits=WriterLimits(deadline=60))
    pending = asyncio.gather(*(writer.submit(user(n)) for n in range(600)))
    await until(lambda: writer.congestion.failures >= 2)
    convex.start()
    assert await pending == ["created"] * 600
    assert writer.status.last_error == "DeploymentUnavailable"
    await writer.aclose()


def test_a_convex_that_is_down_is_not_hammered() -> None:
    """Attempts become rarer, and there is no busy loop. The error of a change that is given up has the
    reason."""

    class Overloaded(Deployment):
        calls = 0

        async def send(self, kind: Kind, name: str, args: bytes) -> ConvexValue:
            self.calls += 1
            await asyncio.sleep(0.005)
            raise DeploymentUnavailable("Convex answered 503 (Overloaded). It may get better by itself.")

    async def main() -> None:
        overloaded = Overloaded("http://convex.test", DEPLOY_KEY)
        writer = Writer(overloaded, limits=WriterLimits(in_flight=1, deadline=1.0))
        results = await submit_all(writer, [user(n) for n in range(100)])
        assert {str(result) for result in results} == {
            "Not written to Convex within 1 s. Convex answered 503 (Overloaded). It may get better by itself."
        }
        assert now() == pytest.approx(1, abs=0.1)
        assert 1 < overloaded.calls < 20

    run(main())


@pytest.mark.parametrize(
    "behaviour", [stand_in.status(429), stand_in.status(503), stand_in.status(500), stand_in.answer(200, b"")]
)
async def test_short_trouble_is_not_noticed(convex: StandIn, behaviour: Behaviour) -> None:
    """A batch that fails once is sent again, in order, and no caller gets an error."""
    convex.behave(behaviour, then=stand_in.sync())
    writer = Writer(Deployment(convex.url, DEPLOY_KEY), limits=WriterLimits(in_flight=1, deadline=30))
    assert await submit_all(writer, [user(n) for n in range(20)]) == ["created"] * 20
    sent = [name for call in convex.mutations[1:] for name in names(call.changes)]
    assert sent == [str(n) for n in range(20)]
    await writer.aclose()


async def test_trouble_while_a_refused_batch_is_split_loses_nothing(convex: StandIn) -> None:
    convex.behave(
        stand_in.failure(), stand_in.value([]), stand_in.value([]), stand_in.status(503),
        then=stand_in.sync(refuse=has_name(3)),
    )  # fmt: skip
    writer = Writer(Deployment(convex.url, DEPLOY_KEY), limits=WriterLimits(in_flight=1, deadline=30))
    results = await submit_all(writer, [user(n) for n in range(8)])
    assert isinstance(results.pop(3), ChangeRefused)
    assert results == ["created"] * 7
    await writer.aclose()


def test_default_deadline_and_queue_size() -> None:
    """A change is written within nine seconds, and 5,000 changes are accepted, unless other limits are
    set."""

    async def main() -> None:
        writer = Writer(Scripted())
        tasks = [asyncio.create_task(writer.submit(user(n))) for n in range(5000)]
        await turns()
        with pytest.raises(QueueFull):
            await writer.submit(user("one too many"))
        with pytest.raises(DeploymentUnavailable, match=r"within 9 s"):
            await tasks[0]
        assert now() == pytest.approx(9, abs=0.1)
        await asyncio.gather(*tasks, return_exceptions=True)

    run(main())


@pytest.mark.parametrize(("count", "sizes"), [(1, [1]), (64, [64]), (65, [64, 1]), (600, [75] * 8)])
async def test_batches_are_not_too_small(count: int, sizes: list[int]) -> None:
    """Changes that arrive together are divided among the free slots, but into parts of at least 64
    changes."""
    deployment = Scripted()
    writer = Writer(deployment)
    tasks = [asyncio.create_task(writer.submit(user(n))) for n in range(count)]
    await turns()
    assert [len(sent.users) for sent in deployment.sent] == sizes
    for sent in deployment.sent:
        sent.succeed()
    await asyncio.gather(*tasks)


@pytest.mark.parametrize(
    ("jitter", "pauses"), [(1.0, [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]), (0.5, [0.05, 0.1, 0.2, 0.4, 0.5, 0.5])]
)
def test_pauses_after_trouble(monkeypatch: pytest.MonkeyPatch, jitter: float, pauses: list[float]) -> None:
    """They double from a tenth of a second to one second, each shortened by up to a half, and start again
    after a success."""
    ends = {0.5: lambda low, high: low, 1.0: lambda low, high: high}
    monkeypatch.setattr(random, "uniform", ends[jitter])

    async def main() -> None:
        deployment = Scripted()
        writer = Writer(deployment, limits=WriterLimits(deadline=60))
        for _ in range(2):
            before = len(deployment.sent)
            task = asyncio.create_task(writer.submit(user(1)))
            times = []
            for number in range(len(pauses) + 1):
                while len(deployment.sent) == before + number:  # noqa: ASYNC110 - a time that does not pass
                    await asyncio.sleep(0.001)
                times.append(now())
                if number < len(pauses):
                    deployment.sent[-1].answer.set_exception(DeploymentUnavailable("503"))
            deployment.sent[-1].succeed()
            await task
            waited = [later - earlier for earlier, later in itertools.pairwise(times)]
            assert waited == pytest.approx(pauses, abs=0.003)

    run(main())


@pytest.mark.parametrize("trouble", [Throttled, Conflicted])
def test_too_many_calls_make_fewer_calls(
    monkeypatch: pytest.MonkeyPatch, trouble: type[DeploymentUnavailable]
) -> None:
    """Each wave of 429, or of conflicts, halves the slots and leaves the batches as large as they are. Each
    success raises the slots again, up to the maximum."""
    monkeypatch.setattr(random, "uniform", lambda low, high: high)

    async def main() -> None:
        deployment = Scripted()
        writer = Writer(deployment, limits=WriterLimits(deadline=60))
        tasks = [asyncio.create_task(writer.submit(user(n))) for n in range(1600)]
        await turns()
        under_way = deployment.sent
        for slots in (8, 4, 2, 1, 1):
            assert len(under_way) == slots
            before = len(deployment.sent)
            for sent in under_way:
                sent.answer.set_exception(trouble("too much"))
            await asyncio.sleep(1.5)  # longer than any pause
            under_way = deployment.sent[before:]
        assert writer.congestion.slots == 1
        assert writer.congestion.batch_size == 500
        answered = len(deployment.sent) - 1
        while not all(task.done() for task in tasks):
            under_way = deployment.sent[answered:]
            assert 1 <= len(under_way) <= int(writer.congestion.slots)
            answered += len(under_way)
            for sent in under_way:
                sent.succeed()
            await turns(8)
        slots_after = writer.congestion.slots
        assert 2 < slots_after < 8
        for n in range(100):
            task = asyncio.create_task(writer.submit(user(n)))
            await turns()
            deployment.sent[-1].succeed()
            await task
        assert writer.congestion.slots == 8

    run(main())


def test_convex_is_waited_for_until_it_says_why() -> None:
    """Convex answers 429 after 5 s of waiting. A call of the service lasts longer, so that fewer calls
    follow, and a change that is given up has the reason, 6 s before Svix gives up on the webhook."""

    class Full(Deployment):
        calls = 0

        async def send(self, kind: Kind, name: str, args: bytes) -> ConvexValue:
            self.calls += 1
            async with asyncio.timeout(self.timeout):
                await asyncio.sleep(5.0)
            raise Throttled("Convex answered 429 (TooManyConcurrentRequests): full.")

    async def main() -> None:
        full = Full("http://convex.test", DEPLOY_KEY, timeout=Timeouts().convex_call)
        writer = Writer(full, limits=WriterLimits(deadline=Timeouts().write))
        results = await submit_all(writer, [user(n) for n in range(600)])
        assert {str(result) for result in results} == {
            "Not written to Convex within 9 s. Convex answered 429 (TooManyConcurrentRequests): full."
        }
        assert now() == pytest.approx(9, abs=0.1)
        assert full.calls == 8 + 4

    run(main())


async def test_a_batch_that_takes_too_long_is_sent_in_parts(convex: StandIn) -> None:
    """If Convex is too slow for a full batch, smaller ones are sent, and not the same one for ever."""
    convex.behave(then=stand_in.sync(per_change=0.004))
    writer = Writer(
        Deployment(convex.url, DEPLOY_KEY, timeout=0.6), limits=WriterLimits(in_flight=1, deadline=60)
    )
    assert await submit_all(writer, [user(n) for n in range(300)]) == ["created"] * 300
    assert len(convex.mutations[0].changes) == 300
    assert len(convex.mutations[1].changes) <= 125

    convex.behave(then=stand_in.sync())
    for _ in range(100):  # once it is quick again, batches grow again
        await writer.submit(user(0))
    convex.calls.clear()
    await submit_all(writer, [user(n) for n in range(300)])
    assert len(convex.mutations) == 1
    await writer.aclose()


async def test_the_queue_is_bounded_in_changes() -> None:
    """Changes in flight count. Room is free again when changes are answered or withdrawn."""
    deployment = Scripted()
    writer = Writer(deployment, limits=WriterLimits(in_flight=1, queue_size=3))
    tasks = []
    for n in range(3):
        tasks.append(asyncio.create_task(writer.submit(user(n))))
        await turns()
    with pytest.raises(QueueFull, match="3 changes wait"):
        await writer.submit(user(3))
    tasks[2].cancel()
    await turns()
    tasks[2] = asyncio.create_task(writer.submit(user(4)))
    await turns()
    with pytest.raises(QueueFull):
        await writer.submit(user(5))
    deployment.sent[0].succeed()
    await turns()
    assert deployment.sent[1].users == ["1", "4"]
    deployment.sent[1].succeed()
    assert await asyncio.gather(*tasks) == ["updated"] * 3
    assert (writer.queue.changes, writer.queue.bytes) == (0, 0)


async def test_the_queue_is_bounded_in_bytes() -> None:
    deployment = Scripted()
    writer = Writer(deployment, limits=WriterLimits(queue_bytes=len(encode(user(0))) * 2))
    tasks = [asyncio.create_task(writer.submit(user(n))) for n in range(2)]
    await turns()
    with pytest.raises(QueueFull):
        await writer.submit(user(2))
    deployment.sent[0].succeed()
    assert await asyncio.gather(*tasks) == ["updated"] * 2


async def test_a_withdrawn_change_is_not_sent() -> None:
    """Neither while it waits, nor in a batch that is sent again. The other changes are."""
    deployment = Scripted()
    writer = Writer(deployment, limits=WriterLimits(in_flight=1, deadline=60))
    first = asyncio.create_task(writer.submit(user("first")))
    await turns()
    waiting = [asyncio.create_task(writer.submit(user(n))) for n in range(4)]
    await turns()
    waiting[1].cancel()
    await turns()
    deployment.sent[0].succeed()
    await turns()
    assert deployment.sent[1].users == ["0", "2", "3"]
    waiting[2].cancel()
    await turns()
    deployment.sent[1].answer.set_exception(DeploymentUnavailable("down"))
    await until(lambda: len(deployment.sent) == 3)
    assert deployment.sent[2].users == ["0", "3"]
    deployment.sent[2].succeed()
    assert [await task for task in (first, waiting[0], waiting[3])] == ["updated"] * 3


async def test_changes_withdrawn_before_their_turn_make_no_call() -> None:
    deployment = Scripted()
    writer = Writer(deployment)
    task = asyncio.create_task(writer.submit(user(1)))
    await asyncio.sleep(0)
    task.cancel()
    await turns()
    assert deployment.sent == []
    assert writer.status.in_flight == 0


async def test_a_cancelled_request_does_not_cancel_its_batch() -> None:
    """The batch in flight continues, and its other changes get their outcomes."""
    deployment = Scripted()
    writer = Writer(deployment)
    tasks = [asyncio.create_task(writer.submit(user(n))) for n in range(3)]
    await turns()
    tasks[0].cancel()
    await turns()
    deployment.sent[0].answer.set_result(["created", "updated", "stale"])
    assert await asyncio.gather(*tasks[1:]) == ["updated", "stale"]


async def test_a_deadline_ends_with_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise thousands of changes per second would stay in memory until their deadlines."""
    loop = asyncio.get_running_loop()
    moments: list[set[object]] = []

    def call_later(delay: float, ring: Any, moment: set[object], later: Any = loop.call_later) -> Any:
        moments.append(moment)
        return later(delay, ring, moment)

    monkeypatch.setattr(loop, "call_later", call_later)
    deployment = Scripted()
    task = asyncio.create_task(Writer(deployment, limits=WriterLimits(deadline=60)).submit(user(1)))
    await turns()
    assert [len(moment) for moment in moments] == [1]
    deployment.sent[0].succeed()
    await task
    assert [len(moment) for moment in moments] == [0]


async def test_a_change_past_its_deadline_is_withdrawn() -> None:
    """Its caller gets the error in time although the call before it still hangs, and the change is never
    sent."""
    deployment = Scripted()
    writer = Writer(deployment, limits=WriterLimits(in_flight=1, deadline=0.05))
    results = await submit_all(writer, [user(1)]), await submit_all(writer, [user(2)])
    assert [str(result) for (result,) in results] == ["Not written to Convex within 0.05 s."] * 2
    assert writer.status.queued == 0
    deployment.sent[0].succeed()
    await turns()
    assert len(deployment.sent) == 1


def test_an_error_names_only_current_trouble() -> None:
    """It has the last trouble only while that lasts."""

    async def main() -> None:
        deployment = Scripted()
        writer = Writer(deployment, limits=WriterLimits(deadline=60))
        task = asyncio.create_task(writer.submit(user(1)))
        await turns()
        deployment.sent[0].answer.set_exception(DeploymentUnavailable("It was down."))
        await asyncio.sleep(1)
        deployment.sent[1].succeed()
        assert await task == "updated"
        with pytest.raises(DeploymentUnavailable) as caught:
            await writer.submit(user(2))
        assert str(caught.value) == "Not written to Convex within 60 s."

    run(main())


async def test_a_wrong_setting_is_logged_once_a_minute(
    convex: StandIn, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what to do, however many changes fail for it."""
    convex.behave(then=stand_in.status(401, "BadAdminKey", DEPLOY_KEY))
    writer = Writer(Deployment(convex.url, DEPLOY_KEY))
    for n in range(5):
        (result,) = await submit_all(writer, [user(n)])
        assert isinstance(result, DeploymentMisconfigured)
    (record,) = caplog.records
    assert (record.name, record.levelname, record.exc_info) == ("clerk_convex", "ERROR", None)
    assert record.message.startswith(
        "Convex answered 401 (BadAdminKey): CONVEX_DEPLOY_KEY was rejected. Make a key"
    )
    monkeypatch.setattr(logs, "_INTERVAL", 0)
    await submit_all(writer, [user(9)])
    assert len(caplog.records) == 2
    await writer.aclose()


async def test_a_batch_for_another_version_is_not_split(convex: StandIn) -> None:
    """Even if Convex hides its reasons, a few calls show that the functions and not the changes are the
    cause."""
    convex.behave(then=stand_in.failure())
    writer = Writer(Deployment(convex.url, DEPLOY_KEY), limits=WriterLimits(in_flight=1))
    results = await submit_all(writer, [user(n) for n in range(500)])
    assert {type(result) for result in results} == {DeploymentMisconfigured}
    assert len({id(result) for result in results}) == 500  # an error raised in many tasks would grow in each
    assert len(convex.calls) == 2
    await writer.aclose()


async def test_functions_that_do_not_know_a_column_are_of_another_version(convex: StandIn) -> None:
    """They accept an empty batch. The examples of each change, which are never written, show the
    difference."""

    def behaviour(change: dict[str, Any]) -> bool:
        return "sortName" in change.get("columns", {}) or "imageUrl" in change.get("columns", {})

    convex.behave(then=stand_in.sync(refuse=behaviour))
    writer = Writer(Deployment(convex.url, DEPLOY_KEY))
    (result,) = await submit_all(writer, [user(1, imageUrl="https://img.clerk.com/1")])
    assert isinstance(result, DeploymentMisconfigured)
    assert "of another version" in str(result)
    assert [(call.target, call.path) for call in convex.calls] == [
        ("/api/mutation", "users:syncUsers"),
        ("/api/mutation", "users:syncUsers"),
        ("/api/query", "users:compareUsers"),
        ("/api/query", "users:compareUsers"),
    ]
    assert [change["type"] for change in convex.calls[2].changes] == ["upsert", "delete", "signIn"]
    assert convex.calls[3].changes == []
    await writer.aclose()


def by_kind(*, mutations: Behaviour, queries: Behaviour) -> Behaviour:
    async def behaviour(call: stand_in.Call, writer: asyncio.StreamWriter) -> None:
        await (mutations if call.target == "/api/mutation" else queries)(call, writer)

    return behaviour


@pytest.mark.parametrize(
    ("behaviour", "function"),
    [
        (stand_in.failure(), "users:syncUsers"),
        (
            by_kind(
                mutations=stand_in.sync(refuse=lambda change: True),
                queries=stand_in.failure(),
            ),
            "users:compareUsers",
        ),
    ],
)
async def test_a_missing_permission_is_not_another_version(
    convex: StandIn, behaviour: Behaviour, function: str
) -> None:
    """Hosted Convex answers only "Server Error". The refusal of an empty call shows that a permission is
    missing."""
    convex.behave(then=behaviour)
    writer = Writer(Deployment(convex.url, DEPLOY_KEY))
    (result,) = await submit_all(writer, [user(1)])
    assert isinstance(result, DeploymentMisconfigured)
    assert f"an empty call of {function}: CONVEX_DEPLOY_KEY lacks the permission for it" in str(result)
    assert "another version" not in str(result)
    await writer.aclose()


async def test_unknown_columns_are_named(convex: StandIn) -> None:
    """Without their values, although hosted Convex answers only "Server Error"."""

    def refuse(change: dict[str, Any]) -> bool:
        columns = change.get("columns", {})
        return "locale" in columns or columns.get("joined", 1.0) != 1.0

    convex.behave(then=stand_in.sync(refuse=refuse))
    writer = Writer(Deployment(convex.url, DEPLOY_KEY))
    changes = [
        user(1, plan="free", locale=SECRET, joined=SECRET),
        user(2, plan="free", joined=SECRET),
        user(3, plan="free"),
    ]
    first, second, third = await submit_all(writer, changes)
    assert isinstance(first, CallRefused)
    assert "CLERK_CONVEX_FIELDS returns 'locale', 'joined': columns.ts lacks it" in str(first)
    assert "CLERK_CONVEX_FIELDS returns 'joined': columns.ts lacks it" in str(second)
    assert third == "created"
    assert isinstance(second, CallRefused)
    assert (first.clerk_id, second.clerk_id) == (changes[0].clerk_id, changes[1].clerk_id)
    assert SECRET not in f"{first}{second}"
    await writer.aclose()


@pytest.mark.parametrize("queries", [stand_in.sync(), stand_in.status(503)])
async def test_a_refusal_that_no_column_explains_stands(convex: StandIn, queries: Behaviour) -> None:
    """No column is named if Convex accepts each of them, or cannot be reached."""
    refused = stand_in.sync(refuse=lambda change: True)

    async def behaviour(call: stand_in.Call, writer: asyncio.StreamWriter) -> None:
        is_probe = any("plan" in change.get("columns", {}) for change in call.changes)
        kind = queries if is_probe else stand_in.sync()
        await (refused if call.target == "/api/mutation" else kind)(call, writer)

    convex.behave(then=behaviour)
    writer = Writer(Deployment(convex.url, DEPLOY_KEY))
    (result,) = await submit_all(writer, [user(1, plan="free")])
    assert isinstance(result, CallRefused)
    assert "CLERK_CONVEX_FIELDS" not in str(result)
    await writer.aclose()


async def test_closing_answers_all_changes() -> None:
    """In flight or waiting. No change is accepted any more."""
    deployment = Scripted()
    writer = Writer(deployment, limits=WriterLimits(in_flight=1))
    tasks = []
    for n in range(2):
        tasks.append(asyncio.create_task(writer.submit(user(n))))
        await turns()
    await writer.aclose()
    for task in tasks:
        with pytest.raises(DeploymentUnavailable, match="shutting down"):
            await task
    with pytest.raises(DeploymentUnavailable, match="shutting down"):
        await writer.submit(user(2))
    assert (writer.status.in_flight, len(deployment.sent)) == (0, 1)
    assert deployment.closed == 1
    await writer.aclose()


@pytest.mark.parametrize("behaviour", [stand_in.hang, stand_in.status(503)])
def test_the_writer_ends_with_the_loop(convex: StandIn, behaviour: Behaviour) -> None:
    """A process that stops does not wait for Convex, without a warning and without `aclose`."""
    convex.behave(then=behaviour)
    noticed: list[dict[str, Any]] = []

    async def scenario() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: noticed.append(context))
        writer = Writer(
            Deployment(convex.url, DEPLOY_KEY, timeout=60), limits=WriterLimits(in_flight=1, deadline=60)
        )
        tasks = [asyncio.create_task(writer.submit(user(n))) for n in range(2)]
        await asyncio.to_thread(convex.wait_for_calls, 1)
        tasks.append(asyncio.create_task(writer.submit(user(3))))
        await turns()

    started = time.monotonic()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        asyncio.run(scenario())
        gc.collect()
    assert time.monotonic() - started < 30
    assert (noticed, caught) == ([], [])


def test_nothing_starts_before_the_first_change() -> None:
    """A writer can be made without a running event loop."""
    writer = Writer(Deployment("http://convex.test", DEPLOY_KEY))
    assert writer.status == module.Status(0, 0, None, None, None)
