"""The changes that wait to be written, in their order of arrival and within bounds."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable

from clerk_convex.entities.changes import Outcome
from clerk_convex.errors import DeploymentError, QueueFull

__all__ = ["Answer", "Batch", "Queue", "answer_all"]

Answer = asyncio.Future[Outcome | DeploymentError]
"""The future outcome of one change. An error is its result and not its exception, so that an answer that
nobody awaits any more causes no warning."""

Batch = dict[Answer, bytes]
"""Changes that are written with one mutation: each one's answer, and the change as JSON."""


class Queue:
    """Holds changes from their arrival until they are answered.

    Its bounds, `max_changes` and `max_bytes`, include the changes that were taken out with `take` and are
    not answered yet. The length of the queue counts only those that still wait.
    """

    def __init__(self, max_changes: int, max_bytes: int) -> None:
        self.changes = self.bytes = 0  # all that are not answered yet
        self._max_changes = max_changes
        self._max_bytes = max_bytes
        self._waiting: OrderedDict[Answer, bytes] = OrderedDict()

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, answer: Answer) -> bool:
        return answer in self._waiting

    def add(self, encoded: bytes) -> Answer:
        """Append a change and return its future answer. Raises QueueFull.

        Call `remove` when the change is answered, or is to be withdrawn.
        """
        if self.changes >= self._max_changes or self.bytes + len(encoded) > self._max_bytes:
            raise QueueFull(f"{self.changes} changes wait to be written to Convex already. Try again later.")
        answer: Answer = asyncio.get_running_loop().create_future()
        self._waiting[answer] = encoded
        self.changes += 1
        self.bytes += len(encoded)
        return answer

    def remove(self, answer: Answer, encoded: bytes) -> None:
        """Release the room of a change. If it still waits, it is not sent."""
        self._waiting.pop(answer, None)
        self.changes -= 1
        self.bytes -= len(encoded)

    def take(self, max_changes: int, max_bytes: int, each: int = 1) -> Batch:
        """Take out the changes that have waited longest.

        A change counts as its bytes and `each` more, of which one is a comma. The first one may be larger
        than `max_bytes`.
        """
        batch: Batch = {}
        size = 0
        while self._waiting and len(batch) < max_changes:
            answer, encoded = next(iter(self._waiting.items()))
            size += len(encoded) + each
            if batch and size > max_bytes:
                break
            batch[answer] = self._waiting.pop(answer)
        return batch

    def put_back(self, batch: Batch) -> None:
        """Put changes that were taken out in front of all others, except those answered meanwhile."""
        for answer, encoded in reversed(batch.items()):
            if not answer.done():
                self._waiting[answer] = encoded
                self._waiting.move_to_end(answer, last=False)

    def fail(self, error: DeploymentError) -> None:
        """Answer all changes that wait with `error`."""
        answer_all(self._waiting, error)


def answer_all(answers: Iterable[Answer], error: DeploymentError) -> None:
    """Give `error` to all answers that are not set yet."""
    for answer in answers:
        if not answer.done():
            answer.set_result(error)
