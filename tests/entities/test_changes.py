from __future__ import annotations

import datetime
import decimal
import enum
import json
import uuid
from typing import Any

import pytest
from convex import convex_to_json
from hypothesis import given
from hypothesis import strategies as st

from clerk_convex.entities.changes import OUTCOMES, Delete, SignIn, Upsert, encode, refused_column
from clerk_convex.entities.users import COLUMNS


def test_upsert_on_the_wire() -> None:
    """An upsert has the names that `users:syncUsers` takes, and null where a column is to be unset."""
    columns: dict[str, str | float | None] = {
        "createdAt": 1.0,
        "status": "active",
        "email": None,
        "firstName": "Zoé",
    }
    change = Upsert("user_1", 2.0, 3.0, columns, "webhook", event_id="msg_1")
    assert json.loads(encode(change)) == {
        "type": "upsert",
        "clerkId": "user_1",
        "updatedAt": 2.0,
        "observedAt": 3.0,
        "columns": columns,
        "source": "webhook",
        "eventId": "msg_1",
    }


def test_delete_on_the_wire() -> None:
    """A deletion has no updatedAt and no columns. Unknown values are left out, and are not null."""
    assert json.loads(encode(Delete("user_1", 3.0, "admin", actor="user_2"))) == {
        "type": "delete",
        "clerkId": "user_1",
        "observedAt": 3.0,
        "source": "admin",
        "actor": "user_2",
    }


def test_sign_in_on_the_wire() -> None:
    """A sign-in has a time, no columns and no observedAt."""
    assert json.loads(encode(SignIn("user_1", 3.0, "webhook", "msg_1"))) == {
        "type": "signIn",
        "clerkId": "user_1",
        "lastSignInAt": 3.0,
        "source": "webhook",
        "eventId": "msg_1",
    }
    assert b'"lastSignInAt":3.0' in encode(SignIn("user_1", 3.0, "webhook"))
    assert b"eventId" not in encode(SignIn("user_1", 3.0, "webhook"))


def test_times_are_floats_on_the_wire() -> None:
    """Times arrive as Convex numbers: an int would be sent as an int64, which `v.number()` refuses."""
    assert b'"observedAt":3.0' in encode(Delete("user_1", 3.0, "backfill"))


def test_text_is_utf_8() -> None:
    """Text costs its UTF-8 length, so that the writer's byte limits mean bytes on the wire."""
    change = Upsert("user_1", 2.0, 3.0, {"firstName": "名"}, "backfill")
    assert '"firstName":"名"'.encode() in encode(change)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*COLUMNS, "plot", "locale"]), VALUES))
def test_values_are_coded_as_convex_does(columns: dict[str, Any]) -> None:
    """Any value of a column, also of a team's, is encoded as the official client encodes it."""
    encoded = encode(Upsert("user_1", 2.0, 3.0, columns, "webhook"))
    assert json.loads(encoded)["columns"] == convex_to_json(columns)


@pytest.mark.parametrize("name", ["é", "$x", "\n", "x" * 1025, 17])
def test_name_that_convex_cannot_hold(name: Any) -> None:
    """A team's column with a name that Convex refuses raises ValueError."""
    with pytest.raises(ValueError, match=r"[Ff]ield name|keys"):
        encode(Upsert("user_1", 2.0, 3.0, {name: 1.0}, "webhook"))


class Colour(enum.Enum):
    RED = 1


@pytest.mark.parametrize(
    "value",
    [
        datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
        decimal.Decimal(1),
        uuid.UUID(int=1),
        Colour.RED,
        2**60,
        {"$a": 1},
        "\ud800",
        {1, 2},
        {"deep": [{"down": object()}]},
    ],
)
def test_column_that_convex_cannot_hold(value: Any) -> None:
    """The error names that column among valid ones."""
    columns = {"email": "a@b.example", "locale": "fr", "joined": value, "plan": 1.0}
    change = Upsert("user_1", 2.0, 3.0, columns, "webhook")
    assert refused_column(change) == "joined"
    columns["joined"] = None
    assert refused_column(change) is None
    assert refused_column(Delete("user_1", 3.0, "webhook")) is None


@pytest.mark.parametrize("value", [{"é": 1.0}, {"$x": 1.0}, object(), "\ud800", 2**64])
def test_value_that_convex_cannot_hold(value: object) -> None:
    """A team's column with a value that Convex cannot hold raises ValueError or TypeError, nothing else."""
    change = Upsert("user_1", 2.0, 3.0, {"extra": value}, "webhook")  # type: ignore[dict-item]
    with pytest.raises((ValueError, TypeError)):
        encode(change)


def test_outcomes() -> None:
    """These are all the outcomes that `users:syncUsers` returns."""
    assert {"created", "updated", "unchanged", "stale", "deleted", "tombstoned", "ignored"} == OUTCOMES


def test_a_column_that_is_left_out_is_unset() -> None:
    """Also one that the change does not name: what Convex has of it must go."""
    change = Upsert("user_1", 2.0, 3.0, {"phone": "+15550100", "status": "active"}, "webhook")
    assert json.loads(encode(change, {"phone", "email"}))["columns"] == {
        "phone": None,
        "email": None,
        "status": "active",
    }
    assert b"columns" not in encode(SignIn("user_1", 3.0, "webhook"), {"phone"})
