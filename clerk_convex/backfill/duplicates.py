"""Repairs users that have several rows, written by hand or before the functions were deployed."""

from __future__ import annotations

from collections import Counter

from clerk_convex.backfill.report import OnProgress, Progress, Repair
from clerk_convex.backfill.session import PATIENCE, Session
from clerk_convex.settings import Settings

__all__ = ["find_duplicates", "repair_duplicates"]

_AT_ONCE = 100  # ids that users:repairDuplicates takes


async def repair_duplicates(
    settings: Settings | None = None,
    *,
    dry_run: bool = False,
    patience: float = PATIENCE,
    on_progress: OnProgress | None = None,
) -> Repair:
    """Remove all rows but one of each user that has several. The rules in Convex choose the row that stays.

    Without `settings` they are read from the environment. `dry_run` writes nothing and counts the rows that
    would be removed. Raises SettingsError, ClerkError or DeploymentError; rows removed before stay removed.
    """
    settings = Settings.from_env() if settings is None else settings
    on_progress = on_progress or OnProgress()
    opened = Session.open(
        settings, concurrency=1, dry_run=dry_run, patience=patience, on_progress=on_progress
    )
    async with opened as session:
        await session.preflight()
        clerk_ids = await find_duplicates(session)
        if dry_run:
            return Repair(dry_run, await _count_surplus_rows(session, clerk_ids))
        removed: Counter[str] = Counter()
        total = -1
        while clerk_ids and removed.total() > total:  # a user with very many rows takes several calls
            total = removed.total()
            for start in range(0, len(clerk_ids), _AT_ONCE):
                part = clerk_ids[start : start + _AT_ONCE]
                answer = await session.write("repairDuplicates", {"clerkIds": part}, len(part))
                removed.update({repaired["clerkId"]: int(repaired["removed"]) for repaired in answer})
                on_progress.step(Progress("repairing", len(removed), max(len(removed), len(clerk_ids))))
            clerk_ids = await find_duplicates(session)
        return Repair(dry_run, removed)


async def find_duplicates(session: Session) -> list[str]:
    """Return the Clerk ids that have several rows."""
    found: dict[str, None] = {}  # ordered and unique: a page may end between two rows of one id
    cursor: str | None = None
    while True:
        answer = await session.call("query", "findDuplicates", {"cursor": cursor})
        found |= dict.fromkeys(answer["clerkIds"])
        cursor = answer["cursor"]
        if cursor is None:
            return list(found)


async def _count_surplus_rows(session: Session, clerk_ids: list[str]) -> dict[str, int]:
    rows: Counter[str] = Counter(dict.fromkeys(clerk_ids, 0))
    async for page in session.rows():
        rows.update(row["clerkId"] for row in page if row.get("clerkId") in rows)
    return {clerk_id: max(0, count - 1) for clerk_id, count in rows.items()}
