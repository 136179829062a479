"""The backfill: writes every user of Clerk to Convex, and with `prune` removes the rows of others."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import AsyncExitStack
from typing import Any

from clerk_convex.backfill.position import KeptRun, Run, options_text
from clerk_convex.backfill.ranges import Range
from clerk_convex.backfill.reading import plan, read
from clerk_convex.backfill.report import Failure, OnProgress, Progress, Pruning, Report
from clerk_convex.backfill.rows import confirm, find_absent
from clerk_convex.backfill.session import PATIENCE, Session
from clerk_convex.clerk import Page
from clerk_convex.entities import Fields, Upsert, read_id, read_user
from clerk_convex.errors import ChangeRefused, ClerkConvexError, UserError
from clerk_convex.settings import Settings

__all__ = ["CONCURRENCY", "backfill", "most_pruned", "read_page"]

CONCURRENCY = 8
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
            await _bring_in(session, run, total, on_progress)
            if prune:
                pruning = await _prune(session, run, yes, on_progress)
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


def read_page(page: Page, fields: Fields | None) -> tuple[list[Upsert], list[Failure]]:
    """Return the changes for the users of a page, and a failure for each user that cannot be read."""
    changes: list[Upsert] = []
    failures: list[Failure] = []
    for data in page.users:
        try:
            user = read_user(data, fields, observed_at=page.observed_at)
        except UserError as error:
            failures.append(Failure(_name(data), str(error)))
        else:
            changes.append(Upsert(user.clerk_id, user.updated_at, page.observed_at, user.columns, "backfill"))
    return changes, failures


async def _bring_in(session: Session, run: Run, total: int, on_progress: OnProgress) -> None:
    if not run.ranges:
        run.ranges = await plan(session.clerk, total, session.concurrency)
    on_progress.step(Progress("reading", run.tally.total, total))

    async def write(page: Page) -> None:
        changes, failures = read_page(page, session.fields)
        page.users.clear()  # frees the memory for the next page
        outcomes: Counter[str] = Counter()
        for change, answer in zip(changes, await session.submit(changes), strict=True):
            if isinstance(answer, ChangeRefused):
                failures.append(Failure(change.clerk_id, str(answer)))
            else:
                outcomes[answer] += 1
        run.tally.add(outcomes, failures)
        on_progress.step(Progress("reading", run.tally.total, total))

    async def moved(number: int, part: Range) -> None:
        run.ranges[number] = part
        await run.save()

    await read(session.clerk, run.ranges, write, moved, session.concurrency)


async def _prune(session: Session, run: Run, yes: bool, on_progress: OnProgress) -> Pruning:
    absent: dict[str, None] = {}  # in order, and each once
    rows = 0

    async def found(clerk_id: str) -> None:
        absent[clerk_id] = None

    def counted(looked_at: int) -> None:
        nonlocal rows
        rows = looked_at
        on_progress.step(Progress("pruning", looked_at, None))

    await find_absent(session, found, counted)
    limit = most_pruned(rows)
    if len(absent) > limit and not yes:
        return Pruning(rows, len(absent), deleted=0, limit=limit, refused=True)

    deleted = 0
    for start in range(0, len(absent), _PRUNED_AT_ONCE):
        deletions = await confirm(session, list(absent)[start : start + _PRUNED_AT_ONCE])
        answers = await session.submit(deletions)
        deleted += answers.count("deleted")
        refused = [
            Failure(deletion.clerk_id, str(answer))
            for deletion, answer in zip(deletions, answers, strict=True)
            if isinstance(answer, ChangeRefused)
        ]
        run.tally.add({}, refused)
    return Pruning(rows, len(absent), deleted, limit, refused=False)


def _name(data: Any) -> str:
    try:
        return read_id(data)
    except (AttributeError, UserError):
        return "(a user without an id)"
