"""The nightly run: writes, prunes and compares, and reads each row and each version in Convex once.

Clerk's users come page by page in the order of `created_at`. A query compares each page with the rows of the
same part of the table, and a mutation writes only the users that differ. A row in this part that is no user's
of the page belongs to a user whom Clerk does not have, or has elsewhere: Clerk is asked for these only. What
was compared or written needs no second reading, so only the doubtful rest is looked at again in the end.

Where the parts cannot be compared so, the run does the rest in two steps, as `--prune` and `--verify` do:
after it was resumed, if there are many more rows than users, or if Convex refuses the comparison.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from clerk_convex.backfill.comparison import SUSPECTS, Comparison, State, state_of, verify
from clerk_convex.backfill.position import Run
from clerk_convex.backfill.reading import PartPage
from clerk_convex.backfill.report import OnProgress, Pruning, Report, Verification
from clerk_convex.backfill.run import (
    CONCURRENCY,
    NAMELESS,
    Work,
    read_page,
    remove_absent,
    run_backfill,
    tally,
    write_page,
)
from clerk_convex.backfill.session import PATIENCE, Session
from clerk_convex.clerk import MOST_IDS
from clerk_convex.entities import Outcome
from clerk_convex.errors import ChangeRefused, UserError
from clerk_convex.settings import Settings

__all__ = ["nightly"]

_EQUAL = frozenset({"created", "updated", "unchanged"})  # after these outcomes the row is Clerk's user


async def nightly(
    settings: Settings | None = None,
    *,
    restart: bool = False,
    concurrency: int = CONCURRENCY,
    patience: float = PATIENCE,
    on_progress: OnProgress | None = None,
) -> tuple[Report, Verification | None]:
    """Backfill with `prune`, and verify. The numbers of the comparison are kept in Convex.

    The arguments are those of `backfill`, and so is what is raised. There is no verification if the run
    stopped before its end.
    """
    settings = Settings.from_env() if settings is None else settings
    on_progress = on_progress or OnProgress()
    started = time.monotonic()
    made: list[_NightlyWork] = []

    def make_work(session: Session, run: Run, on_progress: OnProgress) -> _NightlyWork:
        made.append(_NightlyWork(session, run, on_progress))
        return made[0]

    report = await run_backfill(
        settings,
        make_work,
        prune=True,
        restart=restart,
        concurrency=concurrency,
        patience=patience,
        on_progress=on_progress,
    )
    if report.error is not None:
        return report, None
    if made[0].is_whole:
        opened = Session.open(
            settings, concurrency=concurrency, dry_run=True, patience=patience, on_progress=on_progress
        )
        async with opened as session:
            return report, await made[0].verify(session, settings, started)
    verification = await verify(
        settings, concurrency=concurrency, patience=patience, save=True, on_progress=on_progress
    )
    return report, verification


class _NightlyWork(Work):
    """Compares each page before it writes, and remembers what is still in doubt.

    `is_whole` is false as soon as a page could not be compared. Then the rest is done in two steps.
    """

    def __init__(self, session: Session, run: Run, on_progress: OnProgress) -> None:
        super().__init__(session, run, on_progress)
        self.is_whole = not run.is_resumed
        self._users = self._rows = 0
        self._suspects: dict[str, State] = {}
        self._absent: dict[str, None] = {}  # ids of rows, in order and each once
        self._left: list[str] = []  # of these, the ones that were not removed
        self._duplicates: dict[str, None] = {}
        self._unlinked: list[str] = []
        self._unreadable: list[str] = []

    async def begin(self) -> None:
        # Before the pages, because a user of a page may get one of these rows, and a status with it.
        compared = await self.session.compare_without_status() if self.is_whole else None
        self.is_whole = compared is not None
        if compared is not None:
            await self._keep(compared)

    async def write(self, page: PartPage) -> None:
        if not self.is_whole:
            await write_page(self.session, self.run, page)
            return
        count = len(page.users)
        changes, unread = read_page(page, self.session.fields)
        compared = await self.session.compare(changes, page.part.after, page.part.up_to)
        if compared is None:
            self.is_whole = False
            await write_page(self.session, self.run, page)
            return
        page.users.clear()  # frees the memory for the next page
        self._users += count
        self._read(unread)
        answers: list[Outcome | ChangeRefused] = compared["outcomes"]
        positions = [int(position) for position in compared["toWrite"]]
        written = await self.session.submit([changes[position] for position in positions])
        for position, answer in zip(positions, written, strict=True):
            answers[position] = answer
        await tally(self.session, self.run, answers, unread)
        adopted = {int(position) for position in compared["adopted"]}  # their rows are counted already
        self._rows += sum(
            answer == "created" and position not in adopted for position, answer in enumerate(answers)
        )
        for change, answer in zip(changes, answers, strict=True):
            if answer not in _EQUAL:
                self._suspects[change.clerk_id] = state_of(change)
        if len(self._suspects) > SUSPECTS:
            self.is_whole = False
        await self._keep(compared)

    async def prune(self, *, yes: bool) -> Pruning:
        if not self.is_whole:
            return await super().prune(yes=yes)
        unlinked = len(self._unlinked)
        pruning, self._left = await remove_absent(
            self.session, self.run, list(self._absent), self._rows, unlinked, yes=yes
        )
        self._rows -= pruning.deleted
        return pruning

    async def verify(self, session: Session, settings: Settings, started: float) -> Verification:
        """Look again at what is in doubt, and return what differs."""
        comparison = Comparison(session, self._users, list(self._duplicates), self.on_progress)
        comparison.users, comparison.rows = self._users, self._rows
        for kind, ids in (("unreadable", self._unreadable), ("unlinked", self._unlinked)):
            for one in ids:
                comparison.found(kind, one)
        await comparison.look_again(self._suspects, self._left)
        return await comparison.result(settings, started, save=True)

    def _read(self, unread: list[UserError]) -> None:
        self._unreadable += [error.clerk_id or NAMELESS for error in unread]

    async def _keep(self, compared: Mapping[str, Any]) -> None:
        """Remember the rows of a part that are no user's of its page."""
        self._rows += int(compared["rows"])
        self._unlinked += compared["unlinked"]
        self._duplicates |= dict.fromkeys(compared["duplicates"])
        others: list[str] = compared["others"]
        for start in range(0, len(others), MOST_IDS):
            ids = others[start : start + MOST_IDS]
            existing = await self.session.clerk.existing(ids)
            self._absent |= {clerk_id: None for clerk_id in ids if clerk_id not in existing}
