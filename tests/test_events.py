from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clerk_convex.changes import Delete, Upsert
from clerk_convex.errors import EventError, UserError
from clerk_convex.events import Ignored, read_event
from clerk_convex.users import read_user
from tests.clerk_events import CREATED, DATA, EVENTS, INSTANCE_ID, UPDATED, USER, body, documents, gone, users

OBSERVED = UPDATED + 250
USERS = {"user.created", "user.updated", "user.deleted", "session.created"}


def test_all_types_are_here() -> None:
    """There is an example of each of the 45 types of Clerk's specification."""
    assert len(EVENTS) == 45


@pytest.mark.parametrize("kind", EVENTS)
def test_every_type(kind: str) -> None:
    """Every type of event is a change of its user, or ignored: none is an error."""
    change = read_event(EVENTS[kind], event_id="msg_1", instance_id=INSTANCE_ID)
    if kind in USERS:
        assert isinstance(change, (Upsert, Delete))
        assert change.clerk_id == "user_quince"
        assert (change.source, change.event_id, change.actor) == ("webhook", "msg_1", None)
    else:
        assert change == Ignored(kind)


@pytest.mark.parametrize("kind", ["user.created", "user.updated"])
def test_upsert(kind: str) -> None:
    """user.created and user.updated are the same upsert, observed when the envelope says."""
    assert read_event(body(kind, USER)) == Upsert(
        "user_quince", UPDATED, OBSERVED, read_user(USER).columns, "webhook"
    )


def test_delete() -> None:
    """user.deleted has no updatedAt: it is ordered by when Clerk sent it."""
    assert read_event(body("user.deleted"), event_id="msg_1") == Delete(
        "user_quince", OBSERVED, "webhook", "msg_1"
    )


def test_sign_in() -> None:
    """session.created brings its user, observed at 0: at an equal updatedAt it overwrites nothing."""
    assert read_event(body("session.created")) == Upsert(
        "user_quince", UPDATED, 0.0, read_user(USER).columns, "webhook"
    )


@pytest.mark.parametrize("data", [{"id": "sess_1"}, {"user": None}, [], "session"])
def test_sign_in_without_user(data: object) -> None:
    """A session without its user is ignored; its JavaScript type says that it may be null."""
    assert read_event(body("session.created", data)) == Ignored("session.created")


@pytest.mark.parametrize("kind", [*sorted(set(DATA) - USERS), "user.banned", "", "user.created "])
def test_other_types_are_never_looked_into(kind: str) -> None:
    """Whatever an event of another type holds, it is ignored: Clerk adds types and fields often."""
    anything: list[object] = [None, "x", {}, [USER]]
    for data in anything:
        event = json.dumps({"type": kind, "data": data, "timestamp": "soon"}).encode()
        assert read_event(event) == Ignored(kind)


@pytest.mark.parametrize(
    ("timestamp", "expected"),
    [(OBSERVED, OBSERVED), (1_750_000_000, CREATED), (None, 0), ("soon", 0), (True, 0), ([], 0)],
)
def test_observed_at(timestamp: object, expected: float) -> None:
    """The envelope's timestamp, in milliseconds or seconds; 0 if it is missing or none."""
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
    """An event that names no instance passes: older ones do not, and the signature is the instance's."""
    event = json.dumps({"type": "user.deleted", "data": {"id": "user_1"}}).encode()
    assert isinstance(read_event(event, instance_id=INSTANCE_ID), Delete)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ([b"", b"x", b"{", b"\xff", b"NaN"], "is not JSON"),
        ([b"[]", b"17", b"null", b'"user.created"', b"{}", b'{"type": 17}'], "has no type"),
    ],
)
def test_not_an_event(texts: list[bytes], said: str) -> None:
    """What is not JSON, or has no type, is an EventError that says so."""
    for text in texts:
        with pytest.raises(EventError, match=said):
            read_event(text)


@pytest.mark.parametrize("kind", sorted(USERS))
@pytest.mark.parametrize("data", [[], "x", 17, {"id": None, "user": {}}, {"user": {"id": 17}}])
def test_user_that_cannot_be_read(kind: str, data: object) -> None:
    """An event of a user who cannot be read is a UserError; a session that has none is ignored."""
    if kind == "session.created" and not isinstance(data, dict):
        return
    with pytest.raises(UserError):
        read_event(body(kind, data))


def test_deletion_without_id() -> None:
    """The specification does not require a deletion's id: without it there is nothing to do but say so."""
    with pytest.raises(UserError, match="no id"):
        read_event(body("user.deleted", gone("user", "")))


def test_columns_of_a_team() -> None:
    """A team's columns come with every upsert, so that no event erases what another wrote."""
    for kind in ("user.created", "user.updated", "session.created"):
        change = read_event(body(kind), fields=lambda user: {"locale": "fr"})
        assert isinstance(change, Upsert)
        assert change.columns["locale"] == "fr"


@given(st.sampled_from(sorted(USERS)), users | documents | st.fixed_dictionaries({"user": users}), documents)
def test_nothing_else_is_raised(kind: str, data: Any, timestamp: Any) -> None:
    """Whatever JSON comes as an event, it is a change, ignored, an EventError or a UserError."""
    try:
        change = read_event(body(kind, data, timestamp=timestamp))
    except (EventError, UserError):
        return
    assert isinstance(change, (Upsert, Delete, Ignored))


@given(documents | st.binary())
def test_nothing_else_is_raised_for_any_body(content: Any) -> None:
    """Whatever comes as a body, it is a change, ignored, an EventError or a UserError."""
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    try:
        change = read_event(text)
    except (EventError, UserError):
        return
    assert isinstance(change, Ignored)
