"""Pauses between attempts."""

from __future__ import annotations

import random
from dataclasses import dataclass

__all__ = ["Backoff"]


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff: `first` seconds, then twice as long each time, up to `longest` seconds.

    Each pause is shortened at random by up to a half, so that callers that failed together do not return
    together.
    """

    first: float
    longest: float

    def pause(self, failures: int) -> float:
        """Return the seconds to wait after that many failures that already had their pause."""
        doublings = min(failures, 10)  # far beyond `longest`; the power of a large count would overflow
        pause = min(self.longest, self.first * 2.0**doublings)
        return pause * random.uniform(0.5, 1.0)
