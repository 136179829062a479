"""A local Clerk whose clock is wrong, and the history that happens at it."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from typing import Any

from clerk_convex.local.clerk.instance import ClerkInstance
from clerk_convex.local.clerk.server import running
from clerk_convex.local.clerk.svix import Attempt, Delivery, WebhookSender
from clerk_convex.local.demo.people import ordinary
from clerk_convex.local.demo.scenario import CHANGES
from clerk_convex.local.listener import listen

__all__ = ["Clerk", "History", "clerk"]

HOUR = 3_600_000  # milliseconds
SPEED = 20_000.0  # Svix's retries take 28 hours; here 5 seconds
CONNECTIONS = 64
UNRELIABLE = Delivery(late=0.1, doubled=0.2, shuffled=0.5, late_by=2.0, window=0.2)


class Clerk(ClerkInstance):
    """A Clerk whose clock is `skew` ms ahead. It keeps when it deleted whom."""

    def __init__(self, seed: int) -> None:
        # Clerk allows a live key 1,000 requests in 10 seconds, and the client keeps to that.
        super().__init__(
            speed=SPEED, seed=seed, secret_key=f"sk_live_{seed:040}", rate_limit=0, lockout_seconds=None
        )
        # Late, held and failed messages each keep a connection or wait, so many are under way at once.
        self.webhooks = WebhookSender(speed=SPEED, seed=seed, connections=CONNECTIONS)
        self.skew = 0
        self.deleted: dict[str, int] = {}
        self._delivered = threading.Condition()
        self.webhooks.on_delivery = self._notify

    def _now(self) -> int:
        return super()._now() + self.skew

    def date(self) -> str:
        """Return the value of a Date header by this clock."""
        with self._lock:
            return formatdate(self._now() / 1000, usegmt=True)

    def _emit(self, kind: str, data: Any, now: int) -> None:
        if kind == "user.deleted":
            self.deleted[data["id"]] = now
        super()._emit(kind, data, now)

    def _notify(self, attempt: Attempt) -> None:
        with self._delivered:
            self._delivered.notify_all()

    def wait_for_backlog(self, most: int, seconds: float) -> None:
        """Wait until at most that many messages are on their way, or `seconds` are over."""
        with self._delivered:
            self._delivered.wait_for(lambda: self.webhooks.stats.pending <= most, seconds)


@contextmanager
def clerk(seed: int) -> Iterator[Clerk]:
    """Run a Clerk in a thread."""
    instance = Clerk(seed)
    with listen(0, "The local Clerk") as listener, running(instance, listener, "control"):
        yield instance


class History:
    """Changes of users, in an order that depends only on `seed`."""

    def __init__(self, clerk: Clerk, seed: int) -> None:
        self._clerk = clerk
        self._random = random.Random(f"{seed}:history")
        self._known: list[str] = []
        self._number = 0
        self.events = 0
        clerk.skew = self._random.randrange(-48 * HOUR, 48 * HOUR)

    def sign_up(self, count: int) -> None:
        for _ in range(count):
            self._known.append(self._clerk.create_user(**ordinary(self._number))["id"])
            self._number += 1

    def step(self) -> None:
        """Make one change."""
        self.events += 1
        chance = self._random.random()
        if chance < 0.25 or not self._known:
            self.sign_up(1)
            return
        place = self._random.randrange(len(self._known))
        if chance < 0.37:
            self._clerk.delete_user(self._known.pop(place))
        else:
            name = self._random.choice(list(CHANGES))
            CHANGES[name](self._clerk, self._known[place], self.events)

    def turn_clock(self) -> None:
        """Set Clerk's clock ahead. Its times never decrease."""
        self._clerk.skew += self._random.randrange(HOUR)
