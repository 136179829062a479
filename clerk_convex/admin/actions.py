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

from clerk_convex.admin.answers import Problem, user_of
from clerk_convex.admin.models import Changes, MetadataPatch, NewUser, Nothing, NothingAsked, Question
from clerk_convex.clerk.api import Clerk, Filters, Snapshot

__all__ = ["ACTIONS", "Action", "Done", "find_action"]


@dataclass(frozen=True, slots=True)
class Done:
    """The result of an action: the body of the answer and, if it changed a user, what Clerk returned."""

    body: dict[str, Any]
    snapshot: Snapshot | None = None


@dataclass(frozen=True, slots=True)
class Action:
    """One row of the table.

    path: below the prefix of the routes. `{id}` stands for the Clerk id of the target user.
    model: the body or, if `is_read`, the query string.
    run: calls Clerk with the target ("" if there is none) and the model's instance. Raises ClerkError.
    is_read: the action changes nothing.
    status: the HTTP status of its answer.
    """

    name: str
    method: str
    path: str
    model: type[BaseModel]
    run: Callable[[Clerk, str, Any], Awaitable[Done]]
    is_read: bool = False
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
    return _changed(await clerk.create_user(fields))


async def _update(clerk: Clerk, target: str, changes: Changes) -> Done:
    return _changed(await clerk.update_user(target, changes.model_dump(exclude_unset=True)))


async def _update_metadata(clerk: Clerk, target: str, patch: MetadataPatch) -> Done:
    return _changed(await clerk.update_metadata(target, patch.public_metadata))


async def _ban(clerk: Clerk, target: str, body: Nothing) -> Done:
    return _changed(await clerk.ban(target))


async def _unban(clerk: Clerk, target: str, body: Nothing) -> Done:
    return _changed(await clerk.unban(target))


async def _lock(clerk: Clerk, target: str, body: Nothing) -> Done:
    return _changed(await clerk.lock(target))


async def _unlock(clerk: Clerk, target: str, body: Nothing) -> Done:
    return _changed(await clerk.unlock(target))


async def _delete(clerk: Clerk, target: str, body: Nothing) -> Done:
    return Done({"deleted": True, "id": target}, await clerk.delete_user(target))


def _changed(snapshot: Snapshot) -> Done:
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
)


def find_action(method: str, path: str) -> tuple[Action, str | None]:
    """Return the action of a request and its target. `path` is the part below the prefix.

    The target is not checked yet; it is None for actions without one. Raises Problem with 404 or 405.
    """
    found: dict[str, tuple[Action, str | None]] = {}
    for action in ACTIONS:
        pattern = action.path.replace("{id}", "(?P<id>[^/]+)")
        if match := re.fullmatch(pattern, path.removesuffix("/")):
            found[action.method] = action, match.groupdict().get("id")
    if not found:
        raise Problem(404, "no_such_path", "There is nothing here. Is the path right?")
    if method not in found:
        allowed = ", ".join(found)
        text = f"The method is not allowed here. Use {allowed}."
        raise Problem(405, "method_not_allowed", text, headers={"Allow": allowed})
    return found[method]
