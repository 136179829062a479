import json
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from svix.webhooks import Webhook

from clerk_convex.errors import LocalError
from clerk_convex.local.clerk import Faults, LocalClerk
from clerk_convex.local.clerk.instance import SUBSCRIBED, ClerkInstance
from clerk_convex.local.clerk.objects import MAX_DEPTH, ClerkRefusal
from clerk_convex.local.listener import listen
from clerk_convex.webhook.events import Ignored
from tests.support.clerk_events import read_event
from tests.support.functions import ROOT
from tests.support.webhook_receiver import Receiver

# The lists `required` of the schemas in Clerk's specification of 2026-05-12.
USER = [
    "id",
    "object",
    "username",
    "first_name",
    "last_name",
    "has_image",
    "primary_email_address_id",
    "primary_phone_number_id",
    "primary_web3_wallet_id",
    "password_enabled",
    "two_factor_enabled",
    "totp_enabled",
    "backup_code_enabled",
    "email_addresses",
    "phone_numbers",
    "web3_wallets",
    "passkeys",
    "external_accounts",
    "saml_accounts",
    "enterprise_accounts",
    "public_metadata",
    "external_id",
    "last_sign_in_at",
    "banned",
    "locked",
    "lockout_expires_in_seconds",
    "verification_attempts_remaining",
    "created_at",
    "updated_at",
    "delete_self_enabled",
    "create_organization_enabled",
    "last_active_at",
    "mfa_enabled_at",
    "mfa_disabled_at",
    "legal_accepted_at",
]
SESSION = [
    "object",
    "id",
    "user_id",
    "client_id",
    "status",
    "last_active_at",
    "expire_at",
    "abandon_at",
    "updated_at",
    "created_at",
]
EMAIL_ADDRESS = [
    "id",
    "object",
    "email_address",
    "verification",
    "linked_to",
    "reserved",
    "created_at",
    "updated_at",
]

Events = list[dict[str, Any]]


@pytest.fixture
def clerk() -> ClerkInstance:
    """An instance that is not started, because users need no threads."""
    return ClerkInstance()


@pytest.fixture
def events(clerk: ClerkInstance, monkeypatch: pytest.MonkeyPatch) -> Events:
    """The events that the local Clerk sends, in order."""
    sent: Events = []
    clerk.webhooks.add_endpoint("http://127.0.0.1:9/")
    monkeypatch.setattr(clerk.webhooks, "send", lambda body: sent.append(json.loads(body)))
    return sent


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Make threads switch as often as possible, so that a missing lock is found."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def test_a_user_has_all_that_clerk_requires(clerk: ClerkInstance) -> None:
    """Every required field of the specification, an id like Clerk's, times in milliseconds."""
    user = clerk.create_user(
        email_address=["ada@example.com"], phone_number=["+15550001"], web3_wallet=["0x1"]
    )
    assert set(USER) <= user.keys()
    assert re.fullmatch(r"user_[0-9A-Za-z]{27}", user["id"])
    assert abs(user["created_at"] - time.time() * 1000) < 60_000
    assert user["created_at"] == user["updated_at"]
    assert set(EMAIL_ADDRESS) <= user["email_addresses"][0].keys()
    assert user["primary_email_address_id"] == user["email_addresses"][0]["id"]
    assert user["email_addresses"][0]["verification"]["status"] == "verified"
    assert user["primary_phone_number_id"] == user["phone_numbers"][0]["id"]
    assert user["primary_web3_wallet_id"] == user["web3_wallets"][0]["id"]
    assert "linked_to" not in user["web3_wallets"][0]


def test_fields_are_taken_as_they_are(clerk: ClerkInstance) -> None:
    """Unknown fields, odd verifications and an unknown primary id: whatever a test needs."""
    user = clerk.create_user(
        email_address=[
            "a@example.com",
            {"email_address": "b@example.com", "id": "idn_b", "verification": None},
        ],
        phone_number=[],
        primary_email_address_id="idn_b",
        next_years_field=[1],
        created_at=1,
        updated_at=2,
    )
    assert [item["email_address"] for item in user["email_addresses"]] == ["a@example.com", "b@example.com"]
    assert user["email_addresses"][1]["verification"] is None
    assert user["primary_email_address_id"] == "idn_b"
    assert user["primary_phone_number_id"] is None
    assert (user["next_years_field"], user["created_at"], user["updated_at"]) == ([1], 1, 2)


def test_a_seed_repeats_ids() -> None:
    """The same calls make the same ids. Another seed makes others."""
    first, same, other = (ClerkInstance(seed=seed).create_user()["id"] for seed in (1, 1, 2))
    assert first == same != other


def test_returned_objects_are_copies(clerk: ClerkInstance) -> None:
    """Changes of given or returned objects do not change the stored ones."""
    given = {"list": [1]}
    user = clerk.create_user(public_metadata=given)
    given["list"].append(2)
    user["public_metadata"]["list"].append(3)
    clerk.users()[0]["public_metadata"]["list"].append(4)
    assert clerk.get_user(user["id"])["public_metadata"] == {"list": [1]}
    assert clerk.update_user(user["id"], first_name="Ada")["public_metadata"] == {"list": [1]}


def test_every_change_has_a_later_updated_at(clerk: ClerkInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the clock stands still or goes back."""
    user = clerk.create_user()
    seen = [user["updated_at"]]
    for nanoseconds in (time.time_ns(), 0, 0):
        monkeypatch.setattr(time, "time_ns", lambda now=nanoseconds: now)
        seen.append(clerk.update_user(user["id"], first_name="x")["updated_at"])
        seen.append(clerk.ban(user["id"])["updated_at"])
    assert seen == sorted(set(seen))
    assert clerk.create_user()["created_at"] >= user["created_at"]


def test_changes_send_events(clerk: ClerkInstance, events: Events) -> None:
    """Each sends one event with Clerk's envelope, and with the user as the Backend API shows it."""
    user = clerk.create_user(first_name="Ada", external_id="7")
    user_id = user["id"]
    states = [
        user,
        clerk.update_user(user_id, first_name="Grace", email_address=["grace@example.com"]),
        clerk.ban(user_id),
        clerk.unban(user_id),
        clerk.lock(user_id),
        clerk.unlock(user_id),
        clerk.update_metadata(user_id, public_metadata={"role": "admin"}),
    ]
    assert [event["type"] for event in events] == ["user.created"] + ["user.updated"] * 6
    assert [event["data"] for event in events] == states
    assert [(state["banned"], state["locked"]) for state in states[2:6]] == [
        (True, False),
        (False, False),
        (False, True),
        (False, False),
    ]
    for event in events:
        assert event["object"] == "event"
        assert event["instance_id"] == clerk.instance_id
        assert event["timestamp"] == event["data"]["updated_at"]
        assert event["event_attributes"]["http_request"].keys() == {"client_ip", "user_agent"}


def test_a_deletion_sends_an_event_and_is_final(clerk: ClerkInstance, events: Events) -> None:
    """The event has the id, and the external id only if there was one. The identifiers are free again."""
    plain, legacy = clerk.create_user(), clerk.create_user(external_id="7", username="ada")
    deleted = [clerk.delete_user(user["id"]) for user in (plain, legacy)]
    assert deleted == [
        {"id": plain["id"], "object": "user", "deleted": True},
        {"id": legacy["id"], "object": "user", "deleted": True, "external_id": "7"},
    ]
    assert [(event["type"], event["data"]) for event in events[2:]] == [
        ("user.deleted", it) for it in deleted
    ]
    assert events[3]["timestamp"] > legacy["updated_at"]
    assert clerk.count == 0
    assert clerk.users() == []
    clerk.create_user(external_id="7", username="Ada")


def test_a_sign_in_sends_an_event_with_the_user(clerk: ClerkInstance, events: Events) -> None:
    """The user in the event has a later last_sign_in_at and the same updated_at."""
    user = clerk.create_user()
    first, second = clerk.sign_in(user["id"]), clerk.sign_in(user["id"])
    assert first.keys() == set(SESSION) | {"actor", "last_active_organization_id", "latest_activity"}
    assert (first["status"], first["user_id"]) == ("active", user["id"])
    assert [event["type"] for event in events[1:]] == ["session.created"] * 2
    embedded = [event["data"].pop("user") for event in events[1:]]
    assert [event["data"] for event in events[1:]] == [first, second]
    assert embedded[0]["last_sign_in_at"] == first["created_at"] < embedded[1]["last_sign_in_at"]
    assert embedded[1] == clerk.get_user(user["id"])
    assert embedded[1]["updated_at"] == user["updated_at"]
    assert embedded[1]["last_active_at"] % 86_400_000 == 0


def test_sessions_are_kept(clerk: ClerkInstance) -> None:
    """They are found by user, browser and status, the newest first. Returned objects are copies."""
    ada, bob = clerk.create_user()["id"], clerk.create_user()["id"]
    first = clerk.sign_in(ada)
    second = clerk.sign_in(ada, client_id=first["client_id"])
    third = clerk.sign_in(bob, status="pending")
    assert first["client_id"] == second["client_id"] != third["client_id"]
    assert [clerk.get_session(it["id"]) for it in (first, second, third)] == [first, second, third]
    assert clerk.sessions() == [third, second, first]
    assert clerk.sessions(user_id=ada) == clerk.sessions(client_id=first["client_id"]) == [second, first]
    assert clerk.sessions(user_id=bob, client_id=first["client_id"]) == []
    assert clerk.sessions(status="pending") == [third]
    assert clerk.sessions(user_id="user_nobody") == []
    for copy in (first, clerk.get_session(first["id"]), clerk.sessions()[-1]):
        copy["status"] = "ended"
    assert clerk.get_session(first["id"])["status"] == "active"
    for method in (clerk.get_session, clerk.revoke_session, clerk.remove_session):
        with pytest.raises(ClerkRefusal, match="No session was found") as caught:
            method("sess_nothing")
        assert caught.value.status == 404


def test_the_end_of_a_session_sends_an_event(clerk: ClerkInstance, events: Events) -> None:
    """A session is revoked or removed once, with the user in the event as in Clerk's. The user's other
    sessions stay."""
    clerk.events = None
    user = clerk.create_user()
    sessions = [clerk.sign_in(user["id"]) for _ in range(2)]
    pending = clerk.sign_in(user["id"], status="pending")
    other = clerk.sign_in(user["id"])
    ended = [
        clerk.revoke_session(sessions[0]["id"]),
        clerk.remove_session(sessions[1]["id"]),
        clerk.remove_session(pending["id"]),
    ]
    assert [session["status"] for session in ended] == ["revoked", "removed", "removed"]
    assert ended[0]["updated_at"] > sessions[0]["updated_at"]
    assert [clerk.get_session(it["id"]) for it in ended] == ended
    assert clerk.revoke_session(ended[1]["id"]) == ended[1]
    assert clerk.remove_session(ended[0]["id"]) == ended[0]
    kinds = ["created", "created", "pending", "created", "revoked", "removed", "removed"]
    assert [event["type"] for event in events[1:]] == [f"session.{kind}" for kind in kinds]
    assert [event["data"].pop("user") for event in events[5:]] == [clerk.get_user(user["id"])] * 3
    assert [event["data"] for event in events[5:]] == ended
    assert clerk.sessions(status="active") == [other]


def test_a_ban_revokes_sessions(clerk: ClerkInstance, events: Events) -> None:
    """Only the user's sessions, after the user.updated of the ban. A lock revokes none."""
    clerk.events = None
    ada, bob = clerk.create_user()["id"], clerk.create_user()["id"]
    sessions = [clerk.sign_in(user_id) for user_id in (ada, ada, bob)]
    clerk.remove_session(sessions[0]["id"])
    clerk.lock(ada)
    assert clerk.get_session(sessions[1]["id"])["status"] == "active"
    clerk.ban(ada)
    clerk.update_user(ada, first_name="Ada")  # still banned
    assert [clerk.get_session(it["id"])["status"] for it in sessions] == ["removed", "revoked", "active"]
    kinds = ["user.updated", "user.updated", "session.revoked", "user.updated"]
    assert [event["type"] for event in events[6:]] == kinds
    assert events[8]["data"]["user"]["banned"] is True
    clerk.unban(ada)
    assert clerk.get_session(sessions[1]["id"])["status"] == "revoked"


def test_a_directory_removes_a_user_and_adds_them_again(clerk: ClerkInstance, events: Events) -> None:
    """user.updated has the state. The sessions are revoked, and no new one can be created."""
    clerk.events = None
    user = clerk.create_user(first_name="Dee")
    session = clerk.sign_in(user["id"])
    gone = clerk.deprovision(user["id"])
    assert gone == clerk.get_user(user["id"])
    assert gone["deprovisioned"] is True
    assert gone["updated_at"] > user["updated_at"]
    assert clerk.get_session(session["id"])["status"] == "revoked"
    with pytest.raises(ClerkRefusal, match="deprovisioned according to their external identity") as caught:
        clerk.sign_in(user["id"])
    assert (caught.value.status, caught.value.error["code"]) == (400, "deprovisioned")
    assert [event["type"] for event in events[2:]] == ["user.updated", "session.revoked"]
    scim = events[2]["data"].pop("scim")
    assert events[2]["data"] == gone
    assert scim.keys() == {"directory_id", "directory_enabled", "external_id"}
    assert "scim" not in events[3]["data"]["user"]
    back = clerk.reprovision(user["id"])
    assert back["deprovisioned"] is False
    assert events[4]["data"] == {**back, "scim": scim}
    clerk.deprovision(user["id"])
    assert events[5]["data"]["scim"] == scim
    given = {"directory_id": "dir_1", "external_id": "7"}
    managed = clerk.create_user(scim=given)
    assert "scim" not in managed
    assert events[-1]["data"] == {**managed, "scim": given}
    clerk.update_user(managed["id"], first_name="Mia")
    assert events[-1]["data"]["scim"] == given
    clerk.sign_in(managed["id"])
    assert "scim" not in events[-1]["data"]["user"]


def test_a_partial_user_in_a_sign_in(clerk: ClerkInstance, events: Events) -> None:
    """On request the event's user has ids of primary addresses and no addresses, as in Clerk's example."""
    user = clerk.create_user(email_address=["ada@example.com"], phone_number=["+1"])
    clerk.sign_in(user["id"], partial=True)
    now = clerk.get_user(user["id"])
    assert events[1]["data"]["user"] == {
        **now,
        "email_addresses": [],
        "phone_numbers": [],
        "web3_wallets": [],
    }
    assert now["email_addresses"] == user["email_addresses"]
    assert events[1]["data"]["user"]["primary_email_address_id"] == user["primary_email_address_id"]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Return a function that moves the machine's clock forward by seconds."""
    start = time.time_ns()

    def move(seconds: float) -> None:
        monkeypatch.setattr(time, "time_ns", lambda: start + int(seconds * 1e9))

    move(0)
    return move


def test_a_lock_ends_by_itself(clerk: ClerkInstance, events: Events, clock: Callable[[float], None]) -> None:
    """It counts down whatever else changes. Its end is neither an event nor a change."""
    user_id = clerk.create_user()["id"]
    assert clerk.lock(user_id, seconds=90.5)["lockout_expires_in_seconds"] == 91
    clock(30)
    renamed = clerk.update_user(user_id, first_name="Ada")
    assert (renamed["locked"], renamed["lockout_expires_in_seconds"]) == (True, 61)
    assert events[-1]["data"] == renamed
    clock(50)
    clerk.sign_in(user_id)  # the Backend API allows this
    assert events[-1]["data"]["user"]["lockout_expires_in_seconds"] == 41
    (listed,) = clerk.users()
    assert listed == clerk.get_user(user_id)
    assert listed["verification_attempts_remaining"] == 0
    clock(91)
    (free,) = clerk.users()
    assert free == clerk.get_user(user_id)
    assert free == listed | {
        "locked": False,
        "lockout_expires_in_seconds": None,
        "verification_attempts_remaining": 100,
    }
    assert len(events) == 4
    renamed = clerk.update_user(user_id, first_name="Grace")
    assert (renamed["locked"], renamed["lockout_expires_in_seconds"]) == (False, None)
    clerk.lock(user_id, seconds=10)
    assert clerk.unlock(user_id)["locked"] is False
    clock(9_000)
    assert clerk.get_user(user_id)["updated_at"] == events[-1]["data"]["updated_at"]


def test_duration_of_a_lock(clerk: ClerkInstance, clock: Callable[[float], None]) -> None:
    """It is set for the instance, by default an hour. None has no end. A later lock starts again."""
    user_id = clerk.create_user()["id"]
    assert clerk.lock(user_id)["lockout_expires_in_seconds"] == 3600
    clock(60)
    assert clerk.lock(user_id)["lockout_expires_in_seconds"] == 3600
    clerk.lockout_seconds = None
    assert clerk.lock(user_id)["lockout_expires_in_seconds"] is None
    clock(10**9)
    assert clerk.get_user(user_id)["locked"] is True
    given = clerk.create_user(locked=True, lockout_expires_in_seconds=5)
    assert given["lockout_expires_in_seconds"] == 5
    clock(10**9 + 6)
    assert clerk.get_user(given["id"])["locked"] is False
    assert clerk.create_user(locked=True)["lockout_expires_in_seconds"] is None


def test_a_deletion_ends_sessions(clerk: ClerkInstance, events: Events) -> None:
    """Before the user is deleted, so that their events still have the user."""
    clerk.events = None
    user = clerk.create_user()
    session = clerk.sign_in(user["id"])
    clerk.delete_user(user["id"])
    assert [event["type"] for event in events[2:]] == ["session.ended", "user.deleted"]
    assert events[2]["data"]["user"]["id"] == user["id"]
    assert clerk.get_session(session["id"])["status"] == "ended"


def test_only_selected_events_are_sent(clerk: ClerkInstance, events: Events) -> None:
    """By default those that the guide to go live selects."""
    user = clerk.create_user()
    for _ in range(2):
        clerk.revoke_session(clerk.sign_in(user["id"])["id"])
        clerk.events = {"session.revoked"}
    clerk.delete_user(user["id"])
    assert [event["type"] for event in events] == ["user.created", "session.created", "session.revoked"]
    guide = (ROOT / "docs/guides/go-live.md").read_text()
    assert all(f"`{kind}`" in guide for kind in SUBSCRIBED)


def test_ends_of_sessions_change_no_user(clerk: ClerkInstance, events: Events) -> None:
    """This project ignores each of those events."""
    clerk.events = None
    user_id = clerk.create_user()["id"]
    for end in (clerk.revoke_session, clerk.remove_session):
        end(clerk.sign_in(user_id)["id"])
    clerk.sign_in(user_id, status="pending")
    clerk.delete_user(user_id)
    ends = [event for event in events if event["type"].startswith("session.")]
    ignored = {"session.revoked", "session.removed", "session.pending", "session.ended"}
    assert ignored == {event["type"] for event in ends} - {"session.created"}
    for event in ends:
        if event["type"] in ignored:
            assert read_event(json.dumps(event).encode()) == Ignored(event["type"])


def test_without_an_endpoint_nothing_is_sent(clerk: ClerkInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    """A later endpoint does not get earlier events."""
    monkeypatch.setattr(clerk.webhooks, "send", lambda body: pytest.fail("sent"))
    clerk.create_user()


def test_metadata_is_merged_deeply(clerk: ClerkInstance) -> None:
    """Nested objects are merged, null removes a key at any level, any other value replaces."""
    user = clerk.create_user(
        public_metadata={"a": {"b": 1, "c": {"d": 2}}, "list": [1], "gone": 1}, private_metadata=None
    )
    merged = clerk.update_metadata(
        user["id"],
        public_metadata={
            "a": {"c": {"d": None, "e": 3}},
            "list": [2],
            "gone": None,
            "new": {"x": None, "y": 1},
        },
        private_metadata={"note": 1},
    )
    assert merged["public_metadata"] == {"a": {"b": 1, "c": {"e": 3}}, "list": [2], "new": {"y": 1}}
    assert merged["private_metadata"] == {"note": 1}
    merged = clerk.update_metadata(user["id"], public_metadata={"list": {"a": 1}, "never": None})
    assert merged["public_metadata"]["list"] == {"a": 1}
    replaced = clerk.update_metadata(user["id"], merge=False, public_metadata={"only": None})
    assert replaced["public_metadata"] == {"only": None}
    assert replaced["private_metadata"] == {"note": 1}


METADATA: list[Any] = [
    {"$x": 1, "_x": 2, "é": 3, "": 4},
    {"big": 2**53 + 1, "huge": 10**40, "tiny": 1e-300},
    {"surrogate": "\ud800", "\udfff": "Łukasz"},
    {"deep": json.loads("[" * 150 + "]" * 150)},
    {f"{number:x}": 0 for number in range(1_025)},  # more than a document of Convex may have
]


@pytest.mark.parametrize("metadata", METADATA)
def test_any_metadata_is_kept_and_sent(
    clerk: ClerkInstance, events: Events, metadata: dict[str, Any]
) -> None:
    """Also metadata that Convex would refuse, because Clerk accepts it."""
    user = clerk.create_user(public_metadata=metadata)
    clerk.sign_in(user["id"])
    assert clerk.get_user(user["id"])["public_metadata"] == metadata
    assert events[0]["data"]["public_metadata"] == metadata
    assert events[1]["data"]["user"]["public_metadata"] == metadata


def test_values_that_are_no_json_are_refused(clerk: ClerkInstance) -> None:
    """NaN, and values nested too deeply to be written. A refused change changes nothing."""
    user = clerk.create_user()
    deep: Any = {}
    for _ in range(10 * MAX_DEPTH):
        deep = {"down": deep}
    attempts: list[Callable[[], object]] = [
        lambda: clerk.update_user(user["id"], public_metadata={"x": float("nan")}),
        lambda: clerk.update_user(user["id"], public_metadata=deep),
        lambda: clerk.update_metadata(user["id"], public_metadata=deep),
        lambda: clerk.create_user(public_metadata=deep),
    ]
    for attempt in attempts:
        with pytest.raises(ValueError, match=r"deep|JSON"):
            attempt()
    assert clerk.users() == [user]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"email_address": ["a@example.com"]}, {"email_address": ["b@example.com", "A@example.com"]}),
        ({"phone_number": ["+1"]}, {"phone_number": ["+1"]}),
        ({"web3_wallet": ["0xA"]}, {"web3_wallet": ["0xa"]}),
        ({"username": "ada"}, {"username": "Ada"}),
        ({"external_id": "1"}, {"external_id": "1"}),
    ],
)
def test_no_two_users_share_an_identifier(
    clerk: ClerkInstance, first: dict[str, Any], second: dict[str, Any]
) -> None:
    """Neither by creation nor by a change, until the first user gives it up."""
    owner, other = clerk.create_user(**first), clerk.create_user(first_name="Other")
    attempts: list[Callable[[], object]] = [
        lambda: clerk.create_user(**second),
        lambda: clerk.update_user(other["id"], **second),
    ]
    for attempt in attempts:
        with pytest.raises(ClerkRefusal) as caught:
            attempt()
        assert (caught.value.status, caught.value.error["code"]) == (422, "form_identifier_exists")
    assert [clerk.get_user(user["id"]) for user in (owner, other)] == [owner, other]
    assert clerk.count == 2
    clerk.update_user(owner["id"], **first)  # the user's own
    clerk.update_user(
        owner["id"], **{key: [] if isinstance(value, list) else None for key, value in first.items()}
    )
    clerk.update_user(other["id"], **second)


def test_unknown_users_are_refused(clerk: ClerkInstance) -> None:
    """Every method raises Clerk's 404."""
    for method in (
        *(clerk.get_user, clerk.update_user, clerk.update_metadata, clerk.delete_user, clerk.sign_in),
        *(clerk.ban, clerk.unban, clerk.lock, clerk.unlock),
    ):
        with pytest.raises(ClerkRefusal, match="No user was found") as caught:
            method("user_nobody")
        assert caught.value.status == 404


def test_it_can_be_changed_from_many_threads(
    clerk: ClerkInstance, events: Events, hasty_threads: None
) -> None:
    """No change is lost, and events are sent in the order of their changes."""
    user = clerk.create_user()

    def work(number: int) -> None:
        for turn in range(20):
            mine = clerk.create_user(username=f"u{number}-{turn}")
            clerk.update_metadata(user["id"], public_metadata={f"{number}-{turn}": True})
            if turn % 2:
                clerk.delete_user(mine["id"])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clerk.count == len(clerk.users()) == 41
    assert len(clerk.get_user(user["id"])["public_metadata"]) == 80
    stamps = [event["timestamp"] for event in events if event["data"]["id"] == user["id"]]
    assert stamps == sorted(set(stamps))


def test_ten_thousand_users_take_seconds(clerk: ClerkInstance) -> None:
    """Creating them in any order takes seconds of processor time at worst, not minutes."""
    started = time.process_time()
    for number in range(10_000):
        clerk.create_user(email_address=[f"{number}@example.com"], created_at=number * 7919 % 10_000)
    assert time.process_time() - started < 30
    assert clerk.count == 10_000


def test_users_are_sorted_by_created_at(clerk: ClerkInstance) -> None:
    """The oldest first, also after created_at was changed."""
    ids = [clerk.create_user(created_at=at)["id"] for at in (2, 1, 3)]
    clerk.update_user(ids[2], created_at=0)
    assert [user["id"] for user in clerk.users()] == [ids[2], ids[1], ids[0]]


def test_a_change_reaches_a_receiver() -> None:
    """Over HTTP: signed with webhook_secret, and equal to the API's answer."""
    with Receiver() as receiver, LocalClerk(webhook_url=receiver.url) as clerk:
        user = clerk.create_user(first_name="Łukasz", public_metadata={"cut": "\ud83d"})
        assert clerk.webhooks.drain(60)
        (received,) = receiver.requests
        Webhook(clerk.webhook_secret).verify(received.body, received.headers)
        headers = {"authorization": f"Bearer {clerk.secret_key}"}
        answer = httpx.get(f"{clerk.url}/v1/users/{user['id']}", headers=headers, trust_env=False)
        assert json.loads(received.body)["data"] == answer.json() == user


def test_given_secrets_are_used() -> None:
    """Otherwise they are random and differ each time."""
    clerk = LocalClerk(secret_key="sk_live_x", webhook_secret="whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")
    assert (clerk.secret_key, clerk.rate_limit) == ("sk_live_x", 1000)
    assert clerk.webhook_secret == "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
    first, second = LocalClerk(), LocalClerk(rate_limit=5)
    assert first.secret_key.startswith("sk_test_")
    assert first.webhook_secret.startswith("whsec_")
    assert first.secret_key != second.secret_key
    assert first.webhook_secret != second.webhook_secret
    assert (first.rate_limit, second.rate_limit) == (100, 5)


def test_a_busy_port_is_reported() -> None:
    """The error names the port and the remedy."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        clerk = LocalClerk(port=port)
        with pytest.raises(LocalError, match=f"cannot listen on port {port} .*choose another port"):
            clerk.start()
        clerk.close()


def test_answers_are_sent_without_delay() -> None:
    """None waits for the client's delayed ACK: the listener has TCP_NODELAY, and connections inherit it."""
    with listen(0, "The local Clerk") as listener:
        assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


def test_it_closes_promptly_whatever_is_under_way(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """With delayed answers, an incomplete head, an idle connection or a hanging receiver, without output."""
    released = threading.Event()
    with Receiver() as receiver:
        receiver.answer = lambda received: 200 if released.wait(30) else 500
        clerk = LocalClerk(webhook_url=receiver.url)
        clerk.start()
        assert clerk.issuer == clerk.url
        clerk.create_user()
        address = ("127.0.0.1", int(clerk.url.rpartition(":")[2]))
        request = (
            f"GET /v1/users HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {clerk.secret_key}\r\n\r\n".encode()
        )
        with socket.create_connection(address), socket.create_connection(address) as half:
            half.sendall(b"POST /v1/users HTTP/1.1\r\nhost: x\r\nauthor")
            clerk.faults, clerk.frontend_faults = Faults(delay=60.0, times=5), Faults(delay=60.0, times=5)
            with socket.create_connection(address) as delayed, socket.create_connection(address) as page:
                delayed.sendall(request)
                page.sendall(b"GET /sign-in HTTP/1.1\r\nhost: x\r\n\r\n")
                while not receiver.requests or {clerk.faults.times, clerk.frontend_faults.times} != {4}:
                    time.sleep(0.001)
                started = time.monotonic()
                clerk.close()
                clerk.close()
                assert time.monotonic() - started < 10
        released.set()
    assert clerk.process.returncode is not None
    assert caplog.records == []
    assert capfd.readouterr().err == ""


def test_reset_empties_the_instance(clerk: ClerkInstance, events: Events) -> None:
    """Users, sessions and endpoints are gone, what was set is undone, and an id is never given again."""
    ada = clerk.create_user(username="ada")["id"]
    session = clerk.sign_in(ada)["id"]
    clerk.token_lifetime, clerk.faults = 7, Faults(status=503)
    clerk.reset()
    assert (clerk.count, clerk.users(), clerk.sessions()) == (0, [], [])
    assert (clerk.token_lifetime, clerk.faults) == (60, Faults())
    with pytest.raises(ClerkRefusal):
        clerk.get_session(session)
    events.clear()
    assert clerk.create_user(username="ada")["id"] != ada
    assert events == []  # nobody is told: the endpoint is gone


def test_it_closes_promptly_with_a_half_sent_body() -> None:
    """It stops waiting for the body within 2 seconds."""
    clerk = LocalClerk()
    clerk.start()
    clerk.faults = Faults(times=1)
    with socket.create_connection(("127.0.0.1", int(clerk.url.rpartition(":")[2]))) as half:
        head = f"POST /v1/users HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {clerk.secret_key}\r\n"
        half.sendall(head.encode() + b"content-length: 99\r\n\r\n{")
        while clerk.faults.times:
            time.sleep(0.001)
        started = time.monotonic()
        clerk.close()
        assert time.monotonic() - started < 10
        assert clerk.process.returncode is not None
