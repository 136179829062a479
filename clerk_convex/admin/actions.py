"""The table of actions: everything that user management can do, one row each.

Routing, the limit that applies and the name in the audit log follow from the row. An action that can take the
admin role from a user also needs a line in `convex/clerk/admin/actions.ts`, which protects the last admin.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from clerk_convex.admin.answers import Problem, invitation_of, session_of, user_of
from clerk_convex.admin.models import (
    Changes,
    InvitationId,
    InvitationQuestion,
    MetadataPatch,
    NewInvitation,
    NewUser,
    Nothing,
    NothingAsked,
    Question,
    SessionId,
    SessionQuestion,
)
from clerk_convex.clerk.absence import user_or_absence
from clerk_convex.clerk.api import Clerk, Filters, Snapshot
from clerk_convex.errors import ClerkError

__all__ = ["ACTIONS", "Action", "Done", "changed", "find_action", "is_post"]

_AT_ONCE = 8  # sessions that are revoked at the same time
_MOST_SESSIONS = 100  # that one call revokes
_LIVE = ("active", "pending")  # statuses of a session that has not ended


@dataclass(frozen=True, slots=True)
class Done:
    """The result of an action: the body of the answer and, for Convex, what Clerk has of the user.

    is_concluded: the snapshot is a deletion that Clerk did not announce: it does not have the user.
    """

    body: dict[str, Any]
    snapshot: Snapshot | None = None
    is_concluded: bool = False

    @property
    def created(self) -> dict[str, str]:
        """The id of the user or of the invitation in the answer, under its name in the audit log."""
        names = {"target": self.body.get("user"), "object": self.body.get("invitation")}
        return {name: created["id"] for name, created in names.items() if created is not None}


@dataclass(frozen=True, slots=True)
class Action:
    """One row of the table.

    path: below the prefix of the routes. `{id}` stands for the Clerk id of the target user.
    model: the body or, if `is_read`, the query string.
    run: calls Clerk with the target ("" if there is none) and the model's instance. Raises ClerkError.
    is_read: the action changes nothing.
    is_sync: the action changes nothing at Clerk, only in Convex.
    limit: the name of the limit that applies, if it is neither that of reads nor that of writes.
    status: the HTTP status of its answer.
    """

    name: str
    method: str
    path: str
    model: type[BaseModel]
    run: Callable[[Clerk, str, Any], Awaitable[Done]]
    is_read: bool = False
    is_sync: bool = False
    limit: str = ""
    status: int = 200


async def _list(clerk: Clerk, target: str, question: Question) -> Done:
    filters: Filters = {"query": question.query, "banned": question.banned}
    for name in ("email_address", "phone_number", "username", "external_id"):
        value = getattr(question, name)
        filters[name] = None if value is None else [value]
    page, total = await asyncio.gather(
        clerk.list_users(limit=question.limit, offset=question.offset, order_by=question.order_by, **filters),
        clerk.count_users(**filters),
    )
    users = [user_of(user) for user in page.users]
    return Done({"users": users, "total": total, "limit": question.limit, "offset": question.offset})


async def _get(clerk: Clerk, target: str, question: NothingAsked) -> Done:
    return Done({"user": user_of((await clerk.get_user(target)).user)})


async def _create(clerk: Clerk, target: str, new: NewUser) -> Done:
    fields: dict[str, Any] = {**new.model_dump(exclude_none=True), "skip_password_requirement": True}
    for name in {"email_address", "phone_number"} & fields.keys():
        fields[name] = [fields[name]]
    return changed(await clerk.create_user(fields))


async def _update(clerk: Clerk, target: str, changes: Changes) -> Done:
    return changed(await clerk.update_user(target, changes.model_dump(exclude_unset=True)))


async def _update_metadata(clerk: Clerk, target: str, patch: MetadataPatch) -> Done:
    return changed(await clerk.update_metadata(target, patch.public_metadata))


async def _ban(clerk: Clerk, target: str, body: Nothing) -> Done:
    return changed(await clerk.ban(target))


async def _unban(clerk: Clerk, target: str, body: Nothing) -> Done:
    return changed(await clerk.unban(target))


async def _lock(clerk: Clerk, target: str, body: Nothing) -> Done:
    return changed(await clerk.lock(target))


async def _unlock(clerk: Clerk, target: str, body: Nothing) -> Done:
    return changed(await clerk.unlock(target))


async def _delete(clerk: Clerk, target: str, body: Nothing) -> Done:
    return Done({"deleted": True, "id": target}, await clerk.delete_user(target))


async def _sync(clerk: Clerk, target: str, body: Nothing) -> Done:
    snapshot, exists = await user_or_absence(clerk, target)
    return changed(snapshot) if exists else Done({"deleted": True, "id": target}, snapshot, is_concluded=True)


async def _list_sessions(clerk: Clerk, target: str, question: SessionQuestion) -> Done:
    limit, offset = question.limit, question.offset
    # Clerk does not say how many there are.
    found = await clerk.list_sessions(target, status=question.status, limit=limit + 1, offset=offset)
    return _page("sessions", [session_of(session) for session in found], limit, offset)


async def _revoke_session(clerk: Clerk, target: str, body: SessionId) -> Done:
    session = await clerk.get_session(body.session_id)
    if session.get("user_id") != target:  # the audit log would name the wrong user
        raise Problem(404, "resource_not_found", "This user has no such session (any more).")
    return Done({"session": session_of(await clerk.revoke_session(body.session_id))})


async def _revoke_sessions(clerk: Clerk, target: str, body: Nothing) -> Done:
    # Clerk has no filter for pending ones.
    lists = await asyncio.gather(
        clerk.list_sessions(target, status="active", limit=_MOST_SESSIONS),
        clerk.list_sessions(target, limit=_MOST_SESSIONS),
    )
    ids = list({it["id"]: None for found in lists for it in found if it.get("status") in _LIVE})
    slots = asyncio.Semaphore(_AT_ONCE)

    async def revoke(session_id: str) -> None:
        async with slots:
            try:
                await clerk.revoke_session(session_id)
            except ClerkError as error:
                if error.status != 404:  # it has ended meanwhile
                    raise

    results = await asyncio.gather(*map(revoke, ids), return_exceptions=True)
    for error in results:
        if error is not None:
            raise error
    return Done({"revoked": len(ids), "has_more": len(lists[0]) == _MOST_SESSIONS})


async def _list_invitations(clerk: Clerk, target: str, question: InvitationQuestion) -> Done:
    filters = question.model_dump(include={"status", "query", "order_by", "offset"})
    found = await clerk.list_invitations(**filters, limit=question.limit + 1)
    shown = [invitation_of(invitation) for invitation in found]
    return _page("invitations", shown, question.limit, question.offset)


async def _create_invitation(clerk: Clerk, target: str, new: NewInvitation) -> Done:
    return Done(
        {"invitation": invitation_of(await clerk.create_invitation(new.model_dump(exclude_none=True)))}
    )


async def _revoke_invitation(clerk: Clerk, target: str, body: InvitationId) -> Done:
    return Done({"invitation": invitation_of(await clerk.revoke_invitation(body.invitation_id))})


def _page(name: str, found: list[dict[str, Any]], limit: int, offset: int) -> Done:
    """Return a page of a list of which one more than `limit` was asked for."""
    body = {name: found[:limit], "has_more": len(found) > limit, "limit": limit, "offset": offset}
    return Done(body)


def changed(snapshot: Snapshot) -> Done:
    """Return the result of an action that has changed a user."""
    return Done({"user": user_of(snapshot.user)}, snapshot)


ACTIONS = (
    Action("list", "GET", "", Question, _list, is_read=True),
    Action("create", "POST", "", NewUser, _create, status=201),
    Action("get", "GET", "/{id}", NothingAsked, _get, is_read=True),
    Action("update", "PATCH", "/{id}", Changes, _update),
    Action("delete", "DELETE", "/{id}", Nothing, _delete),
    Action("update_metadata", "PATCH", "/{id}/metadata", MetadataPatch, _update_metadata),
    Action("ban", "POST", "/{id}/ban", Nothing, _ban),
    Action("unban", "POST", "/{id}/unban", Nothing, _unban),
    Action("lock", "POST", "/{id}/lock", Nothing, _lock),
    Action("unlock", "POST", "/{id}/unlock", Nothing, _unlock),
    Action("sync", "POST", "/{id}/sync", Nothing, _sync, is_sync=True),
    Action("list_sessions", "GET", "/{id}/sessions", SessionQuestion, _list_sessions, is_read=True),
    Action("revoke_session", "POST", "/{id}/sessions/revoke", SessionId, _revoke_session),
    Action("revoke_sessions", "POST", "/{id}/sessions/revoke_all", Nothing, _revoke_sessions),
    Action("list_invitations", "GET", "/invitations", InvitationQuestion, _list_invitations, is_read=True),
    Action(
        *("create_invitation", "POST", "/invitations", NewInvitation, _create_invitation),
        limit="invitations",
        status=201,
    ),
    Action("revoke_invitation", "POST", "/invitations/revoke", InvitationId, _revoke_invitation),
)


def is_post(to: str, method: str, path: str) -> bool:
    """Return whether a request is a POST to a path that no row of the table has: "/me" or "/bulk".

    No Clerk id is written so. Raises Problem with 405 for another method.
    """
    if path.removesuffix("/") != to:
        return False
    if method != "POST":
        text = "The method is not allowed here. Use POST."
        raise Problem(405, "method_not_allowed", text, headers={"Allow": "POST"})
    return True


def find_action(method: str, path: str) -> tuple[Action, str | None]:
    """Return the action of a request and its target. `path` is the part below the prefix.

    The target is not checked yet; it is None for actions without one. A path without a target comes before
    one with a target. Raises Problem with 404 or 405.
    """
    path = path.removesuffix("/")
    targets = [(action, _target(action, path)) for action in ACTIONS]
    found: dict[str, tuple[Action, str | None]]
    found = {action.method: (action, None) for action in ACTIONS if action.path == path}
    found = found or {action.method: (action, target) for action, target in targets if target is not None}
    if not found:
        raise Problem(404, "no_such_path", "There is nothing here. Is the path right?")
    if method not in found:
        allowed = ", ".join(found)
        text = f"The method is not allowed here. Use {allowed}."
        raise Problem(405, "method_not_allowed", text, headers={"Allow": allowed})
    return found[method]


def _target(action: Action, path: str) -> str | None:
    """Return the target if `path` is one of the action with a target."""
    match = re.fullmatch(action.path.replace("{id}", "([^/]+)"), path)
    return match[1] if match and match.groups() else None
