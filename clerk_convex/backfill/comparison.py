"""Compares Convex with Clerk. Writes nothing.

Users change while they are compared, and their webhooks take a moment. A user that seems to differ is
therefore compared again after some seconds. It counts as differing only if Clerk's user has not changed in
between.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from clerk_convex.backfill.duplicates import find_duplicates
from clerk_convex.backfill.ranges import Range
from clerk_convex.backfill.reading import find_user, plan, read, together
from clerk_convex.backfill.report import NAMED, OnProgress, Progress, Verification
from clerk_convex.backfill.rows import confirm, find_absent
from clerk_convex.backfill.run import CONCURRENCY, NAMELESS, most_pruned, read_page
from clerk_convex.backfill.session import PATIENCE, Session
from clerk_convex.clerk import MOST_IDS, Page
from clerk_convex.entities import Upsert
from clerk_convex.errors import ClerkError, DeploymentError
from clerk_convex.net.observer import DRIFT
from clerk_convex.settings import Settings

__all__ = ["SUSPECTS", "Comparison", "State", "state_of", "verify"]

AGAIN = 5.0  # seconds between two comparisons of a user
MOST_LOOKS = 10  # comparisons of a user that changes all the time
SUSPECTS = 20_000  # users at most that wait for their second comparison


async def verify(
    settings: Settings | None = None,
    *,
    concurrency: int = CONCURRENCY,
    patience: float = PATIENCE,
    save: bool = False,
    on_progress: OnProgress | None = None,
) -> Verification:
    """Compare every user of Clerk with Convex, and every row of Convex with Clerk.

    Without `settings` they are read from the environment. Only queries are called with the deploy key.
    `concurrency` is the number of pages that are read concurrently, `patience` the seconds for which failing
    calls of Clerk and Convex are retried. With `save` the numbers are also kept in Convex, by a mutation,
    where `clerk-convex status` finds them.

    Raises SettingsError, ClerkError or DeploymentError if the comparison cannot be completed.
    """
    settings = Settings.from_env() if settings is None else settings
    started = time.monotonic()
    on_progress = on_progress or OnProgress()
    opened = Session.open(
        settings, concurrency=concurrency, dry_run=True, patience=patience, on_progress=on_progress
    )
    async with opened as session:
        total = await session.preflight()
        comparison = Comparison(session, total, await find_duplicates(session), on_progress)
        await comparison.run()
        return await comparison.result(settings, started, save=save)


async def _doubt(session: Session, settings: Settings, extra: int, rows: int) -> str | None:
    """Return why the extra rows may belong to another Clerk instance, None without a sign of it."""
    if not extra or settings.clerk_instance_id is not None:
        return None
    try:
        instance = await session.clerk.instance()
    except ClerkError:  # an old or restricted key; the comparison does not need it
        name, is_development = "unknown", False
    else:
        name, is_development = str(instance), instance.environment_type == "development"
    if extra > most_pruned(rows) or extra * 2 >= rows:
        return (
            f"{extra:,} of {rows:,} rows are of users that the Clerk instance of CLERK_SECRET_KEY ({name}) "
            "does not have. The rows may be another instance's."
        )
    if is_development and session.is_production:
        return (
            f"CLERK_SECRET_KEY belongs to a development instance ({name}), CONVEX_DEPLOY_KEY to a production "
            "deployment. The rows may be another instance's."
        )
    return None


State = tuple[object, object]
"""A user's updatedAt and lastSignInAt at Clerk."""


@dataclass(frozen=True, slots=True)
class _Suspect:
    """A user that was not equal at `seen_at` (by the loop's clock), after that many `looks`.

    `state` is the user's at that time; None for a row without a user.
    """

    clerk_id: str
    seen_at: float
    state: State | None = None
    looks: int = 1


Look = Callable[[list[_Suspect]], Awaitable[list[_Suspect]]]
"""Compares suspects again, and returns those that must be compared once more."""


class _SecondLooks:
    """Compares suspects again, `AGAIN` seconds later, up to `MOST_IDS` of them in one call."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._suspects: asyncio.Queue[_Suspect | None] = asyncio.Queue(SUSPECTS)

    async def add(self, suspect: _Suspect) -> None:
        await self._suspects.put(suspect)

    async def after(self, first_looks: Awaitable[None], concurrency: int) -> None:
        """Run `first_looks`, and return when all suspects that it added have been compared again."""

        async def first() -> None:
            await first_looks
            for _ in range(concurrency):
                await self._suspects.put(None)

        await together(first(), *(self._work() for _ in range(concurrency)))

    async def _work(self) -> None:
        while (suspect := await self._suspects.get()) is not None:
            await _until(suspect.seen_at + AGAIN)
            batch = [suspect]
            while len(batch) < MOST_IDS and not self._suspects.empty():
                following = self._suspects.get_nowait()
                if following is None:
                    self._suspects.put_nowait(None)
                    break
                batch.append(following)
            while batch:
                await _until(batch[-1].seen_at + AGAIN)
                batch = await self._look(batch)


class Comparison:
    """Counts the differences between Clerk and Convex. `duplicates` are users with several rows."""

    def __init__(
        self, session: Session, total: int, duplicates: Sequence[str], on_progress: OnProgress
    ) -> None:
        self.users = self.rows = 0
        self.counts: Counter[str] = Counter()
        self.examples: list[tuple[str, str]] = []
        self._session = session
        self._duplicates = frozenset(duplicates)
        for clerk_id in duplicates:
            self.found("duplicate", clerk_id)
        self._total = total
        self._on_progress = on_progress
        self._users_again = _SecondLooks(self._look_at_users)
        self._rows_again = _SecondLooks(self._look_at_rows)

    async def run(self) -> None:
        session, width = self._session, self._session.concurrency
        ranges = await plan(session.clerk, self._total, width)
        await self._users_again.after(read(session.clerk, ranges, self._compare, _stay, width), width)
        # The rows come after the users, to find those of users that were deleted meanwhile.
        await self._rows_again.after(self._find_absent(), width)

    async def look_again(self, users: Mapping[str, State], rows: Sequence[str]) -> None:
        """Compare users that were not equal a moment ago, and rows whose user Clerk does not list."""
        now = asyncio.get_running_loop().time()

        async def add_users() -> None:
            for clerk_id, state in users.items():
                if clerk_id not in self._duplicates:
                    await self._users_again.add(_Suspect(clerk_id, now, state))

        async def add_rows() -> None:
            for clerk_id in rows:
                await self._suspect_row(clerk_id)

        width = self._session.concurrency
        await self._users_again.after(add_users(), width)
        await self._rows_again.after(add_rows(), width)

    async def result(self, settings: Settings, started: float, *, save: bool) -> Verification:
        """Return what was found, and with `save` keep the numbers in Convex."""
        session = self._session
        doubt = await _doubt(session, settings, self.counts["extra"], self.rows)
        last_webhook_at = await session.call("query", "lastWebhookAt", {})
        numbers = {kind: self.counts[kind] for kind in DRIFT}
        numbers |= {"users": self.users, "rows": self.rows}
        if save:
            verified = {name: float(number) for name, number in numbers.items()}
            try:
                await session.call("mutation", "saveVerification", {"verified": verified})
            except DeploymentError as error:  # the result itself is worth more
                self._on_progress.note(f"The numbers of the comparison are not kept in Convex: {error}")
        return Verification(
            **numbers,
            examples=tuple(self.examples),
            last_webhook_at=last_webhook_at,
            now=time.time() * 1000,
            seconds=time.monotonic() - started,
            doubt=doubt,
        )

    async def _compare(self, page: Page) -> None:
        self.users += len(page.users)
        for suspect, _ in await self._suspects(page):
            await self._users_again.add(suspect)
        self._on_progress.step(Progress("verifying", self.users, self._total))

    async def _suspects(self, page: Page) -> list[tuple[_Suspect, str]]:
        """Return the users of a page that are not equal, each with the kind of difference."""
        changes, unread = read_page(page, self._session.fields)
        for error in unread:
            self.found("unreadable", error.clerk_id or NAMELESS)
        now = asyncio.get_running_loop().time()
        outcomes = await self._session.submit(changes)
        return [
            (
                _Suspect(change.clerk_id, now, state_of(change)),
                "missing" if outcome in ("created", "tombstoned") else "differing",
            )
            for change, outcome in zip(changes, outcomes, strict=True)
            if outcome != "unchanged" and change.clerk_id not in self._duplicates
        ]

    async def _look_at_users(self, suspects: list[_Suspect]) -> list[_Suspect]:
        before = {suspect.clerk_id: suspect for suspect in suspects}
        again: list[_Suspect] = []
        for page in await self._ask_for(list(before)):
            for suspect, kind in await self._suspects(page):
                earlier = before[suspect.clerk_id]
                if suspect.state == earlier.state or earlier.looks >= MOST_LOOKS:
                    self.found(kind, suspect.clerk_id)
                else:  # it changed in between: its webhook may still arrive
                    again.append(replace(suspect, looks=earlier.looks + 1))
        return again

    async def _ask_for(self, clerk_ids: list[str]) -> list[Page]:
        """Return the users that Clerk still has, as pages."""
        page = await self._session.clerk.list_users(limit=MOST_IDS, user_id=clerk_ids)
        listed = {user.get("id") for user in page.users if isinstance(user, dict)}
        # A list without a user does not prove that the user is gone.
        clerk = self._session.clerk
        unlisted = [await find_user(clerk, clerk_id) for clerk_id in clerk_ids if clerk_id not in listed]
        return [page, *unlisted]

    async def _suspect_row(self, clerk_id: str) -> None:
        if clerk_id in self._duplicates:
            return
        await self._rows_again.add(_Suspect(clerk_id, asyncio.get_running_loop().time()))

    async def _look_at_rows(self, suspects: list[_Suspect]) -> list[_Suspect]:
        deletions = await confirm(self._session, [suspect.clerk_id for suspect in suspects])
        # Compared as the deletion that Clerk would announce, because that one is final. A backfill's deletion
        # is `stale` if the row is newer; here it only matters whether there is a row.
        announced = [replace(deletion, source="webhook") for deletion in deletions]
        for deletion, outcome in zip(announced, await self._session.submit(announced), strict=True):
            if outcome != "unchanged":  # the row is still there
                self.found("extra", deletion.clerk_id)
        return []

    async def _find_absent(self) -> None:
        def unlinked(row_id: str) -> None:
            self.found("unlinked", row_id)

        await find_absent(self._session, self._suspect_row, self._count_rows, unlinked)

    def _count_rows(self, looked_at: int) -> None:
        self.rows = looked_at
        self._on_progress.step(Progress("verifying the rows", looked_at, None))

    def found(self, kind: str, clerk_id: str) -> None:
        if self.counts[kind] < NAMED:
            self.examples.append((kind, clerk_id))
        self.counts[kind] += 1


def state_of(change: Upsert) -> State:
    """Return what tells whether a user has changed at Clerk between two looks."""
    return change.updated_at, change.columns["lastSignInAt"]


async def _until(time: float) -> None:
    await asyncio.sleep(time - asyncio.get_running_loop().time())


async def _stay(number: int, part: Range) -> None:
    """Do nothing: a comparison keeps no position."""
