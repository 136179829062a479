"""The metrics of a service, kept by prometheus-client. Importing this module needs the extra `metrics`.

Each label has a fixed set of values, and none is about a user.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

from clerk_convex.errors import (
    ChangeRefused,
    ClerkError,
    ClerkMisconfigured,
    ClerkNotFound,
    ClerkUnavailable,
    DeploymentError,
    DeploymentMisconfigured,
)
from clerk_convex.net.observer import DRIFT, Observer, SyncState

__all__ = ["LABELS", "Metrics"]

_OTHER = "other"
_TOO_MANY = 429
LABELS: Mapping[str, tuple[str, ...]] = {
    "type": ("user.created", "user.updated", "user.deleted", "session.created", _OTHER),
    "outcome": (
        "created", "updated", "unchanged", "stale", "deleted", "tombstoned", "ignored",  # of a change
        "rejected", "unreadable", "refused", "failed", "withdrawn",  # without a change
        _OTHER,
    ),
    "status": ("200", "400", "404", "405", "408", "413", "422", "502", "503", _OTHER),
    "convex": ("refused", "misconfigured", "too_many_writes", "conflict", "throttled", "unavailable"),
    "clerk": ("refused", "misconfigured", "not_found", "throttled", "unavailable"),
    "source": ("webhook", "backfill", "admin", "user", "manual", _OTHER),
    "limit": ("reads", "writes", "bulk", "invitations", "me", "addresses", "queue", _OTHER),
    "drift": (*DRIFT, _OTHER),
}  # fmt: skip
"""The values of each label. Anything else is counted as "other"."""

# Codes of Convex, by which its limits are told apart.
_CONVEX_CODES = {"TooManyWrites": "too_many_writes", "OptimisticConcurrencyControlFailure": "conflict"}

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)  # Convex gets 7 s for a call
_CHANGES = (1, 2, 5, 10, 20, 50, 100, 200, 500)  # a batch has at most 500


class Metrics(Observer):
    """Counts what happens in one service, in a registry of its own."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()

        def counter(name: str, text: str, label: str, values: str) -> _Counts:
            return _Counts(Counter(f"clerk_convex_{name}", text, [label], registry=registry), LABELS[values])

        def gauge(name: str, text: str, mode: str = "mostrecent") -> Gauge:
            return Gauge(f"clerk_convex_{name}", text, registry=registry, multiprocess_mode=mode)  # type: ignore[arg-type]

        self._events = Counter(
            "clerk_convex_webhook_events",
            "Verified events by type and outcome.",
            ["type", "outcome"],
            registry=registry,
        )
        self._answers = counter("webhook_answers", "Answers of the webhook route.", "status", "status")
        self._last_event = gauge(
            "last_event_timestamp_seconds",
            "When the last verified event arrived at this service; 0 if none did.",
        )
        self._waiting = gauge("queued_changes", "Changes that wait to be written to Convex.", "livesum")
        self._in_flight = gauge("mutations_in_flight", "Mutations that Convex has not answered.", "livesum")
        self._batches = Histogram(
            "clerk_convex_batch_changes", "Changes in a mutation.", buckets=_CHANGES, registry=registry
        )
        self._mutations = Histogram(
            "clerk_convex_mutation_seconds",
            "Duration of the mutations that succeeded.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._convex = counter("convex_errors", "Failed calls of Convex.", "kind", "convex")
        self._clerk = counter("clerk_errors", "Failed attempts to call Clerk.", "kind", "clerk")
        self._refused = counter("refused_changes", "Changes that were refused.", "source", "source")
        self._limits = counter("limits_hit", "Calls and changes that a limit rejected.", "limit", "limit")
        self._followed = counter("follow_changes", "Changes that follow found.", "outcome", "outcome")
        self._last_follow = gauge(
            "last_follow_timestamp_seconds", "When the last round of follow ended; 0 if none did."
        )
        self._refused_users = gauge("refused_users", "Users with a refused change, as Convex knows it.")
        self._last_webhook = gauge(
            "last_applied_webhook_timestamp_seconds",
            "When a webhook last changed a row in Convex; 0 if none did.",
        )
        self._last_backfill = gauge(
            "last_backfill_timestamp_seconds", "When the last backfill was completed; 0 if none was."
        )
        self._verified = gauge(
            "last_verification_timestamp_seconds",
            "When a nightly run last compared both sides; 0 if none did.",
        )
        drift = Gauge(
            "clerk_convex_drift_users",
            "Users and rows that the last nightly run found different.",
            ["kind"],
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self._drift = {kind: drift.labels(kind) for kind in LABELS["drift"]}

    def render(self) -> bytes:
        """Return the metrics in the text format of Prometheus.

        With PROMETHEUS_MULTIPROC_DIR they are those of all processes that share the folder.
        """
        registry = self._registry
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)

    def answered(self, status: int) -> None:
        self._answers.add(str(status))

    def event_seen(self, kind: str | None, outcome: str) -> None:
        self._last_event.set(time.time())
        kind = kind if kind in LABELS["type"] else _OTHER
        self._events.labels(kind, outcome if outcome in LABELS["outcome"] else _OTHER).inc()

    def queued(self, waiting: int, in_flight: int) -> None:
        self._waiting.set(waiting)
        self._in_flight.set(in_flight)

    def batch_written(self, changes: int, seconds: float) -> None:
        self._batches.observe(changes)
        self._mutations.observe(seconds)

    def convex_failed(self, error: DeploymentError) -> None:
        self._convex.add(_convex_kind(error))

    def clerk_failed(self, error: ClerkError) -> None:
        self._clerk.add(_clerk_kind(error))

    def change_refused(self, source: str) -> None:
        self._refused.add(source)

    def limit_hit(self, name: str) -> None:
        self._limits.add(name)

    def followed(self, outcomes: Mapping[str, int]) -> None:
        for outcome, count in outcomes.items():
            self._followed.add(outcome, count)
        self._last_follow.set(time.time())

    def synced(self, state: SyncState) -> None:
        self._refused_users.set(state.refused)
        self._last_webhook.set(state.last_webhook_at or 0)
        self._last_backfill.set(state.last_backfill_at or 0)
        self._verified.set(state.verified_at or 0)
        for kind, value in self._drift.items():
            value.set(state.drift.get(kind, 0))


class _Counts:
    """A counter with one label. All values are there from the start, so that the first count is a change."""

    def __init__(self, counter: Counter, values: Iterable[str]) -> None:
        self._children = {value: counter.labels(value) for value in values}

    def add(self, value: str, count: int = 1) -> None:
        child = self._children.get(value)
        (self._children[_OTHER] if child is None else child).inc(count)


def _convex_kind(error: DeploymentError) -> str:
    match error:
        case ChangeRefused():
            return "refused"
        case DeploymentMisconfigured():
            return "misconfigured"
    if error.code in _CONVEX_CODES:
        return _CONVEX_CODES[error.code]
    return "throttled" if error.status == _TOO_MANY else "unavailable"


def _clerk_kind(error: ClerkError) -> str:
    match error:
        case ClerkNotFound():
            return "not_found"
        case ClerkMisconfigured():
            return "misconfigured"
        case ClerkUnavailable():
            return "throttled" if error.status == _TOO_MANY else "unavailable"
    return "refused"
