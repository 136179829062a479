"""A person's data in Convex: all that is stored, and its erasure.

An erasure is done in parts, each a transaction. One that was stopped is completed by the next.
"""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clerk_convex.settings import Settings
from clerk_convex.upkeep.calls import PATIENCE, Calls

__all__ = ["Erasure", "Person", "export_person", "forget_person"]


@dataclass(frozen=True, slots=True)
class Person:
    """All that Convex stores of a person. `entries` are those of the audit log, as subject and as actor."""

    clerk_id: str
    rows: Sequence[Mapping[str, Any]]
    version: Mapping[str, Any] | None
    refusal: Mapping[str, Any] | None
    backfills: Sequence[Mapping[str, Any]]
    entries: Sequence[Mapping[str, Any]]

    @property
    def is_known(self) -> bool:
        """Whether anything is stored."""
        return bool(self.rows or self.version or self.refusal or self.backfills or self.entries)

    def to_json(self) -> dict[str, Any]:
        return {
            "clerkId": self.clerk_id,
            "users": list(self.rows),
            "clerkVersions": self.version,
            "clerkRefusals": self.refusal,
            "clerkBackfills": list(self.backfills),
            "clerkAudit": list(self.entries),
        }

    def __str__(self) -> str:
        """Return everything as JSON that a person can read."""
        return json.dumps(self.to_json(), indent=2, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Erasure:
    """The erasure of a person: the numbers of rows, refusals and entries that were erased, or would be.

    has_tombstone: an id and times stay, so that a late event does not bring the person back.
    """

    clerk_id: str
    dry_run: bool
    rows: int
    refusals: int
    backfills: int
    entries: int
    has_tombstone: bool

    def to_json(self) -> dict[str, Any]:
        return {
            "clerkId": self.clerk_id,
            "dryRun": self.dry_run,
            "rows": self.rows,
            "refusals": self.refusals,
            "backfills": self.backfills,
            "entries": self.entries,
            "hasTombstone": self.has_tombstone,
        }

    def __str__(self) -> str:
        """Return what was erased and what stays, as text."""
        done = "would be " if self.dry_run else ""
        counts = (
            _counted(self.rows, "row"),
            _counted(self.refusals, "refusal"),
            f"the mention in {_counted(self.backfills, 'backfill')}",
        )
        entries = _counted(self.entries, "entry", "entries")
        lines = [
            f"{', '.join(counts)}: {done}erased.",
            f"{entries} of the audit log: {done}kept with a pseudonym in place of the Clerk id.",
        ]
        if self.has_tombstone:
            lines.append(
                "What stays: the tombstone, which is the Clerk id and times, until users:resetUser removes"
                " it, at the earliest two days from now. It keeps a late event from bringing the person back."
            )
        lines.append(
            "Not in Convex, so not looked at: Clerk, the messages that Svix keeps, logs, backups, your own"
            " tables."
        )
        if self.dry_run:
            lines.append("Nothing was written. Next: the same command with --yes")
        return "\n".join(lines)


async def export_person(
    clerk_id: str, settings: Settings | None = None, *, patience: float = PATIENCE
) -> Person:
    """Return all that Convex stores of a person.

    Without `settings` they are read from the environment. Raises SettingsError or DeploymentError.
    """
    async with Calls.open(settings, patience) as calls:
        stored: dict[str, Any] = {}
        entries: list[Mapping[str, Any]] = []
        cursor: str | None = None
        while not stored or cursor is not None:
            part = await calls.call("query", "exportPerson", {"clerkId": clerk_id, "cursor": cursor})
            stored = part["stored"] or stored
            entries += part["entries"]
            cursor = part["cursor"]
    return Person(clerk_id, entries=entries, **stored)


async def forget_person(
    clerk_id: str, settings: Settings | None = None, *, dry_run: bool = False, patience: float = PATIENCE
) -> Erasure:
    """Erase what Convex stores of a person: the row, finally, and the Clerk id in the audit log.

    With `dry_run` nothing is written. Without `settings` they are read from the environment. It does not look
    whether Clerk still has the user. Raises SettingsError or DeploymentError; a repetition completes it.
    """
    if dry_run:
        person = await export_person(clerk_id, settings, patience=patience)
        return Erasure(
            clerk_id,
            dry_run=True,
            rows=len(person.rows),
            refusals=int(person.refusal is not None),
            backfills=len(person.backfills),
            entries=len(person.entries),
            has_tombstone=bool(person.rows or person.version),
        )
    pseudonym = f"forgotten_{secrets.token_hex(8)}"
    erased: Counter[str] = Counter()
    async with Calls.open(settings, patience) as calls:
        cursor: str | None = None
        while True:
            arguments = {"clerkId": clerk_id, "pseudonym": pseudonym, "cursor": cursor}
            part = await calls.call("mutation", "forgetPerson", arguments)
            cursor = part.pop("cursor")
            has_tombstone = part.pop("hasTombstone")
            erased.update({name: int(count) for name, count in part.items()})
            if cursor is None:
                break
    names = ("rows", "refusals", "backfills", "entries")
    counts = {name: erased[name] for name in names}
    return Erasure(clerk_id, dry_run=False, has_tombstone=has_tombstone, **counts)


def _counted(count: int, one: str, several: str | None = None) -> str:
    return f"1 {one}" if count == 1 else f"{count:,} {several or one + 's'}"
