from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clerk_convex import users as users_module
from clerk_convex.changes import Upsert, encode
from clerk_convex.errors import UserError
from clerk_convex.users import (
    COLUMNS,
    UserStatus,
    canonical_json,
    is_partial,
    milliseconds,
    parse_json,
    read_id,
    read_user,
)
from tests.clerk_events import CREATED, UPDATED, USER, documents, users

BARE = {"id": "user_bare", "created_at": CREATED, "updated_at": UPDATED}


def with_(**more: Any) -> dict[str, Any]:
    return BARE | more


def test_row() -> None:
    """A user's row holds what the schema lists, and nothing else of what Clerk knows."""
    user = read_user(USER)
    assert user.clerk_id == "user_quince"
    assert user.updated_at == UPDATED
    assert user.columns == {
        "externalId": "crm-17",
        "firstName": "Quitterie",
        "lastName": "Ince",
        "username": "quince",
        "email": "work@quince.example",
        "emailVerified": True,
        "phone": "+33600000017",
        "imageUrl": "https://images.example/quince.png",
        "role": "gardener",
        "status": "active",
        "publicMetadata": '{"plot":17,"role":"gardener"}',
        "createdAt": CREATED,
        "lastSignInAt": CREATED + 1,
        "lockedUntil": None,
    }


def test_times_are_floats() -> None:
    """Times are floats, which are numbers in Convex; an int would be an int64 there."""
    user = read_user(USER)
    assert type(user.updated_at) is float
    assert {type(user.columns[name]) for name in ("createdAt", "lastSignInAt")} == {float}


def test_bare_user() -> None:
    """Only id, created_at and updated_at are needed. Every column is named, so that what went is unset."""
    user = read_user(BARE)
    assert user.columns.keys() == COLUMNS
    assert {name: value for name, value in user.columns.items() if value is not None} == {
        "status": "active",
        "createdAt": CREATED,
    }


@pytest.mark.parametrize("user", [None, [], "user", 17, {}])
def test_no_user(user: object) -> None:
    """What is no user is a UserError."""
    with pytest.raises(UserError) as caught:
        read_user(user)
    assert caught.value.clerk_id is None


@pytest.mark.parametrize("clerk_id", [None, "", 17, ["user_1"], "x" * 256, "user_\ud800"])
def test_no_id(clerk_id: object) -> None:
    """An id is a text that Convex can hold and look up."""
    with pytest.raises(UserError, match="id"):
        read_id({"id": clerk_id})


@pytest.mark.parametrize("name", ["created_at", "updated_at"])
@pytest.mark.parametrize("time", [None, "2025-06-15", True, 1e300, float("nan"), 10**400, Decimal("1e400")])
def test_no_time(name: str, time: object) -> None:
    """A user without created_at or updated_at cannot be ordered: a UserError, without the value in it."""
    with pytest.raises(UserError, match="created_at or updated_at") as caught:
        read_user(BARE | {name: time})
    assert str(time) not in str(caught.value)
    assert caught.value.clerk_id == "user_bare"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1_750_000_000_000, 1_750_000_000_000.0),
        (1_750_000_000, 1_750_000_000_000.0),
        (1_750_000_000.5, 1_750_000_000_500.0),
        (Decimal("1750000000000.00000000000000001"), 1_750_000_000_000.0),
        (99_999_999_999, 99_999_999_999_000.0),
        (100_000_000_000, 100_000_000_000.0),
        (0, 0.0),
        (-1_750_000_000, -1_750_000_000_000.0),
        (8.65e15, None),
        (None, None),
        (False, None),
        ("1750000000000", None),
    ],
)
def test_seconds_or_milliseconds(value: object, expected: float | None) -> None:
    """Values under 1e11 are seconds, else milliseconds."""
    assert milliseconds(value) == expected


def test_primary_email() -> None:
    """The email is the address that the user calls primary, wherever it stands in the list."""
    swapped = USER | {"email_addresses": USER["email_addresses"][::-1]}
    assert read_user(swapped).columns["email"] == "work@quince.example"
    home = read_user(USER | {"primary_email_address_id": "idn_home"}).columns
    assert (home["email"], home["emailVerified"]) == ("home@quince.example", False)


@pytest.mark.parametrize(
    ("pointer", "items"),
    [
        ("idn_gone", [{"id": "idn_1", "email_address": "first@of.example"}]),
        ("idn_1", []),
        ("idn_1", None),
        ("idn_1", [None, "idn_1", {}]),
        ("idn_1", {"id": "idn_1", "email_address": "no@list.example"}),
        (None, [{"id": None, "email_address": "no@id.example"}]),
        (None, [{"email_address": "no@id.example"}]),
        ("idn_1", [{"id": "idn_1"}]),
        ("idn_1", [{"id": "idn_1", "email_address": ""}]),
        ("idn_1", [{"id": "idn_1", "email_address": {"of": "another type"}}]),
    ],
)
def test_no_primary_email(pointer: object, items: object) -> None:
    """No such address, no email: never the first one. Nor is one said to be verified."""
    columns = read_user(with_(primary_email_address_id=pointer, email_addresses=items)).columns
    assert columns["email"] is None
    assert columns["emailVerified"] is None


@pytest.mark.parametrize(
    ("verification", "expected"),
    [
        ({"status": "verified"}, True),
        ({"status": "verified", "strategy": "of_tomorrow"}, True),
        ({"status": "transferable"}, False),
        ({"status": "of_tomorrow"}, False),
        ({}, False),
        (None, False),
        ("verified", False),
    ],
)
def test_email_verified(verification: object, expected: bool) -> None:
    """An address is verified if Clerk says "verified"; null and unknown values say that it is not."""
    item = {"id": "idn_1", "email_address": "a@b.example", "verification": verification}
    columns = read_user(with_(primary_email_address_id="idn_1", email_addresses=[item])).columns
    assert columns["emailVerified"] is expected


def test_phone_only() -> None:
    """A user who only has a phone arrives with it."""
    item = {"id": "idn_1", "phone_number": "+15550000017"}
    columns = read_user(with_(primary_phone_number_id="idn_1", phone_numbers=[item])).columns
    assert (columns["phone"], columns["email"]) == ("+15550000017", None)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"banned": True, "deprovisioned": True, "locked": True}, "banned"),
        ({"deprovisioned": True, "locked": True}, "deprovisioned"),
        ({"deprovisioned": True}, "deprovisioned"),
        ({"deprovisioned": "true"}, "active"),
        ({"banned": True, "locked": True}, "banned"),
        ({"banned": True}, "banned"),
        ({"banned": False, "locked": True}, "locked"),
        ({"banned": False, "locked": False}, "active"),
        ({"banned": None, "locked": "yes"}, "active"),
    ],
)
def test_status(flags: Mapping[str, object], expected: str) -> None:
    """Banned beats deprovisioned, which beats locked."""
    status = read_user(with_(**flags)).columns["status"]
    assert status == expected
    assert status in get_args(UserStatus)


OBSERVED = 1_750_000_000_000.0


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (3600, OBSERVED + 3_600_000),
        (0, OBSERVED),
        (Decimal("90.5"), OBSERVED + 90_500),
        (None, None),
        (-1, None),
        (True, None),
        ("3600", None),
        (10**400, None),
        (Decimal("1e400"), None),
        (10**13, None),
        (float("nan"), None),
    ],
)
def test_end_of_a_lock(seconds: object, expected: float | None) -> None:
    """Clerk counts a lock down, so its end is by the time that Clerk looked. Some locks have none."""
    user = with_(locked=True, lockout_expires_in_seconds=seconds)
    assert read_user(user, observed_at=OBSERVED).columns["lockedUntil"] == expected


def test_end_of_a_lock_that_is_not_known() -> None:
    """If it is not known when Clerk looked, the column is left as it is; of other users it is unset."""
    locked = with_(locked=True, lockout_expires_in_seconds=60)
    assert read_user(locked).columns.keys() == COLUMNS - {"lockedUntil"}
    for flags in ({}, {"banned": True, "locked": True}, {"deprovisioned": True, "locked": True}):
        for observed_at in (0.0, OBSERVED):
            user = with_(**flags, lockout_expires_in_seconds=60)
            assert read_user(user, observed_at=observed_at).columns["lockedUntil"] is None


ADDRESSES = {"email_addresses": [{"id": "idn_1"}], "phone_numbers": [{"id": "idn_2"}]}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, False),
        ({"primary_email_address_id": "idn_1", "primary_phone_number_id": "idn_2"}, False),
        ({"primary_email_address_id": None}, False),
        ({"primary_email_address_id": "idn_2"}, True),
        ({"primary_phone_number_id": "idn_1"}, True),
        ({"email_addresses": [], "primary_email_address_id": "idn_1"}, True),
        ({"email_addresses": []}, False),
        ({"email_addresses": None}, True),
        ({"phone_numbers": {}}, True),
        ({"created_at": None}, True),
        ({"updated_at": "soon"}, True),
    ],
)
def test_partial(more: dict[str, object], expected: bool) -> None:
    """A user whose times, lists or primary addresses are missing is not the whole user."""
    assert is_partial(BARE | ADDRESSES | more) is expected


@pytest.mark.parametrize(
    "metadata", [None, {}, [], "admin", {"role": None}, {"role": ["admin"]}, {"role": ""}]
)
def test_role_is_public_metadata_only(metadata: object) -> None:
    """Nothing is decided by what the user writes himself: the role is public_metadata's or nobody's."""
    user = with_(
        public_metadata=metadata, unsafe_metadata={"role": "admin"}, private_metadata={"role": "admin"}
    )
    assert read_user(user).columns["role"] is None


def test_private_metadata_stays() -> None:
    """Nothing of private_metadata or unsafe_metadata is in the columns."""
    hidden = {"k1d": "s3cret"}
    text = repr(read_user(USER | {"private_metadata": hidden, "unsafe_metadata": hidden}))
    assert "s3cret" not in text
    assert "k1d" not in text


def test_lone_surrogates() -> None:
    """Half a character in a name is replaced, because Convex's text is Unicode; the user is not lost."""
    columns = read_user(with_(first_name="A\ud83d", last_name="\udc4d")).columns
    assert (columns["firstName"], columns["lastName"]) == ("A\ufffd", "\ufffd")
    assert encode(Upsert("user_1", 1.0, 1.0, columns, "webhook"))


REFUSED_BY_CONVEX = {
    "reserved": {"$x": 1, "_x": 2, "": 3, "é": 4, "\n": 5},
    "many": {f"field{number}": number for number in range(1025)},
    "long": list(range(8193)),
    "numbers": [2**53 + 1, 10**30, 1.5, -0.0],
    "surrogates": ["\ud800", {"\udfff": "\ud800x"}],
}


@pytest.mark.parametrize("name", REFUSED_BY_CONVEX)
def test_metadata_that_convex_would_refuse(name: str) -> None:
    """Metadata is kept as text, so that it arrives whole whatever Convex thinks of its keys and values."""
    user = parse_json(json.dumps(with_(public_metadata={name: REFUSED_BY_CONVEX[name]})))
    columns = read_user(user).columns
    assert encode(Upsert("user_1", 1.0, 1.0, columns, "webhook"))
    assert json.loads(str(columns["publicMetadata"])) == {name: REFUSED_BY_CONVEX[name]}


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
    """No digit is lost, however long a number is; only one that nothing can hold becomes text."""
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
    """What is not JSON is a ValueError, also what Python's own reader would take."""
    assert not is_json(text)


@pytest.mark.parametrize("depth", [500, 4_000])
def test_deep_nesting(depth: int) -> None:
    """Metadata may be nested deeper than Python recurses: a user could hide from the sync with it."""
    deep = '{"a":[1.0,{"b":' * depth + '"x [{\\"]"' + "}]}" * depth
    assert canonical_json(parse_json(deep)) == deep
    assert canonical_json(parse_json(deep.encode())) == deep
    user = parse_json(f'{{"id": "user_1", "created_at": 1, "updated_at": 2, "public_metadata": {deep}}}')
    assert read_user(user).columns["publicMetadata"] == deep


@given(documents)
def test_deep_nesting_reads_the_same(document: Any) -> None:
    """What stands in the depths is read as it would be read elsewhere."""
    depth = sys.getrecursionlimit()
    inside = parse_json("[" * depth + json.dumps(document) + "]" * depth)
    for _ in range(depth):
        (inside,) = inside
    assert inside == document


@given(documents)
def test_iterative_reader_reads_the_same(document: Any) -> None:
    """The reader for what Python's own cannot take reads everything else as that one does."""
    text = json.dumps(document, indent=random.Random(0).choice([None, 1]))
    assert users_module._read_iteratively(f" {text}\n", 10_000) == parse_json(text)


@given(st.text(alphabet='[]{}",: 01eE-.tnulN\\\n\x00', max_size=12))
def test_iterative_reader_takes_the_same(text: str) -> None:
    """It takes what is JSON, and refuses what is not."""

    def read(reader: Callable[[str], Any]) -> Any:
        try:
            return canonical_json(reader(text))
        except ValueError:
            return ValueError

    assert read(lambda text: users_module._read_iteratively(text, 100)) == read(parse_json)


def test_long_number_among_others() -> None:
    """One number that Python refuses to read makes no other unreadable."""
    long = "9" * 5000
    assert parse_json(f'{{"a": [1, {long}, 2.5], "b": {{}}}}') == {"a": [1, Decimal(long), 2.5], "b": {}}


def test_users_are_read_beside_one_that_nests() -> None:
    """However many users of a page nest their metadata as deeply as Clerk lets them, all are read."""
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
    """The least time of this thread's that it takes to refuse the text."""

    def once() -> float:
        started = time.thread_time()
        assert not is_json(text)
        return time.thread_time() - started

    return min(once() for _ in range(3))


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_json_is_refused_at_once(name: str) -> None:
    """In time linear in the size, and within 0.5 s for 512 KB: 30 ms, where no coverage is measured."""
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
    """JSON in one of the many ways it can be written."""
    if isinstance(value, dict):
        members = [f"{as_text(key, rng)} : {as_text(value[key], rng)}" for key in value]
        rng.shuffle(members)
        return "{ " + " ,\n".join(members) + " }"
    if isinstance(value, list):
        return "[\t" + ", ".join(as_text(element, rng) for element in value) + "]"
    return json.dumps(value, ensure_ascii=rng.random() < 0.5)


@given(documents)
def test_canonical_json_round_trips(document: Any) -> None:
    """What is read back from canonical JSON is what went in, and its canonical JSON is the same again."""
    text = canonical_json(document)
    assert text.isascii()
    assert json.loads(text) == document
    assert canonical_json(parse_json(text)) == text


@given(documents)
def test_canonical_json_is_written_alike(document: Any) -> None:
    """Documents that Python's encoder cannot write have the text that it would write, and the others too."""
    assert users_module._write_canonical_json(document) == canonical_json(document)
    beside_a_decimal = canonical_json({"a": document, "b": Decimal("1e400")})
    assert beside_a_decimal == f'{{"a":{canonical_json(document)},"b":1E+400}}'


@given(documents, st.randoms(use_true_random=False))
def test_canonical_json_is_stable(document: Any, rng: random.Random) -> None:
    """Equal metadata has equal text, in whatever order and spelling Clerk sends it: nobody is woken."""
    assert canonical_json(parse_json(as_text(document, rng))) == canonical_json(document)


@given(users | documents)
def test_no_user_raises_anything_else(user: Any) -> None:
    """Whatever JSON comes as a user, it is read and can be sent, or it is a UserError."""
    user = parse_json(json.dumps(user))
    try:
        read = read_user(user)
    except UserError:
        return
    assert encode(Upsert(read.clerk_id, read.updated_at, 0.0, read.columns, "backfill"))


def test_columns_of_a_team() -> None:
    """The function behind CLERK_CONVEX_FIELDS adds columns; it sees the user as Clerk sent it."""

    def fields(user: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"locale": user.get("locale"), "plot": user["public_metadata"]["plot"]}

    columns = read_user(USER, fields).columns
    assert columns["plot"] == 17
    assert columns["locale"] is None
    assert columns.keys() == COLUMNS | {"plot", "locale"}


@pytest.mark.parametrize("name", ["email", "clerkId", "sortName", "sortEmail", "searchText"])
def test_columns_of_a_team_cannot_replace_ours(name: str) -> None:
    """A team's function cannot replace the columns that the rules stand on; the error names them."""
    with pytest.raises(UserError, match=f"returned {name}:"):
        read_user(BARE, lambda user: {name: "x"})


@pytest.mark.parametrize("fields", [lambda user: user["s3cret"], lambda user: None, lambda user: 17])
def test_function_of_a_team_that_fails(fields: Any) -> None:
    """A team's function that fails is a UserError of this user; it names the error, not its text."""
    with pytest.raises(UserError, match=r"CLERK_CONVEX_FIELDS failed with (KeyError|TypeError)") as caught:
        read_user(BARE, fields)
    assert "s3cret" not in str(caught.value)
    assert caught.value.clerk_id == "user_bare"
