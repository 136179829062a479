"""Pure: a change, as `users:syncUsers` takes it.

The webhook route, the backfill and user management all say what they know in these terms; which change
wins is decided in Convex (`convex/clerk/rules.ts`) and nowhere else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast, get_args

from convex import convex_to_json
from convex.values import CoercibleToConvexValue, JsonValue

from clerk_convex.users import COLUMNS

__all__ = [
    "OUTCOMES",
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
OUTCOMES: frozenset[str] = frozenset(get_args(Outcome))

Source = Literal["webhook", "backfill", "admin"]


@dataclass(frozen=True, slots=True)
class Upsert:
    """A user as Clerk had it.

    `updated_at` is the user's, `observed_at` is when Clerk looked: both Unix milliseconds by Clerk's clock.
    `columns` are the row's, by the names in `convex/clerk/tables.ts`; `None` unsets one, and one that is not
    named is left as it is. `event_id` or `actor` say for the audit log what or who brought the change.
    """

    clerk_id: str
    updated_at: float
    observed_at: float
    columns: Mapping[str, CoercibleToConvexValue]
    source: Source
    event_id: str | None = None
    actor: str | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """A user that Clerk no longer has, seen at `observed_at` (Unix milliseconds, Clerk's clock)."""

    clerk_id: str
    observed_at: float
    source: Source
    event_id: str | None = None
    actor: str | None = None


@dataclass(frozen=True, slots=True)
class SignIn:
    """A sign-in of a user of whom nothing else is proved. `last_sign_in_at` is in Unix milliseconds.

    It raises the row's `lastSignInAt` and changes nothing else. It creates no row.
    """

    clerk_id: str
    last_sign_in_at: float
    source: Source
    event_id: str | None = None


Change = Upsert | Delete | SignIn

_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def encode(change: Change) -> bytes:
    """One change as Convex-encoded JSON, one element of the argument `changes`.

    Raises ValueError or TypeError for a value that Convex cannot hold, say a column of a team's own with
    a key beyond ASCII. The error may quote the value.
    """
    arguments: dict[str, JsonValue] = {"clerkId": change.clerk_id, "source": change.source}
    if isinstance(change, SignIn):
        arguments |= {"type": "signIn", "lastSignInAt": convex_to_json(change.last_sign_in_at)}
    else:
        arguments["observedAt"] = convex_to_json(change.observed_at)
        if change.actor is not None:
            arguments["actor"] = change.actor
        if isinstance(change, Upsert):
            arguments |= {
                "type": "upsert",
                "updatedAt": convex_to_json(change.updated_at),
                "columns": _columns_to_json(change.columns),
            }
        else:
            arguments["type"] = "delete"
    if change.event_id is not None:
        arguments["eventId"] = change.event_id
    return _encoder.encode(arguments).encode()


def refused_column(change: Change) -> object:
    """Return the name of the first column that `encode` cannot encode, None if there is none."""
    for name, value in change.columns.items() if isinstance(change, Upsert) else ():
        try:
            _encoder.encode(_columns_to_json({name: value})).encode()
        except (TypeError, ValueError, RecursionError):
            return name
    return None


def _columns_to_json(columns: Mapping[str, CoercibleToConvexValue]) -> dict[str, JsonValue]:
    # convex_to_json looks at every letter of every name; ours are known to be good.
    ours = {name: convex_to_json(value) for name, value in columns.items() if name in COLUMNS}
    rest = {name: value for name, value in columns.items() if name not in COLUMNS}
    return ours | cast("dict[str, JsonValue]", convex_to_json(rest))
