"""Read the query parameters of lists and counts: of users, sessions and invitations, and match them.
Limits and parameter names are those of Clerk's Backend API (version 2026-05-12).
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from clerk_convex.local.clerk.objects import ClerkRefusal, identifiers
from clerk_convex.local.clerk.sessions import STATUSES

DEFAULT_LIMIT, MAX_LIMIT = 10, 500
MAX_VALUES = 100  # of one repeated parameter

EXACT = ("user_id", "email_address", "phone_number", "web3_wallet", "username", "external_id")
SIGNED = ("user_id", "external_id")  # "-" before a value excludes it; "+" or no sign includes it
PARTIAL = ("query", "email_address_query", "phone_number_query", "username_query", "name_query")
TIMES = ("created_at", "last_sign_in_at", "last_active_at")
FILTERS = {*EXACT, *PARTIAL, "banned", *(f"{time}_{side}" for time in TIMES for side in ("before", "after"))}
PAGING = {"limit", "offset", "order_by", "starting_after"}
ORDERS = (
    *("created_at", "updated_at", "last_sign_in_at", "last_active_at"),
    *("first_name", "last_name", "username", "email_address", "phone_number", "web3wallet"),
)


@dataclass(frozen=True, slots=True)
class UserList:
    """A query for users: the filters, the order and the page.

    exact, excluded, partial: values by the name of the field.
    bounds: for each time, the exclusive lower and upper bound in Unix milliseconds.
    """

    exact: Mapping[str, frozenset[str]]
    excluded: Mapping[str, frozenset[str]]
    partial: Mapping[str, str]
    banned: bool | None
    bounds: Mapping[str, tuple[int | None, int | None]]
    limit: int = DEFAULT_LIMIT
    offset: int = 0
    order_by: str = "created_at"
    descending: bool = True
    starting_after: str | None = None

    def matches(self, user: Mapping[str, Any]) -> bool:
        """Return whether all filters match this user. A field that the user lacks matches no filter."""
        if self.banned is not None and user["banned"] is not self.banned:
            return False
        for field, (after, before) in self.bounds.items():
            at = user[field]
            if at is None or (after is not None and at <= after) or (before is not None and at >= before):
                return False
        if self.exact or self.excluded:
            own = {*identifiers(user), ("user_id", user["id"])}
            if any(not _any_of(own, kind, values) for kind, values in self.exact.items()):
                return False
            if any(_any_of(own, kind, values) for kind, values in self.excluded.items()):
                return False
        return all(
            any(text in found.lower() for found in _texts(kind, user)) for kind, text in self.partial.items()
        )

    def sort_key(self, user: Mapping[str, Any]) -> tuple[bool, Any, str]:
        """Return the key that sorts by `order_by`, then by id. Users without that field come first."""
        kind = "web3_wallet" if self.order_by == "web3wallet" else self.order_by
        if kind in user:
            value = user[kind]
        else:
            value = next((own for found, own in identifiers(user) if found == kind), None)
        return value is not None, value, user["id"]


def _any_of(own: Collection[tuple[str, str]], kind: str, values: Iterable[str]) -> bool:
    return any((kind, value) in own for value in values)


def _texts(kind: str, user: Mapping[str, Any]) -> Iterable[str]:
    """Yield the texts of a user that a partial match searches."""
    wanted = None if kind == "query" else kind.removesuffix("_query")
    for found, value in identifiers(user):
        if found == wanted or (wanted is None and found != "external_id"):
            yield value
    if wanted in (None, "name"):
        names = [user[name] for name in ("first_name", "last_name") if user[name]]
        yield " ".join(names)
    if wanted is None:
        yield user["id"]


def read_list(items: Iterable[tuple[str, str]], *, paging: bool = True) -> UserList:
    """Return the query for users that the `items` of a query string describe.

    Raises ClerkRefusal (422) for a parameter or value that Clerk refuses, and for parameters that the local
    Clerk lacks (organizations, providers), so that none is ignored.
    """
    values = _values(items, FILTERS | PAGING if paging else FILTERS)
    for key in EXACT:
        if len(values.get(key, ())) > MAX_VALUES:
            raise _invalid(key, f"At most {MAX_VALUES} values of {key} can be given.")

    exact: dict[str, set[str]] = {}
    excluded: dict[str, set[str]] = {}
    for key in EXACT:
        for value in values.get(key, ()):
            if key not in SIGNED:
                exact.setdefault(key, set()).add(value.lower())
            elif value.startswith("-"):
                excluded.setdefault(key, set()).add(value[1:])
            else:
                exact.setdefault(key, set()).add(value.removeprefix("+"))

    # If a parameter with one value is repeated, Clerk uses the first.
    first = {key: found[0] for key, found in values.items()}
    if first.get("banned", "true") not in ("true", "false"):
        raise _invalid("banned", "banned must be true or false.")
    bounds = {
        time: (_integer(first, f"{time}_after"), _integer(first, f"{time}_before"))
        for time in TIMES
        if f"{time}_after" in first or f"{time}_before" in first
    }
    limit, offset = _page(first)
    order_by = first.get("order_by", "-created_at")
    name = order_by[1:] if order_by[:1] in ("+", "-") else order_by
    if name not in ORDERS:
        raise _invalid(
            "order_by", "order_by must be a field to order by, with + (sent as %2B) or - before it."
        )
    starting_after = first.get("starting_after")
    if starting_after is not None and name != "created_at":
        raise _invalid("starting_after", "starting_after needs the order by created_at.")
    if starting_after is not None and offset:
        raise _invalid("starting_after", "starting_after and offset cannot be combined.")
    return UserList(
        exact={key: frozenset(them) for key, them in exact.items()},
        excluded={key: frozenset(them) for key, them in excluded.items()},
        partial={key: first[key].lower() for key in PARTIAL if key in first},
        banned=first["banned"] == "true" if "banned" in first else None,
        bounds=bounds,
        limit=limit,
        offset=offset,
        order_by=name,
        descending=order_by.startswith("-"),
        starting_after=starting_after,
    )


SESSION_FILTERS = {"user_id", "client_id", "status", "paginated", "limit", "offset"}


@dataclass(frozen=True, slots=True)
class SessionList:
    """A query for sessions: the filters by user, client and status, and the page."""

    user_id: str | None
    client_id: str | None
    status: str | None
    paginated: bool
    limit: int
    offset: int


def read_sessions(items: Iterable[tuple[str, str]]) -> SessionList:
    """Return the query for sessions of a query string. Raises ClerkRefusal (422) as `read_list` does."""
    first = {key: found[0] for key, found in _values(items, SESSION_FILTERS).items()}
    if "user_id" not in first and "client_id" not in first:
        raise ClerkRefusal(
            *(422, "form_param_missing", "is missing", "user_id or client_id must be given.", "user_id")
        )
    if first.get("status", "active") not in STATUSES:
        raise _invalid("status", f"status must be one of {', '.join(STATUSES)}.")
    limit, offset = _page(first)
    return SessionList(
        user_id=first.get("user_id"),
        client_id=first.get("client_id"),
        status=first.get("status"),
        paginated=_is_paginated(first),
        limit=limit,
        offset=offset,
    )


INVITATION_STATUSES = ("pending", "accepted", "revoked", "expired")
INVITATION_ORDERS = ("created_at", "email_address", "expires_at")
INVITATION_FILTERS = {"status", "query", "order_by", "paginated", "limit", "offset"}


@dataclass(frozen=True, slots=True)
class InvitationList:
    """A query for invitations: the filters, the order and the page. `query` is in lower case."""

    status: str | None
    query: str | None
    paginated: bool = False
    limit: int = DEFAULT_LIMIT
    offset: int = 0
    order_by: str = "created_at"
    descending: bool = True

    def matches(self, invitation: Mapping[str, Any]) -> bool:
        """Return whether all filters match. Without a status, revoked invitations do not."""
        if self.status is None and invitation["status"] == "revoked":
            return False
        if self.status not in (None, invitation["status"]):
            return False
        texts = (invitation["email_address"].lower(), invitation["id"].lower())
        return self.query is None or any(self.query in text for text in texts)


def read_invitations(items: Iterable[tuple[str, str]]) -> InvitationList:
    """Return the query for invitations of a query string. Raises ClerkRefusal (422) as `read_list` does."""
    first = {key: found[0] for key, found in _values(items, INVITATION_FILTERS).items()}
    if first.get("status", "pending") not in INVITATION_STATUSES:
        raise _invalid("status", f"status must be one of {', '.join(INVITATION_STATUSES)}.")
    order_by = first.get("order_by", "-created_at")
    name = order_by[1:] if order_by[:1] in ("+", "-") else order_by
    if name not in INVITATION_ORDERS:
        raise _invalid("order_by", f"order_by must be one of {', '.join(INVITATION_ORDERS)}.")
    limit, offset = _page(first)
    return InvitationList(
        status=first.get("status"),
        query=first["query"].lower() if "query" in first else None,
        paginated=_is_paginated(first),
        limit=limit,
        offset=offset,
        order_by=name,
        descending=order_by.startswith("-"),
    )


def _is_paginated(first: Mapping[str, str]) -> bool:
    if first.get("paginated", "true") not in ("true", "false"):
        raise _invalid("paginated", "paginated must be true or false.")
    return first.get("paginated") == "true"


def _values(items: Iterable[tuple[str, str]], known: Collection[str]) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for key, value in items:
        if key not in known:
            raise ClerkRefusal(
                422,
                "form_param_unknown",
                "is unknown",
                f"{key} is not a parameter that the local Clerk has.",
                key,
            )
        values.setdefault(key, []).append(value)
    return values


def _page(values: Mapping[str, str]) -> tuple[int, int]:
    """Return limit and offset."""
    limit, offset = _integer(values, "limit"), _integer(values, "offset")
    if limit is not None and not 1 <= limit <= MAX_LIMIT:
        raise _invalid("limit", f"limit must be between 1 and {MAX_LIMIT}.")
    if offset is not None and offset < 0:
        raise _invalid("offset", "offset must be at least 0.")
    return DEFAULT_LIMIT if limit is None else limit, offset or 0


def _integer(values: Mapping[str, str], key: str) -> int | None:
    if key not in values:
        return None
    if not re.fullmatch(r"-?[0-9]{1,16}", values[key]):
        raise _invalid(key, f"{key} must be a whole number.")
    return int(values[key])


def _invalid(key: str, why: str) -> ClerkRefusal:
    return ClerkRefusal(422, "form_param_value_invalid", "is invalid", why, key)
