import itertools
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from svix.webhooks import Webhook, WebhookVerificationError

from clerk_convex.errors import LocalError
from clerk_convex.local.clerk.svix import SCHEDULE, Attempt, Delivery, Stats, WebhookSender
from tests.support.webhook_receiver import Received, Receiver

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
# Fast enough for the whole schedule of 31 hours to pass in a fraction of a second.
SPEED = 1_000_000.0
NOWHERE = "http://127.0.0.1:9/"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def test_a_message_arrives_signed(receiver: Receiver) -> None:
    """The official verifier accepts the headers with the endpoint's secret and with no other."""
    with WebhookSender() as sender:
        endpoint = sender.add_endpoint(receiver.url)
        assert sender.has_endpoints
        message_id = sender.send('{"name":"Łukasz"}')
        assert sender.drain(60)
    (received,) = receiver.requests
    assert received.body == '{"name":"Łukasz"}'.encode()
    assert received.id == message_id
    assert len(message_id) == 31
    assert abs(int(received.headers["svix-timestamp"]) - time.time()) < 60
    assert received.headers["content-type"] == "application/json"
    Webhook(endpoint.secret).verify(received.body, received.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(OTHER).verify(received.body, received.headers)


def test_two_endpoints_get_the_same_message_signed_differently(receiver: Receiver) -> None:
    """As in a rotation at Clerk: one id and one body, a signature for each secret."""
    with WebhookSender() as sender:
        for secret in (SECRET, OTHER):
            sender.add_endpoint(receiver.url, secret)
        sender.send("{}")
        assert sender.drain(60)
        assert sender.stats.sent == 2
    first, second = receiver.requests
    assert (first.id, first.body) == (second.id, second.body)
    assert first.headers["svix-signature"] != second.headers["svix-signature"]
    valid = [
        (secret, received.headers["svix-signature"])
        for secret in (SECRET, OTHER)
        for received in receiver.requests
        if _verifies(secret, received)
    ]
    assert len(valid) == 2


def _verifies(secret: str, received: Received) -> bool:
    try:
        Webhook(secret).verify(received.body, received.headers)
    except WebhookVerificationError:
        return False
    return True


@pytest.mark.parametrize("status", [304, 301, 307, 400, 404, 500, 503])
def test_everything_but_2xx_is_retried(receiver: Receiver, status: int) -> None:
    """Also a redirect, which is not followed. The id and the body stay the same."""
    statuses = itertools.chain([status, status], itertools.repeat(200))
    receiver.answer = lambda received: next(statuses)
    with WebhookSender(speed=SPEED) as sender:
        sender.add_endpoint(receiver.url, SECRET)
        sender.send('{"n":1}')
        assert sender.drain(60)
        assert (sender.stats.attempts, sender.stats.delivered, sender.stats.failed) == (3, 1, 0)
    assert len({(received.id, received.body) for received in receiver.requests}) == 1


def test_a_broken_connection_is_retried(receiver: Receiver) -> None:
    """No answer is a failed attempt, and its status is None."""
    broken = iter([True])

    def answer(received: Received) -> int:
        if next(broken, False):
            raise ConnectionError
        return 200

    receiver.answer = answer
    attempts: list[Attempt] = []
    with WebhookSender(speed=SPEED) as sender:
        sender.on_delivery = attempts.append
        sender.add_endpoint(receiver.url, SECRET)
        message_id = sender.send("{}")
        assert sender.drain(60)
    assert [(attempt.number, attempt.status, attempt.ok) for attempt in attempts] == [
        (1, None, False),
        (2, 200, True),
    ]
    assert {attempt.message_id for attempt in attempts} == {message_id}
    assert attempts[1].age >= attempts[0].age >= attempts[0].seconds >= 0


def test_no_answer_within_the_timeout_is_a_failure(receiver: Receiver) -> None:
    """An attempt that takes too long as a whole is cancelled and repeated."""
    released = threading.Event()
    receiver.answer = lambda received: 200 if len(receiver.requests) > 1 or released.wait(30) else 500
    with WebhookSender(speed=SPEED, timeout=0.1) as sender:
        sender.add_endpoint(receiver.url, SECRET)
        sender.send("{}")
        assert sender.drain(60)
        assert sender.stats.attempts >= 2
        assert sender.stats.delivered == 1
    released.set()


def test_a_dripping_answer_does_not_outlive_the_timeout() -> None:
    """The timeout is for the whole attempt, not for the wait between two bytes."""

    def drip() -> None:
        with suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\n")
                while not over.wait(0.02):
                    connection.sendall(b"x-drip: 1\r\n")

    def report(attempt: Attempt) -> None:
        attempts.append(attempt)
        over.set()

    over = threading.Event()
    attempts: list[Attempt] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip)
        thread.start()
        with WebhookSender(timeout=0.2) as sender:
            sender.on_delivery = report
            sender.add_endpoint(f"http://127.0.0.1:{listener.getsockname()[1]}/", SECRET)
            sender.send("{}")
            assert over.wait(10)
        thread.join()
    assert attempts[0].status is None


def recorded_delays(sender: WebhookSender, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Record the seconds by which each attempt is delayed, from now on."""
    delays: list[float] = []
    push = sender._push

    def recording(job: Any, delay: float) -> None:
        delays.append(delay)
        push(job, delay)

    monkeypatch.setattr(sender, "_push", recording)
    return delays


def test_the_schedule_is_svixs_divided_by_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Immediately, then after 5 s, 5 min, 30 min, 2 h, 5 h, 10 h and 10 h, within a tenth."""
    sender = WebhookSender(speed=SPEED)
    delays = recorded_delays(sender, monkeypatch)
    with sender:
        sender.add_endpoint(NOWHERE, SECRET)
        sender.send("{}")
        assert sender.drain(60)
        assert sender.stats.attempts == len(delays) == 8
    seconds = [0, 5, 300, 1_800, 7_200, 18_000, 36_000, 36_000]
    assert list(SCHEDULE) == seconds
    assert [delay * SPEED for delay in delays] == [pytest.approx(expected, rel=0.11) for expected in seconds]


def test_a_retry_does_not_delay_other_messages(receiver: Receiver) -> None:
    """A message that arrives while another waits for its retry is sent first. The retry comes in time."""
    receiver.answer = lambda received: 500 if len(receiver.requests) == 1 else 200
    ids: list[str] = []
    ages: list[float] = []
    with WebhookSender(speed=50.0, connections=1) as sender:

        def send_another(attempt: Attempt) -> None:
            ages.append(attempt.age)
            if attempt.status == 500:
                ids.append(sender.send("2"))

        sender.on_delivery = send_another
        sender.add_endpoint(receiver.url, SECRET)
        ids.append(sender.send("1"))
        assert sender.drain(60)
    first, second = ids
    assert [received.id for received in receiver.requests] == [first, second, first]
    assert ages[2] >= 5 / 50 * 0.9


def test_given_up_messages_can_be_replayed(receiver: Receiver) -> None:
    """After the last attempt a message is kept. A replay sends it with its id and body, on a new schedule."""
    receiver.answer = lambda received: 500
    with WebhookSender(speed=SPEED) as sender:
        sender.add_endpoint(receiver.url, SECRET)
        ids = [sender.send(f'{{"n":{number}}}') for number in range(3)]
        assert sender.drain(60)
        assert sorted(sender.failed) == sorted(ids)
        assert (sender.stats.failed, sender.stats.attempts) == (3, 24)
        assert sender.replay(ids[0]) == 1
        assert sender.drain(60)
        assert (sender.stats.failed, sender.stats.attempts) == (4, 32)
        receiver.answer = lambda received: 200
        receiver.requests.clear()
        assert sender.replay("msg_unknown") == 0
        assert sender.replay(ids[1]) == 1
        assert sender.drain(60)
        assert [(received.id, received.body) for received in receiver.requests] == [(ids[1], b'{"n":1}')]
        assert sender.replay_failed() == 2
        assert sender.drain(60)
        assert sender.failed == []
        assert {received.id for received in receiver.requests} == set(ids)
        stats = sender.stats
        assert stats.sent == stats.delivered + stats.failed == 7


def test_doubled_messages_come_twice(receiver: Receiver) -> None:
    """With the same id and body, as after a lost answer."""
    with WebhookSender() as sender:
        sender.delivery = Delivery(doubled=1.0, window=0.01)
        sender.add_endpoint(receiver.url, SECRET)
        message_id = sender.send("{}")
        assert sender.drain(60)
        assert sender.stats.delivered == 2
    assert [received.id for received in receiver.requests] == [message_id] * 2


def test_lost_messages_are_never_sent(receiver: Receiver) -> None:
    """They are counted, and no replay finds them."""
    with WebhookSender() as sender:
        sender.delivery = Delivery(lost=1.0)
        sender.add_endpoint(receiver.url, SECRET)
        sender.send("{}")
        assert sender.drain(60)
        assert (sender.stats.lost, sender.stats.sent) == (1, 0)
        assert sender.replay_failed() == 0
    assert receiver.requests == []


def test_late_messages_wait(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between half of `late_by` and all of it. Then they arrive."""
    sender = WebhookSender()
    delays = recorded_delays(sender, monkeypatch)
    sender.add_endpoint(receiver.url, SECRET)
    sender.delivery = Delivery(late=1.0, late_by=0.1)
    late = sender.send("{}")
    sender.delivery = Delivery()
    prompt = sender.send("{}")
    assert 0.05 <= delays[0] <= 0.1
    assert delays[1] == 0.0
    with sender:
        assert sender.drain(60)
    assert sorted(received.id for received in receiver.requests) == sorted([late, prompt])


def test_shuffled_messages_overtake_each_other(receiver: Receiver) -> None:
    """All arrive, in another order than they were sent."""
    with WebhookSender(connections=1) as sender:
        sender.delivery = Delivery(shuffled=1.0, window=0.1)
        sender.add_endpoint(receiver.url, SECRET)
        sent = [sender.send("{}") for _ in range(30)]
        assert sender.drain(60)
    arrived = [received.id for received in receiver.requests]
    assert arrived != sent
    assert sorted(arrived) == sorted(sent)


def test_messages_leave_in_order(receiver: Receiver) -> None:
    """Without troubles, and over one connection, they arrive as they were sent."""
    with WebhookSender(connections=1) as sender:
        sender.add_endpoint(receiver.url, SECRET)
        sent = [sender.send("{}") for _ in range(30)]
        assert sender.drain(60)
    assert [received.id for received in receiver.requests] == sent


def test_a_seed_repeats_ids_and_troubles() -> None:
    """Two senders with one seed do the same. Another seed gives other troubles."""

    def run(seed: int) -> tuple[list[str], int, int]:
        sender = WebhookSender(seed=seed)
        sender.add_endpoint(NOWHERE, SECRET)
        sender.delivery = Delivery(doubled=0.5, lost=0.5)
        return [sender.send("{}") for _ in range(50)], sender.stats.sent, sender.stats.lost

    assert run(1) == run(1)
    assert run(1)[0] != run(2)[0]


def test_connections_are_limited(receiver: Receiver) -> None:
    """There are no more concurrent requests than `connections`, however many messages wait."""
    together = threading.Barrier(4)
    receiver.answer = lambda received: 200 if together.wait(10) >= 0 else 500
    with WebhookSender(connections=4) as sender:
        sender.add_endpoint(receiver.url, SECRET)
        for _ in range(12):
            sender.send("{}")
        assert sender.drain(20)
    assert receiver.busiest == 4


def test_memory_is_bounded() -> None:
    """Further messages beyond `capacity` are dropped and counted. The same number of failed ones is kept."""
    sender = WebhookSender(speed=SPEED, capacity=3)
    sender.add_endpoint(NOWHERE, SECRET)
    for _ in range(5):
        sender.send("{}")
    assert (sender.stats.pending, sender.stats.dropped) == (3, 2)
    with sender:
        assert sender.drain(60)
        last = sender.send("{}")
        assert sender.drain(60)
        assert len(sender.failed) == 3
        assert sender.failed[-1] == last


def test_on_delivery_may_raise(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    """The error is logged, and deliveries continue."""

    def raises(attempt: Attempt) -> None:
        raise RuntimeError("no")

    with WebhookSender() as sender:
        sender.on_delivery = raises
        sender.add_endpoint(receiver.url, SECRET)
        sender.send("{}")
        assert sender.drain(60)
        assert sender.stats.delivered == 1
    assert "on_delivery raised" in caplog.text


def test_messages_before_the_start_wait(receiver: Receiver) -> None:
    """They are sent once the sender starts. A second start does nothing."""
    sender = WebhookSender()
    sender.add_endpoint(receiver.url, SECRET)
    sender.send("{}")
    assert not sender.drain(0.0)
    with sender:
        sender.start()
        assert sender.drain(60)
    assert len(receiver.requests) == 1


def test_without_endpoints_nothing_is_kept() -> None:
    """Clerk keeps no events for later endpoints."""
    sender = WebhookSender()
    assert not sender.has_endpoints
    sender.send("{}")
    assert sender.drain(0.0)
    sender.close()


def test_close_is_prompt_with_a_hung_receiver_and_retries_pending(receiver: Receiver) -> None:
    """Within 2 seconds, also a second time. drain() does not wait any more, and no thread is left."""
    released = threading.Event()
    receiver.answer = lambda received: 200 if released.wait(30) else 500
    before = set(threading.enumerate())
    sender = WebhookSender(speed=1.0)
    sender.start()
    (own,) = [thread for thread in set(threading.enumerate()) - before if thread.name == "local-svix"]
    sender.add_endpoint(receiver.url, SECRET)
    sender.add_endpoint(NOWHERE, SECRET)
    sender.send("{}")
    while not receiver.requests or sender.stats.attempts == 0:
        time.sleep(0.001)
    started = time.monotonic()
    sender.close()
    sender.close()
    assert time.monotonic() - started < 10
    own.join(20)
    assert not own.is_alive()
    assert not sender.drain(60)
    sender.send("{}")  # is not delivered, and is no error
    released.set()


@pytest.mark.parametrize("url", ["", "example.com/hook", "ftp://example.com", "http://", "http://\x00"])
def test_a_wrong_url_is_refused(url: str) -> None:
    """Immediately, with the form of a valid address."""
    with pytest.raises(LocalError, match="give one such as"):
        WebhookSender().add_endpoint(url)


@pytest.mark.parametrize("secret", ["whsec_", "whsec_a", "whsec_é"])
def test_a_wrong_secret_is_refused(secret: str) -> None:
    """Immediately, without quoting it."""
    with pytest.raises(LocalError, match="whsec_ followed by base64") as caught:
        WebhookSender().add_endpoint(NOWHERE, secret)
    assert secret not in str(caught.value).replace("whsec_ followed", "")


def test_secrets_stay_out_of_reprs() -> None:
    """An endpoint can be printed."""
    assert SECRET not in repr(WebhookSender().add_endpoint(NOWHERE, SECRET))


def test_reset_forgets_all_and_waits_for_what_is_on_its_way(receiver: Receiver) -> None:
    """No message of before arrives after a reset, and none that fails is retried."""
    arrived, answered = threading.Event(), threading.Event()

    def answer(received: Received) -> int:
        arrived.set()
        assert answered.wait(10)
        return 500

    receiver.answer = answer
    with WebhookSender(connections=1, speed=SPEED) as sender:
        sender.add_endpoint(receiver.url)
        sender.delivery = Delivery(shuffled=1.0, window=0.0)
        for body in ("1", "2", "3"):
            sender.send(body)
        assert arrived.wait(10)
        reset = threading.Thread(target=sender.reset)
        reset.start()
        while sender.has_endpoints:
            time.sleep(0.001)
        assert reset.is_alive()
        answered.set()
        reset.join(10)
        assert not reset.is_alive()
        assert (sender.stats, sender.attempts, sender.failed) == (Stats(), [], [])
        assert sender.delivery == Delivery()
        receiver.answer = lambda received: 204
        sender.add_endpoint(receiver.url)
        sender.send("4")
        assert sender.drain(60)
    assert [received.body for received in receiver.requests] == [b"1", b"4"]
