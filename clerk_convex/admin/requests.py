"""Reads and checks a request: its target user, and the body or query string of its action."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from clerk_convex.admin.actions import ACTIONS, Action, Done
from clerk_convex.admin.answers import Problem
from clerk_convex.admin.models import InvitationId, Many, MetadataPatch, Nothing, SessionId
from clerk_convex.clerk.api import Clerk
from clerk_convex.entities.json import canonical_json
from clerk_convex.entities.users import USER_ID
from clerk_convex.net.bodies import BodyRefused, closing, read_body

__all__ = ["Call", "read_call", "read_calls"]

Model = TypeVar("Model", bound=BaseModel)

_LARGEST_BODY = 32 * 1024  # bytes
_SLOWEST_BODY = 10.0  # seconds until the body is complete
_BODY_PROBLEMS = {408: "too_slow", 413: "too_large", 503: "too_many_bodies"}
_MOST_ERRORS, _LONGEST_FIELD = 20, 100


@dataclass(frozen=True, slots=True)
class Call:
    """An action with its target, the Clerk id of a user, and its checked arguments."""

    action: Action
    target: str | None
    arguments: BaseModel

    @property
    def metadata_patch(self) -> str | None:
        """The JSON text that is to be merged into the target's public metadata. None in other actions."""
        if not isinstance(self.arguments, MetadataPatch):
            return None
        return canonical_json(self.arguments.public_metadata)

    @property
    def object_id(self) -> str | None:
        """The id of the session or of the invitation that the action is about. None in other actions."""
        match self.arguments:
            case SessionId(session_id=object_id) | InvitationId(invitation_id=object_id):
                return object_id
        return None

    async def run(self, clerk: Clerk) -> Done:
        """Call Clerk. Raises ClerkError."""
        return await self.action.run(clerk, self.target or "", self.arguments)


async def read_call(request: Request, action: Action, target: str | None) -> Call:
    """Return the call that a request makes. Raises Problem if the request is malformed."""
    if target is not None and not USER_ID.fullmatch(target):
        raise _invalid([("user_id", "is not a user's id; write user_…")])
    value = _query(request) if action.is_read else await _body(request, action.model)
    return Call(action, target, _checked(action.model, value))


async def read_calls(request: Request) -> list[Call]:
    """Return the calls of a request for several users, one for each. Raises Problem if it is malformed."""
    many: Many = _checked(Many, await _body(request, Many))
    (action,) = (action for action in ACTIONS if action.name == many.action)
    arguments = action.model.model_validate(many.model_dump(include=set(action.model.model_fields)))
    return [Call(action, user_id, arguments) for user_id in dict.fromkeys(many.user_ids)]


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


async def _body(request: Request, model: type[BaseModel]) -> object:
    try:
        length = request.headers.get("content-length", "")
        body = await read_body(request.receive, length, largest=_LARGEST_BODY, within=_SLOWEST_BODY)
    except BodyRefused as error:
        code, text = _BODY_PROBLEMS[error.status], str(error)
        if code != "too_large":
            text += " Send it again."
        wait = 5.0 if error.status == 503 else None
        raise Problem(error.status, code, text, retry_after=wait, headers=closing(request.scope)) from None
    if not body and model is Nothing:
        return {}
    try:
        return json.loads(body.decode(), parse_float=_number, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise Problem(400, "not_json", "The body is not JSON.") from None


def _number(text: str) -> float | Decimal:
    """Return a number with all its digits. Raises ValueError if it is too large for a float."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError
    try:
        exact = Decimal(text)
    except InvalidOperation:
        raise ValueError from None
    return number if Decimal(repr(number)) == exact else exact


def _refuse(constant: str) -> float:
    raise ValueError


def _checked(model: type[Model], value: object) -> Model:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
    raise _invalid([(".".join(map(str, it["loc"])), it["msg"].removeprefix("Value error, ")) for it in found])


def _invalid(errors: Sequence[tuple[str, str]]) -> Problem:
    details: list[dict[str, Any]] = [
        {"field": field[:_LONGEST_FIELD] or "body", "message": message}
        for field, message in errors[:_MOST_ERRORS]
    ]
    text = "The request is not valid. `errors` names each field and what is wrong with it."
    return Problem(422, "invalid", text, errors=details)
