"""Follows Clerk: reads again and again which users have changed, and writes what no webhook brought.

Clerk has no list of changes. But it sorts users by the time of their last change and of their last sign-in,
so a pass reads from the newest down to where the last pass began. A deleted user is in no list: it shows in
the number of users, and the prune of the backfill finds it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, NoReturn, Self, Unpack

from clerk_convex.backfill.position import Run
from clerk_convex.backfill.report import OnProgress, Pruning
from clerk_convex.backfill.run import Work, bring_in, prune_rows, write_page
from clerk_convex.backfill.session import Session
from clerk_convex.clerk import Filters, Page
from clerk_convex.clerk.absence import SECOND_LOOK
from clerk_convex.entities.json import canonical_json, number
from clerk_convex.errors import ClerkConvexError, ClerkUnavailable, DeploymentError, DeploymentUnavailable

__all__ = ["CONCURRENCY", "EVERY", "PATIENCE", "SHARE", "Follower", "Pass"]

EVERY = 60.0
"""The default of the seconds from one pass to the next."""
PATIENCE = 30.0
"""The seconds for which a failing call of a pass is retried. After that the next pass tries."""
SHARE = 0.5
"""The part of Clerk's rate limit that a follower uses: the app that it follows for uses the same limit."""
CONCURRENCY = 2
"""The number of pages that a pass over all users reads concurrently."""

_FIRST_PAGE, _PAGE = 20, 500  # users; most passes need only the first, small page
_LAP = 10  # users that a page has in common with the page before: others may have been deleted in between
_MOST_CHANGED = 10_000  # users; pages far down are slow, so more are read as a backfill reads them
# Milliseconds that a pass reads again. Clerk's servers may list a change some time after its updated_at.
_OVERLAP = 60_000.0
_GRACE = 15.0  # seconds that a lease is longer than the time from one pass to the next
_DOUBTS = 2  # counts in a row that differ, before all rows are compared
_REST = 20.0  # a prune that worked for a second is not repeated for so many seconds
_RELEASE_TIMEOUT = 2.0  # seconds

OnPass = Callable[["Pass"], object]


@dataclass(frozen=True, slots=True)
class Pass:
    """The result of a pass: numbers of changes by outcome, as in Report. None was needed if it is empty.

    whole: all users were read, because it was the first pass or too many had changed.
    pruning: what was found when there were more rows than users at Clerk, else None.
    """

    counts: Mapping[str, int]
    whole: bool
    pruning: Pruning | None

    @property
    def is_empty(self) -> bool:
        """Whether there was nothing to write."""
        written = any(count for outcome, count in self.counts.items() if outcome not in _NOTHING_NEW)
        return not (written or self.whole or self.pruning)

    @property
    def needs_a_person(self) -> bool:
        """Whether a user failed, or more rows had to be removed than a follower may."""
        refused = self.pruning is not None and self.pruning.refused
        return refused or bool(self.counts.get("failed"))

    def to_json(self) -> dict[str, Any]:
        pruning = self.pruning
        return {
            "counts": dict(self.counts),
            "whole": self.whole,
            "pruned": None if pruning is None else pruning.deleted,
            "pruneRefused": pruning is not None and pruning.refused,
        }

    def __str__(self) -> str:
        counts = [f"{count:,} {outcome}" for outcome, count in sorted(self.counts.items()) if count]
        text = ", ".join(counts) or "nothing new"
        if self.whole:
            text = f"all users read: {text}"
        if (pruning := self.pruning) is not None:
            text += f"; {pruning.deleted:,} of {pruning.rows:,} rows pruned"
            if pruning.refused:
                text += (
                    f". {pruning.absent:,} are of users that Clerk does not have, which is more than"
                    f" {pruning.limit:,}: run clerk-convex backfill --prune --yes if that is right"
                )
        return text


_NOTHING_NEW = {"unchanged", "stale", "tombstoned"}


@dataclass(frozen=True, slots=True)
class _Followed:
    """How far the followers are; see `followed` in convex/clerk/tables.ts."""

    updated_at: float
    signed_in_at: float
    surplus: int = 0
    doubts: int = 0

    @classmethod
    def read(cls, value: Mapping[str, float]) -> Self:
        surplus, doubts = int(value["surplus"]), int(value["doubts"])
        return cls(value["updatedAt"], value["signedInAt"], surplus, doubts)

    def to_json(self) -> dict[str, float]:
        return {
            "updatedAt": self.updated_at,
            "signedInAt": self.signed_in_at,
            "surplus": float(self.surplus),
            "doubts": float(self.doubts),
        }


@dataclass(frozen=True, slots=True)
class _Lease:
    """Convex's answer about the lease. `expires_in` and `age` (of the last pass, if any) are seconds."""

    held: bool
    expires_in: float
    age: float | None
    followed: _Followed | None


class Follower:
    """Follows Clerk while it holds the lease in Convex, and else waits for the lease.

    every: seconds from the start of a pass to the start of the next.
    on_pass: called after each pass.
    on_progress: gets a note when another follower holds the lease, and when a pass fails.
    on_age: called with the seconds since the last pass of any follower, as often as they become known.
    """

    def __init__(
        self,
        session: Session,
        *,
        every: float = EVERY,
        on_pass: OnPass = lambda done: None,
        on_progress: OnProgress | None = None,
        on_age: Callable[[float], object] = lambda seconds: None,
    ) -> None:
        self.holder = secrets.token_hex(8)
        self._session = session
        self._every = every
        self._on_pass = on_pass
        self._on_progress = on_progress or OnProgress()
        self._on_age = on_age
        self._followed: _Followed | None = None
        self._leased_until = float("-inf")  # by the loop's clock
        self._wrote: dict[str, int] = {}  # of the users within the overlap: id and hash of what was written
        self._passes = 0
        self._created = 0  # users, also in passes that failed; Convex records those that it does not know yet
        self._has_asked = self._is_waiting = False
        self._expires_in = 0.0  # of the lease of another follower: seconds
        self._next_prune = float("-inf")

    async def run(self) -> NoReturn:
        """Follow until the task is cancelled. Then the lease is released.

        A pass that fails is noted, and the next one is made at its time. Raises ClerkMisconfigured,
        DeploymentMisconfigured and other errors that only a person can end.
        """
        time = asyncio.get_running_loop().time
        try:
            while True:
                started = time()
                pause = self._every
                try:
                    if (done := await self.turn()) is not None:
                        self._on_pass(done)
                    else:
                        pause = min(pause, self._expires_in + 0.1)
                except ClerkConvexError as error:
                    if _is_lasting(error):
                        raise
                    self._on_progress.note(f"A pass failed, and the next one repeats it: {error}")
                await asyncio.sleep(max(0.0, started + pause - time()))
        finally:
            await self.release()

    async def turn(self) -> Pass | None:
        """Make a pass, and return its result; None if another follower holds the lease."""
        if not await self._holds():
            return None
        run = Run()
        renewing = asyncio.create_task(self._keep_lease())
        try:
            done, reached = await self._pass(run)
        finally:
            self._created += run.tally.counts["created"]
            renewing.cancel()
            await asyncio.wait([renewing])
        save = {"followed": reached.to_json(), "every": self._every * 1000}
        await self._lease(self._every + _GRACE, save)
        self._followed = reached
        self._passes += 1
        return done

    async def release(self) -> None:
        """Let another follower begin immediately, and not only when the lease expires."""
        if not self._has_asked:
            return
        with suppress(DeploymentError, TimeoutError):
            async with asyncio.timeout(_RELEASE_TIMEOUT):
                await self._lease(0.0)

    async def _holds(self) -> bool:
        """Return whether this follower holds the lease; take it if it is free."""
        if asyncio.get_running_loop().time() < self._leased_until - _GRACE / 2:
            return True
        lease = await self._lease(self._every + _GRACE)
        if not lease.held:
            self._expires_in = lease.expires_in
            if not self._is_waiting:
                self._on_progress.note("Another follower holds the lease. This one waits to take over.")
            self._is_waiting = True
            return False
        self._is_waiting = False
        self._followed = lease.followed
        self._wrote.clear()
        return True

    async def _lease(self, seconds: float, save: Mapping[str, Any] | None = None) -> _Lease:
        self._has_asked = True
        asked_at = asyncio.get_running_loop().time()
        created = float(self._created)
        arguments = {"holder": self.holder, "ms": seconds * 1000, "pass": save, "created": created}
        answer = await self._session.call("mutation", "leaseFollow", arguments)
        age, followed = answer["age"], answer["followed"]
        lease = _Lease(
            answer["held"],
            answer["expiresIn"] / 1000,
            None if age is None else age / 1000,
            None if followed is None else _Followed.read(followed),
        )
        self._leased_until = asked_at + seconds if lease.held else float("-inf")
        if lease.age is not None:
            self._on_age(lease.age)
        return lease

    async def _keep_lease(self) -> None:
        """Renew the lease while a pass takes long. The pass may begin when little of the lease is left."""
        time = asyncio.get_running_loop().time
        while self._leased_until > float("-inf"):  # another follower may have it by now
            left = self._leased_until - time()
            await asyncio.sleep(max(left - _GRACE * 2 / 3, _GRACE / 15))
            with suppress(DeploymentError):  # the end of the pass raises it
                await self._lease(self._every + _GRACE)

    async def _pass(self, run: Run) -> tuple[Pass, _Followed]:
        """Write what has changed since the last pass, and return the result and how far it has read."""
        clerk, before = self._session.clerk, self._followed
        # No call of Clerk answers two of the three questions. A deletion may take three passes, so its
        # question is left out of every other pass, until the numbers differ.
        counts = before is None or before.doubts or self._passes % 2 == 0
        # Before the pass, so that each of these users has a row when the rows are counted, after it.
        users = await clerk.count_users() if before is not None and counts else None
        first = await clerk.list_users(limit=_FIRST_PAGE, order_by="-updated_at")
        updated_at = _reached(first, "updated_at", 0.0 if before is None else before.updated_at)
        whole = before is None or not await self._read_down(run, first, "updated_at", before.updated_at)
        since = 0.0 if before is None else before.signed_in_at
        # Clerk does not say where users come in this order who have never signed in: maybe before all others.
        recent: Filters = {} if before is None else {"last_sign_in_at_after": since - _OVERLAP - 1}
        signed_in = await clerk.list_users(limit=_FIRST_PAGE, order_by="-last_sign_in_at", **recent)
        signed_in_at = _reached(signed_in, "last_sign_in_at", since)
        whole = whole or not await self._read_down(run, signed_in, "last_sign_in_at", since, **recent)
        if whole:
            users = await clerk.count_users() if users is None else users
            await bring_in(Work(self._session, run, self._on_progress), users)
        surplus, doubts = (0, 0) if before is None else (before.surplus, before.doubts)
        reached_all = _Followed(updated_at, signed_in_at, surplus, doubts)
        pruning = None
        if users is not None:
            pruning, reached_all = await self._find_deleted(run, users, reached_all)
        return Pass(dict(+run.tally.counts), whole, pruning), reached_all

    async def _read_down(
        self, run: Run, page: Page, field: str, watermark: float, **filters: Unpack[Filters]
    ) -> bool:
        """Write the users whose `field` is not older than the watermark, beginning with a first page.

        Return False if they cannot be read so: too many, or others were deleted meanwhile.
        """
        bound = watermark - _OVERLAP
        size, read = _FIRST_PAGE, 0
        seen: set[object] = set()
        while True:
            ids = {_get(user, "id") for user in page.users}
            if read and page.users and not ids & seen:
                return False
            seen |= ids
            count = len(page.users)
            recent = [user for user in page.users if not _is_older(user, field, bound)]
            is_end = len(recent) < count or count < size
            await self._write(run, Page(recent, page.observed_at))
            if is_end:
                return True
            read += count - _LAP
            if read > _MOST_CHANGED:
                return False
            size = _PAGE
            page = await self._session.clerk.list_users(
                limit=size, order_by=f"-{field}", offset=read, **filters
            )

    async def _write(self, run: Run, page: Page) -> None:
        """Write the users that a pass before has not written as they are now."""
        now = {str(_get(user, "id")): hash(canonical_json(user)) for user in page.users}
        users = [user for user in page.users if self._wrote.get(key := str(_get(user, "id"))) != now[key]]
        if users:
            await write_page(self._session, run, Page(users, page.observed_at))
        if len(self._wrote) > _MOST_CHANGED:
            self._wrote.clear()
        self._wrote |= now

    async def _find_deleted(
        self, run: Run, users: int, reached: _Followed
    ) -> tuple[Pruning | None, _Followed]:
        """Compare the numbers of rows and of users. Prune if there were too many rows twice in a row.

        users: the number of users before the pass.

        Other differences than deleted users may stay: a user that Convex refuses has no row, and a user may
        have two. So the difference is compared with the one that the last prune left.

        Users sign up and are deleted while the two sides are counted, one after the other. So Clerk is asked
        again if the first difference is another one. A difference between the two proves nothing.
        """
        counted = await self._session.call("query", "countUsers", {})
        if counted["rebuilding"]:
            return None, reached
        rows = int(counted["total"])
        if rows - users == reached.surplus:
            return None, replace(reached, doubts=0)
        again = await self._session.clerk.count_users()
        least, most = rows - max(users, again), rows - min(users, again)
        if least <= reached.surplus <= most:
            return None, replace(reached, doubts=0)
        if most < reached.surplus:
            doubts = min(reached.doubts, 0) - 1
            if doubts <= -_DOUBTS:
                return None, replace(reached, surplus=most, doubts=0)
            return None, replace(reached, doubts=doubts)
        doubts = max(reached.doubts, 0) + 1
        started = asyncio.get_running_loop().time()
        if doubts < _DOUBTS or started < self._next_prune:
            return None, replace(reached, doubts=doubts)
        pruning = await prune_rows(self._session, run, yes=False, on_progress=self._on_progress)
        ended = asyncio.get_running_loop().time()
        worked = max(0.0, ended - started - SECOND_LOOK)  # between its two looks it does nothing
        self._next_prune = ended + worked * _REST
        return pruning, replace(reached, surplus=least - pruning.deleted, doubts=0)


def _get(user: object, field: str) -> object:
    return user.get(field) if isinstance(user, dict) else None


def _reached(page: Page, field: str, before: float) -> float:
    """Return the new watermark: when Clerk made the page; without a date, the newest time on the page."""
    times = [time for user in page.users if (time := number(_get(user, field))) is not None]
    return page.observed_at or max(times, default=before)


def _is_older(user: object, field: str, bound: float) -> bool:
    """Return whether a user is older. One without a sign-in is; one that is malformed is not."""
    value = _get(user, field)
    time = number(value)
    return value is None if time is None else time < bound


def _is_lasting(error: ClerkConvexError) -> bool:
    return not isinstance(error, ClerkUnavailable | DeploymentUnavailable)
