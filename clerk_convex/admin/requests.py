"""What can be asked of user management: each request, read and checked, as what is to be done at Clerk."""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from starlette.requests import Request

from clerk_convex.admin.answers import Problem, user_of
from clerk_convex.clerk.api import Clerk, Filters, Snapshot
from clerk_convex.entities.json import canonical_json
from clerk_convex.net.bodies import BodyRefused, closing, read_body

__all__ = ["Read", "RemovesAdmin", "Write", "find_action", "is_read", "read_call", "removes_admin"]

_LARGEST_BODY = 32 * 1024  # bytes
_SLOWEST_BODY = 10.0  # seconds until it is there, however it drips in
_BODY_PROBLEMS = {408: "too_slow", 413: "too_large", 503: "too_many_bodies"}
_LARGEST_METADATA = 8 * 1024  # bytes; Clerk's own limit
_DEEPEST_METADATA = 32
_MOST_ERRORS, _LONGEST_FIELD = 20, 100

_USER_ID = re.compile(r"user_[A-Za-z0-9_]{1,64}")
_SORTS = (
    *("created_at", "updated_at", "email_address", "first_name", "last_name", "phone_number", "username"),
    *("last_active_at", "last_sign_in_at"),
)


@dataclass(frozen=True, slots=True)
class Read:
    """Something that is only looked at: what to answer."""

    action: str
    target: str | None
    run: Callable[[Clerk], Awaitable[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Write:
    """Something that changes a user.

    `removes_admin`: the user is no active admin afterwards.
    """

    action: str
    target: str | None
    run: Callable[[Clerk], Awaitable[Snapshot]]
    status: int = 200
    removes_admin: bool = False


RemovesAdmin = Callable[[Mapping[str, Any]], bool]
"""Takes public metadata that is to be merged into a user's; True if that one is no admin afterwards."""


def removes_admin(public_metadata: Mapping[str, Any]) -> bool:
    """What belongs to the rule that an admin is who has the role "admin"."""
    return "role" in public_metadata and public_metadata["role"] != "admin"


# What can be sent


def _as_text(value: str) -> str:
    if re.search(r"[\x00-\x1f\x7f-\x9f]", value):
        raise ValueError("must not have control characters")
    return value


def _metadata(value: dict[str, Any]) -> dict[str, Any]:
    if _depth(value) > _DEEPEST_METADATA:
        raise ValueError(f"is nested deeper than {_DEEPEST_METADATA} levels")
    if len(canonical_json(value)) > _LARGEST_METADATA:
        raise ValueError(f"is over {_LARGEST_METADATA} bytes, more than Clerk keeps")
    return value


def _depth(value: object) -> int:
    """How deeply `value` is nested, as far as it matters."""
    depth, level = 0, [value]
    while level and depth <= _DEEPEST_METADATA:
        depth += 1
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
    return depth


def _email(value: str) -> str:
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", value):
        raise ValueError("is no email address")
    return value


def _phone(value: str) -> str:
    if not re.fullmatch(r"\+[0-9]{4,20}", value):
        raise ValueError("is no phone number; they are written +15551234567")
    return value


def _order(value: str) -> str:
    # "+" in a query string means a space; few remember to write %2B.
    order = value.strip().removeprefix("+")
    if order.removeprefix("-") not in _SORTS:
        raise ValueError(f"is no order; there are {', '.join(_SORTS)}, with - for the other way round")
    return order


# Not for whole models: that would strip the keys of metadata too.
_stripped = StringConstraints(strip_whitespace=True)
_Text = Annotated[str, _stripped, AfterValidator(_as_text)]
_Name = Annotated[_Text, Field(min_length=1, max_length=255)]
_Username = Annotated[_Text, Field(min_length=1, max_length=64)]
_Email = Annotated[_Text, Field(max_length=254), AfterValidator(_email)]
_Phone = Annotated[str, _stripped, AfterValidator(_phone)]
_Metadata = Annotated[dict[str, Any], AfterValidator(_metadata)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _NewUser(_Body):
    """Without a password: the user sets one, or signs in without, as the instance says."""

    email_address: _Email | None = None
    phone_number: _Phone | None = None
    username: _Username | None = None
    first_name: _Name | None = None
    last_name: _Name | None = None
    external_id: _Name | None = None
    public_metadata: _Metadata = {}

    @model_validator(mode="after")
    def _has_identifier(self) -> Self:
        # No two users share one: so a call that is repeated makes no second user.
        if self.email_address is None and self.phone_number is None and self.username is None:
            raise ValueError("needs an email_address, a phone_number or a username")
        return self


class _Changes(_Body):
    """What is not named stays; null removes."""

    username: _Username | None = None
    first_name: _Name | None = None
    last_name: _Name | None = None
    external_id: _Name | None = None

    @model_validator(mode="after")
    def _is_not_empty(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("names nothing to change")
        return self


class _MetadataChanges(_Body):
    public_metadata: Annotated[_Metadata, Field(min_length=1)]


class _Nothing(_Body):
    pass


class _Question(BaseModel):
    """Of a query string."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    query: Annotated[_Text, Field(max_length=200)] | None = None
    email_address: Annotated[_Text, Field(max_length=254)] | None = None
    phone_number: Annotated[_Text, Field(max_length=30)] | None = None
    username: Annotated[_Text, Field(max_length=64)] | None = None
    external_id: Annotated[_Text, Field(max_length=255)] | None = None
    banned: bool | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    offset: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    order_by: Annotated[str, AfterValidator(_order)] = "-created_at"


# Reading it


def find_action(method: str, path: str) -> tuple[str, str | None]:
    """The action that a request is for, and whom it is about; `path` is what follows the prefix.

    Raises Problem, 404 or 405.
    """
    match path.removesuffix("/").split("/"):
        case [""]:
            target, actions = None, {"GET": "list", "POST": "create"}
        case ["", target] if target:
            actions = {"GET": "get", "PATCH": "update", "DELETE": "delete"}
        case ["", target, "metadata"] if target:
            actions = {"PATCH": "update_metadata"}
        case ["", target, ("ban" | "unban" | "lock" | "unlock") as action] if target:
            actions = {"POST": action}
        case _:
            raise Problem(404, "no_such_path", "There is nothing here. Is the path right?")
    if method not in actions:
        allowed = ", ".join(actions)
        text = f"Here one can {allowed}."
        raise Problem(405, "method_not_allowed", text, headers={"Allow": allowed})
    return actions[method], target


def is_read(action: str) -> bool:
    return action in {"list", "get"}


async def read_call(
    request: Request, action: str, target: str | None, removes_admin: RemovesAdmin
) -> Read | Write:
    """What a request for an action asks for. Raises Problem if it cannot be understood."""
    user_id = target or ""
    if target is not None and not _USER_ID.fullmatch(target):
        raise _invalid([("user_id", "is no user's id; they are written user_…")])
    match action:
        case "list":
            question = _checked(_Question, _query(request))
            return Read(action, None, lambda clerk: _list(clerk, question))
        case "get":
            _checked(_Nothing, _query(request))
            return Read(action, target, lambda clerk: _get(clerk, user_id))
        case "create":
            new = (await _body(request, _NewUser)).model_dump(exclude_none=True)
            for name in {"email_address", "phone_number"} & new.keys():
                new[name] = [new[name]]
            fields = {**new, "skip_password_requirement": True}
            return Write(action, None, lambda clerk: clerk.create_user(fields), status=201)
        case "update":
            changes = (await _body(request, _Changes)).model_dump(exclude_unset=True)
            return Write(action, target, lambda clerk: clerk.update_user(user_id, changes))
        case "update_metadata":
            metadata = (await _body(request, _MetadataChanges)).public_metadata
            return Write(
                action,
                target,
                lambda clerk: clerk.update_metadata(user_id, metadata),
                removes_admin=removes_admin(metadata),
            )
    await _body(request, _Nothing)
    does, is_removal = _SIMPLE[action]
    return Write(action, target, lambda clerk: does(clerk, user_id), removes_admin=is_removal)


# Actions without a body, and whether they end an admin's being one.
_SIMPLE: dict[str, tuple[Callable[[Clerk, str], Awaitable[Snapshot]], bool]] = {
    "ban": (Clerk.ban, True),
    "unban": (Clerk.unban, False),
    "lock": (Clerk.lock, True),
    "unlock": (Clerk.unlock, False),
    "delete": (Clerk.delete_user, True),
}


async def _list(clerk: Clerk, question: _Question) -> dict[str, Any]:
    filters: Filters = {"query": question.query, "banned": question.banned}
    for name in ("email_address", "phone_number", "username", "external_id"):
        value = getattr(question, name)
        filters[name] = None if value is None else [value]
    page, total = await asyncio.gather(
        clerk.list_users(limit=question.limit, offset=question.offset, order_by=question.order_by, **filters),
        clerk.count_users(**filters),
    )
    users = [user_of(user) for user in page.users]
    return {"users": users, "total": total, "limit": question.limit, "offset": question.offset}


async def _get(clerk: Clerk, user_id: str) -> dict[str, Any]:
    return {"user": user_of((await clerk.get_user(user_id)).user)}


_Model = TypeVar("_Model", bound=BaseModel)


def _query(request: Request) -> dict[str, str]:
    items = request.query_params.multi_items()
    values = dict(items)
    if len(values) < len(items):
        raise _invalid(
            [
                (name, "is given more than once")
                for name, _ in items
                if len(request.query_params.getlist(name)) > 1
            ]
        )
    return values


async def _body(request: Request, model: type[_Model]) -> _Model:
    try:
        body = await read_body(request, largest=_LARGEST_BODY, within=_SLOWEST_BODY)
    except BodyRefused as error:
        code, text = _BODY_PROBLEMS[error.status], str(error)
        if code != "too_large":
            text += " Send it again."
        wait = 5.0 if error.status == 503 else None
        raise Problem(error.status, code, text, retry_after=wait, headers=closing(request)) from None
    if not body and model is _Nothing:
        return model()
    try:
        value = json.loads(body.decode(), parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError):
        raise Problem(400, "not_json", "The body is not JSON.") from None
    return _checked(model, value)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError
    return number


def _checked(model: type[_Model], value: object) -> _Model:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
    raise _invalid([(".".join(map(str, it["loc"])), it["msg"].removeprefix("Value error, ")) for it in found])


def _invalid(errors: Sequence[tuple[str, str]]) -> Problem:
    return Problem(
        422,
        "invalid",
        "The request cannot be taken as it is: `errors` says what is wrong with which field.",
        errors=[
            {"field": field[:_LONGEST_FIELD] or "body", "message": message}
            for field, message in errors[:_MOST_ERRORS]
        ],
    )
