"""Faults that a test sets on the answers of the local Clerk."""

from dataclasses import dataclass, replace

__all__ = ["Faults"]


@dataclass(frozen=True, slots=True)
class Faults:
    """Faults of all answers while they are set, as with `clerk.faults = Faults(status=503)`.

    delay: seconds before each answer. A smaller one also shortens requests that wait already.
    status: an error status to answer with instead, with Clerk's `code` and `message`.
    retry_after: seconds in the Retry-After header of a 429. None leaves the header out, as Clerk may.
    drop: break the connection off in the middle of the answer.
    times: how many requests get the fault; None is all. It counts down and can be read at any time.
    """

    delay: float = 0.0
    status: int | None = None
    drop: bool = False
    times: int | None = None
    code: str = "internal_clerk_error"
    message: str = "Something went wrong"
    retry_after: int | None = 1

    def take(self) -> tuple["Faults", "Faults"]:
        """Return the faults of one request, and those that are left for later requests."""
        if self.times is None:
            return self, self
        if self.times == 0:
            return Faults(), self
        return self, replace(self, times=self.times - 1)
