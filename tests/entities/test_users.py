from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, get_args

import pytest
from hypothesis import given

from clerk_convex.entities.changes import Upsert, encode
from clerk_convex.entities.json import parse_json
from clerk_convex.entities.users import (
    COLUMNS,
    UserStatus,
    is_partial,
    read_id,
    read_user,
)
from clerk_convex.errors import UserError
from tests.support.clerk_events import CREATED, UPDATED, USER, documents, users

BARE = {"id": "user_bare", "created_at": CREATED, "updated_at": UPDATED}


def with_(**more: Any) -> dict[str, Any]:
    return BARE | more


def test_row() -> None:
    """The columns are those of the schema, and no other data of Clerk."""
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
    """Only id, created_at and updated_at are required. Every column is in the change, so that removed values
    are unset."""
    user = read_user(BARE)
    assert user.columns.keys() == COLUMNS
    assert {name: value for name, value in user.columns.items() if value is not None} == {
        "status": "active",
        "createdAt": CREATED,
    }


@pytest.mark.parametrize("user", [None, [], "user", 17, {}])
def test_no_user(user: object) -> None:
    """An object that is not a user is a UserError."""
    with pytest.raises(UserError) as caught:
        read_user(user)
    assert caught.value.clerk_id is None


@pytest.mark.parametrize("clerk_id", [None, "", 17, ["user_1"], "x" * 256, "user_\ud800"])
def test_no_id(clerk_id: object) -> None:
    """An id is text that Convex can store and look up."""
    with pytest.raises(UserError, match="id"):
        read_id({"id": clerk_id})


@pytest.mark.parametrize("name", ["created_at", "updated_at"])
@pytest.mark.parametrize("time", [None, "2025-06-15", True, 1e300, float("nan"), 10**400, Decimal("1e400")])
def test_no_time(name: str, time: object) -> None:
    """A user without created_at or updated_at has no order: a UserError, which does not quote the value."""
    with pytest.raises(UserError, match="created_at or updated_at") as caught:
        read_user(BARE | {name: time})
    assert str(time) not in str(caught.value)
    assert caught.value.clerk_id == "user_bare"


def test_primary_email() -> None:
    """The email is the primary address, wherever it is in the list."""
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
    """Without a primary address there is no email, also if the list has a first one. emailVerified is unset
    too."""
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
    """A user who has only a phone number is read with it."""
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
    """Banned comes before deprovisioned, which comes before locked."""
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
    """Clerk counts a lock down, so its end is computed from the time of the observation. Some locks have no
    end."""
    user = with_(locked=True, lockout_expires_in_seconds=seconds)
    assert read_user(user, observed_at=OBSERVED).columns["lockedUntil"] == expected


def test_end_of_a_lock_that_is_not_known() -> None:
    """Without the time of the observation the column keeps its value. For a user who is not locked it is
    unset."""
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
    """The role comes only from public_metadata, because users write unsafe_metadata themselves."""
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
    """Half a character in a name is replaced, because Convex's text is Unicode. The user is still written."""
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
    """Metadata is stored as text, so that keys and values that Convex refuses are kept."""
    user = parse_json(json.dumps(with_(public_metadata={name: REFUSED_BY_CONVEX[name]})))
    columns = read_user(user).columns
    assert encode(Upsert("user_1", 1.0, 1.0, columns, "webhook"))
    assert json.loads(str(columns["publicMetadata"])) == {name: REFUSED_BY_CONVEX[name]}


@given(users | documents)
def test_no_user_raises_anything_else(user: Any) -> None:
    """Any JSON is read as a user that can be sent, or is a UserError."""
    user = parse_json(json.dumps(user))
    try:
        read = read_user(user)
    except UserError:
        return
    assert encode(Upsert(read.clerk_id, read.updated_at, 0.0, read.columns, "backfill"))


def test_columns_of_a_team() -> None:
    """The function of CLERK_CONVEX_FIELDS adds columns. It gets the user as Clerk sent it."""

    def fields(user: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"locale": user.get("locale"), "plot": user["public_metadata"]["plot"]}

    columns = read_user(USER, fields).columns
    assert columns["plot"] == 17
    assert columns["locale"] is None
    assert columns.keys() == COLUMNS | {"plot", "locale"}


@pytest.mark.parametrize("name", ["email", "clerkId", "sortName", "sortEmail", "searchText"])
def test_columns_of_a_team_cannot_replace_ours(name: str) -> None:
    """A team's function cannot replace the package's own columns. The error names them."""
    with pytest.raises(UserError, match=f"returned {name}:"):
        read_user(BARE, lambda user: {name: "x"})


@pytest.mark.parametrize("fields", [lambda user: user["s3cret"], lambda user: None, lambda user: 17])
def test_function_of_a_team_that_fails(fields: Any) -> None:
    """The failure is a UserError of this user. It names the error's type without its text."""
    with pytest.raises(UserError, match=r"CLERK_CONVEX_FIELDS failed with (KeyError|TypeError)") as caught:
        read_user(BARE, fields)
    assert "s3cret" not in str(caught.value)
    assert caught.value.clerk_id == "user_bare"
