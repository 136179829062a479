"""The backfill: writes every user of Clerk to Convex, and with `prune` removes the rows of others."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

from clerk_convex.backfill.position import KeptRun, Run, options_text
from clerk_convex.backfill.ranges import Range
from clerk_convex.backfill.reading import PartPage, plan, read
from clerk_convex.backfill.report import Failure, OnProgress, Progress, Pruning, Report
from clerk_convex.backfill.rows import confirm, find_absent
from clerk_convex.backfill.session import PATIENCE, Session
from clerk_convex.clerk import Page
from clerk_convex.convex import refusal_of
from clerk_convex.entities import Fields, Outcome, Source, Upsert, read_user
from clerk_convex.errors import ChangeRefused, ClerkConvexError, UserError
from clerk_convex.settings import Settings

__all__ = [
    "CONCURRENCY",
    "NAMELESS",
    "Work",
    "backfill",
    "bring_in",
    "most_pruned",
    "prune_rows",
    "read_page",
    "record",
    "remove_absent",
    "run_backfill",
    "tally",
    "write_page",
]

CONCURRENCY = 8
NAMELESS = "(a user without an id)"
_PRUNED_ROWS, _PRUNED_SHARE = 10, 0.05  # the larger of both may be pruned without `yes`
_PRUNED_AT_ONCE = 500


async def backfill(
    settings: Settings | None = None,
    *,
    dry_run: bool = False,
    prune: bool = False,
    yes: bool = False,
    restart: bool = False,
    concurrency: int = CONCURRENCY,
    patience: float = PATIENCE,
    on_progress: OnProgress | None = None,
) -> Report:
    """Read all users of Clerk, and write those that are missing or older in Convex.

    settings: by default those of the environment.
    dry_run: write nothing, and report the outcome that each user would have.
    prune: remove the rows of users that Clerk does not have, each one confirmed.
    yes: prune even more than 10 rows and more than 5 % of all rows.
    restart: do not resume a run that was stopped.
    concurrency: the number of pages that are read concurrently.
    patience: the seconds for which failing calls of Clerk and Convex are retried.

    A run can be stopped and resumed at any time, and webhooks may arrive meanwhile.

    Raises SettingsError, ClerkError or DeploymentError if the run cannot start. A later error that stops it
    is the report's `error`. Users that cannot be read or are refused are skipped; they are its `failures`.
    """
    return await run_backfill(
        settings,
        Work,
        dry_run=dry_run,
        prune=prune,
        yes=yes,
        restart=restart,
        concurrency=concurrency,
        patience=patience,
        on_progress=on_progress,
    )


class Work:
    """The work of a run: it writes each page, and removes the rows of users that are gone."""

    def __init__(self, session: Session, run: Run, on_progress: OnProgress) -> None:
        self.session = session
        self.run = run
        self.on_progress = on_progress

    async def begin(self) -> None:
        """Do what must be done before the first page."""

    async def write(self, page: PartPage) -> None:
        """Write the users of a page, and count them in the run. The last page of a range may be empty."""
        await write_page(self.session, self.run, page)

    async def prune(self, *, yes: bool) -> Pruning:
        """Remove the rows of users that Clerk does not have. Called after all pages."""
        return await prune_rows(self.session, self.run, yes=yes, on_progress=self.on_progress)


async def run_backfill(
    settings: Settings | None,
    make_work: Callable[[Session, Run, OnProgress], Work],
    *,
    dry_run: bool = False,
    prune: bool = False,
    yes: bool = False,
    restart: bool = False,
    concurrency: int = CONCURRENCY,
    patience: float = PATIENCE,
    on_progress: OnProgress | None = None,
) -> Report:
    """Do as `backfill`, with another way to treat the pages."""
    settings = Settings.from_env() if settings is None else settings
    on_progress = on_progress or OnProgress()
    started = time.monotonic()
    async with AsyncExitStack() as stack:
        opened = Session.open(
            settings,
            concurrency=concurrency,
            dry_run=dry_run,
            patience=patience,
            on_progress=on_progress,
        )
        session = await stack.enter_async_context(opened)
        total = await session.preflight()
        if dry_run:
            run = Run()
        else:
            options = options_text(settings, prune=prune)
            run = await stack.enter_async_context(KeptRun.start(session, options, restart=restart))
        if run.is_resumed:
            on_progress.note(f"Resuming a run that was stopped; {run.tally.total:,} users are done.")
        if run.is_beside_another:
            on_progress.note("Another run was active less than a minute ago: this one starts anew.")

        before = run.tally.total
        pruning: Pruning | None = None
        problem: ClerkConvexError | None = None
        try:
            work = make_work(session, run, on_progress)
            await work.begin()
            await bring_in(work, total)
            if prune:
                pruning = await work.prune(yes=yes)
            await run.finish()
        except ClerkConvexError as error:
            problem = error
        return Report(
            dry_run=dry_run,
            resumed=run.is_resumed,
            users=run.tally.total - before,
            seconds=time.monotonic() - started,
            counts=dict(+run.tally.counts),
            failures=tuple(run.tally.failures),
            pruning=pruning,
            error=problem,
        )


def most_pruned(rows: int) -> int:
    """Return the number of rows, of `rows` in total, that may be pruned without `yes`."""
    return max(_PRUNED_ROWS, int(rows * _PRUNED_SHARE))


def read_page(page: Page, fields: Fields | None) -> tuple[list[Upsert], list[UserError]]:
    """Return the changes for the users of a page, and the error of each user that cannot be read."""
    changes: list[Upsert] = []
    errors: list[UserError] = []
    for data in page.users:
        try:
            user = read_user(data, fields, observed_at=page.observed_at)
        except UserError as error:
            errors.append(error)
        else:
            changes.append(Upsert(user.clerk_id, user.updated_at, page.observed_at, user.columns, "backfill"))
    return changes, errors


async def record(
    session: Session, errors: Sequence[UserError | ChangeRefused], source: Source = "backfill"
) -> list[Failure]:
    """Keep in Convex which changes were refused, and return them as failures."""
    refusals = [refusal_of(error, source) for error in errors]
    await session.record([refusal for refusal in refusals if refusal is not None])
    return [Failure(error.clerk_id or NAMELESS, str(error)) for error in errors]


async def write_page(session: Session, run: Run, page: Page) -> None:
    """Write the users of a page, and count them in the run. Forgets the users of the page."""
    changes, unread = read_page(page, session.fields)
    page.users.clear()  # frees the memory for the next page
    await tally(session, run, await session.submit(changes), unread)


async def tally(
    session: Session, run: Run, answers: Sequence[Outcome | ChangeRefused], unread: Sequence[UserError]
) -> None:
    """Count the users of a page in the run, and keep in Convex which were refused."""
    outcomes = Counter(str(answer) for answer in answers if not isinstance(answer, ChangeRefused))
    refused = [answer for answer in answers if isinstance(answer, ChangeRefused)]
    run.tally.add(outcomes, await record(session, [*unread, *refused]))


async def bring_in(work: Work, total: int) -> None:
    """Read all users of Clerk that the run has not read, and write them. `total` is about their number."""
    session, run, on_progress = work.session, work.run, work.on_progress
    if not run.ranges:
        run.ranges = await plan(session.clerk, total, session.concurrency)
    on_progress.step(Progress("reading", run.tally.total, total))

    async def handle(page: PartPage) -> None:
        await work.write(page)
        on_progress.step(Progress("reading", run.tally.total, total))

    async def moved(number: int, part: Range) -> None:
        run.ranges[number] = part
        await run.save()

    await read(session.clerk, run.ranges, handle, moved, session.concurrency, to_the_end=True)


async def prune_rows(session: Session, run: Run, *, yes: bool, on_progress: OnProgress) -> Pruning:
    """Remove the rows of users that Clerk does not have, each one confirmed."""
    absent: dict[str, None] = {}  # in order, and each once
    rows = 0

    async def found(clerk_id: str) -> None:
        absent[clerk_id] = None

    def counted(looked_at: int) -> None:
        nonlocal rows
        rows = looked_at
        on_progress.step(Progress("pruning", looked_at, None))

    unlinked: list[str] = []
    await find_absent(session, found, counted, unlinked.append)
    pruning, _ = await remove_absent(session, run, list(absent), rows, len(unlinked), yes=yes)
    return pruning


async def remove_absent(
    session: Session, run: Run, absent: Sequence[str], rows: int, unlinked: int, *, yes: bool
) -> tuple[Pruning, list[str]]:
    """Remove rows of users whom Clerk does not list, each one confirmed. Return also the ids that stay."""
    limit = most_pruned(rows)
    if len(absent) > limit and not yes:
        return Pruning(rows, len(absent), 0, limit, refused=True, unlinked=unlinked), list(absent)

    left = dict.fromkeys(absent)
    for start in range(0, len(absent), _PRUNED_AT_ONCE):
        deletions = await confirm(session, absent[start : start + _PRUNED_AT_ONCE])
        answers = await session.submit(deletions)
        for deletion, answer in zip(deletions, answers, strict=True):
            if answer == "deleted":
                del left[deletion.clerk_id]
        refused = [answer for answer in answers if isinstance(answer, ChangeRefused)]
        run.tally.add({}, await record(session, refused))
    deleted = len(absent) - len(left)
    return Pruning(rows, len(absent), deleted, limit, refused=False, unlinked=unlinked), list(left)
