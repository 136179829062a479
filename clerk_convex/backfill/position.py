"""How far a run is, kept in Convex, so that a killed one goes on from any machine."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Self

from clerk_convex import __version__
from clerk_convex.backfill.ranges import Position, Range
from clerk_convex.backfill.report import Failure, Tally
from clerk_convex.backfill.session import Session
from clerk_convex.errors import DeploymentError
from clerk_convex.settings import Settings

__all__ = ["KeptRun", "Run", "options_text"]

_HEARTBEAT = 20.0  # seconds; after a minute of silence a run counts as ended
_LAST_WORDS = 3.0  # seconds a run that is stopped takes to say so


def options_text(settings: Settings, *, prune: bool) -> str:
    """What must be the same for a run to go on where another stopped: whose users, and which columns."""
    secret = settings.clerk_secret_key.get_secret_value() if settings.clerk_secret_key else ""
    instance = hashlib.sha256(f"{settings.clerk_api_url} {secret}".encode()).hexdigest()[:16]
    fields = settings.clerk_convex_fields
    name = None if fields is None else f"{fields.__module__}:{getattr(fields, '__qualname__', '')}"
    options = {"clerk": instance, "fields": name, "prune": prune, "version": __version__}
    return json.dumps(options, sort_keys=True, separators=(",", ":"))


class Run:
    """Its `ranges` (none yet if it is new), and the `tally` of what was done. This one is kept nowhere."""

    def __init__(self) -> None:
        self.ranges: list[Range] = []
        self.tally = Tally()
        self.is_resumed = self.is_beside_another = False

    async def save(self) -> None:
        """Keeps where the run is now. Raises DeploymentError."""

    async def finish(self) -> None:
        """The run is through. Raises DeploymentError."""


class KeptRun(Run):
    """A run that is kept in Convex."""

    def __init__(self, session: Session, started: Mapping[str, Any]) -> None:
        super().__init__()
        self._session = session
        self._mine = {"id": started["id"], "attempt": started["attempt"]}
        self.is_beside_another = started.get("isBeside", False)
        if started["progress"] is not None:
            self.ranges, self.tally = _decode(started["progress"])
            self.is_resumed = True
        self._is_finished = False
        self._changes = self._saved = 0
        self._saving = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def start(cls, session: Session, options: str, *, restart: bool) -> AsyncIterator[Self]:
        """Goes on with the last run that had the same options and ended early, or begins a new one.

        While it is open, Convex hears of it now and then. Raises DeploymentError.
        """
        started = await session.call("mutation", "startBackfill", {"options": options, "restart": restart})
        run = cls(session, started)
        beating = asyncio.create_task(run._beat())
        try:
            yield run
        finally:
            beating.cancel()
            await asyncio.wait([beating])  # or its last word might come after the ones below
            if not run._is_finished:
                await run._release()

    async def save(self) -> None:
        # One is on its way at a time; all that wait for it are done by the next.
        self._changes += 1
        wanted = self._changes
        async with self._saving:
            if self._saved >= wanted:
                return
            saved = self._changes
            await self._call("saveBackfill", progress=self._progress(), release=False)
            self._saved = saved

    async def finish(self) -> None:
        await self._call("finishBackfill", progress=self._progress())
        self._is_finished = True

    async def _release(self) -> None:
        """Whoever starts it again need not wait until this one counts as ended."""
        with suppress(DeploymentError, TimeoutError):
            async with asyncio.timeout(_LAST_WORDS):
                await self._call("saveBackfill", progress=self._progress(), release=True)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(_HEARTBEAT)
            with suppress(DeploymentError):  # the next page will say so
                await self._call("saveBackfill", progress=None, release=False)

    async def _call(self, function: str, **arguments: Any) -> None:
        # The answer says whether the run is still this one's. If not, both go on: that does no harm.
        await self._session.call("mutation", function, {**self._mine, **arguments})

    def _progress(self) -> dict[str, Any]:
        return {
            "ranges": [_encode(part) for part in self.ranges],
            "counts": {name: float(count) for name, count in self.tally.counts.items()},
            "failures": [{"clerkId": it.clerk_id, "reason": it.reason} for it in self.tally.failures],
        }


def _encode(part: Range) -> dict[str, Any]:
    position = part.position
    place = None if position is None else {"createdAt": position.created_at, "id": position.id}
    return {"after": part.after, "before": part.before, "position": place, "done": part.done}


def _decode(progress: Mapping[str, Any]) -> tuple[list[Range], Tally]:
    ranges = [
        Range(
            part["after"],
            part["before"],
            None
            if part["position"] is None
            else Position(part["position"]["createdAt"], part["position"]["id"]),
            part["done"],
        )
        for part in progress["ranges"]
    ]
    counts = Counter({name: int(count) for name, count in progress["counts"].items()})
    failures = [Failure(it["clerkId"], it["reason"]) for it in progress["failures"]]
    return ranges, Tally(counts, failures)
