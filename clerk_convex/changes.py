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

__all__ = ["OUTCOMES", "Change", "Delete", "Outcome", "Source", "Upsert", "encode"]

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


Change = Upsert | Delete

_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def encode(change: Change) -> bytes:
    """One change as Convex-encoded JSON, one element of the argument `changes`.

    Raises ValueError or TypeError for a value that Convex cannot hold, say a column of a team's own with
    a key beyond ASCII. The error may quote the value.
    """
    arguments: dict[str, JsonValue] = {
        "clerkId": change.clerk_id,
        "observedAt": convex_to_json(change.observed_at),
    }
    if isinstance(change, Upsert):
        arguments |= {
            "type": "upsert",
            "updatedAt": convex_to_json(change.updated_at),
            "columns": _columns_to_json(change.columns),
        }
    else:
        arguments["type"] = "delete"
    arguments["source"] = change.source
    if change.event_id is not None:
        arguments["eventId"] = change.event_id
    if change.actor is not None:
        arguments["actor"] = change.actor
    return _encoder.encode(arguments).encode()


def _columns_to_json(columns: Mapping[str, CoercibleToConvexValue]) -> dict[str, JsonValue]:
    # convex_to_json looks at every letter of every name; ours are known to be good.
    ours = {name: convex_to_json(value) for name, value in columns.items() if name in COLUMNS}
    rest = {name: value for name, value in columns.items() if name not in COLUMNS}
    return ours | cast("dict[str, JsonValue]", convex_to_json(rest))
