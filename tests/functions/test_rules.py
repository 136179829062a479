"""convex/clerk/order/rules.ts, run in the local Convex: the order of arrival never matters."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from clerk_convex.entities.changes import Change, Delete, SignIn, Upsert
from tests.support.functions import (
    CREATED_AT,
    Functions,
    Project,
    as_json,
    delete,
    eventually,
    upsert,
)
from tests.support.seeds import seeded

# ---------------------------------------------------------------- one rule after the other


def test_first_change_creates_the_whole_row(functions: Functions) -> None:
    """The row has the columns that the change names, and the derived columns for sorting and search."""
    columns: dict[str, Any] = {
        "externalId": "ext-1",
        "firstName": "Ada",
        "lastName": "Lovelace",
        "username": "ada",
        "email": "Ada@Example.com",
        "emailVerified": True,
        "phone": None,
        "role": "admin",
        "publicMetadata": '{"$x":1}',
        "lastSignInAt": 5.0,
    }
    assert functions.sync([upsert(**columns)]) == ["created"]
    del columns["phone"]
    assert functions.rows()["user_1"] == {
        **columns,
        "clerkId": "user_1",
        "status": "active",
        "createdAt": CREATED_AT,
        "sortName": "ada lovelace",
        "sortEmail": "ada@example.com",
        "searchText": "ada lovelace ªexamplecom ºext1 ª ª ª ª",
        "updatedAt": 10.0,
        "observedAt": 100.0,
    }


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"firstName": "Ada", "username": "x"}, "ada"),
        ({"lastName": "Ärmel", "email": "x@example.com"}, "armel"),
        ({"firstName": " ", "lastName": "\t Zoë  Ann ", "email": "x@example.com"}, "zoe ann"),
        ({"firstName": " ", "username": "\u0301", "email": "x@example.com"}, "x@example.com"),
        ({"username": "Nick", "email": "x@example.com"}, "nick"),
        ({"email": "X@example.com", "phone": "+1"}, "x@example.com"),
        ({"phone": "+1555"}, "+1555"),
        ({}, "user_1"),
    ],
)
def test_sort_name_is_never_missing(functions: Functions, columns: dict[str, Any], expected: str) -> None:
    """It is the name, else the username, the address, the phone number or the id, without case, diacritics
    and blanks."""
    functions.sync([upsert(**columns)])
    assert functions.rows()["user_1"]["sortName"] == expected


def test_null_unsets_a_column_and_an_unnamed_one_stays(functions: Functions) -> None:
    """A column that a change does not name keeps its value. null removes a column, and derived columns
    follow."""
    functions.sync([upsert(firstName="Ada", email="ada@example.com", username="ada")])
    assert functions.sync([upsert(updated_at=11.0, email=None)]) == ["updated"]
    row = functions.rows()["user_1"]
    assert "email" not in row
    assert "sortEmail" not in row
    assert (row["firstName"], row["username"], row["searchText"]) == ("Ada", "ada", "ada" + " ª" * 7)


@pytest.mark.parametrize(
    ("later", "outcome", "name"),
    [
        ({"updated_at": 11.0, "observed_at": 1.0}, "updated", "new"),
        ({"updated_at": 9.0, "observed_at": 999.0}, "stale", "old"),
        ({"observed_at": 101.0}, "updated", "new"),
        ({"observed_at": 99.0}, "stale", "old"),
        ({"observed_at": 0.0}, "stale", "old"),
    ],
)
def test_greater_stamp_wins(functions: Functions, later: dict[str, Any], outcome: str, name: str) -> None:
    """updatedAt decides. If it is equal, observedAt decides."""
    functions.sync([upsert(firstName="old")])
    assert functions.sync([upsert(**later, firstName="new")]) == [outcome]
    assert functions.rows()["user_1"]["firstName"] == name


def test_equal_stamps_end_alike(functions: Functions) -> None:
    """Of two contents with equal stamps the same one wins in both orders."""
    one, other = upsert(firstName="a"), upsert(firstName="b")
    functions.sync([one, other, replace(other, clerk_id="user_2"), replace(one, clerk_id="user_2")])
    rows = functions.rows()
    assert rows["user_1"]["firstName"] == rows["user_2"]["firstName"] == "b"


def test_stamp_of_an_unchanged_user_is_kept(functions: Functions) -> None:
    """Otherwise a late change with a stamp between the two observations would win."""
    functions.sync([upsert(firstName="a")])
    assert functions.sync([upsert(updated_at=12.0, firstName="a")]) == ["unchanged"]
    assert functions.sync([upsert(updated_at=11.0, firstName="b")]) == ["stale"]


def test_unchanged_user_of_a_backfill_is_not_written(functions: Functions) -> None:
    """So a nightly run over unchanged users writes nothing.

    The price: a third observation with another content, from the same millisecond of Clerk's clock and older
    than the run's, wins if it arrives last. The next run repairs the row."""
    functions.sync([upsert(firstName="a")])
    assert functions.sync([upsert(observed_at=300.0, source="backfill", firstName="a")]) == ["unchanged"]
    assert functions.rows()["user_1"]["observedAt"] == 100.0
    assert functions.sync([upsert(updated_at=11.0, source="backfill", firstName="a")]) == ["unchanged"]
    assert functions.rows()["user_1"]["updatedAt"] == 11.0


def test_latest_sign_in_wins_whatever_the_stamps(functions: Functions) -> None:
    """lastSignInAt only grows. A later sign-in does not make an older content win."""
    functions.sync([upsert(firstName="a", lastSignInAt=50.0)])
    assert functions.sync([upsert(updated_at=9.0, firstName="b", lastSignInAt=60.0)]) == ["updated"]
    assert functions.sync([upsert(updated_at=11.0, firstName="a", lastSignInAt=40.0)]) == ["unchanged"]
    assert functions.sync([upsert(updated_at=11.0, firstName="a", lastSignInAt=None)]) == ["unchanged"]
    row = functions.rows()["user_1"]
    assert (row["firstName"], row["lastSignInAt"]) == ("a", 60.0)


def test_sign_in_changes_only_its_time(functions: Functions) -> None:
    """A sign-in with a partial user changes no other column, creates no row, and does not bring back a
    deleted user."""
    assert functions.sync([SignIn("user_1", 5.0, "webhook")]) == ["ignored"]
    functions.sync([upsert(firstName="a", lastSignInAt=5.0, email="a@example.com")])
    before = functions.rows()["user_1"]
    changes = [
        SignIn("user_1", 7.0, "webhook"),
        SignIn("user_1", 6.0, "webhook"),
        SignIn("user_1", 7.0, "webhook"),
    ]
    assert functions.compare(changes) == ["updated", "unchanged", "unchanged"]
    assert functions.sync(changes) == ["updated", "unchanged", "unchanged"]
    assert functions.rows()["user_1"] == {**before, "lastSignInAt": 7.0}
    assert functions.sync([delete(), SignIn("user_1", 9.0, "webhook")]) == ["deleted", "tombstoned"]
    assert (
        functions.sync([delete("user_2", source="backfill"), SignIn("user_2", 9.0, "webhook")])[1]
        == "tombstoned"
    )
    assert functions.rows() == {}


# ---------------------------------------------------------------- locks that end by themselves


def now() -> float:
    return time.time() * 1000


HOUR = 3_600_000.0


def test_lock_ends_at_its_time(functions: Functions) -> None:
    """Clerk sends no event when a lock ends. The row becomes active, and its stamps do not change."""
    functions.sync([upsert("user_2", role="admin"), upsert("user_3", status="locked")])
    end = now() + 3000
    functions.sync([upsert(status="locked", lockedUntil=end, firstName="a")])
    locked = functions.rows()["user_1"]
    assert (locked["status"], locked["lockedUntil"]) == ("locked", end)
    assert eventually(lambda: functions.rows()["user_1"]["status"] == "active")
    assert now() >= end
    del locked["lockedUntil"]
    assert functions.rows()["user_1"] == {**locked, "status": "active"}
    admin = functions.signed_in("user_2")
    assert admin.query("users:stats")["locked"] == 1
    [[entry, *_]] = admin.pages("users:auditLog")
    assert (entry["outcome"], entry["clerkId"], entry["source"]) == ("updated", "user_1", "schedule")
    assert sorted(entry["fields"]) == ["lockedUntil", "status"]
    # Neither a retry of the event that locked the user nor a backfill with an older observation locks again.
    again = upsert(status="locked", lockedUntil=end, firstName="a")
    late = upsert(observed_at=101.0, source="backfill", status="locked", lockedUntil=end - 500, firstName="a")
    assert functions.sync([again, late]) == ["unchanged", "unchanged"]
    assert functions.rows()["user_1"]["status"] == "active"


def test_only_the_lock_that_was_scheduled_ends(functions: Functions) -> None:
    """A later lock, a lock without an end and a ban stay."""
    end = now() + HOUR
    for number, (status, until) in enumerate(
        [("locked", end + 120_000), ("locked", None), ("banned", None), ("active", None)]
    ):
        clerk_id = f"user_{number}"
        functions.sync([upsert(clerk_id, status="locked", lockedUntil=end)])
        functions.sync([upsert(clerk_id, updated_at=11.0, status=status, lockedUntil=until)])
        before = functions.rows()[clerk_id]
        assert (before["status"], before.get("lockedUntil")) == (status, until)
        functions.mutation("users:endLock", {"clerkId": clerk_id, "lockedUntil": end})
        assert functions.rows()[clerk_id] == before
    functions.mutation("users:endLock", {"clerkId": "user_unknown", "lockedUntil": end})
    # A call by hand does not end a lock early.
    functions.sync([upsert(status="locked", lockedUntil=end)])
    functions.mutation("users:endLock", {"clerkId": "user_1", "lockedUntil": end})
    assert functions.rows()["user_1"]["status"] == "locked"


def test_lock_that_has_ended_is_not_written(functions: Functions) -> None:
    """A late change has a lock that Clerk has ended since."""
    ended = upsert(status="locked", lockedUntil=now() - 1)
    assert functions.sync([ended]) == ["created"]
    row = functions.rows()["user_1"]
    assert (row["status"], "lockedUntil" in row) == ("active", False)
    assert functions.sync([upsert(updated_at=11.0, status="banned", lockedUntil=now() + HOUR)]) == ["updated"]
    assert "lockedUntil" not in functions.rows()["user_1"]


@pytest.mark.parametrize("source", ["webhook", "backfill"])
def test_end_of_a_lock_counts_if_it_differs_by_over_a_minute(
    functions: Functions, source: Literal["webhook", "backfill"]
) -> None:
    """It is computed from a countdown in seconds, so it differs a little between two observations."""
    end = now() + HOUR
    functions.sync([upsert(status="locked", source=source)])

    def look(number: int, until: float | None) -> Upsert:
        return upsert(observed_at=100.0 + number, source=source, status="locked", lockedUntil=until)

    for number, (until, outcome, kept) in enumerate(
        [
            (end, "updated", end),
            (end + 60_000, "unchanged", end),
            (end - 60_000, "unchanged", end),
            (end + 60_001, "updated", end + 60_001),
            (end, "updated", end),
            (None, "updated", None),
            (None, "unchanged", None),
        ],
        start=1,
    ):
        assert functions.compare([look(number, until)]) == [outcome]
        assert functions.sync([look(number, until)]) == [outcome]
        assert functions.rows()["user_1"].get("lockedUntil") == kept
    assert functions.sync([look(100, end + 1)]) == ["updated"]
    # The other columns are updated, and the end stays the same: no second end is scheduled.
    named = upsert(observed_at=201.0, status="locked", lockedUntil=end + 2, firstName="b")
    assert functions.sync([named]) == ["updated"]
    row = functions.rows()["user_1"]
    assert (row["firstName"], row["lockedUntil"]) == ("b", end + 1)


def test_verify_finds_no_difference_in_a_lock_that_is_ending(functions: Functions) -> None:
    """Convex and Clerk end it by their own clocks: within a minute a backfill finds no difference. A webhook
    brings an admin's action, so it is applied at any time."""
    soon = now() + 50_000
    for updated_at in (10.0, 11.0):
        for status, until, other, other_until in (
            ("locked", soon, "active", None),
            ("active", None, "locked", soon),
        ):
            for source, outcome in (("backfill", "unchanged"), ("webhook", "updated")):
                clerk_id = f"{updated_at}-{status}-{source}"
                functions.sync([upsert(clerk_id, status=status, lockedUntil=until)])
                look = upsert(
                    clerk_id,
                    updated_at=updated_at,
                    observed_at=101.0,
                    source=source,  # type: ignore[arg-type]
                    status=other,
                    lockedUntil=other_until,
                )
                assert functions.compare([look]) == [outcome]
                assert functions.sync([look]) == [outcome]
                row = functions.rows()[clerk_id]
                expected = (status, until) if source == "backfill" else (other, other_until)
                assert (row["status"], row.get("lockedUntil")) == expected
    # Other columns and a ban still count.
    functions.sync([upsert(status="locked", lockedUntil=soon, firstName="a")])
    named = upsert(observed_at=101.0, source="backfill", firstName="b")
    assert functions.sync([named, replace(named, observed_at=102.0)]) == ["updated", "unchanged"]
    row = functions.rows()["user_1"]
    assert (row["firstName"], row["status"], row["lockedUntil"]) == ("b", "locked", soon)
    assert functions.sync([upsert(observed_at=103.0, source="backfill", status="banned")]) == ["updated"]
    far = now() + 90_000
    functions.sync([upsert("user_far", status="locked", lockedUntil=far)])
    assert functions.sync([upsert("user_far", observed_at=101.0, source="backfill")]) == ["updated"]


def test_backfill_ends_a_lock_whose_schedule_was_lost(tmp_path: Path) -> None:
    """For example because the table was restored from a backup."""
    project = Project(tmp_path)
    project.replace("clerk/order/sync.ts", "await ctx.scheduler.runAt(", "void ((...all: unknown[]) => all)(")
    project.replace("clerk/order/rules.ts", "const MINUTE_MS = 60 * 1000", "const MINUTE_MS = 50")
    with project.running() as functions:
        functions.sync([upsert(status="locked", lockedUntil=now() + 1500)])
        time.sleep(1.7)
        assert functions.rows()["user_1"]["status"] == "locked"
        assert functions.sync([upsert(observed_at=101.0, source="backfill")]) == ["updated"]
        assert functions.rows()["user_1"]["status"] == "active"


def test_lock_may_be_longer_than_convex_schedules(functions: Functions) -> None:
    """No end of a lock makes a change fail."""
    for number, until in enumerate([8.64e15, 1e300, 253_402_300_800_000.0]):
        assert functions.sync([upsert(f"user_{number}", status="locked", lockedUntil=until)]) == ["created"]
        assert functions.rows()[f"user_{number}"]["lockedUntil"] == until


def test_deleted_stays_deleted(functions: Functions) -> None:
    """A deletion by Clerk is final, also if it arrives before the user."""
    assert functions.sync([upsert(), delete(), delete(), upsert(updated_at=99.0, observed_at=999.0)]) == [
        "created",
        "deleted",
        "unchanged",
        "tombstoned",
    ]
    assert functions.sync([delete("user_2"), upsert("user_2")]) == ["deleted", "tombstoned"]
    assert functions.rows() == {}


def test_tombstone_of_a_prune_is_lifted(functions: Functions) -> None:
    """A backfill may be wrong about a user who is gone. An upsert with a later observation brings the user
    back."""
    concluded = delete(source="backfill")
    assert functions.sync([upsert(), concluded, upsert(updated_at=99.0, observed_at=199.0)]) == [
        "created",
        "deleted",
        "tombstoned",
    ]
    assert functions.sync([upsert(observed_at=201.0)]) == ["created"]
    # And a prune does not remove a user with a later observation.
    assert functions.sync([concluded]) == ["stale"]
    # A deletion by Clerk makes it final.
    assert functions.sync([delete("user_2", source="backfill"), delete("user_2")]) == ["deleted", "unchanged"]
    assert functions.sync([upsert("user_2", observed_at=999.0)]) == ["tombstoned"]


def test_prunes_converge(functions: Functions) -> None:
    """The later of two prunes counts, in either order. An upsert of the same moment wins against a prune."""
    for clerk_id, moments in (("user_1", (200.0, 300.0)), ("user_2", (300.0, 200.0))):
        first, second = (delete(clerk_id, observed_at=at, source="backfill") for at in moments)
        assert functions.sync([first, second, upsert(clerk_id, observed_at=250.0)])[-1] == "tombstoned"
    seen = upsert("user_3", observed_at=200.0)
    assert functions.sync([seen, delete("user_3", source="backfill")]) == ["created", "stale"]
    seen = replace(seen, clerk_id="user_4")
    assert functions.sync([delete("user_4", source="backfill"), seen]) == ["deleted", "created"]


def test_by_hand(functions: Functions) -> None:
    """syncUser and deleteUser follow the rules; resetUser forgets the row, the version and the tombstone."""
    data = {"updatedAt": 10, "observedAt": 100, "createdAt": CREATED_AT, "status": "active", "firstName": "a"}
    assert functions.mutation("users:syncUser", {"clerkId": "user_1", "userData": data}) == "created"
    assert functions.sync([upsert(updated_at=9.0, firstName="b")]) == ["stale"]
    assert functions.mutation("users:deleteUser", {"clerkId": "user_1"}) == "deleted"
    assert functions.mutation("users:syncUser", {"clerkId": "user_1", "userData": data}) == "tombstoned"
    assert functions.mutation("users:resetUser", {"clerkId": "user_1"}) is True
    assert functions.mutation("users:resetUser", {"clerkId": "user_1"}) is False
    assert functions.sync([upsert(updated_at=1.0)]) == ["created"]
    assert functions.mutation("users:resetUser", {"clerkId": "user_1"}) is True
    assert functions.rows() == {}


def test_compare_returns_the_outcomes_of_sync_and_writes_nothing(functions: Functions) -> None:
    """Also for several changes of one user in one batch."""
    functions.sync([upsert(firstName="a"), delete("user_2")])
    changes: list[Change] = [
        upsert(firstName="a"),
        upsert(updated_at=11.0, firstName="b"),
        upsert(firstName="a"),
        delete(),
        upsert(updated_at=12.0),
        upsert("user_2"),
        upsert("user_3"),
        upsert("user_3"),
    ]
    before = functions.rows()
    compared = functions.compare(changes)
    assert functions.rows() == before
    assert compared == functions.sync(changes)
    assert compared == [
        "unchanged",
        "updated",
        "stale",
        "deleted",
        "tombstoned",
        "tombstoned",
        "created",
        "unchanged",
    ]


# ---------------------------------------------------------------- rows of earlier versions

OLDER = """
import { internalMutation } from "./_generated/server";

// Keeps the stamps beside the rows, as earlier versions of the functions did.
export const make = internalMutation(async ({ db }) => {
  for (const { _id, clerkId, clerkStamp } of await db.query("users").collect()) {
    const [updatedAt, observedAt] = clerkStamp!;
    await db.patch("users", _id, { clerkStamp: undefined });
    await db.insert("clerkVersions", { clerkId, updatedAt, observedAt });
  }
});
"""


def test_rows_of_an_earlier_version_keep_their_stamps(tmp_path: Path) -> None:
    """The stamp beside the row counts until a change wins, and is then less than that of the row."""
    project = Project(tmp_path)
    project.write("older.ts", OLDER)
    with project.running() as functions:
        users = [f"user_{number}" for number in range(4)]
        functions.sync([upsert(clerk_id, firstName="a", role="admin") for clerk_id in users])
        before = functions.rows()
        functions.mutation("older:make", {})
        assert functions.rows() == before
        assert functions.signed_in("user_0").query("users:getUser", {"clerkId": "user_1"})["updatedAt"] == 10
        changes: list[Change] = [
            upsert("user_0", updated_at=9.0, firstName="b"),
            upsert("user_0", observed_at=300.0, source="backfill", firstName="a"),
            upsert("user_1", updated_at=12.0, firstName="b"),
            upsert("user_1", updated_at=11.0, firstName="c"),
            upsert("user_2", updated_at=12.0, firstName="a"),
            upsert("user_2", updated_at=11.0, firstName="c"),
            delete("user_3", observed_at=100.0, source="backfill"),
            delete("user_3"),
            upsert("user_3", updated_at=99.0),
        ]
        outcomes = [
            *("stale", "unchanged"),
            *("updated", "stale"),
            *("unchanged", "stale"),
            *("stale", "deleted", "tombstoned"),
        ]
        assert functions.compare(changes) == outcomes
        assert functions.sync(changes) == outcomes
        assert {name: row["updatedAt"] for name, row in functions.rows().items()} == {
            "user_0": 10.0,
            "user_1": 12.0,
            "user_2": 12.0,
        }


# ---------------------------------------------------------------- any order

State = tuple[dict[str, Any] | None, bool]
Arrangement = list[list[tuple[Literal["sync", "hand"], Change]]]

stamps = st.integers(1, 3).map(float)
sign_ins = st.none() | st.integers(1, 3).map(float)
names = st.sampled_from([None, "a", "b"])
FAR, ENDED = 4e12, 1e12  # ends of locks: in the year 2096, and in 2001
locks: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        *({"status": "locked", "lockedUntil": FAR + jitter} for jitter in (0.0, 1e3, 59e3, 1e7)),
        {"status": "locked", "lockedUntil": ENDED},
    ]
)
unlocked = st.sampled_from([{"status": status, "lockedUntil": None} for status in ("active", "banned")])


@st.composite
def seen(draw: st.DrawFn) -> Upsert:
    """An upsert as user.created, user.updated or session.created (with observedAt 0) brings it: any content
    under any stamp. Without an observedAt the end of a lock is unknown."""
    # Often the same stamps, because chance alone seldom makes them equal.
    updated_at, observed_at = draw(st.just((2.0, 2.0)) | st.tuples(stamps, st.just(0.0) | stamps))
    status = draw(unlocked | locks)
    if observed_at == 0.0:
        status = {**status, "lockedUntil": None}
    return upsert(
        updated_at=updated_at,
        observed_at=observed_at,
        firstName=draw(names),
        lastSignInAt=draw(sign_ins),
        **status,
    )


@st.composite
def seen_with_backfill(draw: st.DrawFn) -> Upsert:
    """The same, and some upserts are a backfill's. Then a user has one content per millisecond, because of
    the one exception of the rules (see test_unchanged_user_of_a_backfill_is_not_written)."""
    updated_at = draw(stamps)
    return upsert(
        updated_at=updated_at,
        observed_at=draw(st.just(0.0) | stamps),
        source=draw(st.sampled_from(["webhook", "backfill"])),
        firstName=["a", "b", "a"][int(updated_at) - 1],
        lastSignInAt=draw(sign_ins),
    )


@st.composite
def two_arrangements(draw: st.DrawFn, kind: st.SearchStrategy[Upsert]) -> tuple[Arrangement, Arrangement]:
    """Two arrangements of one history of two users: in random order, with duplicates, in batches of any size,
    and partly written by hand."""
    users = st.sampled_from(["user_1", "user_1", "user_2"])
    signed_in: st.SearchStrategy[Change] = st.builds(SignIn, st.just("user_1"), stamps, st.just("webhook"))
    change = (kind | kind | kind | kind | signed_in | st.just(delete())).flatmap(
        lambda change: users.map(lambda clerk_id: replace(change, clerk_id=clerk_id))
    )
    history = draw(st.lists(change, min_size=2, max_size=6))

    def arrangement() -> Arrangement:
        doubled = history + draw(st.lists(st.sampled_from(history), max_size=2))
        queue = list(draw(st.permutations(doubled)))
        batches: Arrangement = []
        while queue:
            size = draw(st.integers(1, len(queue)))
            batch, queue = queue[:size], queue[size:]
            by_hand = len(batch) == 1 and is_by_hand(batch[0]) and draw(st.booleans())
            batches.append([("hand" if by_hand else "sync", change) for change in batch])
        return batches

    return arrangement(), arrangement()


def is_by_hand(change: Change) -> bool:
    return not isinstance(change, SignIn) and change.source != "backfill"


def final_state(functions: Functions, arrangement: Arrangement, prefix: str) -> dict[str, State]:
    """Return the rows with their stamps, and whether there is a tombstone, by user.

    Some values may differ. A backfill does not always keep its observedAt, so histories with a backfill leave
    it out. A sign-in that arrives before its user is ignored, so histories with a sign-in leave out
    lastSignInAt. The ends of one lock may differ by a minute, and the first one is kept, so they are rounded
    to hours."""
    left_out = {"clerkId", "sortName"}
    if any(change.source == "backfill" for batch in arrangement for _, change in batch):
        left_out.add("observedAt")
    if any(isinstance(change, SignIn) for batch in arrangement for _, change in batch):
        left_out.add("lastSignInAt")
    users = set()
    for batch in arrangement:
        changes = [replace(change, clerk_id=prefix + change.clerk_id) for _, change in batch]
        users |= {change.clerk_id for change in changes}
        if batch[0][0] == "hand":
            change_by_hand(functions, changes[0])
        else:
            functions.sync(changes)
    probes = [upsert(clerk_id, updated_at=99.0, observed_at=99.0) for clerk_id in sorted(users)]
    outcomes = functions.compare(probes)
    rows = functions.rows()
    states: dict[str, State] = {}
    for clerk_id, outcome in zip(sorted(users), outcomes, strict=True):
        row = rows.get(clerk_id)
        name = clerk_id.removeprefix(prefix)
        if row is not None:
            row = {column: value for column, value in row.items() if column not in left_out}
            if "lockedUntil" in row:
                row["lockedUntil"] = row["lockedUntil"] // HOUR
        states[name] = (row, outcome == "tombstoned")
    return states


def change_by_hand(functions: Functions, change: Change) -> None:
    if isinstance(change, Delete):
        functions.mutation("users:deleteUser", {"clerkId": change.clerk_id})
        return
    assert isinstance(change, Upsert)
    stamps = {"updatedAt": change.updated_at, "observedAt": change.observed_at}
    data = {**stamps, **change.columns}
    functions.mutation("users:syncUser", {"clerkId": change.clerk_id, "userData": data})


# Seeds with which the properties find a missing rule soon. Chance takes up to a hundred times as long.
SEEDS = {
    "comparing after the ends of locks": 65,
    "the rule for equal stamps": 25,
    "lastSignInAt apart": 28,
    "the observation": 28,
}


def quick(rule: str, property_: Callable[[], None]) -> Callable[[], None]:
    """Let a property begin with the examples of the rule's seed."""
    return seeded(SEEDS.get(rule, 5), property_)


class Diverged(Exception):
    """Two arrangements of one history ended differently."""


def converges(
    functions: Functions, examples: int, phases: tuple[Phase, ...] = tuple(Phase)
) -> Callable[[], None]:
    relaxed = settings(
        max_examples=examples,
        phases=phases,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )
    number = 0

    @relaxed
    @given(two_arrangements(seen()) | two_arrangements(seen_with_backfill()))
    def any_order_ends_alike(arrangements: tuple[Arrangement, Arrangement]) -> None:
        nonlocal number
        number += 1
        if number % 50 == 0:  # so that reading all rows stays cheap
            functions.http.post("/local/clear").raise_for_status()
        one, other = (
            final_state(functions, arrangement, f"{number}-{index}-")
            for index, arrangement in enumerate(arrangements)
        )
        if one != other:
            raise Diverged(f"{one} is not {other}")

    return any_order_ends_alike


def test_any_order_ends_alike(functions: Functions) -> None:
    """Any order, duplication, batching and interleaving of created, updated, deleted and session.created
    events, changes of a backfill and changes by hand ends in the same rows and the same tombstones."""
    converges(functions, 250)()


# ---------------------------------------------------------------- any order, while time passes

PLAY = """
import { v } from "convex/values";
import { internalQuery } from "./_generated/server";
import { decide, decideLockEnd, stateAfter, versionOf, type State } from "./clerk/order/rules";

const arrivals = v.array(v.object({ at: v.number(), change: v.any() }));

// The states after changes that come at these times, and after every lock has ended at its own.
export const play = internalQuery({
  args: { histories: v.array(arrivals) },
  handler: (_, { histories }) =>
    histories.map((arrivals) => {
      let state: State = { row: null, version: null };
      let ends: number[] = [];
      const endLocks = (now: number) => {
        const due = ends.filter((end) => end <= now);
        for (const end of due.sort((a, b) => a - b)) state = stateAfter(state, decideLockEnd(state, end));
        ends = ends.filter((end) => end > now);
      };
      for (const { at, change } of arrivals) {
        endLocks(at);
        state = stateAfter(state, decide(state, change, at));
        if (state.row?.lockedUntil !== undefined) ends.push(state.row.lockedUntil);
      }
      endLocks(Infinity);
      // Which of the two keeps the stamp depends on the order.
      return { row: state.row && { ...state.row, clerkStamp: undefined }, version: versionOf(state) };
    }),
});
"""


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Functions]:
    with playing(tmp_path_factory.mktemp("played")) as functions:
        yield functions


@contextmanager
def playing(folder: Path, *mutant: str) -> Iterator[Functions]:
    project = Project(folder)
    project.write("test.ts", PLAY)
    if mutant:
        project.replace("clerk/order/rules.ts", *mutant)
    with project.running() as functions:
        yield functions


@st.composite
def two_arrivals(draw: st.DrawFn) -> list[list[dict[str, Any]]]:
    """One history of a user that arrives in two orders, each change at any time after Clerk's observation.

    A lock ends 0.5 or 2.5 hours after the observation. Its countdown is off by up to a second."""

    @st.composite
    def look(draw: st.DrawFn) -> Upsert | Delete:
        observed_at = draw(st.integers(1, 4)) * HOUR
        if draw(st.integers(0, 7)) == 0:
            return delete(observed_at=observed_at)
        end = observed_at + draw(st.sampled_from([0.5, 2.5])) * HOUR + draw(st.sampled_from([-900, 0, 900]))
        lock = {"status": "locked", "lockedUntil": end}
        return upsert(
            updated_at=draw(st.sampled_from([1.0, 2.0])) * HOUR,
            observed_at=observed_at,
            firstName=draw(names),
            **draw(st.just(lock) | st.just(lock) | unlocked),
        )

    history = draw(st.lists(look(), min_size=2, max_size=5))
    both = []
    for _ in range(2):
        now, arrivals = 0.0, []
        for change in draw(st.permutations(history + draw(st.lists(st.sampled_from(history), max_size=2)))):
            now = max(now, change.observed_at + draw(st.sampled_from([0.0, 0.0, 0.7, 3.0])) * HOUR)
            arrivals.append({"at": now, "change": as_json(change)})
        both.append(arrivals)
    return both


def converges_in_time(
    functions: Functions, examples: int, phases: tuple[Phase, ...] = tuple(Phase)
) -> Callable[[], None]:
    relaxed = settings(
        max_examples=examples,
        phases=phases,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )

    @relaxed
    @given(st.lists(two_arrivals(), min_size=1, max_size=12))
    def any_order_ends_alike(pairs: list[list[list[dict[str, Any]]]]) -> None:
        histories = [arrivals for pair in pairs for arrivals in pair]
        states = iter(functions.query("test:play", {"histories": histories}))
        for one, other in zip(states, states, strict=True):
            # After a final deletion the stamps have no effect any more.
            versions = [it["version"] if it["row"] else "deletedAt" in it["version"] for it in (one, other)]
            if one["row"] != other["row"] or versions[0] != versions[1]:
                raise Diverged(f"{one} is not {other}")
            if one["row"] is not None and one["row"]["status"] == "locked":
                raise Diverged(f"{one} is locked for ever")

    return any_order_ends_alike


def test_any_order_ends_alike_while_locks_end(played: Functions) -> None:
    """The changes arrive before, between and after the ends of locks. At the end no row is locked, and both
    orders have the same rows and versions."""
    converges_in_time(played, 60)()


WITHOUT_TIME = {
    "comparing after the ends of locks": (
        "const [one, other] = [withoutLock(patched), withoutLock(row)];",
        "const [one, other] = [patched, row];",
    ),
    "the end itself": ("row.lockedUntil !== lockedUntil)", "true)"),
    "the end of a longer lock": (
        "return isWithinMinute(row.lockedUntil, columns.lockedUntil)",
        "return row.lockedUntil !== undefined",
    ),
}


@pytest.mark.parametrize("rule", WITHOUT_TIME)
def test_any_order_in_time_needs_every_rule(rule: str, tmp_path: Path) -> None:
    """The property finds a counterexample if one of the rules about ends of locks is removed."""
    with playing(tmp_path, *WITHOUT_TIME[rule]) as functions, pytest.raises(Diverged):
        quick(rule, converges_in_time(functions, 2000, phases=(Phase.generate,)))()


# ---------------------------------------------------------------- a stamp in the row and one beside it


def all_orders_end_alike(functions: Functions) -> bool:
    """Play each four of eight changes of a user in each order. Return whether all orders end alike.

    A change that brings nothing new leaves its stamp beside the row, so the greater stamp is now here, now
    there."""
    changes = [
        upsert(updated_at=1.0, observed_at=1.0, firstName="a"),
        upsert(updated_at=1.0, observed_at=2.0, firstName="a", lastSignInAt=5.0),
        upsert(updated_at=1.0, observed_at=3.0, firstName="b"),
        upsert(updated_at=2.0, observed_at=0.0, firstName="a", lastSignInAt=6.0),
        upsert(updated_at=2.0, observed_at=2.0, firstName="c"),
        upsert(updated_at=2.0, observed_at=2.0, firstName="b"),
        upsert(updated_at=2.0, observed_at=4.0, firstName="b"),
        upsert(updated_at=3.0, observed_at=1.0, firstName="c"),
    ]
    arrivals = [{"at": 0.0, "change": as_json(change)} for change in changes]
    orders = list(permutations(arrivals, 4))
    states = functions.query("test:play", {"histories": orders})
    ends: dict[frozenset[int], Any] = {}
    return all(
        ends.setdefault(frozenset(map(id, order)), state) == state
        for order, state in zip(orders, states, strict=True)
    )


def test_all_orders_of_stamps_end_alike(played: Functions) -> None:
    assert all_orders_end_alike(played)


WITHOUT_PLACE = {
    "the greater of two stamps": (
        "compareStamps(version, ofRow) > 0 ? version : ofRow",
        "false ? version : ofRow",
    ),
    "the stamp of the row": (
        "compareStamps(version, ofRow) > 0 ? version : ofRow",
        "true ? version : ofRow",
    ),
    "the observation": (
        "one.updatedAt - version.updatedAt || one.observedAt - version.observedAt",
        "one.updatedAt - version.updatedAt",
    ),
    "the kept stamp of a written row": (
        "...(hasNewStamp && { clerkStamp })",
        "...(false && { clerkStamp })",
    ),
}


@pytest.mark.parametrize("rule", WITHOUT_PLACE)
def test_all_orders_of_stamps_need_every_rule(rule: str, tmp_path: Path) -> None:
    with playing(tmp_path, *WITHOUT_PLACE[rule]) as functions:
        assert not all_orders_end_alike(functions)


# ---------------------------------------------------------------- every rule is needed

WITHOUT = {
    "the tombstone": (
        'return { outcome: "tombstoned" };',
        ";",
    ),
    "the stamp": (
        "const isNewer = order > 0 || (order === 0",
        "const isNewer = true || (order === 0",
    ),
    "the kept stamp": (
        "...(hasNewStamp && !isWritten && {",
        "...(false && {",
    ),
    "the rule for equal stamps": (
        "|| (order === 0 && content.length > 0 && isGreater(patch, row))",
        "|| (order === 0 && content.length > 0)",
    ),
    "lastSignInAt apart": (
        "latest(row?.lastSignInAt, signInAt ?? undefined)",
        "signInAt ?? undefined",
    ),
}


@pytest.mark.parametrize("rule", WITHOUT)
def test_any_order_needs_every_rule(rule: str, tmp_path: Path) -> None:
    """The property finds a counterexample if one of the rules is removed.

    The functions still run without it: an error of the functions is an AssertionError, which does not
    count."""
    project = Project(tmp_path)
    project.replace("clerk/order/rules.ts", *WITHOUT[rule])
    with project.running() as functions:
        in_order: list[Change] = [upsert(), upsert(updated_at=11.0, firstName="a"), delete(observed_at=300.0)]
        assert functions.sync(in_order) == ["created", "updated", "deleted"]
        with pytest.raises(Diverged):
            quick(rule, converges(functions, 2000, phases=(Phase.generate,)))()
