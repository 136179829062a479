"""The receiver of what happens, for metrics. `clerk_convex/net/prometheus.py` counts it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from clerk_convex.errors import ClerkError, DeploymentError

__all__ = ["DRIFT", "Observer", "SyncState"]

DRIFT = ("missing", "differing", "extra", "duplicate", "unreadable", "unlinked")
"""The kinds of differences that a comparison of Clerk and Convex counts."""


@dataclass(frozen=True, slots=True)
class SyncState:
    """The state of the whole synchronization, as Convex knows it. Times are Unix seconds by Convex's clock.

    refused: the number of users with a refused change.
    drift: the numbers of users and rows that the last nightly run found different, by kind.
    last_webhook_at: when a webhook last changed a row.
    last_backfill_at, verified_at: when the last backfill and the last comparison ended.

    A time is None if it never happened.
    """

    refused: int
    drift: Mapping[str, int] = field(default_factory=dict)
    last_webhook_at: float | None = None
    last_backfill_at: float | None = None
    verified_at: float | None = None


class Observer:
    """Ignores everything. Metrics override the methods, which must be quick and must not fail."""

    def answered(self, status: int) -> None:
        """Take the status of an answer of the webhook route."""

    def event_seen(self, kind: str | None, outcome: str) -> None:
        """Take a verified event: its type, None if it cannot be read, and the outcome."""

    def queued(self, waiting: int, in_flight: int) -> None:
        """Take the number of changes that wait, and of mutations in flight."""

    def batch_written(self, changes: int, seconds: float) -> None:
        """Take a mutation that succeeded: the number of its changes, and how long it took."""

    def convex_failed(self, error: DeploymentError) -> None:
        """Take the error of a call of Convex."""

    def clerk_failed(self, error: ClerkError) -> None:
        """Take the error of an attempt to call Clerk."""

    def change_refused(self, source: str) -> None:
        """Take a refused change, by its source."""

    def limit_hit(self, name: str) -> None:
        """Take a call or a change that a limit of this service rejected."""

    def followed(self, outcomes: Mapping[str, int]) -> None:
        """Take a completed round of follow: the number of its changes by outcome."""

    def synced(self, state: SyncState) -> None:
        """Take what Convex knows of the synchronization."""
