"""Pure: JSON read and written without loss: numbers of any size and precision, and nesting of any depth.

Public metadata may hold both, and its text in Convex must not depend on how Python stores numbers.
"""

from __future__ import annotations

import json
import math
import re
import sys
from decimal import Decimal, InvalidOperation
from itertools import chain
from typing import Any

import msgspec

__all__ = ["LARGEST_METADATA", "canonical_json", "json_size", "number", "parse_json"]

LARGEST_METADATA = 8 * 1024
"""The bytes that Clerk keeps of each kind of metadata, as `json_size` counts them."""


# Digits. A longer integer is refused by int() where Python's limit is set to its minimum.
_LONGEST_INT = sys.int_info.str_digits_check_threshold
# A float holds every number of up to 15 digits in this range, so a text of 16 characters, the point included,
# needs no comparison.
_LONGEST_EXACT, _SMALLEST_EXACT, _LARGEST_EXACT = 16, 1e-290, 1e290
_MOST_VALUES = 20_000  # in one user; Clerk keeps 8 KB of each kind of metadata: 12,300 values at most


def parse_json(text: bytes | str, *, users: int = 1) -> Any:
    """Parse JSON that holds up to `users` Clerk users, without changing any number.

    A number that a float would round or refuse becomes a Decimal; one that a Decimal refuses
    (1e1000000000000000000) becomes its text. Metadata may be nested more deeply than Python's own reader
    goes. What that reader cannot take is read in time linear in its length, up to the number of values that
    Clerk stores for so many users.

    Raises ValueError if the text is not JSON (RFC 8259: no NaN), or if it has more values than that.
    """
    try:
        return _fast_decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        pass  # mostly not JSON, but it also refuses lone surrogates and a byte order mark
    if isinstance(text, bytes):
        text = text.decode("utf-8-sig", "surrogatepass")
    try:
        return _decoder.decode(text)
    except json.JSONDecodeError:
        raise
    except (RecursionError, ValueError):  # ValueError: an integer is longer than Python reads
        return _read_iteratively(text, users * _MOST_VALUES)


def canonical_json(value: object) -> str:
    """Return JSON text that does not depend on the order of keys, white space or escapes.

    It is ASCII with sorted keys. Takes what `parse_json` returns, however deeply nested.
    """
    try:
        return _canonical_encoder.encode(value)
    except (TypeError, RecursionError):  # a Decimal, or nested deeper than Python recurses
        return _write_canonical_json(value)


def json_size(value: object) -> int:
    """Return how many bytes the value has as JSON in UTF-8 without spaces, as browsers write it."""
    text = canonical_json(value)
    return len(text) - sum(_saved(escape) for escape in _escape.finditer(text))


def _saved(escape: re.Match[str]) -> int:
    """Return by how many bytes a character is shorter in UTF-8 than as the escape of `canonical_json`."""
    if escape["pair"]:
        return 12 - 4
    code = int(escape["code"] or "0", 16)
    if code < 0x20 or 0xD800 <= code < 0xE000:  # these stay escaped: controls, and halves of a pair
        return 0
    return 6 - len(chr(code).encode())


def number(value: object) -> float | None:
    """Return a number of `parse_json` as a float, or None if the value is not a number a float can hold."""
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        return None
    try:
        result = float(value)
    except OverflowError:
        return None
    return result if math.isfinite(result) else None


# The last alternative passes over the other escapes, so that no backslash is taken for the next one's.
_escape = re.compile(r"\\u(?P<pair>d[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2})|\\u(?P<code>[0-9a-f]{4})|\\[^u]")
# Writes the same text as _write_canonical_json and is several times as fast: it is written in C.
_canonical_encoder = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


class _Text(str):
    """A piece of the result: JSON text, to be copied as it is."""

    __slots__ = ()


def _write_canonical_json(value: object) -> str:
    text: list[str] = []
    rest: list[object] = [value]  # a stack: the next item to write is the last
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


# What this one takes, it reads as the next one does, in half the time.
_fast_decoder = msgspec.json.Decoder(float_hook=_float)
# Both are Python's own reader. The second one reads integers of any length, with a Python call for each.
_decoder = json.JSONDecoder(parse_float=_float, parse_constant=_refuse)
_exact_decoder = json.JSONDecoder(parse_int=_integer, parse_float=_float, parse_constant=_refuse)
_skip_space = re.compile(r"[ \t\n\r]*").match


def _read_iteratively(text: str, most: int) -> Any:
    """Parse JSON of up to `most` values without recursion, in time linear in its length."""
    length = len(text)
    text += "\0"  # a sentinel that JSON allows nowhere, so that no position is compared with the length
    document: list[Any] = []
    container: Any = document
    is_object = False
    opened = [container]  # the path from the document down to `container`
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
        # A value or an empty container has ended. Close the containers that end here, up to the next value.
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
    raise ValueError("the JSON is nested too deeply and has more values than Clerk stores for a user")


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
