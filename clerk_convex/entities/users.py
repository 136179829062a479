"""Pure: a Clerk user, as its webhooks and its Backend API give it, to the columns Convex keeps."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import chain
from typing import Any, Literal

from convex.values import CoercibleToConvexValue

from clerk_convex.errors import UserError

__all__ = [
    "COLUMNS",
    "Fields",
    "User",
    "UserStatus",
    "canonical_json",
    "is_partial",
    "is_verified",
    "milliseconds",
    "parse_json",
    "read_id",
    "read_user",
]

UserStatus = Literal["active", "locked", "deprovisioned", "banned"]
"""What a user may do. If several hold, the last one counts. `deprovisioned`: the company's directory removed
the user, and Clerk lets nobody sign in as them."""

Columns = dict[str, CoercibleToConvexValue]
Fields = Callable[[Mapping[str, Any]], Mapping[str, CoercibleToConvexValue]]
"""A team's own columns: takes the Clerk user as it came, returns column names with their values."""

COLUMNS: frozenset[str] = frozenset(
    {
        "createdAt",
        "email",
        "emailVerified",
        "externalId",
        "firstName",
        "imageUrl",
        "lastName",
        "lastSignInAt",
        "lockedUntil",
        "phone",
        "publicMetadata",
        "role",
        "status",
        "username",
    }
)
"""The columns every user has. What sorting and search need is derived in `convex/clerk/users/derived.ts`."""

_PRIMARY = (
    ("email_addresses", "primary_email_address_id"),
    ("phone_numbers", "primary_phone_number_id"),
)
_RESERVED = COLUMNS | {"clerkId", "sortName", "sortEmail", "searchText"}
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_FIRST_MILLISECOND = 1e11  # 1973-03-03; in seconds, the year 5138
_LAST_MILLISECOND = 8.64e15  # the end of JavaScript's Date
_LONGEST_ID = 255
_LONGEST_INT = sys.int_info.str_digits_check_threshold  # digits; Python may be set to read no longer ones
# A float holds every number of 15 digits in this range, so that none of so few characters has to be compared.
_LONGEST_EXACT, _SMALLEST_EXACT, _LARGEST_EXACT = 16, 1e-290, 1e290
_MOST_VALUES = 20_000  # in one user; Clerk keeps 8 KB of each kind of metadata: 12,300 values at most


@dataclass(frozen=True, slots=True)
class User:
    """One Clerk user: who, as of when (Unix milliseconds), and the columns Convex keeps of it."""

    clerk_id: str
    updated_at: float
    columns: Columns


def parse_json(text: bytes | str, *, users: int = 1) -> Any:
    """Parse JSON that holds up to so many users, keeping every number whole.

    A number that a Python number would round or refuse becomes a Decimal, and one that a Decimal refuses
    (1e1000000000000000000) its text. Users can nest their metadata as deeply as they like, deeper than
    Python's own reader goes. What Python's reader cannot take is read in time linear in its length, up to
    the number of values that Clerk keeps of so many users.

    Raises ValueError if the text is not JSON (RFC 8259: no NaN), or if that number is exceeded.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8-sig", "surrogatepass")
    try:
        return _decoder.decode(text)
    except json.JSONDecodeError:
        raise
    except (RecursionError, ValueError):  # ValueError: an integer is longer than Python reads
        return _read_iteratively(text, users * _MOST_VALUES)


def read_user(user: object, fields: Fields | None = None, *, observed_at: float = 0.0) -> User:
    """Return the columns Convex keeps of a Clerk user.

    Takes the user object of Clerk's API and webhooks, parsed by `parse_json`, and the function behind
    CLERK_CONVEX_FIELDS. Only `id`, `created_at` and `updated_at` are needed; whatever else is missing, null,
    unknown or of an unexpected type counts as not there, because Clerk adds fields and values often.

    `observed_at` is when Clerk looked (Unix milliseconds by its clock), 0 if that is not known. Clerk says
    in how many seconds a lock ends, so without it the columns lack the `lockedUntil` of a locked user.

    Raises UserError if one of those three cannot be read, or if `fields` fails. Its `clerk_id` is the user's,
    if that can be read.
    """
    if not isinstance(user, dict):
        raise UserError("The user is not a JSON object.")
    clerk_id = read_id(user)
    try:
        return _read(clerk_id, user, fields, observed_at)
    except UserError as error:
        error.clerk_id = clerk_id
        raise


def is_partial(user: Mapping[str, Any]) -> bool:
    """Return whether the object is visibly not the whole user: a time or a primary address is missing.

    Clerk's specification has such users inside `session.created`. What they lack may still be there.
    """
    if milliseconds(user.get("created_at")) is None or milliseconds(user.get("updated_at")) is None:
        return True
    for collection, pointer in _PRIMARY:
        items = user.get(collection)
        if not isinstance(items, list):
            return True
        if isinstance(user.get(pointer), str) and not _primary(user, collection, pointer):
            return True
    return False


def _read(clerk_id: str, user: Mapping[str, Any], fields: Fields | None, observed_at: float) -> User:
    updated_at = milliseconds(user.get("updated_at"))
    created_at = milliseconds(user.get("created_at"))
    if updated_at is None or created_at is None:
        raise UserError("The user's created_at or updated_at is missing or is no time in Unix milliseconds.")

    email, phone = (_primary(user, collection, pointer) for collection, pointer in _PRIMARY)
    address = _text(email.get("email_address"))
    metadata = user.get("public_metadata")
    if not isinstance(metadata, dict):
        metadata = {}
    columns: Columns = {
        "externalId": _text(user.get("external_id")),
        "firstName": _text(user.get("first_name")),
        "lastName": _text(user.get("last_name")),
        "username": _text(user.get("username")),
        "email": address,
        "emailVerified": None if address is None else is_verified(email),
        "phone": _text(phone.get("phone_number")),
        "imageUrl": _text(user.get("image_url")),
        "role": _text(metadata.get("role")),
        "status": _status(user),
        "publicMetadata": canonical_json(metadata) if metadata else None,
        "createdAt": created_at,
        "lastSignInAt": milliseconds(user.get("last_sign_in_at")),
    }
    if columns["status"] != "locked":
        columns["lockedUntil"] = None
    elif observed_at > 0:
        columns["lockedUntil"] = _lock_end(user, observed_at)
    if fields is not None:
        columns |= _extra_columns(user, fields)
    return User(clerk_id, updated_at, columns)


def read_id(data: Mapping[str, Any]) -> str:
    """The `id` of a user object. Raises UserError if there is none."""
    clerk_id = data.get("id")
    if (
        not isinstance(clerk_id, str)
        or not 0 < len(clerk_id) <= _LONGEST_ID
        or _LONE_SURROGATE.search(clerk_id)
    ):
        raise UserError("The user has no id.")
    return clerk_id


def milliseconds(value: object) -> float | None:
    """A time of Clerk's in Unix milliseconds, or None if it is none.

    Clerk documents milliseconds; some of its own examples and fixtures have seconds, told apart by size.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        return None
    try:
        time = float(value)
    except OverflowError:
        return None
    if not abs(time) <= _LAST_MILLISECOND:  # NaN is not, either
        return None
    return time * 1000 if abs(time) < _FIRST_MILLISECOND else time


def _text(value: object) -> str | None:
    """A string that Convex can hold (lone surrogates replaced), or None for an empty or another value."""
    if not isinstance(value, str) or not value:
        return None
    return _LONE_SURROGATE.sub("\N{REPLACEMENT CHARACTER}", value)


def _primary(user: Mapping[str, Any], collection: str, pointer: str) -> Mapping[str, Any]:
    """The address that the user calls primary. Never "the first one": Clerk's pointer may lead nowhere."""
    primary_id, items = user.get(pointer), user.get(collection)
    if isinstance(primary_id, str) and isinstance(items, list):
        for item in items:
            if isinstance(item, dict) and item.get("id") == primary_id:
                return item
    return {}


def is_verified(address: Mapping[str, Any]) -> bool:
    """Return whether Clerk has verified an item of `email_addresses` or `phone_numbers`."""
    verification = address.get("verification")
    return isinstance(verification, dict) and verification.get("status") == "verified"


def _status(user: Mapping[str, Any]) -> UserStatus:
    if user.get("banned") is True:
        return "banned"
    if user.get("deprovisioned") is True:
        return "deprovisioned"
    return "locked" if user.get("locked") is True else "active"


def _lock_end(user: Mapping[str, Any], observed_at: float) -> float | None:
    """Return when the lock ends, in Unix milliseconds, or None for a lock without an end."""
    seconds = user.get("lockout_expires_in_seconds")
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float, Decimal)):
        return None
    try:
        end = observed_at + float(seconds) * 1000
    except OverflowError:
        return None
    return end if observed_at <= end <= _LAST_MILLISECOND else None


def _extra_columns(user: Mapping[str, Any], fields: Fields) -> Columns:
    try:
        extra = dict(fields(user))
    except Exception as error:
        raise UserError(
            f"The function behind CLERK_CONVEX_FIELDS failed with {type(error).__name__}. "
            "It takes a Clerk user (a dict) and returns a dict of columns."
        ) from error
    if taken := sorted(_RESERVED & extra.keys()):
        raise UserError(
            f"The function behind CLERK_CONVEX_FIELDS returned {', '.join(taken)}: "
            "these columns are kept by clerk_convex. Give yours other names."
        )
    return extra


# The same text as _write_canonical_json, several times as fast: the encoder is written in C.
_canonical_encoder = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


class _Text(str):
    """A piece of JSON that is written already."""

    __slots__ = ()


def canonical_json(value: object) -> str:
    """JSON text that does not depend on the order of keys, white space or escapes: ASCII, keys sorted.

    Takes what `parse_json` returns, however deeply nested.
    """
    try:
        return _canonical_encoder.encode(value)
    except (TypeError, RecursionError):  # a Decimal, or nested deeper than Python recurses
        return _write_canonical_json(value)


def _write_canonical_json(value: object) -> str:
    text: list[str] = []
    rest: list[object] = [value]  # the next one last
    while rest:
        item = rest.pop()
        if isinstance(item, dict):
            members = [(_Text(","), _Text(f"{json.dumps(key)}:"), item[key]) for key in sorted(item)]
            rest += [_Text("}"), *reversed([*chain(*members)][1:]), _Text("{")]
        elif isinstance(item, list):
            elements = [(_Text(","), element) for element in item]
            rest += [_Text("]"), *reversed([*chain(*elements)][1:]), _Text("[")]
        elif isinstance(item, (_Text, Decimal)):
            text.append(str(item))
        else:
            text.append(json.dumps(item))
    return "".join(text)


def _integer(text: str) -> int | float | Decimal | str:
    return int(text) if len(text) <= _LONGEST_INT else _float(text)


def _float(text: str) -> float | Decimal | str:
    number = float(text)
    is_plain = "e" not in text and "E" not in text
    if len(text) <= _LONGEST_EXACT and (is_plain or _SMALLEST_EXACT < abs(number) < _LARGEST_EXACT):
        return number
    try:
        exact = Decimal(text)
    except InvalidOperation:
        return text
    return number if math.isfinite(number) and Decimal(repr(number)) == exact else exact


def _refuse(constant: str) -> object:
    raise json.JSONDecodeError(f"{constant} is not JSON", constant, 0)


# Python's own reader. The second one reads integers of any length, at the price of a call for each.
_decoder = json.JSONDecoder(parse_float=_float, parse_constant=_refuse)
_exact_decoder = json.JSONDecoder(parse_int=_integer, parse_float=_float, parse_constant=_refuse)
_skip_space = re.compile(r"[ \t\n\r]*").match


def _read_iteratively(text: str, most: int) -> Any:
    """Parse JSON of up to `most` values without recursion, in time linear in its length."""
    length = len(text)
    text += "\0"  # valid nowhere in JSON, so that no position has to be compared with the length
    document: list[Any] = []
    container: Any = document
    is_object = False
    opened = [container]  # from the document down to `container`
    key = ""
    at = 0
    for _ in range(most):
        # A value begins at `at`, after white space.
        if (char := text[at]) <= " ":
            at = _end_of_space(text, at)
            char = text[at]
        value: Any
        if is_open := char in "[{":
            value = [] if char == "[" else {}
            at += 1
        else:
            value, at = _exact_decoder.raw_decode(text, at)
        if is_object:
            container[key] = value
        else:
            container.append(value)
        if is_open:
            container, is_object = value, char == "{"
            opened.append(container)
            if (char := text[at]) <= " ":
                at = _end_of_space(text, at)
                char = text[at]
            if char != ("}" if is_object else "]"):
                if is_object:
                    key, at = _read_key(text, at)
                continue
        # A value or an empty container has ended: close what ends here, up to the next value.
        while True:
            if (char := text[at]) <= " ":
                at = _end_of_space(text, at)
                char = text[at]
            if len(opened) == 1:
                if at != length:
                    raise _not_json(text, at)
                return document[0]
            if char == ",":
                at += 1
                if is_object:
                    key, at = _read_key(text, at)
                break
            if char != ("}" if is_object else "]"):
                raise _not_json(text, at)
            at += 1
            opened.pop()
            container = opened[-1]
            is_object = isinstance(container, dict)
    raise ValueError("the JSON is nested too deeply and has more values than a user of Clerk's")


def _read_key(text: str, at: int) -> tuple[str, int]:
    """Return a key of an object and where its value begins."""
    at = _end_of_space(text, at)
    if text[at] != '"':
        raise _not_json(text, at)
    key, at = _exact_decoder.raw_decode(text, at)
    at = _end_of_space(text, at)
    if text[at] != ":":
        raise _not_json(text, at)
    return key, at + 1


def _end_of_space(text: str, at: int) -> int:
    found = _skip_space(text, at)
    return at if found is None else found.end()


def _not_json(text: str, at: int) -> ValueError:
    return json.JSONDecodeError("not JSON", text, at)
