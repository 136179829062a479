"""Pure: the changes that `users:syncUsers` takes.

The webhook route, the backfill and the admin routes all write such changes. Only Convex decides which change
wins (`convex/clerk/order/rules.ts`). `convex/clerk/tables.ts` has the same shapes and names.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Literal, cast, get_args

import msgspec
from convex import convex_to_json
from convex.values import CoercibleToConvexValue, JsonValue

from clerk_convex.entities.users import COLUMNS

__all__ = [
    "OUTCOMES",
    "SOURCES",
    "Change",
    "Delete",
    "Outcome",
    "SignIn",
    "Source",
    "Upsert",
    "encode",
    "refused_column",
]

Outcome = Literal["created", "updated", "unchanged", "stale", "deleted", "tombstoned", "ignored"]
"""The result of a change. `stale`: Convex has newer data. `tombstoned`: the user was deleted and stays so.
`ignored`: a sign-in of a user without a row."""
OUTCOMES: frozenset[str] = frozenset(get_args(Outcome))

Source = Literal["webhook", "backfill", "admin", "user", "manual"]
"""The origin of a change, for the audit log. `user`: the user asked for the own row. `manual`: an operator
did, with a command. Convex itself writes one more."""
SOURCES: frozenset[str] = frozenset(get_args(Source))


@dataclass(frozen=True, slots=True)
class Upsert:
    """The state of a user at Clerk.

    updated_at, observed_at: the user's own time of change, and when Clerk looked; both are Unix milliseconds
        by Clerk's clock.
    columns: by their names in `convex/clerk/tables.ts`. None unsets a column; a column that is missing here
        keeps its value.
    event_id, actor, action_id: for the audit log, the webhook's svix-id, or the Clerk id of the admin and the
        id of the entry of the admin's action.
    """

    clerk_id: str
    updated_at: float
    observed_at: float
    columns: Mapping[str, CoercibleToConvexValue]
    source: Source
    event_id: str | None = None
    actor: str | None = None
    action_id: str | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """The deletion of a user, seen at `observed_at` (Unix milliseconds by Clerk's clock)."""

    clerk_id: str
    observed_at: float
    source: Source
    event_id: str | None = None
    actor: str | None = None
    action_id: str | None = None


@dataclass(frozen=True, slots=True)
class SignIn:
    """A sign-in at `last_sign_in_at` (Unix milliseconds) of a user whose other columns are not known.

    It raises the row's `lastSignInAt` and changes nothing else. It does not create a row.
    """

    clerk_id: str
    last_sign_in_at: float
    source: Source
    event_id: str | None = None


Change = Upsert | Delete | SignIn

_encoder = msgspec.json.Encoder()


def encode(change: Change, omit: Set[str] = frozenset()) -> bytes:
    """Return a change as Convex-encoded JSON, for the argument `changes`.

    The columns that `omit` names are unset in Convex, whatever the change says of them.

    Raises ValueError, TypeError or RecursionError for a value that Convex cannot hold, such as a team's
    column with a key that is not ASCII. The error may quote the value.
    """
    arguments: dict[str, JsonValue] = {"clerkId": change.clerk_id, "source": change.source}
    if isinstance(change, SignIn):
        arguments |= {"type": "signIn", "lastSignInAt": _to_json(change.last_sign_in_at)}
    else:
        arguments["observedAt"] = _to_json(change.observed_at)
        if change.actor is not None:
            arguments["actor"] = change.actor
        if change.action_id is not None:
            arguments["actionId"] = change.action_id
        if isinstance(change, Upsert):
            arguments |= {
                "type": "upsert",
                "updatedAt": _to_json(change.updated_at),
                "columns": _columns_to_json({**change.columns, **dict.fromkeys(omit)}),
            }
        else:
            arguments["type"] = "delete"
    if change.event_id is not None:
        arguments["eventId"] = change.event_id
    return _encoder.encode(arguments)


def refused_column(change: Change) -> object:
    """Return the name of the first column that `encode` cannot encode, None if there is none."""
    for name, value in change.columns.items() if isinstance(change, Upsert) else ():
        try:
            _encoder.encode(_columns_to_json({name: value}))
        except (TypeError, ValueError, RecursionError):
            return name
    return None


def _columns_to_json(columns: Mapping[str, CoercibleToConvexValue]) -> dict[str, JsonValue]:
    # convex_to_json checks every character of every name. Ours are valid, so only their values are converted.
    ours = {name: _to_json(value) for name, value in columns.items() if name in COLUMNS}
    if len(ours) == len(columns):
        return ours
    rest = {name: value for name, value in columns.items() if name not in COLUMNS}
    return ours | cast("dict[str, JsonValue]", convex_to_json(rest))


def _to_json(value: CoercibleToConvexValue) -> JsonValue:
    """Return what convex_to_json does, sooner for the values that nearly all columns have."""
    if value is None or type(value) is str or type(value) is bool:
        return value
    # JSON has no infinity, and JavaScript's reader no -0.0: convex_to_json writes these as objects.
    if type(value) is float and value and math.isfinite(value):
        return value
    return convex_to_json(value)
