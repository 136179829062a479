"""clerk_convex/backfill/nightly.py and convex/clerk/backfill/compare.ts: the nightly run reads each row once,
and finds all that `--verify` finds."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from clerk_convex.backfill import OnProgress, Report, Verification
from clerk_convex.backfill.nightly import nightly
from clerk_convex.clerk.api import Clerk
from clerk_convex.convex.client import Deployment
from clerk_convex.entities import read_user
from clerk_convex.entities.changes import Upsert
from clerk_convex.local.clerk import Faults, LocalClerk
from tests.support.backfill_set import BackfillSet, Then, hasty, small_pages
from tests.support.functions import Functions, as_json, upsert
from tests.support.loose import insert, loose_project

# A team's own logic that refuses a user every time; and an edit past the functions.
REFUSES = 'if (clerkId === "user_refused") throw new Error("no");'
EDIT = """
import { v } from "convex/values";
import { internalMutation } from "./_generated/server";

export const edit = internalMutation({
  args: { clerkId: v.string(), columns: v.any() },
  handler: async (ctx, { clerkId, columns }) => {
    const rows = ctx.db.query("users").withIndex("by_clerk_id", (q) => q.eq("clerkId", clerkId));
    const { _id, _creationTime, ...row } = (await rows.first())!;
    if (columns === null) await ctx.db.delete("users", _id);
    else if (columns.copy) await ctx.db.insert("users", { ...row, ...columns.copy });
    else await ctx.db.patch("users", _id, columns);
  },
});
"""


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Functions]:
    project = loose_project(tmp_path_factory.mktemp("project"))
    project.replace("clerk/onUserChange.ts", "{ outcome, userId", "{ outcome, clerkId, userId")
    project.replace("clerk/onUserChange.ts", "  if (outcome", f"  {REFUSES}\n  if (outcome")
    project.write("test.ts", EDIT)
    project.replace("clerk/backfill/runs.ts", "const SILENT_MS = 60 * 1000", "const SILENT_MS = 0")
    with project.running() as functions:
        yield functions


@pytest.fixture
def local(functions: Functions, monkeypatch: pytest.MonkeyPatch) -> Iterator[BackfillSet]:
    hasty(monkeypatch)
    monkeypatch.setattr("clerk_convex.backfill.comparison.AGAIN", 0.01)
    with LocalClerk(rate_limit=0, secret_key="sk_live_" + "0" * 20) as clerk:
        yield BackfillSet(clerk, functions)


def night(
    local: BackfillSet, on_progress: OnProgress | None = None, **options: Any
) -> tuple[Report, Verification]:
    report, verification = asyncio.run(nightly(local.settings(), on_progress=on_progress, **options))
    assert verification is not None, report
    return report, verification


def fill(local: BackfillSet) -> None:
    """Write all users as they are, so long ago that every later change wins."""
    users = [read_user(user) for user in local.clerk.users()]
    local.functions.sync([Upsert(it.clerk_id, it.updated_at, 1.0, it.columns, "backfill") for it in users])


def found(verification: Verification) -> dict[str, Any]:
    """Return what a verification says, without what differs between any two."""
    said = verification.to_json()
    return {**said, "seconds": 0, "lastWebhookAt": 0, "examples": sorted(map(str, said["examples"]))}


def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count the calls of the functions that read many rows."""
    counted: Counter[str] = Counter()
    genuine = Deployment.send

    async def send(self: Deployment, kind: Any, name: str, args: bytes) -> Any:
        counted[name.removeprefix("users:")] += 1
        return await genuine(self, kind, name, args)

    monkeypatch.setattr(Deployment, "send", send)
    return counted


# ---------------------------------------------------------------- what it reads


def test_a_night_without_changes_reads_each_row_once(
    local: BackfillSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the meter of the local Convex. Beyond them it reads its own position, and Clerk once."""
    small_pages(monkeypatch, 20)
    local.sign_up(100)
    assert night(local)[1].equal
    counted = calls(monkeypatch)
    local.functions.convex.metered()
    report, verification = night(local)
    read = local.functions.convex.metered()
    assert (report.counts, verification.equal) == ({"unchanged": 100}, True)
    assert (verification.users, verification.rows) == (100, 100)
    beyond = read["documentsRead"] - 100
    assert 0 <= beyond < 60, read  # two for each of the saved positions, and some for the start and the end
    assert counted["exportUsers"] == counted["findDuplicates"] == 0
    assert counted["compareUsers"] == 1  # the check at the start


def test_only_what_differs_is_written(local: BackfillSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """By one mutation for each page with differences. A second reading is for these users only."""
    ids = local.sign_up(30)
    night(local)
    local.clerk.update_user(ids[3], first_name="New")
    local.clerk.create_user(username="new")
    counted = calls(monkeypatch)
    report, verification = night(local)
    assert report.counts == {"created": 1, "updated": 1, "unchanged": 29}
    assert verification.equal
    assert (verification.users, verification.rows) == (31, 31)
    assert local.differences() == []
    assert counted["syncUsers"] == 2  # one is the check at the start


def test_an_unchanged_user_with_a_newer_stamp_keeps_it(local: BackfillSet) -> None:
    """Otherwise a change between the two stamps, which comes late, could win."""
    (user_id,) = local.sign_up(1)
    night(local)
    local.clerk.update_user(user_id, first_name="Ada")
    local.clerk.update_user(user_id, first_name=None)
    night(local)
    (updated_at,) = (user["updated_at"] for user in local.clerk.users())
    (row,) = local.functions.all_rows()
    assert row["updatedAt"] == updated_at


# ---------------------------------------------------------------- what it finds


def trouble(local: BackfillSet) -> list[str]:
    """Make each kind of difference that a run cannot repair, and some that it can."""
    ids = local.sign_up(30)
    fill(local)
    functions = local.functions
    functions.mutation("users:deleteUser", {"clerkId": ids[0]})  # missing, for ever
    functions.sync([upsert(ids[1], updated_at=9e12, observed_at=9e12)])  # differs until then, and is
    functions.mutation("test:edit", {"clerkId": ids[1], "columns": {"copy": {}}})  # duplicate
    functions.mutation("test:edit", {"clerkId": ids[20], "columns": {"copy": {"createdAt": 1}}})
    functions.mutation("test:edit", {"clerkId": ids[3], "columns": {"createdAt": 5, "lastName": "By hand"}})
    functions.mutation("test:edit", {"clerkId": ids[4], "columns": None})
    functions.mutation("test:edit", {"clerkId": ids[5], "columns": {"status": "pending"}})
    insert(
        functions,
        {"name": "Ada"},  # without a Clerk id, and without a status
        {"name": "Bob", "status": "active", "createdAt": "2020-01-01"},
        {"name": "Eve", "status": "banned"},
        {"name": "Max", "status": "cancelled", "createdAt": 1_700_000_000_000.0},
        {"name": "Kim", "status": "zz", "createdAt": 1_700_000_000_000.0},
    )
    local.clerk.create_user(id="user_refused", first_name="Refused")
    return ids


def test_it_finds_what_a_verification_finds(local: BackfillSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing, differing and duplicate users, and rows without a Clerk id, wherever the rows are sorted."""
    small_pages(monkeypatch, 8)
    trouble(local)
    counted = calls(monkeypatch)
    report, verification = night(local)
    assert counted["exportUsers"] == counted["findDuplicates"] == 0
    assert found(verification) == found(local.verify())
    assert (verification.missing, verification.duplicate, verification.unlinked) == (2, 2, 5)
    assert verification.differing == verification.extra == 0
    assert report.pruning is not None
    assert report.pruning.unlinked == 5
    assert report.counts["failed"] == 1
    assert (report.counts["created"], report.counts["updated"]) == (1, 2)


def test_it_prunes_the_rows_of_users_that_are_gone(
    local: BackfillSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever they are: among other users, before the first and after the last one."""
    small_pages(monkeypatch, 8)
    ids = local.sign_up(20)
    fill(local)
    old, new = upsert("user_old", createdAt=1.0), upsert("user_new", createdAt=2e12)
    local.functions.sync([old, new, upsert("user_banned", createdAt=2e12, status="banned")])
    local.clerk.delete_user(ids[7])
    local.functions.sync([upsert("user_ghost", createdAt=local.clerk.users()[3]["created_at"])])
    report, verification = night(local)
    assert report.pruning is not None
    assert (report.pruning.rows, report.pruning.absent, report.pruning.deleted) == (24, 5, 5)
    assert verification.equal
    assert (verification.users, verification.rows) == (19, 19)
    assert local.differences() == []


def test_too_many_rows_to_prune_are_reported_and_stay(local: BackfillSet) -> None:
    local.sign_up(2)
    local.functions.sync([upsert(f"user_ghost{number}") for number in range(11)])
    report, verification = night(local)
    assert report.pruning is not None
    assert (report.pruning.refused, report.pruning.absent) == (True, 11)
    assert (verification.extra, verification.rows) == (11, 13)
    assert verification.doubt is not None
    assert len(local.functions.rows()) == 13


def test_unreadable_users_are_counted(local: BackfillSet, monkeypatch: pytest.MonkeyPatch) -> None:
    local.sign_up(2)
    genuine = Clerk.list_users

    async def with_an_odd_one(self: Clerk, **question: Any) -> Any:
        page = await genuine(self, **question)
        if question.get("created_at_after") is None and question.get("limit") != 1:
            page.users.append("no user at all")
        return page

    monkeypatch.setattr(Clerk, "list_users", with_an_odd_one)
    report, verification = night(local)
    assert report.counts == {"created": 2, "failed": 1}
    assert (verification.unreadable, verification.users) == (1, 3)


def test_users_of_one_millisecond_are_found(local: BackfillSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """They may be on several pages, so their rows are not all found in the part of their page."""
    small_pages(monkeypatch, 4)
    local.sign_up(15, created_at=1_700_000_000_000)
    local.functions.sync([upsert("user_ghost", createdAt=1_700_000_000_000.0)])
    assert night(local)[1].equal
    report, verification = night(local)
    assert report.counts == {"unchanged": 15}
    assert verification.equal
    assert (verification.users, verification.rows) == (15, 15)


# ---------------------------------------------------------------- in two steps


def in_two_steps(local: BackfillSet, counted: Counter[str], **options: Any) -> tuple[Report, Verification]:
    counted.clear()
    result = night(local, **options)
    assert counted["exportUsers"] >= 2
    assert counted["findDuplicates"] >= 1
    return result


def test_a_resumed_run_is_done_in_two_steps(local: BackfillSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """A resumed run does not know the rows that the stopped one has compared."""
    small_pages(monkeypatch, 5)
    local.sign_up(30)
    local.functions.sync([upsert("user_ghost", createdAt=1.0)])

    def stop() -> None:
        local.clerk.faults = Faults(status=503)

    stopped = nightly(local.settings(), on_progress=Then(10, stop), concurrency=1, patience=0.1)
    report, nothing = asyncio.run(stopped)
    assert report.error is not None
    assert nothing is None
    local.clerk.faults = Faults()
    report, verification = in_two_steps(local, calls(monkeypatch))
    assert report.resumed
    assert verification.equal
    assert local.differences() == []


@pytest.mark.parametrize("where", ["among the users", "without a status"])
def test_many_more_rows_than_users_are_done_in_two_steps(
    local: BackfillSet, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """A query can read only so many."""
    local.sign_up(3)
    rows = [{"name": f"Old{number}"} for number in range(504)]
    if where == "among the users":
        rows = [{**row, "status": "active"} for row in rows]
    insert(local.functions, *rows)
    report, verification = in_two_steps(local, calls(monkeypatch))
    assert report.counts == {"created": 3}
    assert (verification.unlinked, verification.users, verification.rows) == (504, 3, 3)


def test_a_column_that_convex_refuses_is_done_in_two_steps(
    local: BackfillSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One bad user makes Convex refuse the comparison of its page. The others are written."""
    ids = local.sign_up(3)

    def fields(user: Mapping[str, Any]) -> dict[str, Any]:
        return {"wrong": 1} if user["id"] == ids[1] else {}

    monkeypatch.setattr(local, "settings", lambda genuine=local.settings: genuine(clerk_convex_fields=fields))
    report, verification = in_two_steps(local, calls(monkeypatch))
    assert report.counts == {"created": 2, "failed": 1}
    assert verification.examples == (("differing", ids[1]),)


def test_a_column_that_cannot_be_sent_is_done_in_two_steps(
    local: BackfillSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = local.sign_up(3)

    def fields(user: Mapping[str, Any]) -> dict[str, Any]:
        return {"name": object()} if user["id"] == ids[1] else {}

    monkeypatch.setattr(local, "settings", lambda genuine=local.settings: genuine(clerk_convex_fields=fields))
    report, _ = in_two_steps(local, calls(monkeypatch))
    assert report.counts == {"created": 2, "failed": 1}


def test_very_many_differences_are_done_in_two_steps(
    local: BackfillSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are not all kept in memory."""
    monkeypatch.setattr("clerk_convex.backfill.nightly.SUSPECTS", 2)
    ids = local.sign_up(4)
    for clerk_id in ids:
        local.functions.mutation("users:deleteUser", {"clerkId": clerk_id})
    _, verification = in_two_steps(local, calls(monkeypatch))
    assert verification.missing == 4


# ---------------------------------------------------------------- the function


def compare(functions: Functions, changes: Sequence[Upsert], range: Any) -> Any:  # noqa: A002
    arguments = {"changes": [as_json(change) for change in changes], "range": range}
    return functions.query("users:compareRange", arguments)


def test_a_part_has_the_rows_after_its_start_up_to_its_end(local: BackfillSet) -> None:
    """The start is exclusive, the end inclusive. Without a start it has the rows without a createdAt, too."""
    functions = local.functions
    functions.sync([upsert(f"user_{at}", createdAt=float(at)) for at in (1, 2, 3)])
    (row,) = insert(functions, {"name": "Ada", "status": "active"})
    parts: list[tuple[float | None, float | None, list[str]]] = [
        (1.0, 2.0, ["user_2"]),
        (0.0, 1.0, ["user_1"]),
        (2.0, None, ["user_3"]),
        (None, 1.0, ["user_1"]),
        (3.0, 1.0, []),
    ]
    for after, up_to, others in parts:
        answer = compare(functions, [], {"after": after, "upTo": up_to})
        assert (answer["others"], answer["rows"]) == (others, len(others))
        assert answer["unlinked"] == ([row] if after is None else [])


def test_a_row_that_existed_before_is_counted_once(local: BackfillSet) -> None:
    """A linked row becomes `created`, but is no further row."""
    ids = local.sign_up(5)
    insert(local.functions, *({"clerkId": clerk_id, "name": "Ada"} for clerk_id in ids[:3]))
    report, verification = night(local)
    assert report.counts == {"created": 5}
    assert (verification.users, verification.rows, verification.equal) == (5, 5, True)


def test_a_refusal_of_an_unchanged_user_is_settled(local: BackfillSet) -> None:
    """As a backfill does: the user is equal, so nothing is left to refuse."""
    ids = local.sign_up(2)
    fill(local)
    refused = {"clerkId": ids[0], "source": "webhook", "reason": "No.", "observedAt": 2.0, "count": 1.0}
    local.functions.mutation("users:recordRefusals", {"refusals": [refused]})
    assert local.functions.query("users:status", {})["refusals"]["count"] == 1
    report, _ = night(local)
    assert report.counts == {"unchanged": 2}
    assert local.functions.query("users:status", {})["refusals"]["count"] == 0


def test_the_oldest_of_several_rows_is_compared(local: BackfillSet) -> None:
    """As every function does."""
    functions = local.functions
    functions.sync([upsert("user_1", firstName="Ada")])
    functions.mutation("test:edit", {"clerkId": "user_1", "columns": {"copy": {"firstName": "Eve"}}})
    everything = {"after": None, "upTo": None}
    answer = compare(functions, [upsert("user_1", firstName="Ada")], everything)
    assert (answer["outcomes"], answer["toWrite"], answer["duplicates"]) == (["unchanged"], [], ["user_1"])
    assert answer["others"] == []
