from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clerk_convex.entities import json as module
from clerk_convex.entities.json import canonical_json, json_size, parse_json
from clerk_convex.entities.users import read_user
from tests.support.clerk_events import documents


def test_the_size_is_that_of_what_browsers_write() -> None:
    """The same numbers as in tests/react/metadata.test.ts. Half of a pair and a control stay escaped."""
    assert json_size({"é": "€", "\U0001f600": ["\ud800", "\1\x7f\n", "\\u00e9", 1.5, None]}) == 61


@given(st.recursive(st.text(), lambda it: st.lists(it) | st.dictionaries(st.text(), it)))
def test_the_size_is_that_of_utf_8(value: object) -> None:
    """Without surrogates. Python's own writer does not escape U+007F either."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    assert json_size(value) == len(text.encode())


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("9007199254740993", "9007199254740993"),
        ("0.1", "0.1"),
        ("-0.0", "-0.0"),
        ("1.0", "1.0"),
        ("1E2", "100.0"),
        ("0.1000000000000000055511151231257827021181583404541015625",) * 2,
        ("1e400", "1E+400"),
        ("-1e-400", "-1E-400"),
        ("9" * 5000, "9" * 5000),
        ("1e1000000000000000000000", '"1e1000000000000000000000"'),
        ("9" * 700, "9" * 700),
        ("-" + "9" * 5000, "-" + "9" * 5000),
        ("0." + "9" * 5000,) * 2,
        ("0e5", "0.0"),
        ("123456789012.345",) * 2,
        ("1e-300", "1e-300"),
        ("1.2345678e-320", "1.2345678E-320"),
    ],
)
def test_numbers_are_kept_whole(number: str, expected: str) -> None:
    """No digit is lost, however long a number is. A number that no type can hold becomes text."""
    assert canonical_json(parse_json(number)) == expected
    assert canonical_json(parse_json(expected)) == expected


def is_json(text: str | bytes) -> bool:
    try:
        parse_json(text)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    "text", ["NaN", "[Infinity]", '{"a": -Infinity}', "", "{", "[1,]", "nul", b"\xff", '"']
)
def test_not_json(text: str | bytes) -> None:
    """Text that is not JSON is a ValueError, also text that Python's own reader accepts."""
    assert not is_json(text)


@pytest.mark.parametrize("depth", [500, 4_000])
def test_deep_nesting(depth: int) -> None:
    """Metadata may be nested deeper than Python recurses. Otherwise a user could use it to avoid the sync."""
    deep = '{"a":[1.0,{"b":' * depth + '"x [{\\"]"' + "}]}" * depth
    assert canonical_json(parse_json(deep)) == deep
    assert canonical_json(parse_json(deep.encode())) == deep
    user = parse_json(f'{{"id": "user_1", "created_at": 1, "updated_at": 2, "public_metadata": {deep}}}')
    assert read_user(user).columns["publicMetadata"] == deep


@given(documents)
def test_deep_nesting_reads_the_same(document: Any) -> None:
    """A deeply nested value is read as at the top."""
    depth = sys.getrecursionlimit()
    inside = parse_json("[" * depth + json.dumps(document) + "]" * depth)
    for _ in range(depth):
        (inside,) = inside
    assert inside == document


@given(documents)
def test_iterative_reader_reads_the_same(document: Any) -> None:
    """The reader for text that Python's own reader refuses reads all other text as that one does."""
    text = json.dumps(document, indent=random.Random(0).choice([None, 1]))
    assert module._read_iteratively(f" {text}\n", 10_000) == parse_json(text)


@given(st.text(alphabet='[]{}",: 01eE-.tnulN\\\n\x00', max_size=12))
def test_iterative_reader_takes_the_same(text: str) -> None:
    """It accepts JSON and refuses any other text."""

    def read(reader: Callable[[str], Any]) -> Any:
        try:
            return canonical_json(reader(text))
        except ValueError:
            return ValueError

    assert read(lambda text: module._read_iteratively(text, 100)) == read(parse_json)


def test_long_number_among_others() -> None:
    """A number that Python refuses to read does not make others unreadable."""
    long = "9" * 5000
    assert parse_json(f'{{"a": [1, {long}, 2.5], "b": {{}}}}') == {"a": [1, Decimal(long), 2.5], "b": {}}


def test_users_are_read_beside_one_that_nests() -> None:
    """However many users of a page nest their metadata as deeply as Clerk allows, all are read."""
    nested = "[" * 4096 + "]" * 4096
    page = (
        "[" + ",".join(f'{{"id":"user_{number}","unsafe_metadata":{nested}}}' for number in range(20)) + "]"
    )
    assert [user["id"] for user in parse_json(page, users=500)] == [f"user_{number}" for number in range(20)]
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_json(page)


MANY = 512 * 1024
MALFORMED: dict[str, Callable[[int], str]] = {
    "brackets": lambda size: "[" * size,
    "pairs": lambda size: "[" * (size // 2) + "]" * (size // 2),
    "a string without an end": lambda size: "[" * 3000 + '"' + '\\"' * ((size - 3000) // 2),
    "objects": lambda size: '{"":' * (size // 4),
    "many nested": lambda size: ("[" * 4000 + "]" * 4000 + ",") * (size // 8001),
    "strings behind": lambda size: "[" * 4000 + '"",' * ((size - 4000) // 3),
    "numbers behind": lambda size: "[" * 4000 + "1," * ((size - 4000) // 2),
    "white space behind": lambda size: "[" * 4000 + " " * (size - 4000),
    "a long number": lambda size: "[" * 4000 + "1" * (size - 4000),
    "a long fraction": lambda size: "[0." + "1" * size,
    "white space": lambda size: " " * size,
}


def seconds(text: str) -> float:
    """Return the least processor time in which the text is refused."""

    def once() -> float:
        started = time.thread_time()
        assert not is_json(text)
        return time.thread_time() - started

    return min(once() for _ in range(3))


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_json_is_refused_in_linear_time(name: str) -> None:
    """512 KB take at most 0.5 s here, and 30 ms without the measurement of coverage."""
    whole = seconds(MALFORMED[name](MANY))
    assert whole < 0.5
    assert whole < max(0.01, 12 * seconds(MALFORMED[name](MANY // 4)))


@pytest.mark.parametrize("middle", ["", "]", "}", "NaN", "-Infinity", "1 2", '"', '{"a"}', "\\"])
def test_deep_nesting_that_is_not_json(middle: str) -> None:
    """Deeply nested text that is not JSON is a ValueError like any other."""
    opened, closed = "[" * 5_000, "]" * 5_000
    assert is_json(opened + closed)
    assert not is_json(f"[{opened}{middle}, 1{closed}]")
    assert not is_json(opened + middle)
    assert not is_json(opened + closed + (middle or "]"))


def as_text(value: object, rng: random.Random) -> str:
    """Return JSON in one of many possible spellings."""
    if isinstance(value, dict):
        members = [f"{as_text(key, rng)} : {as_text(value[key], rng)}" for key in value]
        rng.shuffle(members)
        return "{ " + " ,\n".join(members) + " }"
    if isinstance(value, list):
        return "[\t" + ", ".join(as_text(element, rng) for element in value) + "]"
    return json.dumps(value, ensure_ascii=rng.random() < 0.5)


@given(documents)
def test_canonical_json_round_trips(document: Any) -> None:
    """Reading canonical JSON gives an equal value, whose canonical JSON is the same text."""
    text = canonical_json(document)
    assert text.isascii()
    assert json.loads(text) == document
    assert canonical_json(parse_json(text)) == text


@given(documents)
def test_canonical_json_is_written_alike(document: Any) -> None:
    """Values that Python's encoder cannot write have the form that it writes, and so have all others."""
    assert module._write_canonical_json(document) == canonical_json(document)
    beside_a_decimal = canonical_json({"a": document, "b": Decimal("1e400")})
    assert beside_a_decimal == f'{{"a":{canonical_json(document)},"b":1E+400}}'


@given(documents, st.randoms(use_true_random=False))
def test_canonical_json_is_stable(document: Any, rng: random.Random) -> None:
    """Equal metadata has equal text, in whatever order and spelling Clerk sends it, so no query runs
    again."""
    assert canonical_json(parse_json(as_text(document, rng))) == canonical_json(document)


NUMBERS = st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,4})?", fullmatch=True)
PIECES = st.sampled_from(
    ['"', "[", "]", "{", "}", ":", ",", " ", "null", "true", "NaN", '"a"', "\\ud800", "\\ud83d\\ude00", "é"]
)


@given(st.lists(NUMBERS | PIECES, max_size=12).map("".join) | NUMBERS | documents.map(json.dumps))
def test_the_fast_reader_reads_the_same(text: str) -> None:
    """What the fast reader takes, Python's own one takes, and both read the same values of the same types."""
    try:
        read = module._fast_decoder.decode(text.encode())
    except msgspec.MsgspecError:
        return
    same = module._decoder.decode(text)
    assert read == same
    assert repr(read) == repr(same)


@pytest.mark.parametrize("text", ['"\\ud800"', b'"\xed\xa0\x80"', '"\ud800"', b'\xef\xbb\xbf"\\ud800"'])
def test_what_the_fast_reader_refuses_is_read(text: str | bytes) -> None:
    """Lone surrogates in each form, and a byte order mark, are no reason to lose an event."""
    assert parse_json(text) == "\ud800"
