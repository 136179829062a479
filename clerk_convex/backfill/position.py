"""The position of a run, stored in Convex, so that any machine can resume it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
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

_HEARTBEAT = 20.0  # seconds; after a minute without one, Convex takes a run as ended
_RELEASE_TIMEOUT = 3.0  # seconds that a stopped run takes at most to release its position


def options_text(settings: Settings, *, prune: bool) -> str:
    """Return the options that must be equal for a run to resume another: the users and the columns."""
    secret = settings.clerk_secret_key.get_secret_value() if settings.clerk_secret_key else ""
    instance = hashlib.sha256(f"{settings.clerk_api_url} {secret}".encode()).hexdigest()[:16]
    fields = settings.clerk_convex_fields
    name = None if fields is None else f"{fields.__module__}:{getattr(fields, '__qualname__', '')}"
    options = {
        "clerk": instance,
        "fields": name,
        "omit": sorted(settings.omitted_columns),
        "prune": prune,
        "version": __version__,
    }
    return json.dumps(options, sort_keys=True, separators=(",", ":"))


class Run:
    """A run: its `ranges` (empty if it is new) and the `tally` of its users. It is not stored."""

    def __init__(self) -> None:
        self.ranges: list[Range] = []
        self.tally = Tally()
        self.is_resumed = self.is_beside_another = False

    async def save(self) -> None:
        """Store the position. Raises DeploymentError."""

    async def finish(self) -> None:
        """Mark the run as finished. Raises DeploymentError."""


class KeptRun(Run):
    """A run that is stored in Convex."""

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
        """Resume the last run with the same options that ended early, or begin a new one.

        While it is open it sends heartbeats to Convex. Raises DeploymentError.
        """
        # If the answer is lost, the call is repeated, and by the holder Convex knows which run it gave.
        arguments = {"options": options, "restart": restart, "holder": secrets.token_hex(8)}
        started = await session.call("mutation", "startBackfill", arguments)
        run = cls(session, started)
        beating = asyncio.create_task(run._beat())
        try:
            yield run
        finally:
            beating.cancel()
            await asyncio.wait([beating])  # its last heartbeat must not follow the release
            if not run._is_finished:
                await run._release()

    async def save(self) -> None:
        # One call at a time. The next one stores the position of all that wait.
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
        """Let the next run resume immediately, and not only when this one counts as ended."""
        with suppress(DeploymentError, TimeoutError):
            async with asyncio.timeout(_RELEASE_TIMEOUT):
                await self._call("saveBackfill", progress=self._progress(), release=True)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(_HEARTBEAT)
            with suppress(DeploymentError):  # the next `save` raises it
                await self._call("saveBackfill", progress=None, release=False)

    async def _call(self, function: str, **arguments: Any) -> None:
        # The answer says whether another process has resumed the run. Then both continue, which does no harm.
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
