"""Pure: a Clerk user, as its webhooks and its Backend API give it, to the columns Convex keeps."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import chain
from typing import Any

from convex.values import CoercibleToConvexValue

from clerk_convex.errors import UserError

__all__ = [
    "COLUMNS",
    "Fields",
    "User",
    "canonical_json",
    "milliseconds",
    "parse_json",
    "read_id",
    "read_user",
]

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
        "phone",
        "publicMetadata",
        "role",
        "status",
        "username",
    }
)
"""The columns every user has. What sorting and search need is derived in `convex/clerk/derived.ts`."""

_RESERVED = COLUMNS | {"clerkId", "sortName", "sortEmail", "searchText"}
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}"]|[^\[\]{}"]+', re.DOTALL)
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_FIRST_MILLISECOND = 1e11  # 1973-03-03; in seconds, the year 5138
_LAST_MILLISECOND = 8.64e15  # the end of JavaScript's Date
_LONGEST_ID = 255
_LONGEST_INT = 4000  # Python refuses to read integers of more than 4,300 digits


@dataclass(frozen=True, slots=True)
class User:
    """One Clerk user: who, as of when (Unix milliseconds), and the columns Convex keeps of it."""

    clerk_id: str
    updated_at: float
    columns: Columns


def parse_json(text: bytes | str) -> Any:
    """JSON with every number whole, however deeply it is nested: users can nest theirs as they like.

    A number that a Python number would round or refuse becomes a Decimal, and one that a Decimal refuses
    (1e1000000000000000000) its text. Raises ValueError if the text is not JSON (RFC 8259: no NaN).
    """
    try:
        return json.loads(text, parse_int=_integer, parse_float=_float, parse_constant=_refuse)
    except RecursionError:
        return _parse_deeply_nested(text if isinstance(text, str) else text.decode())


def read_user(user: object, fields: Fields | None = None) -> User:
    """What Convex keeps of a Clerk user.

    Takes the user object of Clerk's API and webhooks, parsed by `parse_json`, and the function behind
    CLERK_CONVEX_FIELDS. Only `id`, `created_at` and `updated_at` are needed; whatever else is missing, null,
    unknown or of an unexpected type counts as not there, because Clerk adds fields and values often.

    Raises UserError if one of those three cannot be read, or if `fields` fails.
    """
    if not isinstance(user, dict):
        raise UserError("The user is not a JSON object.")
    clerk_id = read_id(user)
    updated_at = milliseconds(user.get("updated_at"))
    created_at = milliseconds(user.get("created_at"))
    if updated_at is None or created_at is None:
        raise UserError("The user's created_at or updated_at is missing or is no time in Unix milliseconds.")

    email = _primary(user, "email_addresses", "primary_email_address_id")
    phone = _primary(user, "phone_numbers", "primary_phone_number_id")
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
        "emailVerified": None if address is None else _is_verified(email),
        "phone": _text(phone.get("phone_number")),
        "imageUrl": _text(user.get("image_url")),
        "role": _text(metadata.get("role")),
        "status": _status(user),
        "publicMetadata": canonical_json(metadata) if metadata else None,
        "createdAt": created_at,
        "lastSignInAt": milliseconds(user.get("last_sign_in_at")),
    }
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


def _is_verified(address: Mapping[str, Any]) -> bool:
    verification = address.get("verification")
    return isinstance(verification, dict) and verification.get("status") == "verified"


def _status(user: Mapping[str, Any]) -> str:
    if user.get("banned") is True:
        return "banned"
    return "locked" if user.get("locked") is True else "active"


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


def _parse_deeply_nested(text: str) -> Any:
    """Parses one object or array at a time, those inside first; NaN stands where one has been taken out."""
    taken: list[Any] = []  # out of what is parsed next, the first one last
    decoder = json.JSONDecoder(parse_int=_integer, parse_float=_float, parse_constant=lambda _: taken.pop())
    enclosing: list[tuple[list[str], list[Any]]] = []
    pieces: list[str] = []
    values: list[Any] = []
    for token in _TOKEN.findall(text):
        if token in {"[", "{"}:
            enclosing.append((pieces, values))
            pieces, values = [token], []
        elif token in {"]", "}"} and enclosing:
            taken += reversed(values)
            value = decoder.decode("".join(pieces) + token)
            pieces, values = enclosing.pop()
            pieces.append("NaN")
            values.append(value)
        elif token[0] != '"' and ("NaN" in token or "Infinity" in token):
            raise ValueError("NaN and Infinity are not JSON")
        else:
            pieces.append(token)
    if enclosing:
        raise ValueError("the JSON ends too early")
    taken += reversed(values)
    return decoder.decode("".join(pieces))


def _integer(text: str) -> int | float | Decimal | str:
    return int(text) if len(text) <= _LONGEST_INT else _float(text)


def _float(text: str) -> float | Decimal | str:
    try:
        exact = Decimal(text)
    except InvalidOperation:
        return text
    number = float(text)
    return number if math.isfinite(number) and Decimal(repr(number)) == exact else exact


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is not JSON")
