"""Send signed webhooks as Svix does for Clerk: at least once, with retries.

A test can make messages late, doubled, shuffled or lost, as they can be in production. Undelivered messages
are lost when the sender closes.
"""

import asyncio
import base64
import heapq
import logging
import random
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import httpx
from svix.webhooks import Webhook

from clerk_convex.errors import LocalError

__all__ = ["BASE62", "Attempt", "Delivery", "Endpoint", "Stats", "WebhookSender", "new_secret"]

# Seconds from one attempt to the next; https://docs.svix.com/retries.
SCHEDULE = (0.0, 5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 36_000.0)
KEPT_ATTEMPTS = 1_000
BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

logger = logging.getLogger("clerk_convex.local")


@dataclass(frozen=True, slots=True)
class Delivery:
    """Faults of deliveries. The first four are probabilities from 0 to 1 for each message.

    late: delay the first attempt by 0.5 to 1 times `late_by` seconds.
    doubled: send the message a second time, with the same id, within `window` seconds.
    shuffled: delay the first attempt by up to `window` seconds, so that messages change their order.
    lost: never send the message.
    """

    late: float = 0.0
    doubled: float = 0.0
    shuffled: float = 0.0
    lost: float = 0.0
    late_by: float = 1.0
    window: float = 0.1


@dataclass(slots=True)
class Stats:
    """Counts since the start. A message to two endpoints counts twice, and so does a doubled one."""

    sent: int = 0
    attempts: int = 0
    delivered: int = 0
    failed: int = 0
    pending: int = 0
    lost: int = 0
    dropped: int = 0
    """Messages that were dropped because too many were waiting."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A receiver's address, and the signing secret (`whsec_` and base64) that it verifies with."""

    url: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request to a receiver.

    status: the HTTP status, or None if no answer arrived.
    seconds: the duration of the request.
    age: seconds from `send` to the end of the request.
    """

    message_id: str
    url: str
    number: int
    status: int | None
    seconds: float
    age: float

    @property
    def ok(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def new_secret() -> str:
    """Return a new signing secret."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()


@dataclass(slots=True)
class _Job:
    """One message on its way to one endpoint."""

    message_id: str
    content: bytes
    endpoint: Endpoint
    sent_at: float
    attempts: int = 0


class WebhookSender:
    """Sign and deliver messages in a thread of its own. Thread-safe.

    speed: divides Svix's retry schedule.
    seed: makes message ids, jitter and the faults of `delivery` repeatable.
    connections: the greatest number of concurrent requests.
    timeout: seconds that an attempt may take in all. Svix's is 15.
    capacity: the greatest number of waiting messages; further ones are dropped. Also the number of failed
        messages that are kept; the oldest are dropped.
    """

    def __init__(
        self,
        *,
        speed: float = 1.0,
        seed: int = 0,
        connections: int = 32,
        timeout: float = 15.0,
        capacity: int = 50_000,
    ) -> None:
        self.delivery = Delivery()
        self.on_delivery: Callable[[Attempt], None] | None = None
        """Called in the sender's thread after each attempt. An exception of it is logged and ignored."""
        self._speed = speed
        self._random = random.Random(seed)
        self._connections = connections
        self._timeout = timeout
        self._capacity = capacity
        self._endpoints: list[Endpoint] = []
        self._failed: deque[_Job] = deque(maxlen=capacity)
        self._attempts: deque[Attempt] = deque(maxlen=KEPT_ATTEMPTS)
        self._stats = Stats()
        self._heap: list[tuple[float, int, _Job]] = []
        self._pushed = 0
        # Guards all fields above. Notified when no message is pending any more, and on close.
        self._changed = threading.Condition()
        self._sleeping = False
        self._closed = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start to deliver, also the messages of earlier `send` calls. A second call does nothing."""
        if self._thread is None:
            self._loop = asyncio.new_event_loop()
            self._wake = asyncio.Event()
            self._main = self._loop.create_task(self._deliver())
            self._thread = threading.Thread(target=self._run, name="local-svix", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Stop immediately, without delivering pending messages. A second call does nothing."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._main.cancel)
            self._thread.join(2.0)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add_endpoint(self, url: str, secret: str | None = None) -> Endpoint:
        """Send all later messages to `url` too, signed with `secret`. None makes a new secret.

        Raises LocalError if `url` is no http(s) address or `secret` is malformed.
        """
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL:
            parsed = httpx.URL("")
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise LocalError(
                "The webhook URL is not an address: give one such as http://127.0.0.1:8000/webhooks/clerk."
            )
        secret = secret or new_secret()
        try:
            Webhook(secret)
        except Exception as error:  # noqa: BLE001  # svix raises many kinds, and its text quotes the secret
            raise LocalError(
                f"The webhook secret is malformed ({type(error).__name__}): give whsec_ followed by base64."
            ) from None
        endpoint = Endpoint(url, secret)
        with self._changed:
            self._endpoints.append(endpoint)
        return endpoint

    def reset(self) -> None:
        """Forget all endpoints, messages, faults and counts. Return when no request is in progress."""
        with self._changed:
            self._endpoints.clear()  # a message whose endpoint is gone is not retried
            self._stats.pending -= len(self._heap)
            self._heap.clear()
            # Each request ends within the timeout.
            self._changed.wait_for(lambda: self._stats.pending == 0 or self._closed)
            self._failed.clear()
            self._attempts.clear()
            self._stats = Stats()
            self.delivery = Delivery()

    @property
    def has_endpoints(self) -> bool:
        return bool(self._endpoints)

    def send(self, body: str) -> str:
        """Takes one message for all endpoints and returns its id (`msg_…`); never waits for a receiver."""
        content = body.encode()
        with self._changed:
            message_id = "msg_" + "".join(self._random.choices(BASE62, k=27))
            for endpoint in self._endpoints:
                self._dispatch(_Job(message_id, content, endpoint, time.monotonic()))
        return message_id

    def drain(self, timeout: float) -> bool:
        """Wait until no message is pending, retries included. Return False after `timeout` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._stats.pending == 0 or self._closed, timeout)
            return self._stats.pending == 0

    @property
    def stats(self) -> Stats:
        """A copy of the current counts."""
        with self._changed:
            return replace(self._stats)

    @property
    def failed(self) -> list[str]:
        """The ids of the messages that failed for good after the last retry, oldest first."""
        with self._changed:
            return list(dict.fromkeys(job.message_id for job in self._failed))

    @property
    def attempts(self) -> list[Attempt]:
        """The latest 1,000 requests to receivers, oldest first."""
        with self._changed:
            return list(self._attempts)

    def replay(self, message_id: str) -> int:
        """Send a failed message again, with the same id and body. Return the number of deliveries."""
        return self._replay(lambda job: job.message_id == message_id)

    def replay_failed(self) -> int:
        """Send all failed messages again. Return the number of deliveries."""
        return self._replay(lambda job: True)

    def _replay(self, chosen: Callable[[_Job], bool]) -> int:
        with self._changed:
            again = [job for job in self._failed if chosen(job)]
            kept = [job for job in self._failed if not chosen(job)]
            self._failed.clear()
            self._failed.extend(kept)
            for job in again:
                self._accept(replace(job, attempts=0), 0.0)
            return len(again)

    def _dispatch(self, job: _Job) -> None:
        """Queue a new message with the faults of `delivery`. The caller holds the lock."""
        faults, happens = self.delivery, self._happens
        if happens(faults.lost):
            self._stats.lost += 1
            return
        delay = self._random.uniform(0.5, 1.0) * faults.late_by if happens(faults.late) else 0.0
        if happens(faults.shuffled):
            delay += self._random.uniform(0.0, faults.window)
        self._accept(job, delay)
        if happens(faults.doubled):
            self._accept(replace(job), delay + self._random.uniform(0.0, faults.window))

    def _happens(self, probability: float) -> bool:
        # Draw a number even if the probability is 0, so that the seed's later numbers stay the same.
        return self._random.random() < probability

    def _accept(self, job: _Job, delay: float) -> None:
        if self._stats.pending >= self._capacity:
            self._stats.dropped += 1
            return
        self._stats.sent += 1
        self._stats.pending += 1
        self._push(job, delay)

    def _push(self, job: _Job, delay: float) -> None:
        self._pushed += 1  # orders jobs of the same time; jobs themselves cannot be compared
        heapq.heappush(self._heap, (time.monotonic() + delay, self._pushed, job))
        # Wake the loop only when it sleeps: a system call for each message would release the GIL each time.
        if self._sleeping and not self._closed:
            self._sleeping = False
            self._loop.call_soon_threadsafe(self._wake.set)

    def _run(self) -> None:
        try:
            with suppress(asyncio.CancelledError):
                self._loop.run_until_complete(self._main)
        finally:
            self._loop.close()

    async def _deliver(self) -> None:
        slots = asyncio.Semaphore(self._connections)
        # Close idle connections before the receiver does, so that no request meets a closing connection.
        limits = httpx.Limits(max_connections=self._connections, keepalive_expiry=2.0)
        async with (
            httpx.AsyncClient(limits=limits, timeout=self._timeout, trust_env=False) as client,
            asyncio.TaskGroup() as attempts,
        ):
            while True:
                await slots.acquire()
                job = await self._next()
                attempts.create_task(self._attempt(client, job)).add_done_callback(lambda _: slots.release())

    async def _next(self) -> _Job:
        """Wait for the next job that is due, and return it."""
        while True:
            with self._changed:
                now = time.monotonic()
                if self._heap and self._heap[0][0] <= now:
                    return heapq.heappop(self._heap)[2]
                rest = self._heap[0][0] - now if self._heap else None
                self._wake.clear()
                self._sleeping = True
            with suppress(TimeoutError):
                async with asyncio.timeout(rest):
                    await self._wake.wait()

    async def _attempt(self, client: httpx.AsyncClient, job: _Job) -> None:
        job.attempts += 1
        now, started = datetime.now(UTC), time.monotonic()
        headers = {
            "content-type": "application/json",
            "user-agent": "Svix-Webhooks/1.0 (local)",
            "svix-id": job.message_id,
            "svix-timestamp": str(int(now.timestamp())),
            "svix-signature": Webhook(job.endpoint.secret).sign(job.message_id, now, job.content.decode()),
        }
        status = None
        with suppress(httpx.HTTPError, TimeoutError):  # the status stays None, which counts as failed
            async with asyncio.timeout(self._timeout):
                response = await client.post(job.endpoint.url, content=job.content, headers=headers)
            status = response.status_code
        ended = time.monotonic()
        attempt = Attempt(
            job.message_id, job.endpoint.url, job.attempts, status, ended - started, ended - job.sent_at
        )
        self._report(attempt)
        with self._changed:
            self._stats.attempts += 1
            self._attempts.append(attempt)
            if attempt.ok:
                self._stats.delivered += 1
            elif job.attempts < len(SCHEDULE) and job.endpoint in self._endpoints:
                self._push(job, SCHEDULE[job.attempts] / self._speed * self._random.uniform(0.9, 1.1))
                return
            else:
                self._stats.failed += 1
                self._failed.append(job)
            self._stats.pending -= 1
            if self._stats.pending == 0:
                self._changed.notify_all()

    def _report(self, attempt: Attempt) -> None:
        if self.on_delivery is not None:
            try:
                self.on_delivery(attempt)
            except Exception:
                logger.exception("on_delivery raised; the delivery itself is not affected.")
