"""The only way into Convex: changes that arrive while others are on their way leave together."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import math
import random
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeGuard

from convex.values import ConvexValue

from clerk_convex import errors
from clerk_convex.convex.client import CallRefused, Deployment, Kind, Throttled
from clerk_convex.entities.changes import (
    OUTCOMES,
    Change,
    Delete,
    Outcome,
    SignIn,
    Upsert,
    encode,
    refused_column,
)
from clerk_convex.entities.users import COLUMNS
from clerk_convex.errors import (
    ChangeRefused,
    DeploymentError,
    DeploymentMisconfigured,
    DeploymentUnavailable,
    QueueFull,
)
from clerk_convex.net.logs import OnceAMinute

__all__ = ["Status", "Writer"]

logger = logging.getLogger("clerk_convex")

MiB = 1024 * 1024

_MOST_CALLS = 32  # for one batch; it takes 21 to find one bad change among 500
# Changes worth a mutation of their own while others leave: a row costs Convex far less time than a call, and
# a call costs this process as much as five events. Larger batches come back all at once, and leave it idle.
_SMALLEST_SHARE = 64
_MOST_PROBES = 16  # queries that find out which of a team's columns is at fault
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0  # seconds between attempts, before jitter

_SHUTTING_DOWN = "Not written to Convex: this process is shutting down."
_VERSIONS_DIFFER = (
    "The functions in Convex are of another version: deploy those in convex/ (npx convex deploy)."
)
_CANNOT_RUN = (
    "Convex refuses even an empty call of {function}: CONVEX_DEPLOY_KEY lacks the permission for it, or the"
    " function fails. Make a key in the dashboard that may run internal mutations and internal queries. If it"
    " may, the deployment's log in the dashboard says more."
)

# A change of each type with everything in it: the functions that belong to this version take them. They are
# compared only, never written.
_EXAMPLES: tuple[Change, ...] = (
    Upsert(
        "example",
        0.0,
        0.0,
        dict.fromkeys(COLUMNS) | {"status": "active", "createdAt": 0.0},
        "webhook",
        "",
        "",
    ),
    Delete("example", 0.0, "webhook", "", ""),
    SignIn("example", 0.0, "webhook", ""),
)
_NO_CHANGES = b'{"changes":[]}'

Waiter = asyncio.Future[Outcome | DeploymentError]
Batch = dict[Waiter, bytes]


@dataclass(frozen=True, slots=True)
class Status:
    """What a writer is doing: how many changes wait, how many mutations are on their way, how the last went.

    `last_success` and `last_error_at` are Unix times in seconds; `last_error` names a type of
    `clerk_convex.errors`.
    """

    queued: int
    in_flight: int
    last_success: float | None
    last_error: str | None
    last_error_at: float | None


class Writer:
    """Writes changes with the mutation `<module>:syncUsers`; many in one when many come at once.

    A change that finds a free slot leaves at once, with those that came in the same turn of the event loop.
    While all `in_flight` slots are taken, changes wait; as soon as some are free they leave together, shared
    out among them, up to `batch_size` changes or `batch_bytes` bytes in each mutation. There is no timer.

    At most `queue_size` changes or `queue_bytes` bytes are taken in and not answered yet. Each is answered
    within `deadline` seconds.

    With `dry_run` nothing is written: `<module>:compareUsers` tells what would become of each change.

    One writer serves one event loop. Nothing is connected or started before the first change.
    """

    def __init__(
        self,
        deployment: Deployment,
        *,
        module: str = "users",
        in_flight: int = 8,
        batch_size: int = 500,
        batch_bytes: int = 4 * MiB,
        queue_size: int = 5000,
        queue_bytes: int = 32 * MiB,
        deadline: float = 9.0,
        dry_run: bool = False,
    ) -> None:
        self.deployment = deployment
        self.module = module
        self.in_flight = in_flight
        self.batch_size = batch_size
        self.batch_bytes = batch_bytes
        self.queue_size = queue_size
        self.queue_bytes = queue_bytes
        self.deadline = deadline
        self.dry_run = dry_run
        self._waiting: OrderedDict[Waiter, bytes] = OrderedDict()
        self._taken = self._taken_bytes = 0  # the changes that are not answered yet
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_flush_due = self._is_closed = False
        # What gives way to trouble, and comes back with success.
        self._slots = float(in_flight)
        self._largest = float(batch_size)
        self._failures = 0
        self._failed_at = 0.0
        self._last_success: float | None = None
        self._last_error: DeploymentError | None = None
        self._last_error_at: float | None = None
        self._sayings = OnceAMinute()

    @property
    def status(self) -> Status:
        return Status(
            queued=len(self._waiting),
            in_flight=sum(not task.done() for task in self._tasks),
            last_success=self._last_success,
            last_error=None if self._last_error is None else _kind(self._last_error),
            last_error_at=self._last_error_at,
        )

    async def submit(self, change: Change) -> Outcome:
        """What became of the change, once it is committed. Cancelling withdraws a change that was not sent.

        Raises QueueFull; ChangeRefused, if Convex refuses the change or could not hold it;
        DeploymentMisconfigured; DeploymentUnavailable, if it was not written within the deadline.
        """
        encoded = _encode(change)
        if self._is_closed:
            raise DeploymentUnavailable(_SHUTTING_DOWN)
        if self._taken >= self.queue_size or self._taken_bytes + len(encoded) > self.queue_bytes:
            raise QueueFull(f"{self._taken} changes wait to be written to Convex already. Try again later.")
        loop = asyncio.get_running_loop()
        waiter: Waiter = loop.create_future()
        self._waiting[waiter] = encoded
        self._taken += 1
        self._taken_bytes += len(encoded)
        if not self._is_flush_due:
            self._is_flush_due = True
            loop.call_soon(self._flush)
        timer = loop.call_later(self.deadline, self._give_up, waiter)
        try:
            answer = await waiter
        finally:
            timer.cancel()
            self._waiting.pop(waiter, None)
            self._taken -= 1
            self._taken_bytes -= len(encoded)
        if isinstance(answer, DeploymentError):
            error = copy.copy(answer)  # one error may answer many
            if isinstance(error, ChangeRefused):
                error.clerk_id = change.clerk_id
            raise error
        return answer

    async def check(self) -> None:
        """Raises DeploymentMisconfigured if the functions are not those of this version or cannot be called,
        and DeploymentUnavailable. It writes nothing.

        Hosted Convex may keep from its clients why a function refuses ("Server Error" is all they read), so
        the reason cannot be read from the refusal. Functions of any version take an empty list of changes.
        """
        if not self.dry_run:
            await self._check_call("mutation", "syncUsers")
        try:
            await self._call("query", "compareUsers", b'{"changes":[%b]}' % b",".join(map(encode, _EXAMPLES)))
        except CallRefused:
            pass
        else:
            return
        await self._check_call("query", "compareUsers")
        raise DeploymentMisconfigured(_VERSIONS_DIFFER)

    async def _check_call(self, kind: Kind, function: str) -> None:
        """Raises DeploymentMisconfigured if the function cannot be called at all."""
        try:
            await self._call(kind, function, _NO_CHANGES)
        except CallRefused as refusal:
            text = _VERSIONS_DIFFER if refusal.is_validation else _CANNOT_RUN
        else:
            return
        raise DeploymentMisconfigured(text.format(function=f"{self.module}:{function}"))

    async def aclose(self) -> None:
        """Gives up what is not written yet and closes the deployment's connections."""
        self._is_closed = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._answer([self._waiting], DeploymentUnavailable(_SHUTTING_DOWN))
        await self.deployment.aclose()

    def _flush(self) -> None:
        """Sends what waits, shared out among the free slots."""
        self._is_flush_due = False
        while self._waiting and (free := int(self._slots) - len(self._tasks)) > 0:
            share = max(_SMALLEST_SHARE, math.ceil(len(self._waiting) / free))
            batch = self._next_batch(min(share, int(self._largest)))
            task = asyncio.get_running_loop().create_task(self._write(batch))
            self._tasks.add(task)
            task.add_done_callback(self._release)

    def _release(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            self._flush()

    def _next_batch(self, count: int) -> Batch:
        batch: Batch = {}
        size = 0
        while self._waiting and len(batch) < count:
            waiter, encoded = next(iter(self._waiting.items()))
            size += len(encoded) + 1
            if batch and size > self.batch_bytes:
                break
            batch[waiter] = self._waiting.pop(waiter)
        return batch

    async def _write(self, batch: Batch) -> None:
        """Answers the changes of a batch, or puts them back in front of those that wait."""
        parts = [batch]  # what is left of it, the first part last
        try:
            try:
                await self._write_parts(parts)
            except DeploymentUnavailable:
                await asyncio.sleep(self._pause())
                for part in parts:
                    self._put_back(part)
            except DeploymentMisconfigured as error:
                self._log(error)
                self._answer(parts, error)
        except asyncio.CancelledError:  # by aclose, or because the loop ends: no one else knows this task
            self._answer(parts, DeploymentUnavailable(_SHUTTING_DOWN))
            raise

    async def _write_parts(self, parts: list[Batch]) -> None:
        """Writes the parts. One that is refused is halved, until the changes at fault are alone."""
        calls = 0
        while parts:
            part = parts[-1] = {waiter: encoded for waiter, encoded in parts[-1].items() if not waiter.done()}
            if not part:
                parts.pop()
                continue
            if calls >= _MOST_CALLS:
                self._answer(
                    parts, DeploymentUnavailable("Convex refused too many changes that came with it.")
                )
                return
            calls += 1
            refusal = await self._sync(part)
            if refusal is not None and calls == 1:
                await self.check()
                calls += 2
            parts.pop()
            if refusal is None:
                continue
            if len(part) == 1:
                (encoded,) = part.values()
                self._answer([part], await self._explain(encoded, refusal))
            else:
                items = list(part.items())
                middle = len(items) // 2
                parts += [dict(items[middle:]), dict(items[:middle])]

    async def _sync(self, part: Batch) -> CallRefused | None:
        """Writes the changes and answers them, or returns why they are refused."""
        args = b'{"changes":[%b]}' % b",".join(part.values())
        try:
            if self.dry_run:
                outcomes = await self._call("query", "compareUsers", args)
            else:
                outcomes = await self._call("mutation", "syncUsers", args)
        except CallRefused as refusal:
            return refusal
        if not _are_outcomes(outcomes, len(part)):
            raise DeploymentMisconfigured(_VERSIONS_DIFFER)
        for waiter, outcome in zip(part, outcomes, strict=True):
            if not waiter.done():
                waiter.set_result(outcome)
        return None

    async def _explain(self, encoded: bytes, refusal: CallRefused) -> CallRefused:
        """Return the refusal with the names of the team's columns that are at fault, if there are any.

        All of a team's columns are optional in Convex, so that each can be tried without the others.
        """
        change = json.loads(encoded)
        columns = change.get("columns", {})
        ours = {name: value for name, value in columns.items() if name in COLUMNS}
        faults: list[str] = []
        for name in [name for name in columns if name not in ours][:_MOST_PROBES]:
            probe = {**change, "columns": {**ours, name: columns[name]}}
            try:
                await self._call("query", "compareUsers", b'{"changes":[%b]}' % json.dumps(probe).encode())
            except CallRefused:
                faults.append(f"{name!r:.100}")
            except DeploymentError:
                break
        if not faults:
            return refusal
        return CallRefused(
            f"{refusal} CLERK_CONVEX_FIELDS returns {', '.join(faults)}: columns.ts lacks it, or has another"
            " type for it.",
            refusal.data,
            is_validation=refusal.is_validation,
        )

    async def _call(self, kind: Kind, function: str, args: bytes) -> ConvexValue:
        started = asyncio.get_running_loop().time()
        try:
            value = await self.deployment.send(kind, f"{self.module}:{function}", args)
        except DeploymentError as error:
            self._last_error, self._last_error_at = error, time.time()
            # Calls that were on their way together fail together: that counts once.
            if isinstance(error, DeploymentUnavailable) and started >= self._failed_at:
                self._failed_at = asyncio.get_running_loop().time()
                self._failures += 1
                if isinstance(error, Throttled):
                    self._slots = max(1.0, self._slots / 2)
                else:  # what is too much to be written in time gets through in parts
                    self._largest = max(1.0, self._largest / 4)
            raise
        self._last_success = time.time()
        self._failures = 0
        self._slots = min(self.in_flight, self._slots + 1 / self._slots)
        self._largest = min(self.batch_size, self._largest + self.batch_size / 100)
        return value

    def _pause(self) -> float:
        longest: float = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(self._failures, 10))
        return longest * random.uniform(0.5, 1.0)

    def _put_back(self, part: Batch) -> None:
        for waiter, encoded in reversed(part.items()):
            if not waiter.done():
                self._waiting[waiter] = encoded
                self._waiting.move_to_end(waiter, last=False)

    def _answer(self, parts: Iterable[Batch], error: DeploymentError) -> None:
        for part in parts:
            for waiter in part:
                if not waiter.done():
                    waiter.set_result(error)

    def _give_up(self, waiter: Waiter) -> None:
        why = f" {self._last_error}" if self._failures else ""
        too_late = DeploymentUnavailable(f"Not written to Convex within {self.deadline:g} s.{why}")
        self._answer([{waiter: b""}], too_late)

    def _log(self, error: DeploymentMisconfigured) -> None:
        self._last_error, self._last_error_at = error, time.time()
        if self._sayings.should_log():
            logger.error("%s", error)


def _kind(error: DeploymentError) -> str:
    """The name of its type in `clerk_convex.errors`."""
    return next(kind.__name__ for kind in type(error).__mro__ if kind.__module__ == errors.__name__)


def _encode(change: Change) -> bytes:
    try:
        return encode(change)
    except (TypeError, ValueError, RecursionError) as error:
        reason = type(error).__name__
    refusal = ChangeRefused(
        f"CLERK_CONVEX_FIELDS returns {refused_column(change)!r:.100} with a value or a name that Convex"
        f" cannot hold ({reason}). Return text, numbers up to 2**53, booleans, None, and lists and dicts of"
        " these; names are ASCII and begin with a letter."
    )
    refusal.clerk_id = change.clerk_id
    raise refusal


def _are_outcomes(value: ConvexValue, count: int) -> TypeGuard[list[Outcome]]:
    return (
        isinstance(value, list)
        and len(value) == count
        and all(isinstance(outcome, str) and outcome in OUTCOMES for outcome in value)
    )
