"""The ledger of refused changes. It is kept in Convex, see `convex/clerk/upkeep/refusals.ts`."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from clerk_convex.convex.client import Deployment, Kind
from clerk_convex.entities.changes import Source
from clerk_convex.errors import ChangeRefused, DeploymentError, DeploymentUnavailable, UserError
from clerk_convex.net.backoff import Backoff
from clerk_convex.net.logs import OnceAMinute
from clerk_convex.net.observer import DRIFT, SyncState

__all__ = ["AT_ONCE", "Ledger", "Refusal", "refusal_of", "to_arguments"]

logger = logging.getLogger("clerk_convex")

AT_ONCE = 500
"""The number of refusals that `users:recordRefusals` takes."""

_MOST = 1000  # users whose refusals wait to be recorded
_BACKOFF = Backoff(first=1.0, longest=30.0)  # seconds between attempts
_ATTEMPTS = 5
_FRESH = 60.0  # seconds until the state is asked for again


@dataclass(frozen=True, slots=True)
class Refusal:
    """A change of a user that was refused `count` times. `reason` quotes nothing of the user.

    observed_at: when Clerk looked for that change, in Unix milliseconds by its clock; 0 if not known.
    """

    clerk_id: str
    source: Source
    reason: str
    observed_at: float
    event_id: str | None = None
    count: int = 1


def refusal_of(
    error: UserError | ChangeRefused, source: Source, event_id: str | None = None
) -> Refusal | None:
    """Return the refusal that an error stands for; None if the error does not say whose change it is."""
    if error.clerk_id is None:
        return None
    return Refusal(error.clerk_id, source, str(error), error.observed_at, event_id)


def to_arguments(refusals: Iterable[Refusal]) -> dict[str, Any]:
    """Return the arguments of `users:recordRefusals`."""
    return {
        "refusals": [
            {
                "clerkId": it.clerk_id,
                "source": it.source,
                "reason": it.reason,
                "observedAt": it.observed_at,
                "count": float(it.count),
                **({} if it.event_id is None else {"eventId": it.event_id}),
            }
            for it in refusals
        ]
    }


class Ledger:
    """Records refused changes in Convex in the background, and knows how many users have one.

    Refusals are collected for `gather` seconds and leave in one call, so that a deployment that refuses
    everything gets few further calls. At most 1,000 users wait. What cannot be recorded is dropped and
    logged: Clerk sends a refused event again, and the next backfill meets the user again.

    One ledger serves one event loop.
    """

    def __init__(self, deployment: Deployment, module: str, *, gather: float = 1.0) -> None:
        self._deployment = deployment
        self._module = module
        self._gather = gather
        self._waiting: dict[str, Refusal] = {}
        self._sending: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[None] | None = None
        self._asked_at = float("-inf")
        self._state: SyncState | None = None
        self._once_a_minute = OnceAMinute()

    def add(self, refusal: Refusal | None) -> None:
        """Record a refusal later. Returns at once, and never fails."""
        if refusal is None:
            return
        self._deployment.observer.change_refused(refusal.source)
        if refusal.clerk_id not in self._waiting and len(self._waiting) >= _MOST:
            self._log(f"more than {_MOST:,} users wait to be recorded.")
            return
        self._wait(refusal)
        self._sending = _continued(self._sending, self._send)

    @property
    def refused(self) -> int | None:
        """The number of users with a refused change. It is that of `state`."""
        return None if self.state is None else self.state.refused

    @property
    def state(self) -> SyncState | None:
        """The state of the synchronization by Convex, a minute old at most; None while it is not known.

        Reading it asks Convex in the background, at most once a minute.
        """
        now = asyncio.get_running_loop().time()
        if now - self._asked_at >= _FRESH:
            self._asked_at = now
            self._asking = _continued(self._asking, self._ask)
        return self._state

    def _wait(self, refusal: Refusal) -> None:
        if (earlier := self._waiting.get(refusal.clerk_id)) is not None:
            observed_at = max(earlier.observed_at, refusal.observed_at)
            refusal = replace(refusal, count=earlier.count + refusal.count, observed_at=observed_at)
        self._waiting[refusal.clerk_id] = refusal

    async def _send(self) -> None:
        failures = 0
        await asyncio.sleep(self._gather)
        while self._waiting:
            part = {clerk_id: self._waiting.pop(clerk_id) for clerk_id in [*islice(self._waiting, AT_ONCE)]}
            pause = self._gather
            try:
                await self._call("mutation", "recordRefusals", to_arguments(part.values()))
            except DeploymentUnavailable as error:
                failures += 1
                if failures < _ATTEMPTS:
                    later, self._waiting = self._waiting, part
                    for refusal in later.values():
                        self._wait(refusal)
                    pause = _BACKOFF.pause(failures)
                else:
                    self._waiting.clear()
                    self._log(str(error))
            except DeploymentError as error:
                self._log(str(error))
            else:
                failures = 0
                self._asked_at = float("-inf")
            await asyncio.sleep(pause)

    async def _ask(self) -> None:
        await asyncio.sleep(self._gather)  # the caller's own work comes first
        try:
            self._state = _sync_state(await self._call("query", "status", {}))
        except (
            DeploymentError,
            AttributeError,
            KeyError,
            TypeError,
            ValueError,
        ):  # no answer, or functions of another version
            self._state = None
        else:
            self._deployment.observer.synced(self._state)

    async def _call(self, kind: Kind, function: str, arguments: dict[str, Any]) -> Any:
        encoded = json.dumps(arguments).encode()
        return await self._deployment.send(kind, f"{self._module}:{function}", encoded)

    def _log(self, why: str) -> None:
        if self._once_a_minute.should_log():
            logger.warning("Refused changes are not recorded in Convex: %s", why)


def _sync_state(status: Any) -> SyncState:
    """Return the state in the value of `users:status`. Raises the errors that `_ask` expects."""
    verification = status.get("lastVerification") or {}  # functions of an earlier version lack it
    return SyncState(
        refused=int(status["refusals"]["count"]),
        drift={kind: int(verification[kind]) for kind in DRIFT if kind in verification},
        last_webhook_at=_seconds(status.get("lastWebhookAt")),
        last_backfill_at=_seconds(status.get("lastFinishedBackfillAt")),
        verified_at=_seconds(verification.get("at")),
    )


def _seconds(milliseconds: Any) -> float | None:
    return None if milliseconds is None else float(milliseconds) / 1000


def _continued(
    task: asyncio.Task[None] | None, work: Callable[[], Coroutine[Any, Any, None]]
) -> asyncio.Task[None]:
    """Return the task if it still runs, else a new one."""
    if task is not None and not task.done():
        return task
    return asyncio.get_running_loop().create_task(work())
