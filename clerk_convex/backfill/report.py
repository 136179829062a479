"""Pure: the results of a run, as numbers and as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from clerk_convex.errors import ClerkConvexError

__all__ = [
    "Failure",
    "OnProgress",
    "Progress",
    "Pruning",
    "Repair",
    "RepairedUsers",
    "Report",
    "Tally",
    "Verification",
]

COMMAND = "python -m clerk_convex.backfill"
NAMED = 100
"""The number of users that are named, of each kind. Further ones are only counted."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a step: `done` of about `total`, which is None if not known."""

    doing: str
    done: int
    total: int | None


class OnProgress:
    """The receiver of a run's progress. This one ignores it."""

    def step(self, progress: Progress) -> None:
        """Take the new progress."""

    def note(self, text: str) -> None:
        """Take a line for a person to read."""

    def end(self) -> None:
        """Take the end of the progress."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A user that was skipped, and the reason. The id is all that it holds of the user."""

    clerk_id: str
    reason: str


@dataclass(slots=True)
class Tally:
    """The number of users by outcome, and the first `NAMED` of those that failed (`counts["failed"]`)."""

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)

    @property
    def total(self) -> int:
        return self.counts.total()

    def add(self, outcomes: Mapping[str, int], failures: Sequence[Failure]) -> None:
        self.counts.update(outcomes)
        self.counts["failed"] += len(failures)
        self.failures += failures[: NAMED - len(self.failures)]


@dataclass(frozen=True, slots=True)
class Pruning:
    """Of `rows` in Convex, `absent` were not in Clerk's lists, and `deleted` were removed.

    `refused`: nothing was removed, because `absent` is more than `limit` and `yes` was not given.
    `unlinked`: further rows, which have no Clerk id. They are never removed.
    """

    rows: int
    absent: int
    deleted: int
    limit: int
    refused: bool
    unlinked: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a backfill: `users` were read in `seconds`. If `resumed`, an earlier run has read others.

    `counts` are of users by outcome (see clerk_convex.Outcome), and "failed": those are named in `failures`,
    the first 100 of them. `error` is set if the run stopped early. `pruning` is None without `prune`.
    """

    dry_run: bool
    resumed: bool
    users: int
    seconds: float
    counts: Mapping[str, int]
    failures: Sequence[Failure]
    pruning: Pruning | None
    error: ClerkConvexError | None

    @property
    def ok(self) -> bool:
        """Whether everything was written."""
        refused = self.pruning is not None and self.pruning.refused
        return self.error is None and not self.counts.get("failed") and not refused

    def to_json(self) -> dict[str, Any]:
        pruning = self.pruning
        return {
            "ok": self.ok,
            "dryRun": self.dry_run,
            "resumed": self.resumed,
            "users": self.users,
            "seconds": round(self.seconds, 3),
            "counts": dict(self.counts),
            "failures": [{"clerkId": it.clerk_id, "reason": it.reason} for it in self.failures],
            "pruning": None
            if pruning is None
            else {
                "rows": pruning.rows,
                "absent": pruning.absent,
                "deleted": pruning.deleted,
                "limit": pruning.limit,
                "refused": pruning.refused,
                "unlinked": pruning.unlinked,
            },
            "error": None if self.error is None else str(self.error),
        }

    def __str__(self) -> str:
        """Return the result and the next command to run, as text."""
        would = "would be " if self.dry_run else ""
        rate = f" ({self.users / self.seconds:,.0f} a second)" if self.seconds else ""
        also = ", those of the run before included" if self.resumed else ""
        told = [f"{count:,} {would}{name}" for name, count in self._told().items()]
        lines = [
            f"{_users(self.users)} read in {self.seconds:.1f} s{rate}: {', '.join(told) or 'none'}{also}."
        ]
        lines += [f"  {it.clerk_id}  {it.reason}" for it in self.failures]
        if (unnamed := self.counts.get("failed", 0) - len(self.failures)) > 0:
            lines.append(f"  and {unnamed:,} more")
        if self.pruning is not None:
            lines.append(_pruned(self.pruning, would))
        if self.error is not None:
            lines.append(f"Stopped before the end: {self.error}")
        lines.append(self._next())
        return "\n".join(lines)

    def _told(self) -> dict[str, int]:
        names = ("created", "updated", "unchanged", "stale", "tombstoned")
        told = {name: self.counts.get(name, 0) for name in names if self.counts.get(name)}
        failed = self.counts.get("failed", 0)
        return told | ({"not readable or refused": failed} if failed else {})

    def _next(self) -> str:
        prune = " --prune" if self.pruning is not None else ""
        if self.error is not None:
            return f"Next: {COMMAND}{prune}    (resumes this run)"
        if self.pruning is not None and self.pruning.refused:
            return (
                f"Next: {COMMAND} --prune --yes    (only if CLERK_SECRET_KEY belongs to the instance whose "
                "users the rows are; CLERK_INSTANCE_ID makes sure of it)"
            )
        if self.dry_run:
            return f"Nothing was written. Next: {COMMAND}{prune}"
        return f"Next: {COMMAND} --verify"


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether Convex equals Clerk. `users` are Clerk's, `rows` Convex's, as they came; `seconds` it took.

    `missing` users have no row, `differing` ones another one; `extra` rows have no user; `duplicate` users
    have several rows, and count as nothing else; `unreadable` users cannot be compared; `unlinked` rows have
    no Clerk id, and are not among `rows`. `examples` names the first 100 of each: (kind, id), of an unlinked
    row Convex's id. `last_webhook_at`: Unix milliseconds by Convex's clock, of the last one
    that changed a row; None if none ever did. `doubt` says why the extra rows may be another instance's.
    """

    users: int
    rows: int
    missing: int
    differing: int
    extra: int
    duplicate: int
    unreadable: int
    examples: Sequence[tuple[str, str]]
    last_webhook_at: float | None
    now: float
    seconds: float
    doubt: str | None = None
    unlinked: int = 0

    @property
    def equal(self) -> bool:
        return not (
            self.missing or self.differing or self.extra or self.duplicate or self.unreadable or self.unlinked
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "equal": self.equal,
            "users": self.users,
            "rows": self.rows,
            "missing": self.missing,
            "differing": self.differing,
            "extra": self.extra,
            "duplicate": self.duplicate,
            "unreadable": self.unreadable,
            "unlinked": self.unlinked,
            "examples": [
                {"kind": kind, "row" if kind == "unlinked" else "clerkId": one} for kind, one in self.examples
            ],
            "lastWebhookAt": self.last_webhook_at,
            "doubt": self.doubt,
            "seconds": round(self.seconds, 3),
        }

    def __str__(self) -> str:
        """Return the result, the users concerned, and the next command to run, as text."""
        counted = f"{_users(self.users)} in Clerk, {self.rows:,} rows in Convex"
        if self.equal:
            lines = [f"Equal: {counted}."]
        else:
            found = f"{self.missing:,} missing, {self.differing:,} differing, {self.extra:,} extra"
            found += f", {self.duplicate:,} duplicate" if self.duplicate else ""
            found += f", {self.unlinked:,} without a Clerk id" if self.unlinked else ""
            lines = [f"Not equal: {counted}; {found}, {self.unreadable:,} not readable."]
            lines += [f"  {kind}  {clerk_id}" for kind, clerk_id in self.examples]
        if self.last_webhook_at is None:
            lines.append("No webhook has ever changed a row. Is the endpoint set up in Clerk?")
        else:
            lines.append(
                f"The last webhook that changed a row came {_ago(self.now - self.last_webhook_at)} ago."
            )
        if self.doubt is not None:
            lines.append(f"Write nothing yet: {self.doubt}")
        if not self.equal:
            lines.append(f"Next: {self._next()}")
        return "\n".join(lines)

    def _next(self) -> str:
        if self.doubt is not None:
            return (
                "set CLERK_INSTANCE_ID to the instance whose users the rows are (Clerk's webhooks have it as "
                f"instance_id), then {COMMAND} --verify"
            )
        if self.duplicate:
            return f"clerk-convex repair --duplicates, then {COMMAND} --verify"
        if self.extra:
            return f"{COMMAND} --prune"
        if self.missing or self.differing or self.unreadable:
            return COMMAND
        return "clerk-convex adopt --check"


@dataclass(frozen=True, slots=True)
class Repair:
    """The repair of users with several rows: how many were `removed`, by Clerk id. One of each was kept."""

    dry_run: bool
    removed: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        removed = [{"clerkId": clerk_id, "rows": rows} for clerk_id, rows in self.removed.items()]
        return {"dryRun": self.dry_run, "removed": removed}

    def __str__(self) -> str:
        """Return the result, the users concerned, and the next command to run, as text."""
        rows = sum(self.removed.values())
        would = "would be " if self.dry_run else ""
        if not self.removed:
            return f"No user has several rows. Next: {COMMAND} --verify"
        users, counted = _users(len(self.removed)), _rows(rows)
        lines = [f"{users} with several rows: {counted} {would}removed, one of each kept."]
        lines += [f"  {clerk_id}  {count}" for clerk_id, count in islice(self.removed.items(), NAMED)]
        if (unnamed := len(self.removed) - NAMED) > 0:
            lines.append(f"  and {unnamed:,} more")
        if self.dry_run:
            lines.append("Nothing was written. Next: clerk-convex repair --duplicates")
        else:
            lines.append(f"Next: {COMMAND} --verify")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class RepairedUsers:
    """The repair of single users: the outcome of each by Clerk id, and those that are still refused."""

    dry_run: bool
    outcomes: Mapping[str, str]
    failures: Sequence[Failure]

    @property
    def ok(self) -> bool:
        """Whether no user failed."""
        return not self.failures

    def to_json(self) -> dict[str, Any]:
        users = [{"clerkId": clerk_id, "outcome": outcome} for clerk_id, outcome in self.outcomes.items()]
        failed = [{"clerkId": it.clerk_id, "error": it.reason} for it in self.failures]
        return {"ok": self.ok, "dryRun": self.dry_run, "users": [*users, *failed]}

    def __str__(self) -> str:
        """Return the outcome of each user, as text."""
        if not self.outcomes and not self.failures:
            return "No user has a refused change."
        would = "would be " if self.dry_run else ""
        lines = [f"{clerk_id}  {would}{outcome}" for clerk_id, outcome in self.outcomes.items()]
        lines += [f"{it.clerk_id}  failed: {it.reason}" for it in self.failures]
        if self.dry_run:
            lines.append("Nothing was written.")
        return "\n".join(lines)


def _users(count: int) -> str:
    return "1 user" if count == 1 else f"{count:,} users"


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _pruned(pruning: Pruning, would: str) -> str:
    without = f"{_rows(pruning.unlinked)} without a Clerk id" if pruning.unlinked else ""
    unlinked = f" {without} stayed; see clerk-convex adopt --check." if without else ""
    if pruning.refused:
        return (
            f"Nothing was pruned: {pruning.absent:,} of {pruning.rows:,} rows are of users whom Clerk does "
            f"not list, and more than {pruning.limit:,} are only deleted with --yes.{unlinked}"
        )
    told = f"{pruning.deleted:,} of {pruning.rows:,} rows {would}pruned, of users whom Clerk does not have."
    if kept := pruning.absent - pruning.deleted:
        told += f" {kept:,} that Clerk does not list stay: they exist after all, or changed a moment ago."
    return told + unlinked


def _ago(milliseconds: float) -> str:
    seconds = max(0.0, milliseconds / 1000)
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"
