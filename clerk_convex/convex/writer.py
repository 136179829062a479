"""The writer, through which every change of a user enters Convex.

It commits in groups: changes that arrive while mutations are in flight leave together in the next one.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import math
import time
from collections.abc import Callable, Set
from dataclasses import dataclass

from convex.values import ConvexValue

from clerk_convex import errors
from clerk_convex.convex.batches import BatchWriter
from clerk_convex.convex.client import Deployment, Kind
from clerk_convex.convex.congestion import Congestion
from clerk_convex.convex.pace import INDEXED_BYTES, Pace, cost_of
from clerk_convex.convex.queue import Answer, Batch, Queue, answer_all
from clerk_convex.entities.changes import Change, Outcome, SignIn, encode, refused_column
from clerk_convex.errors import (
    ChangeRefused,
    DeploymentError,
    DeploymentMisconfigured,
    DeploymentUnavailable,
    QueueFull,
)
from clerk_convex.net.alarms import Alarms
from clerk_convex.net.logs import OnceAMinute

__all__ = ["Answer", "Status", "Withdrawn", "Writer", "WriterLimits", "withdraw"]

logger = logging.getLogger("clerk_convex")

_MiB = 1024 * 1024

# A batch that leaves while others are in flight has at least this many changes, if so many wait. A row costs
# Convex far less time than a call, and a call costs this process as much as five events. If all waiting
# changes left in one large batch, all would be answered at the same moment, and Convex would be idle then.
_SMALLEST_SHARE = 64

# Outcomes that write no row.
_UNWRITTEN = frozenset({"unchanged", "stale", "tombstoned", "ignored"})

_SHUTTING_DOWN = "Not written to Convex: this process is shutting down."


@dataclass(frozen=True, slots=True)
class WriterLimits:
    """The limits of what a writer sends and holds."""

    in_flight: int = 8
    """Concurrent mutations."""
    batch_size: int = 500
    """Changes in one mutation."""
    batch_bytes: int = 4 * _MiB
    """Bytes of the changes in one mutation. A larger change travels alone."""
    queue_size: int = 5000
    """Changes that are not answered yet, those in flight included."""
    queue_bytes: int = 32 * _MiB
    """Bytes of the changes that are not answered yet, those in flight included."""
    deadline: float = 9.0
    """Seconds within which each change is answered. Svix gives up on a webhook after 15 s."""
    pace: float | None = None
    """Bytes that Convex writes a second, at most. A change that waits for it has no deadline."""


@dataclass(frozen=True, slots=True)
class Status:
    """The state of a writer: the changes that wait, the mutations in flight, and how the last calls ended.

    `last_success` and `last_error_at` are Unix times in seconds; `last_error` is the name of a type of
    `clerk_convex.errors`. They are None until there is one.
    """

    queued: int
    in_flight: int
    last_success: float | None
    last_error: str | None
    last_error_at: float | None


class Writer:
    """Writes changes with the mutation `<module>:syncUsers`, many in one call when many arrive together.

    While a slot is free, a change is sent immediately, in one batch with the changes of the same turn of the
    event loop. While all `limits.in_flight` slots are taken, changes wait. As soon as slots are free, the
    waiting changes are divided among these slots and sent. There is no timer, except for the pace of a run.

    With `dry_run` nothing is written: `<module>:compareUsers` returns the outcome that each change would
    have. The columns that `omit` names are unset by each change, and never sent.

    One writer serves one event loop. It starts and connects with the first change.
    """

    def __init__(
        self,
        deployment: Deployment,
        *,
        module: str = "users",
        limits: WriterLimits | None = None,
        dry_run: bool = False,
        omit: Set[str] = frozenset(),
    ) -> None:
        self.deployment = deployment
        self.module = module
        self.limits = limits = limits or WriterLimits()
        self.queue = Queue(limits.queue_size, limits.queue_bytes)
        self.pace = None if limits.pace is None else Pace(limits.pace)
        self.congestion = Congestion(limits.in_flight, limits.batch_size, self.pace)
        self._observer = deployment.observer
        self._omit = omit
        self._batches = BatchWriter(self._call, deployment.observer, module=module, dry_run=dry_run)
        self._tasks: set[asyncio.Task[None]] = set()  # one for each batch in flight
        self._deadlines: Alarms[Answer] | None = None
        self._is_flush_due = self._is_closed = False
        self._sent_at: dict[Answer, float] = {}  # of changes with a pace: when they were sent first
        self._next_portion: asyncio.TimerHandle | None = None  # set while changes wait for the pace
        self._last_success: float | None = None
        self._last_error: DeploymentError | None = None
        self._last_error_at: float | None = None
        self._once_a_minute = OnceAMinute()

    @property
    def status(self) -> Status:
        """The writer's state now."""
        return Status(
            queued=len(self.queue),
            in_flight=sum(not task.done() for task in self._tasks),
            last_success=self._last_success,
            last_error=None if self._last_error is None else _public_name(self._last_error),
            last_error_at=self._last_error_at,
        )

    async def submit(self, change: Change, hold: Callable[[Answer], object] | None = None) -> Outcome:
        """Write a change and return its outcome, once it is committed.

        Cancelling withdraws a change that was not sent yet, and so does `withdraw` with the answer that
        `hold` is called with; submit then raises Withdrawn.

        Raises QueueFull; ChangeRefused, if Convex refuses the change or could not hold it;
        DeploymentMisconfigured; DeploymentUnavailable, if it was not written within the deadline.
        """
        encoded = self.encode(change)
        if self._is_closed:
            raise DeploymentUnavailable(_SHUTTING_DOWN)
        try:
            answer = self.queue.add(encoded)
        except QueueFull:
            self._observer.limit_hit("queue")
            raise
        if not self._is_flush_due:
            self._is_flush_due = True
            asyncio.get_running_loop().call_soon(self._flush)
        if self._deadlines is None:
            self._deadlines = Alarms(self.limits.deadline, self._expire)
        deadline = self._deadlines.set(answer)
        if hold is not None:
            hold(answer)
        try:
            result = await answer
        finally:
            deadline.discard(answer)
            self.queue.remove(answer, encoded)
            self._sent_at.pop(answer, None)
        if self.pace is not None and result in _UNWRITTEN:
            self.pace.give_back(cost_of(encoded))
        if isinstance(result, DeploymentError):
            error = copy.copy(result)  # one error may answer many changes, and each raise would extend it
            if isinstance(error, ChangeRefused):
                _say_whose(error, change)
            raise error
        return result

    def encode(self, change: Change) -> bytes:
        """Return a change as it is sent. Raises ChangeRefused if Convex could not hold it."""
        return _encode(change, self._omit)

    async def check(self) -> None:
        """Check that the functions in Convex are those of this version and can be called. Writes nothing.

        Raises DeploymentMisconfigured if not, and DeploymentUnavailable.
        """
        await self._batches.check()

    async def aclose(self) -> None:
        """Give up all changes that are not written yet, and close the deployment's connections."""
        self._is_closed = True
        if self._next_portion is not None:
            self._next_portion.cancel()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.queue.fail(DeploymentUnavailable(_SHUTTING_DOWN))
        await self.deployment.aclose()

    def _flush(self) -> None:
        """Send the waiting changes, shared out among the free slots."""
        self._is_flush_due = False
        while len(self.queue) and (free := int(self.congestion.slots) - len(self._tasks)) > 0:
            share = max(_SMALLEST_SHARE, math.ceil(len(self.queue) / free))
            most = min(share, int(self.congestion.batch_size))
            if self.pace is None:
                batch = self.queue.take(most, self.limits.batch_bytes)
            elif (wait := self.pace.wait()) > 0:
                self._flush_later(wait)
                break
            else:
                batch = self.queue.take(most, min(self.pace.portion, self.limits.batch_bytes), INDEXED_BYTES)
                self.pace.take(sum(map(cost_of, batch.values())))
                now = asyncio.get_running_loop().time()
                for answer in batch:
                    self._sent_at.setdefault(answer, now)
            task = asyncio.get_running_loop().create_task(self._write(batch))
            self._tasks.add(task)
            task.add_done_callback(self._release)
        self._observer.queued(len(self.queue), len(self._tasks))

    def _flush_later(self, seconds: float) -> None:
        if self._next_portion is None:
            self._next_portion = asyncio.get_running_loop().call_later(seconds, self._flush_next_portion)

    def _flush_next_portion(self) -> None:
        self._next_portion = None
        self._flush()

    def _release(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            self._flush()

    async def _write(self, batch: Batch) -> None:
        """Write a batch and answer its changes, or put those back into the queue that are not written."""
        parts = [batch]  # what is left of the batch
        try:
            try:
                await self._batches.write(parts)
            except DeploymentUnavailable:
                await asyncio.sleep(self.congestion.pause())
                for part in parts:
                    self.queue.put_back(part)
            except DeploymentMisconfigured as error:
                self._log(error)
                _fail(parts, error)
        except asyncio.CancelledError:  # by `aclose`, or by the end of the loop, which cancels all tasks
            _fail(parts, DeploymentUnavailable(_SHUTTING_DOWN))
            raise

    async def _call(self, kind: Kind, function: str, arguments: bytes) -> ConvexValue:
        """Call a function of the module, and learn from how it went."""
        started = asyncio.get_running_loop().time()
        try:
            value = await self.deployment.send(kind, f"{self.module}:{function}", arguments)
        except DeploymentError as error:
            self._last_error, self._last_error_at = error, time.time()
            if isinstance(error, DeploymentUnavailable):
                self.congestion.failed(error, started)
            raise
        self._last_success = time.time()
        self.congestion.succeeded(started)
        return value

    def _expire(self, answer: Answer) -> None:
        if self.pace is not None and not self.congestion.failures:
            loop = asyncio.get_running_loop()
            waits = answer in self.queue and self._next_portion is not None
            due = (loop.time() if waits else self._sent_at.get(answer, 0.0)) + self.limits.deadline
            if due > loop.time():  # Convex works, and the change waits for the pace, or has waited for it
                loop.call_at(due, self._expire, answer)
                return
        reason = f" {self._last_error}" if self.congestion.failures else ""
        error = DeploymentUnavailable(f"Not written to Convex within {self.limits.deadline:g} s.{reason}")
        answer_all([answer], error)

    def _log(self, error: DeploymentMisconfigured) -> None:
        self._last_error, self._last_error_at = error, time.time()
        if self._once_a_minute.should_log():
            logger.error("%s", error)


class Withdrawn(DeploymentError):
    """The change was withdrawn, because nobody waits for its outcome any more."""


def withdraw(answer: Answer) -> None:
    """Withdraw a change that was not sent yet, and let its `submit` raise Withdrawn in any case."""
    answer_all([answer], Withdrawn("Withdrawn by its sender."))


def _fail(parts: list[Batch], error: DeploymentError) -> None:
    for part in parts:
        answer_all(part, error)


def _public_name(error: DeploymentError) -> str:
    """Return the name of the error's type, or of the first of its bases, in `clerk_convex.errors`."""
    return next(kind.__name__ for kind in type(error).__mro__ if kind.__module__ == errors.__name__)


def _encode(change: Change, omit: Set[str]) -> bytes:
    try:
        return encode(change, omit)
    except (TypeError, ValueError, RecursionError) as error:
        reason = type(error).__name__
    # Raised outside of `except`: the original error, which may quote the value, is not to be its context.
    refusal = ChangeRefused(
        f"CLERK_CONVEX_FIELDS returns {refused_column(change)!r:.100} with a value or a name that Convex"
        f" cannot hold ({reason}). Return text, numbers up to 2**53, booleans, None, and lists and dicts of"
        " these; names are ASCII and begin with a letter."
    )
    _say_whose(refusal, change)
    raise refusal


def _say_whose(refusal: ChangeRefused, change: Change) -> None:
    refusal.clerk_id = change.clerk_id
    refusal.observed_at = 0.0 if isinstance(change, SignIn) else change.observed_at
