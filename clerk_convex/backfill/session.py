"""The connections of a run to Clerk and Convex, with its retries.

Errors that pass (no connection, 429, 5xx) are retried from the first call on. A refusal ends the run only
after it was repeated, because gateways and proxies of either side sometimes answer 401, 403 or 404 for a
moment.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Self, TypeVar

from convex import convex_to_json

from clerk_convex.backfill.report import OnProgress
from clerk_convex.clerk import Clerk
from clerk_convex.convex import (
    AT_ONCE,
    INDEXED_BYTES,
    CallRefused,
    Kind,
    Refusal,
    Writer,
    WriterLimits,
    to_arguments,
)
from clerk_convex.entities import Change, Fields, Outcome
from clerk_convex.errors import (
    ChangeRefused,
    ClerkConvexError,
    DeploymentError,
    DeploymentMisconfigured,
    DeploymentUnavailable,
)
from clerk_convex.net.backoff import Backoff
from clerk_convex.net.logs import OnceAMinute
from clerk_convex.service import Service, Timeouts
from clerk_convex.settings import BackfillSettings, Settings

__all__ = ["PATIENCE", "Session"]

Result = TypeVar("Result")

PATIENCE = 300.0
"""The default of the seconds for which failing calls of Clerk and Convex are retried."""

# Seconds between a refusal and its repetitions. At first they are short, so that a wrong key is known soon.
# A run that has worked already waits longer, so that a moment of trouble does not end it.
_DOUBTS_AT_FIRST, _DOUBTS = (0.5, 1.5), (1.0, 4.0, 15.0)
_SILENCE = 1.0  # seconds of waiting before the first note about it
_CLERK_TIMEOUT, _CONVEX_TIMEOUT = 30.0, 15.0  # seconds, of one call
_BACKOFF = Backoff(first=0.25, longest=10.0)  # seconds between attempts
_NO_LIMIT = 1 << 40  # bytes; the number of pages that are read concurrently is the limit
_ROWS = 500  # on a page of exportUsers
_HOPELESS = 100  # refusals without a single success: then the cause is not the users


_MiB = 1024 * 1024


class _RunService(Service):
    """The service of a run: more patient than the service of requests, which keeps a part of Convex."""

    def __init__(
        self, settings: Settings, *, concurrency: int, dry_run: bool, patience: float, share: float
    ) -> None:
        timeouts = Timeouts(clerk_call=_CLERK_TIMEOUT, clerk_retries=patience, convex_call=_CONVEX_TIMEOUT)
        super().__init__(settings, timeouts=timeouts)
        self._dry_run = dry_run
        self._share = share
        self._limits = WriterLimits(
            in_flight=max(1, concurrency // 2),
            queue_size=concurrency * 1000,
            queue_bytes=_NO_LIMIT,
            deadline=patience,
            pace=None if dry_run else settings.clerk_convex_pace * _MiB,
        )

    def make_clerk(self) -> Clerk:
        return self.clerk_with_share(self._share)

    def make_metrics(self) -> None:
        """Make none: nobody reads the metrics of a run."""

    def make_writer(self) -> Writer:
        return self.writer_within(self._limits, dry_run=self._dry_run)


class Session:
    """Clerk, the writer and the other Convex functions, for one run. Make one with `Session.open`."""

    def __init__(
        self,
        settings: Settings,
        *,
        concurrency: int,
        dry_run: bool,
        patience: float = PATIENCE,
        share: float = 1.0,
        on_progress: OnProgress | None = None,
    ) -> None:
        settings = settings.require(BackfillSettings)
        self.concurrency = concurrency
        self.fields: Fields | None = settings.clerk_convex_fields
        service = _RunService(
            settings, concurrency=concurrency, dry_run=dry_run, patience=patience, share=share
        )
        self.clerk = service.clerk
        self.clerk.doubts = _DOUBTS_AT_FIRST
        self.clerk.on_retry = partial(self._tell, "Clerk")
        self.writer = service.writer
        self.is_production = settings.convex_deploy_key.get_secret_value().startswith("prod:")
        """Whether the deploy key is for a production deployment. Keys of self-hosted ones do not say so."""
        self._module = settings.convex_users_module
        self._records = not dry_run
        self._patience = patience
        self._doubts: Sequence[float] = _DOUBTS_AT_FIRST
        self._on_progress = on_progress or OnProgress()
        self._told = OnceAMinute()
        self._written = self._refused = 0

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        settings: Settings,
        *,
        concurrency: int,
        dry_run: bool,
        patience: float = PATIENCE,
        share: float = 1.0,
        on_progress: OnProgress | None = None,
    ) -> AsyncIterator[Self]:
        session = cls(
            settings,
            concurrency=concurrency,
            dry_run=dry_run,
            patience=patience,
            share=share,
            on_progress=on_progress,
        )
        try:
            yield session
        finally:
            await session.writer.aclose()
            await session.clerk.aclose()

    async def preflight(self) -> int:
        """Return how many users Clerk has.

        Raises within seconds the error for a wrong key, instance, address or version of the functions; and
        ClerkUnavailable or DeploymentUnavailable when the patience is over.
        """
        total = await self.clerk.count_users()
        await self._patiently(self.writer.check)
        self.clerk.doubts = self._doubts = _DOUBTS
        return total

    async def submit(self, changes: Sequence[Change]) -> list[Outcome | ChangeRefused]:
        """Write the changes, and return the outcome or the refusal of each.

        Raises DeploymentUnavailable when the patience is over, and DeploymentMisconfigured, also if Convex
        refuses every user.
        """
        results: dict[int, Outcome | ChangeRefused] = {}
        left = list(enumerate(changes))
        doubts = iter(self._doubts)
        while left:
            answers = await asyncio.gather(
                *(self.writer.submit(change) for _, change in left), return_exceptions=True
            )
            late: list[tuple[int, Change]] = []
            problems: list[BaseException] = []
            for (number, change), answer in zip(left, answers, strict=True):
                if isinstance(answer, ChangeRefused) and number not in results:
                    results[number] = answer
                    late.append((number, change))  # the refusal may pass
                elif isinstance(answer, str | ChangeRefused):
                    results[number] = answer
                else:
                    # It may be in a batch with too many refused changes.
                    problems.append(answer)
                    late.append((number, change))
            for problem in problems:
                if not isinstance(problem, DeploymentUnavailable):
                    await self._doubt(problem, doubts)
                    break
            else:
                if len(problems) == len(left):
                    raise problems[0]
            left = late
        answered = [results[number] for number in range(len(changes))]
        self._give_up_on_refusals(answered)
        return answered

    async def call(self, kind: Kind, function: str, arguments: dict[str, Any]) -> Any:
        """Call one of the functions that the writer does not use. Raises DeploymentError."""
        encoded = json.dumps(convex_to_json(arguments), allow_nan=False).encode()
        name = f"{self._module}:{function}"
        return await self._patiently(lambda: self.writer.deployment.send(kind, name, encoded))

    async def compare(
        self, changes: Sequence[Change], after: float | None, up_to: float | None
    ) -> dict[str, Any] | None:
        """Compare the users of a page with the rows of its part of the table; see users:compareRange.

        Return None if they cannot be compared so: there are too many rows, or Convex refuses a change.
        """
        try:
            encoded = b",".join(self.writer.encode(change) for change in changes)
        except ChangeRefused:
            return None
        bounds = json.dumps({"after": after, "upTo": up_to}).encode()
        arguments = b'{"changes":[%b],"range":%b}' % (encoded, bounds)
        return await self._compare(arguments)

    async def compare_without_status(self) -> dict[str, Any] | None:
        """Return the rows with a status that is none of ours, as `compare` does."""
        return await self._compare(b'{"changes":[],"range":null}')

    async def _compare(self, arguments: bytes) -> dict[str, Any] | None:
        async def attempt() -> Any:
            try:
                return await self.writer.deployment.send("query", f"{self._module}:compareRange", arguments)
            except CallRefused:
                return None

        answer: dict[str, Any] | None = await self._patiently(attempt)
        return answer

    async def write(self, function: str, arguments: dict[str, Any], rows: int) -> Any:
        """Call a mutation that writes about so many rows, at the writer's pace. Raises DeploymentError."""
        if self.writer.pace is not None:
            await self.writer.pace.turn(rows * INDEXED_BYTES)
        return await self.call("mutation", function, arguments)

    async def record(self, refusals: Sequence[Refusal]) -> None:
        """Keep refused changes in Convex, unless this is a dry run. If it fails, the run continues."""
        for start in range(0, len(refusals) if self._records else 0, AT_ONCE):
            part = to_arguments(refusals[start : start + AT_ONCE])
            try:
                await self.call("mutation", "recordRefusals", part)
            except DeploymentError as error:
                self._on_progress.note(f"Refused users are not recorded in Convex: {error}")
                self._records = False
                return

    async def rows(self) -> AsyncIterator[list[dict[str, Any]]]:
        """Yield pages of all rows of the users table with their stamps, the oldest row first."""
        cursor: str | None = None
        while True:
            options = {"numItems": float(_ROWS), "cursor": cursor}
            answer = await self.call("query", "exportUsers", {"paginationOpts": options})
            yield answer["page"]
            if answer["isDone"]:
                return
            cursor = answer["continueCursor"]

    async def _patiently(self, attempt: Callable[[], Awaitable[Result]]) -> Result:
        time = asyncio.get_running_loop().time
        started = time()
        failures = 0
        doubts = iter(self._doubts)
        while True:
            try:
                return await attempt()
            except DeploymentUnavailable as error:
                pause = _BACKOFF.pause(failures)
                if time() + pause > started + self._patience:
                    raise
                failures += 1
                self._tell("Convex", error, time() - started)
            except DeploymentError as error:
                await self._doubt(error, doubts)
                continue
            await asyncio.sleep(pause)

    async def _doubt(self, problem: BaseException, doubts: Iterator[float]) -> None:
        """Wait before a refusal is put to the test again. Raise it if it was repeated often enough."""
        pause = next(doubts, None)
        if pause is None or not isinstance(problem, DeploymentError):
            raise problem
        await asyncio.sleep(pause)

    def _tell(self, side: str, error: ClerkConvexError, seconds: float) -> None:
        """Note why the run waits, and for how long at most."""
        if seconds >= _SILENCE and self._told.should_log(side):
            left = max(0.0, self._patience - seconds)
            self._on_progress.note(f"Waiting for {side}, at most {left:.0f} s more: {error}")

    def _give_up_on_refusals(self, answers: Sequence[Outcome | ChangeRefused]) -> None:
        refused = sum(isinstance(answer, ChangeRefused) for answer in answers)
        self._refused += refused
        self._written += len(answers) - refused
        if self._refused >= _HOPELESS and not self._written:
            raise DeploymentMisconfigured(
                "Convex refuses every user. If CLERK_CONVEX_FIELDS is set, declare its columns in "
                "convex/clerk/columns.ts and deploy; else the deployment's log (dashboard, Logs) says why."
            )
