"""convex/clerk/rules.ts, run in the local Convex: the order of arrival never matters."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from clerk_convex.changes import Change, Delete, Upsert
from tests.functions import CREATED_AT, Functions, Project, as_json, delete, upsert

# ---------------------------------------------------------------- one rule after the other


def test_first_change_creates_the_row_whole(functions: Functions) -> None:
    """What a change names is what the row has, and what is derived for sorting and search."""
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
        "searchText": "ada lovelace ªexamplecom ª ª ª ª ª",
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
    """Names, else the username, the address, the phone number, the id; without case, diacritics, leading blanks."""
    functions.sync([upsert(**columns)])
    assert functions.rows()["user_1"]["sortName"] == expected


def test_null_unsets_and_unnamed_stays(functions: Functions) -> None:
    """A column that a change does not name stays as it is; null removes it, and what hangs on it follows."""
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
    """updatedAt decides, and where it is equal observedAt."""
    functions.sync([upsert(firstName="old")])
    assert functions.sync([upsert(**later, firstName="new")]) == [outcome]
    assert functions.rows()["user_1"]["firstName"] == name


def test_equal_stamps_end_alike(functions: Functions) -> None:
    """Two contents with one stamp: the same one wins, whichever comes first."""
    one, other = upsert(firstName="a"), upsert(firstName="b")
    functions.sync([one, other, replace(other, clerk_id="user_2"), replace(one, clerk_id="user_2")])
    rows = functions.rows()
    assert rows["user_1"]["firstName"] == rows["user_2"]["firstName"] == "b"


def test_stamp_of_an_unchanged_user_is_kept(functions: Functions) -> None:
    """Else a change from between the two observations would come late and win."""
    functions.sync([upsert(firstName="a")])
    assert functions.sync([upsert(updated_at=12.0, firstName="a")]) == ["unchanged"]
    assert functions.sync([upsert(updated_at=11.0, firstName="b")]) == ["stale"]


def test_unchanged_user_of_a_backfill_is_not_written(functions: Functions) -> None:
    """A nightly run over unchanged users is free.

    The price: a third observation, different from both within the same millisecond of Clerk's clock and older
    than the run's, wins if it comes last. The next run repairs it."""
    functions.sync([upsert(firstName="a")])
    assert functions.sync([upsert(observed_at=300.0, source="backfill", firstName="a")]) == ["unchanged"]
    assert functions.rows()["user_1"]["observedAt"] == 100.0
    assert functions.sync([upsert(updated_at=11.0, source="backfill", firstName="a")]) == ["unchanged"]
    assert functions.rows()["user_1"]["updatedAt"] == 11.0


def test_latest_sign_in_wins_whatever_the_stamps(functions: Functions) -> None:
    """lastSignInAt only grows, and never lets an older content through."""
    functions.sync([upsert(firstName="a", lastSignInAt=50.0)])
    assert functions.sync([upsert(updated_at=9.0, firstName="b", lastSignInAt=60.0)]) == ["updated"]
    assert functions.sync([upsert(updated_at=11.0, firstName="a", lastSignInAt=40.0)]) == ["unchanged"]
    assert functions.sync([upsert(updated_at=11.0, firstName="a", lastSignInAt=None)]) == ["unchanged"]
    row = functions.rows()["user_1"]
    assert (row["firstName"], row["lastSignInAt"]) == ("a", 60.0)


def test_deleted_stays_deleted(functions: Functions) -> None:
    """Clerk's word is final, also when it comes before the user does."""
    assert functions.sync([upsert(), delete(), delete(), upsert(updated_at=99.0, observed_at=999.0)]) == [
        "created",
        "deleted",
        "unchanged",
        "tombstoned",
    ]
    assert functions.sync([delete("user_2"), upsert("user_2")]) == ["deleted", "tombstoned"]
    assert functions.rows() == {}


def test_conclusion_of_a_prune_is_lifted(functions: Functions) -> None:
    """A backfill that found a user gone may be wrong: whoever saw him since brings him back."""
    concluded = delete(source="backfill")
    assert functions.sync([upsert(), concluded, upsert(updated_at=99.0, observed_at=199.0)]) == [
        "created",
        "deleted",
        "tombstoned",
    ]
    assert functions.sync([upsert(observed_at=201.0)]) == ["created"]
    # And it removes nobody whom someone has seen since.
    assert functions.sync([concluded]) == ["stale"]
    # Clerk's own word makes it final.
    assert functions.sync([delete("user_2", source="backfill"), delete("user_2")]) == ["deleted", "unchanged"]
    assert functions.sync([upsert("user_2", observed_at=999.0)]) == ["tombstoned"]


def test_prunes_converge(functions: Functions) -> None:
    """The latest of two conclusions counts, in either order; at the same moment the living user wins."""
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


def test_compare_writes_nothing_and_says_what_sync_would(functions: Functions) -> None:
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
    compared = functions.query("users:compareUsers", {"changes": [as_json(change) for change in changes]})
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


# ---------------------------------------------------------------- any order

State = tuple[dict[str, Any] | None, bool]
Arrangement = list[list[tuple[Literal["sync", "hand"], Change]]]

stamps = st.integers(1, 3).map(float)
sign_ins = st.none() | st.integers(1, 3).map(float)
names = st.sampled_from([None, "a", "b"])
statuses = st.sampled_from(["active", "banned"])


@st.composite
def seen(draw: st.DrawFn) -> Upsert:
    """user.created, user.updated, or session.created with its observedAt 0: any content under any stamp."""
    return upsert(
        updated_at=draw(stamps),
        observed_at=draw(st.just(0.0) | stamps),
        firstName=draw(names),
        status=draw(statuses),
        lastSignInAt=draw(sign_ins),
    )


@st.composite
def seen_with_backfill(draw: st.DrawFn) -> Upsert:
    """The same with a backfill among those who look. A user has one content per millisecond then:
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
    """One history of two users, told twice: permuted, doubled, in batches of any size, partly by hand."""
    users = st.sampled_from(["user_1", "user_1", "user_2"])
    change = (kind | kind | kind | kind | st.just(delete())).flatmap(
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
            by_hand = len(batch) == 1 and batch[0].source != "backfill" and draw(st.booleans())
            batches.append([("hand" if by_hand else "sync", change) for change in batch])
        return batches

    return arrangement(), arrangement()


def final_state(functions: Functions, arrangement: Arrangement, prefix: str) -> dict[str, State]:
    """Rows with their stamps, and whether there is a tombstone, by user. (A backfill does not always keep its
    observedAt; so where there is one, it is left out.)"""
    left_out = {"clerkId", "sortName"}
    if any(change.source == "backfill" for batch in arrangement for _, change in batch):
        left_out.add("observedAt")
    users = set()
    for batch in arrangement:
        changes = [replace(change, clerk_id=prefix + change.clerk_id) for _, change in batch]
        users |= {change.clerk_id for change in changes}
        if batch[0][0] == "hand":
            change_by_hand(functions, changes[0])
        else:
            functions.sync(changes)
    probes = [as_json(upsert(clerk_id, updated_at=99.0, observed_at=99.0)) for clerk_id in sorted(users)]
    outcomes = functions.query("users:compareUsers", {"changes": probes})
    rows = functions.rows()
    states: dict[str, State] = {}
    for clerk_id, outcome in zip(sorted(users), outcomes, strict=True):
        row = rows.get(clerk_id)
        name = clerk_id.removeprefix(prefix)
        if row is not None:
            row = {column: value for column, value in row.items() if column not in left_out}
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


class Diverged(Exception):
    """Two arrangements of one history have ended differently."""


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
    """Any permutation, duplication, batching and interleaving of created, updated, deleted, session.created,
    a backfill's and changes by hand ends in the same rows and the same tombstones."""
    converges(functions, 250)()


WITHOUT = {
    "the tombstone": (
        'return { outcome: "tombstoned" };',
        ";",
    ),
    "the stamp": (
        "if (order > 0 || (order === 0",
        "if (true || (order === 0",
    ),
    "the observation": (
        "updatedAt - version.updatedAt || observedAt - version.observedAt",
        "updatedAt - version.updatedAt",
    ),
    "the kept stamp": (
        "...(!keepsStamp && { version: stamp })",
        "...(false && keepsStamp && { version: stamp })",
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
    """The property finds a counterexample as soon as one of the rules is taken out.

    The functions still run without it: an error of theirs is an AssertionError, which does not count."""
    project = Project(tmp_path)
    project.replace("clerk/rules.ts", *WITHOUT[rule])
    with project.running() as functions:
        in_order = [upsert(), upsert(updated_at=11.0, firstName="a"), delete(observed_at=300.0)]
        assert functions.sync(in_order) == ["created", "updated", "deleted"]
        with pytest.raises(Diverged):
            converges(functions, 2000, phases=(Phase.generate,))()
