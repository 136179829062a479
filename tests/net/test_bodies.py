"""The memory for incomplete bodies is bounded, and senders of large bodies keep out no small event."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.types import Message

from clerk_convex import webhook_route
from clerk_convex.net import bodies
from clerk_convex.net.bodies import BodyRefused, closing, read_body
from clerk_convex.net.per_loop import PerLoop
from tests.admin.test_routes import error
from tests.support import virtual_time
from tests.support.managed import Managed
from tests.webhook.test_route import EVENT, chunk, drive, settings_for, signed

MIB = 1024 * 1024
LARGEST = 512 * 1024


class Sender:
    """A request whose body arrives as the test says."""

    def __init__(self, length: str = "") -> None:
        self.messages: asyncio.Queue[Message] = asyncio.Queue()
        self.reading = asyncio.ensure_future(
            read_body(self.messages.get, length, largest=LARGEST, within=10.0)
        )

    async def send(self, size: int, *, end: bool = False) -> None:
        self.messages.put_nowait({"type": "http.request", "body": b"x" * size, "more_body": not end})
        for _ in range(3):
            await asyncio.sleep(0)

    async def refused(self) -> tuple[int, str]:
        with pytest.raises(BodyRefused) as caught:
            await self.reading
        return caught.value.status, str(caught.value)


def held() -> int:
    return bodies._incomplete.get().bytes


@pytest.fixture
def budget(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(bodies, "_BUDGET", 1000)
    return 1000


pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Check after each test that no bytes are counted any more."""
    made: list[bodies._Incomplete] = []

    def make() -> bodies._Incomplete:
        made.append(bodies._Incomplete())
        return made[-1]

    monkeypatch.setattr(bodies, "_incomplete", PerLoop(make))
    yield
    assert not any(each.bytes or each._readings for each in made)


async def test_a_body_is_what_was_sent() -> None:
    """In one piece or many."""
    for sizes in ([10], [0], [1, 0, 2], [LARGEST - 1, 1]):
        sender = Sender()
        for number, size in enumerate(sizes, 1):
            await sender.send(size, end=number == len(sizes))
        assert await sender.reading == b"x" * sum(sizes)


async def test_the_largest_makes_room(budget: int) -> None:
    """Over the budget the largest body is refused, and the others are read to their ends."""
    small, large, middle = Sender(), Sender(), Sender()
    await small.send(200)
    await large.send(500)
    await middle.send(300)
    assert held() == budget
    await small.send(1)
    assert held() == 501
    assert await large.refused() == (503, "Too many large bodies arrive at once. Try again later.")
    await middle.send(1, end=True)
    await small.send(1, end=True)
    assert [len(await each.reading) for each in (small, middle)] == [202, 301]


async def test_the_newest_is_refused_if_it_is_the_largest(budget: int) -> None:
    """A body that is larger than each body in the budget is refused itself."""
    others = [Sender() for _ in range(5)]
    for other in others:
        await other.send(200)
    newcomer = Sender()
    await newcomer.send(201)
    assert (await newcomer.refused())[0] == 503
    assert held() == budget
    for other in others:
        await other.send(0, end=True)
        assert len(await other.reading) == 200


async def test_events_in_one_piece_need_no_room(budget: int) -> None:
    """A body that is complete when it arrives, as most events are, is accepted however full the budget is."""
    large = Sender()
    await large.send(1000)
    event = Sender()
    await event.send(900, end=True)
    assert len(await event.reading) == 900
    assert held() == budget
    await large.send(0, end=True)
    assert len(await large.reading) == 1000


async def test_of_equal_bodies_the_oldest_is_refused(budget: int) -> None:
    """Of several that are as large, the one goes that has been coming in for longest."""
    old, young = Sender(), Sender()
    await old.send(500)
    await young.send(500)
    await old.send(0)
    event = Sender()
    await event.send(100)
    assert (await old.refused())[0] == 503
    await event.send(0, end=True)
    assert len(await event.reading) == 100
    await young.send(1, end=True)
    assert len(await young.reading) == 501


async def test_a_chunk_that_was_on_its_way(budget: int) -> None:
    """A refused body whose next or last chunk has arrived already is not read further."""
    for end in (False, True):
        large, other = Sender(), Sender()
        await large.send(600)
        other.messages.put_nowait({"type": "http.request", "body": b"x" * 500, "more_body": True})
        large.messages.put_nowait({"type": "http.request", "body": b"x" * 10, "more_body": not end})
        assert (await large.refused())[0] == 503
        assert held() == 500
        await other.send(0, end=True)
        assert len(await other.reading) == 500


async def test_a_later_chunk_of_a_refused_body(budget: int) -> None:
    """It takes no room from other bodies."""
    large, others = Sender(), [Sender(), Sender()]
    await large.send(600)
    await others[0].send(400)
    others[1].messages.put_nowait({"type": "http.request", "body": b"x" * 450, "more_body": True})
    large.messages.put_nowait({"type": "http.request", "body": b"x" * 300, "more_body": True})
    assert (await large.refused())[0] == 503
    assert held() == 850
    for other in others:
        await other.send(0, end=True)
        await other.reading


async def test_a_body_that_is_late_anyway(budget: int) -> None:
    """A body whose ten seconds end at the moment of its refusal is refused once."""
    large = Sender()
    await large.send(900)
    (reading,) = bodies._incomplete.get()._readings
    reading.timeout.reschedule(0.0)
    event = Sender()
    event.messages.put_nowait({"type": "http.request", "body": b"x" * 500, "more_body": True})
    assert (await large.refused())[0] in {408, 503}
    await event.send(0, end=True)
    assert len(await event.reading) == 500


async def test_clients_that_disconnect(budget: int) -> None:
    """The bytes of a client that disconnects, or whose request is cancelled, are free again."""
    gone, cancelled = Sender(), Sender()
    await gone.send(100)
    await cancelled.send(100)
    assert held() == 200
    gone.messages.put_nowait({"type": "http.disconnect"})
    with pytest.raises(ClientDisconnect):
        await gone.reading
    assert held() == 100
    cancelled.reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled.reading


@pytest.mark.parametrize("length", ["524289", "9" * 5000])
async def test_content_length_over_the_limit(length: str) -> None:
    """Nothing of the body is read."""
    sender = Sender(length)
    assert (await sender.refused())[0] == 413
    assert sender.messages.empty()


@pytest.mark.parametrize("length", ["524288", "10", "x", "-1", ""])
async def test_content_length_below_a_body_over_the_limit(length: str) -> None:
    """A body ends at the limit, whatever Content-Length says."""
    sender = Sender(length)
    await sender.send(LARGEST)
    assert held() == LARGEST
    await sender.send(1)
    assert (await sender.refused())[0] == 413


def test_slow_bodies() -> None:
    """After ten seconds a body is refused, and its bytes are free."""

    async def main() -> float:
        slow = Sender()
        await slow.send(100)
        status, text = await slow.refused()
        assert status == 408
        assert text.startswith(
            "The body was not there after 10 s. Either its sender is slow, or a middleware"
        )
        assert held() == 0
        return virtual_time.now()

    assert virtual_time.run(main()) == pytest.approx(10, abs=0.1)


async def test_an_attack_with_large_bodies() -> None:
    """2,000 senders hold back bodies of 511 KB: never more than the budget is held, and every event of a few
    kilobytes gets through all the while."""
    senders = []
    most = 0
    for number in range(2000):
        sender = Sender()
        senders.append(sender)
        sender.messages.put_nowait({"type": "http.request", "body": b"x" * 511_000, "more_body": True})
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        most = max(most, held())
        if number % 100 == 0:
            event = Sender()
            await event.send(6000)
            await event.send(500, end=True)
            assert len(await event.reading) == 6500
    assert 31 * MIB < most <= 32 * MIB
    await asyncio.sleep(0.01)
    refused = sum(sender.reading.done() for sender in senders)
    assert refused == 2000 - 65
    for sender in senders:
        sender.reading.cancel()
    await asyncio.gather(*(sender.reading for sender in senders), return_exceptions=True)


@pytest.mark.parametrize(("version", "closes"), [("1.0", True), ("1.1", True), ("2", False), ("3", False)])
def test_connections_are_closed_in_http_1(version: str, closes: bool) -> None:
    """HTTP/2 and HTTP/3 have no header for it, and servers fail with one."""
    assert closing({"type": "http", "http_version": version}) == ({"Connection": "close"} if closes else {})


# What the routes answer


@pytest.mark.usefixtures("budget")
async def test_answer_to_a_refused_webhook(caplog: pytest.LogCaptureFixture) -> None:
    """503, so that Svix sends it again, and the connection is closed. The log has one line."""
    app = Starlette(routes=[webhook_route(settings=settings_for())])
    for _ in range(2):
        sent, taken = await drive(app, [chunk(b"x" * 600, more=True)] * 9, signed(EVENT))
        assert (sent[0]["status"], taken) == (503, 2)
        assert {(b"retry-after", b"5"), (b"connection", b"close")} <= set(sent[0]["headers"])
    assert "Too many large bodies arrive at once" in sent[1]["body"].decode()
    assert len(caplog.records) == 1


@pytest.mark.usefixtures("budget")
async def test_answer_to_a_refused_admin_call(managed: Managed) -> None:
    """The same, in the form of user management. No action is done or recorded."""
    async with managed.as_admin() as client:
        before = managed.state()
        answer = await client.patch(f"/{managed.eve}", content=b" " * 1001)
        assert (answer.status_code, error(answer)["code"]) == (503, "too_many_bodies")
        assert error(answer)["retry_after"] == 5
        assert answer.headers["connection"] == "close"
        assert managed.state() == before
        assert (await client.patch(f"/{managed.eve}", content=b'{"first_name": "Eva"}')).status_code == 200
    assert [row["action"] for row in managed.attempts()] == ["update"]
