"""What a run works with: Clerk, the writer and the functions beside it, patient once they have answered."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self, TypeVar

from convex import convex_to_json

from clerk_convex.changes import Change, Outcome
from clerk_convex.clerk import Clerk
from clerk_convex.deployment import Deployment, Kind
from clerk_convex.errors import ChangeRefused, DeploymentMisconfigured, DeploymentUnavailable
from clerk_convex.settings import Settings
from clerk_convex.users import Fields
from clerk_convex.writer import Writer

__all__ = ["Session"]

Result = TypeVar("Result")

_REQUIRED = ("CLERK_SECRET_KEY", "CONVEX_URL", "CONVEX_DEPLOY_KEY")
# Seconds: what is wrong from the start is told soon, what goes wrong later is waited for.
_SOON, _PATIENT = 3.0, 300.0
_CLERK_TIMEOUT, _CONVEX_TIMEOUT = 30.0, 15.0  # seconds, of one call
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 10.0  # seconds between attempts, before jitter
_UNTOLD = 1 << 40  # bytes: what waits is bounded by the number of pages, not by the writer
_ROWS = 500  # of a page of Convex's
_HOPELESS = 100  # refusals, and nobody who was written: then something is wrong with all


class Session:
    """Use `Session.open`; it raises SettingsError if a setting is missing."""

    def __init__(self, settings: Settings, *, concurrency: int, dry_run: bool) -> None:
        settings.require(*_REQUIRED)
        assert settings.clerk_secret_key is not None  # noqa: S101 - mypy does not know what require does
        assert settings.convex_url is not None  # noqa: S101
        assert settings.convex_deploy_key is not None  # noqa: S101
        self.concurrency = concurrency
        self.fields: Fields | None = settings.clerk_convex_fields
        self.clerk = Clerk(
            settings.clerk_secret_key.get_secret_value(), settings.clerk_api_url, timeout=5.0, patience=_SOON
        )
        self.deployment = Deployment(settings.convex_url, settings.convex_deploy_key.get_secret_value())
        self.module = settings.convex_users_module
        self.writer = Writer(
            self.deployment,
            module=self.module,
            in_flight=max(1, concurrency // 2),  # the webhooks need some of Convex too
            queue_size=concurrency * 1000,
            queue_bytes=_UNTOLD,
            deadline=_PATIENT,
            dry_run=dry_run,
        )
        self._patience = _SOON
        self._written = self._refused = 0

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings, *, concurrency: int, dry_run: bool) -> AsyncIterator[Self]:
        session = cls(settings, concurrency=concurrency, dry_run=dry_run)
        try:
            yield session
        finally:
            await session.writer.aclose()
            await session.clerk.aclose()

    async def preflight(self) -> int:
        """How many users Clerk has. Raises what is wrong with keys, addresses and functions, in seconds."""
        total = await self.clerk.count_users()
        await self._patiently(self.writer.check)
        self.clerk.timeout, self.clerk.patience = _CLERK_TIMEOUT, _PATIENT
        self.deployment.timeout, self._patience = _CONVEX_TIMEOUT, _PATIENT
        return total

    async def submit(self, changes: Sequence[Change]) -> list[Outcome | ChangeRefused]:
        """What became of each change.

        Raises DeploymentUnavailable when the patience is over; DeploymentMisconfigured, also if Convex
        refuses everyone.
        """
        results: dict[int, Outcome | ChangeRefused] = {}
        left = list(enumerate(changes))
        while left:
            answers = await asyncio.gather(
                *(self.writer.submit(change) for _, change in left), return_exceptions=True
            )
            late: list[tuple[int, Change]] = []
            problem: BaseException | None = None
            for (number, change), answer in zip(left, answers, strict=True):
                if isinstance(answer, str | ChangeRefused):
                    results[number] = answer
                else:
                    # Too many refusals among the changes that came with it are no fault of its own.
                    problem = answer
                    late.append((number, change))
            if problem is not None and (
                len(late) == len(left) or not isinstance(problem, DeploymentUnavailable)
            ):
                raise problem
            left = late
        answered = [results[number] for number in range(len(changes))]
        self._give_up_on_refusals(answered)
        return answered

    async def call(self, kind: Kind, function: str, arguments: dict[str, Any]) -> Any:
        """Runs one of the functions beside the writer's. Raises DeploymentError."""
        encoded = json.dumps(convex_to_json(arguments), allow_nan=False).encode()
        name = f"{self.module}:{function}"
        return await self._patiently(lambda: self.deployment.send(kind, name, encoded))

    async def rows(self) -> AsyncIterator[list[dict[str, Any]]]:
        """All rows of the users table with their stamps, the oldest first, a page at a time."""
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
        deadline = time() + self._patience
        pause = _FIRST_PAUSE
        while True:
            try:
                return await attempt()
            except DeploymentUnavailable:
                if time() + pause > deadline:
                    raise
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(_LONGEST_PAUSE, pause * 2)

    def _give_up_on_refusals(self, answers: Sequence[Outcome | ChangeRefused]) -> None:
        refused = sum(isinstance(answer, ChangeRefused) for answer in answers)
        self._refused += refused
        self._written += len(answers) - refused
        if self._refused >= _HOPELESS and not self._written:
            raise DeploymentMisconfigured(
                "Convex refuses every user. If CLERK_CONVEX_FIELDS is set, declare its columns in "
                "convex/clerk/columns.ts and deploy; else the deployment's log (dashboard, Logs) says why."
            )
