"""Repairs single users: reads them from Clerk and writes them through the rules."""

from __future__ import annotations

from collections.abc import Sequence

from clerk_convex.backfill.report import Failure, OnProgress, Progress, RepairedUsers
from clerk_convex.backfill.rows import confirm
from clerk_convex.backfill.run import CONCURRENCY, record
from clerk_convex.backfill.session import PATIENCE, Session
from clerk_convex.clerk import MOST_IDS, Page
from clerk_convex.entities import Change, Upsert, read_user
from clerk_convex.errors import ChangeRefused, ClerkNotFound, UserError
from clerk_convex.settings import Settings

__all__ = ["repair_users"]

_REFUSED = 500  # ids on a page of users:refusedUsers
_UNKNOWN = "Neither Clerk nor Convex has this user. Is the id right?"
_UNCONFIRMED = "Clerk does not list this user, and did not confirm that it is gone. Run the command again."


async def repair_users(
    clerk_ids: Sequence[str] | None = None,
    settings: Settings | None = None,
    *,
    dry_run: bool = False,
    patience: float = PATIENCE,
    on_progress: OnProgress | None = None,
) -> RepairedUsers:
    """Write the users with these Clerk ids to Convex as Clerk has them now.

    clerk_ids: by default those with a refused change.
    settings: by default those of the environment.
    dry_run: write nothing, and report the outcome that each user would have.

    A user whom Clerk does not have is deleted, after two 404 as with `--prune`. Raises SettingsError,
    ClerkError or DeploymentError. Users that are still refused are the result's `failures`.
    """
    settings = Settings.from_env() if settings is None else settings
    on_progress = on_progress or OnProgress()
    opened = Session.open(
        settings, concurrency=CONCURRENCY, dry_run=dry_run, patience=patience, on_progress=on_progress
    )
    outcomes: dict[str, str] = {}
    failures: list[Failure] = []
    async with opened as session:
        await session.preflight()
        wanted = await _refused(session) if clerk_ids is None else list(dict.fromkeys(clerk_ids))
        for start in range(0, len(wanted), MOST_IDS):
            part = wanted[start : start + MOST_IDS]
            changes, errors, untouched = await _read(session, part)
            for change, answer in zip(changes, await session.submit(changes), strict=True):
                if isinstance(answer, ChangeRefused):
                    errors.append(answer)
                else:
                    outcomes[change.clerk_id] = answer
            failures += await record(session, errors, "manual")
            failures += untouched
            on_progress.step(Progress("repairing", len(outcomes) + len(failures), len(wanted)))
    in_order = {clerk_id: outcomes[clerk_id] for clerk_id in wanted if clerk_id in outcomes}
    return RepairedUsers(dry_run, in_order, failures)


async def _read(
    session: Session, clerk_ids: Sequence[str]
) -> tuple[list[Change], list[UserError | ChangeRefused], list[Failure]]:
    """Return the changes, the errors of users that cannot be read, and the users that stay as they are."""
    page = await session.clerk.list_users(limit=MOST_IDS, user_id=clerk_ids)
    listed = {user["id"] for user in page.users if isinstance(user, dict) and "id" in user}
    pages, gone = [page], []
    for clerk_id in clerk_ids:
        if clerk_id not in listed:
            try:
                snapshot = await session.clerk.get_user(clerk_id)
            except ClerkNotFound:
                gone.append(clerk_id)
            else:
                pages.append(Page([snapshot.user], snapshot.observed_at))
    changes: list[Change] = []
    errors: list[UserError | ChangeRefused] = []
    for page in pages:
        for data in page.users:
            try:
                user = read_user(data, session.fields, observed_at=page.observed_at)
            except UserError as error:
                errors.append(error)
            else:
                # By hand, so that the audit log has an entry of a user who is created too.
                upsert = Upsert(user.clerk_id, user.updated_at, page.observed_at, user.columns, "manual")
                changes.append(upsert)
    known = [clerk_id for clerk_id in gone if await _is_known(session, clerk_id)]
    deletions = await confirm(session, known)
    confirmed = {deletion.clerk_id for deletion in deletions}
    untouched = [Failure(clerk_id, _UNKNOWN) for clerk_id in gone if clerk_id not in known]
    untouched += [Failure(clerk_id, _UNCONFIRMED) for clerk_id in known if clerk_id not in confirmed]
    return [*changes, *deletions], errors, untouched


async def _is_known(session: Session, clerk_id: str) -> bool:
    """Return whether Convex has anything of a user, so that a mistyped id leaves no tombstone."""
    answer = await session.call("query", "exportPerson", {"clerkId": clerk_id, "cursor": None})
    return any(answer["stored"].values())


async def _refused(session: Session) -> list[str]:
    found: list[str] = []
    cursor: str | None = None
    while True:
        options = {"numItems": float(_REFUSED), "cursor": cursor}
        answer = await session.call("query", "refusedUsers", {"paginationOpts": options})
        found += answer["page"]
        if answer["isDone"]:
            return found
        cursor = answer["continueCursor"]
