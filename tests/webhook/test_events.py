from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clerk_convex.entities.changes import Delete, SignIn, Upsert
from clerk_convex.entities.users import read_user
from clerk_convex.errors import EventError, UserError
from clerk_convex.webhook.events import Ignored
from tests.support.clerk_events import (
    CREATED,
    DATA,
    EVENTS,
    INSTANCE_ID,
    UPDATED,
    USER,
    body,
    documents,
    gone,
    read_event,
    users,
)
from tests.support.functions import Functions

OBSERVED = UPDATED + 250
USERS = {"user.created", "user.updated", "user.deleted", "session.created"}


def test_all_types_are_here() -> None:
    """There is an example of each of the 45 types of Clerk's specification."""
    assert len(EVENTS) == 45


@pytest.mark.parametrize("kind", EVENTS)
def test_every_type(kind: str) -> None:
    """Every type of event becomes a change of its user or is ignored. None is an error."""
    change = read_event(EVENTS[kind], event_id="msg_1", instance_id=INSTANCE_ID)
    if kind in USERS:
        assert isinstance(change, (Upsert, Delete))
        assert change.clerk_id == "user_quince"
        assert (change.source, change.event_id, change.actor) == ("webhook", "msg_1", None)
    else:
        assert change == Ignored(kind)


@pytest.mark.parametrize("kind", ["user.created", "user.updated"])
def test_upsert(kind: str) -> None:
    """user.created and user.updated become the same upsert, with the envelope's timestamp as observedAt."""
    assert read_event(body(kind, USER)) == Upsert(
        "user_quince", UPDATED, OBSERVED, read_user(USER).columns, "webhook"
    )


def test_delete() -> None:
    """user.deleted has no updatedAt. Its order follows from the time when Clerk sent it."""
    assert read_event(body("user.deleted"), event_id="msg_1") == Delete(
        "user_quince", OBSERVED, "webhook", "msg_1"
    )


def test_sign_in() -> None:
    """session.created becomes an upsert of its user with observedAt 0: at an equal updatedAt it replaces
    nothing."""
    assert read_event(body("session.created")) == Upsert(
        "user_quince", UPDATED, 0.0, read_user(USER).columns, "webhook"
    )


def test_lock_ends_after_the_event() -> None:
    """Clerk counts the seconds of a lock from its observation, the envelope's timestamp."""
    locked = USER | {"locked": True, "lockout_expires_in_seconds": 3600}
    change = read_event(body("user.updated", locked))
    assert isinstance(change, Upsert)
    assert change.columns["lockedUntil"] == OBSERVED + 3_600_000
    for unknown in (body("session.created", {"user": locked}), body("user.updated", locked, timestamp=None)):
        change = read_event(unknown)
        assert isinstance(change, Upsert)
        assert "lockedUntil" not in change.columns


PARTIAL = {
    "id": "user_ses1",
    "object": "user",
    "first_name": "Sue",
    "last_name": "Ng",
    "email_addresses": [],
    "primary_email_address_id": "idn_1",
    "phone_numbers": [],
    "public_metadata": {},
    "banned": False,
    "locked": False,
    "created_at": 1_700_000_000_000,
    "updated_at": 1_700_000_000_005,
    "last_sign_in_at": 1_700_000_000_004,
}


@pytest.mark.parametrize(
    "user",
    [
        PARTIAL,
        PARTIAL | {"phone_numbers": None, "primary_email_address_id": None},
        PARTIAL | {"primary_email_address_id": None, "primary_phone_number_id": "idn_2"},
        {"id": "user_ses1", "last_sign_in_at": 1_700_000_000},
    ],
)
def test_sign_in_of_a_partial_user(user: dict[str, Any]) -> None:
    """An embedded user whose primary address is missing becomes a sign-in."""

    def fields(user: object) -> Any:
        raise AssertionError("it is no user for a team's function")

    change = read_event(body("session.created", {"user": user}), event_id="msg_1", fields=fields)
    if "first_name" in user:
        assert change == SignIn("user_ses1", 1_700_000_000_004.0, "webhook", "msg_1")
    else:
        assert change == SignIn("user_ses1", 1_700_000_000_000.0, "webhook", "msg_1")


@pytest.mark.parametrize(
    ("user", "reason"),
    [
        (PARTIAL | {"last_sign_in_at": None}, "no last_sign_in_at"),
        (PARTIAL | {"id": None}, "no id of the user who signed in"),
        ({}, "no id of the user who signed in"),
        (17, "no id of the user who signed in"),
        ([PARTIAL], "no id of the user who signed in"),
    ],
)
def test_sign_in_without_an_id_or_a_time(user: object, reason: str) -> None:
    """It can never be applied, so it is ignored with a reason. Other events bring the user's data."""
    change = read_event(body("session.created", {"user": user}))
    assert isinstance(change, Ignored)
    assert reason in str(change.reason)


@pytest.mark.parametrize("kind", ["user.created", "user.updated"])
def test_partial_user_in_other_events(kind: str) -> None:
    """user.created and user.updated are upserts all the same: Clerk's examples have primary ids with empty
    lists."""
    change = read_event(body(kind, PARTIAL))
    assert isinstance(change, Upsert)
    assert change.columns["email"] is None


@pytest.mark.parametrize("data", [{"id": "sess_1"}, {"user": None}, [], "session"])
def test_sign_in_without_user(data: object) -> None:
    """A session without its user is ignored; its JavaScript type says that it may be null."""
    assert read_event(body("session.created", data)) == Ignored("session.created")


@pytest.mark.parametrize("kind", [*sorted(set(DATA) - USERS), "user.banned", "", "user.created "])
def test_other_types_are_not_read(kind: str) -> None:
    """An event of another type is ignored, whatever it contains, because Clerk often adds types and
    fields."""
    anything: list[object] = [None, "x", {}, [USER]]
    for data in anything:
        event = json.dumps({"type": kind, "data": data, "timestamp": "soon"}).encode()
        assert read_event(event) == Ignored(kind)


@pytest.mark.parametrize(
    ("timestamp", "expected"),
    [(OBSERVED, OBSERVED), (1_750_000_000, CREATED), (None, 0), ("soon", 0), (True, 0), ([], 0)],
)
def test_observed_at(timestamp: object, expected: float) -> None:
    """It is the envelope's timestamp, in milliseconds or seconds, and 0 if that is missing or malformed."""
    change = read_event(body("user.updated", timestamp=timestamp))
    assert isinstance(change, Upsert)
    assert change.observed_at == expected


def test_no_timestamp() -> None:
    """An envelope without a timestamp is observed at 0."""
    change = read_event(json.dumps({"type": "user.deleted", "data": {"id": "user_1"}}).encode())
    assert change == Delete("user_1", 0.0, "webhook")


def test_other_instance() -> None:
    """With CLERK_INSTANCE_ID the events of another instance are refused, whatever their type."""
    for kind in EVENTS:
        with pytest.raises(EventError, match="CLERK_INSTANCE_ID"):
            read_event(body(kind, instance_id="ins_other"), instance_id=INSTANCE_ID)
    assert isinstance(read_event(body("user.deleted", instance_id="ins_other")), Delete)


def test_event_without_instance() -> None:
    """An event without an instance id is accepted: older events have none, and the signature proves the
    instance."""
    event = json.dumps({"type": "user.deleted", "data": {"id": "user_1"}}).encode()
    assert isinstance(read_event(event, instance_id=INSTANCE_ID), Delete)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ([b"[" * 100_000, b"", b"x", b"{", b"\xff", b"NaN"], "is not JSON"),
        ([b"[]", b"17", b"null", b'"user.created"', b"{}", b'{"type": 17}'], "has no type"),
    ],
)
def test_not_an_event(texts: list[bytes], said: str) -> None:
    """A body that is not JSON, or has no type, is an EventError that says so."""
    for text in texts:
        with pytest.raises(EventError, match=said):
            read_event(text)


@pytest.mark.parametrize("kind", ["user.created", "user.updated"])
@pytest.mark.parametrize("data", [[], "x", 17, {"id": None}, {"id": "user_1"}])
def test_user_that_cannot_be_read(kind: str, data: object) -> None:
    """A created or updated user that cannot be read is a UserError, because an upgrade may be able to read
    it."""
    with pytest.raises(UserError) as caught:
        read_event(body(kind, data))
    assert caught.value.clerk_id == ("user_1" if data == {"id": "user_1"} else None)


@pytest.mark.parametrize(
    "data",
    [gone("user", ""), {"object": "user", "deleted": True}, {"id": None}, {"id": "\ud800"}, [], "x"],
)
def test_deletion_without_id(data: object) -> None:
    """The specification does not require the id of a deletion. Without it the event is ignored with a
    reason."""
    change = read_event(body("user.deleted", data))
    assert isinstance(change, Ignored)
    assert change.type == "user.deleted"
    assert "no id of the deleted user" in str(change.reason)


@pytest.mark.parametrize("kind", ["user.created", "user.updated", "session.created"])
def test_function_of_a_team_that_fails(kind: str) -> None:
    """The event may succeed once the function is fixed, so it is a UserError with the user's id."""

    def fields(user: object) -> Any:
        raise RuntimeError("s3cret")

    with pytest.raises(UserError, match="RuntimeError") as caught:
        read_event(body(kind), fields=fields)
    assert caught.value.clerk_id == "user_quince"


def test_columns_of_a_team() -> None:
    """A team's columns are in every upsert, so that no event removes the values of another."""
    for kind in ("user.created", "user.updated", "session.created"):
        change = read_event(body(kind), fields=lambda user: {"locale": "fr"})
        assert isinstance(change, Upsert)
        assert change.columns["locale"] == "fr"


@given(st.sampled_from(sorted(USERS)), users | documents | st.fixed_dictionaries({"user": users}), documents)
def test_nothing_else_is_raised(kind: str, data: Any, timestamp: Any) -> None:
    """Any JSON in an event becomes a change, is ignored, or raises EventError or UserError."""
    try:
        change = read_event(body(kind, data, timestamp=timestamp))
    except (EventError, UserError):
        return
    assert isinstance(change, (Upsert, Delete, SignIn, Ignored))


@given(documents | st.binary())
def test_nothing_else_is_raised_for_any_body(content: Any) -> None:
    """Any body becomes a change, is ignored, or raises EventError or UserError."""
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    try:
        change = read_event(text)
    except (EventError, UserError):
        return
    assert isinstance(change, Ignored)


def test_convex_accepts_each_kind_of_change(functions: Functions) -> None:
    """A sign-in sets its time, and a lock has its end."""
    whole = PARTIAL | {
        "email_addresses": [{"id": "idn_1", "email_address": "sue@example.com"}],
        "public_metadata": {"role": "admin"},
        "updated_at": 1_700_000_000_000,
        "last_sign_in_at": None,
    }

    def apply(kind: str, data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        change = read_event(body(kind, data, timestamp=data.get("updated_at", 1_700_000_000_005)))
        assert not isinstance(change, Ignored)
        (outcome,) = functions.sync([change])
        return outcome, functions.rows().get("user_ses1", {})

    assert apply("session.created", {"user": PARTIAL}) == ("ignored", {})
    assert apply("user.created", whole)[0] == "created"
    outcome, row = apply("session.created", {"user": PARTIAL})
    assert (outcome, row["email"], row["lastSignInAt"]) == ("updated", "sue@example.com", 1_700_000_000_004.0)
    locked = {"locked": True, "lockout_expires_in_seconds": 4_000_000_000, "updated_at": 1_700_000_000_010}
    outcome, row = apply("user.updated", whole | locked)
    assert (outcome, row["status"]) == ("updated", "locked")
    assert row["lockedUntil"] == 1_700_000_000_010 + 4_000_000_000_000
    removed = whole | locked | {"deprovisioned": True, "updated_at": 1_700_000_000_020}
    outcome, row = apply("user.updated", removed)
    assert (outcome, row["status"], row.get("lockedUntil")) == ("updated", "deprovisioned", None)
    outcome, _ = apply("user.deleted", {"id": "user_ses1", "deleted": True})
    assert outcome == "deleted"
    assert apply("session.created", {"user": PARTIAL})[0] == "tombstoned"
