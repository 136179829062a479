"""A users table that had rows before: the functions under the loose schema, and how rows become users."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clerk_convex.entities import COLUMNS, Upsert
from tests.support.documents import blocks
from tests.support.functions import (
    CREATED_AT,
    ROOT,
    Caller,
    Denied,
    Functions,
    Project,
    delete,
    eventually,
    upsert,
)
from tests.support.loose import INSERT, OWN_COLUMNS, insert, loose_project, table

# Rows as teams have them: names of ours with other values, and everything of ours missing.
OLD = {"name": "Ada", "plan": "pro", "createdAt": "2020-01-01", "email": None, "status": "pending"}
FALSE_ADMIN = {"name": "Eve", "role": "admin", "status": "active", "createdAt": CREATED_AT}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Functions]:
    with loose_project(tmp_path_factory.mktemp("project")).running() as functions:
        yield functions


@pytest.fixture
def loose(running: Functions) -> Functions:
    """Return the functions of the loose project with one admin and no other row."""
    running.clear()
    assert running.sync([upsert("user_admin", role="admin", email="admin@example.com")]) == ["created"]
    return running


def filled(clerk_id: str, **columns: Any) -> Upsert:
    """Return an upsert that names every column, as those of Python do."""
    missing: dict[str, Any] = dict.fromkeys(COLUMNS - {"status", "createdAt"})
    return upsert(clerk_id, **missing | columns)


def admin(functions: Functions) -> Caller:
    return functions.signed_in("user_admin")


def adopt(functions: Functions, *links: tuple[str, str]) -> list[str]:
    """Link rows, and return what became of each. The comparison before says the same."""
    arguments = {"links": [{"id": row_id, "clerkId": clerk_id} for row_id, clerk_id in links]}
    expected = functions.query("users:compareAdoption", arguments)
    outcomes: list[str] = functions.mutation("users:adoptRows", arguments)
    assert outcomes == expected
    return outcomes


def check(functions: Functions) -> dict[str, list[str]]:
    """Return the problems of each row that the tight table would refuse, by its id."""
    answer = functions.query("users:checkRows", {"cursor": None})
    assert answer["cursor"] is None
    return {row["id"]: row["problems"] for row in answer["refused"]}


def counted(functions: Functions) -> dict[str, int]:
    stats = admin(functions).query("users:stats", {"today": "2023-11-20"})
    sign_ups = sum(day["signUps"] for day in stats["days"])
    return {"total": stats["total"], "active": stats["active"], "signUps": sign_ups}


# ---------------------------------------------------------------- while the schema is loose


def test_rows_without_a_user_are_in_no_list(loose: Functions) -> None:
    """However the list is sorted or searched: they are no users, and have no values that a list may show."""
    insert(loose, OLD, FALSE_ADMIN, {"name": "Bob", "createdAt": None, "sortName": 7, "searchText": 7})
    insert(
        loose, {"name": "Cid", "email": "cid@example.com", "sortEmail": "cid@example.com", "sortName": "cid"}
    )
    caller = admin(loose)
    for by in ("createdAt", "lastSignInAt", "email", "name"):
        for order in ("asc", "desc"):
            for status in ({}, {"status": "active"}):
                request = {"sort": {"by": by, "order": order}, **status}
                pages = caller.pages("users:getUsers", 1, **request)
                assert [row["clerkId"] for page in pages for row in page] == ["user_admin"], request
    for search, found in (("cid", []), ("eve", []), ("user_adm", ["user_admin"]), ("admin@", ["user_admin"])):
        (page,) = caller.pages("users:getUsers", search=search)
        assert [row["clerkId"] for row in page] == found
    (entries,) = caller.pages("users:auditLog")
    assert [entry["clerkId"] for entry in entries] == ["user_admin"]


def test_a_row_that_is_only_linked_is_no_user_yet(loose: Functions) -> None:
    """Its columns are not Clerk's. What it says of a role or a status gives no permission."""
    (row_id,) = insert(loose, FALSE_ADMIN)
    assert adopt(loose, (row_id, "user_eve")) == ["linked"]
    eve = loose.signed_in("user_eve")
    assert eve.query("users:currentUser") == {"state": "not_synced", "clerkId": "user_eve"}
    with pytest.raises(Denied) as refused:
        eve.query("users:getUsers", {"paginationOpts": {"numItems": 1, "cursor": None}})
    assert refused.value.args[0]["reason"] == "not_synced"
    assert admin(loose).query("users:getUser", {"clerkId": "user_eve"}) is None
    # When two admins remove each other at once, no such row counts as the admin who stays.
    insert(loose, FALSE_ADMIN)
    loose.sync([upsert("user_b", role="admin")])
    for actor, target, reason in (("user_admin", "user_b", None), ("user_b", "user_admin", "last_admin")):
        wanted = {"actor": actor, "action": "ban", "target": target, "requestId": f"of {actor}"}
        assert loose.mutation("users:beginAction", wanted).get("reason") == reason


def test_they_do_not_count_until_they_are_filled(loose: Functions) -> None:
    assert counted(loose) == {"total": 1, "active": 1, "signUps": 1}
    rows = insert(loose, OLD, FALSE_ADMIN)
    for _ in range(2):
        loose.mutation("users:rebuildStats", {})
        assert eventually(lambda: not admin(loose).query("users:stats")["rebuilding"])
        assert counted(loose) == {"total": 1, "active": 1, "signUps": 1}
        adopt(loose, (rows[0], "user_ada"), (rows[1], "user_eve"))
    loose.sync([filled("user_ada"), filled("user_eve", status="locked")])
    assert counted(loose) == {"total": 3, "active": 2, "signUps": 3}
    loose.sync([delete("user_ada"), delete("user_eve")])
    assert counted(loose) == {"total": 1, "active": 1, "signUps": 1}


def test_they_are_no_duplicates_of_each_other(loose: Functions) -> None:
    """They all lack a Clerk id, or have the same that is none."""
    insert(loose, OLD, OLD, {"clerkId": ""}, {"clerkId": ""}, {"clerkId": None}, {"clerkId": 7})
    assert loose.query("users:findDuplicates", {"cursor": None}) == {"clerkIds": [], "cursor": None}


def test_they_are_exported(loose: Functions) -> None:
    insert(loose, OLD)
    _, row = loose.all_rows()
    assert {name: row[name] for name in OLD} == OLD
    assert (row["updatedAt"], row["observedAt"], row.get("clerkId")) == (None, None, None)


# ---------------------------------------------------------------- rows without a Clerk id, by column


def test_loose_rows_have_the_text_of_one_column(loose: Functions) -> None:
    """And nothing else of a person. What is no text is null."""
    ids = insert(
        loose, {"name": "Ada", "email": "ada@example.com"}, {"email": 7}, {}, {"clerkId": "", "email": "x"}
    )
    answer = loose.query("users:looseRows", {"column": "email", "cursor": None})
    assert {row["id"]: row["value"] for row in answer["rows"]} == dict(
        zip(ids, ["ada@example.com", None, None, "x"], strict=True)
    )
    assert answer["cursor"] is None


def test_loose_rows_come_in_pages(loose: Functions) -> None:
    ids = insert(loose, *({"name": str(number)} for number in range(501)))
    found: list[dict[str, Any]] = []
    cursors = [None]
    while len(cursors) == 1 or cursors[-1] is not None:
        answer = loose.query("users:looseRows", {"column": "name", "cursor": cursors[-1]})
        found += answer["rows"]
        cursors.append(answer["cursor"])
    assert [row["id"] for row in found] == ids
    assert len(cursors) == 3


# ---------------------------------------------------------------- linking


def test_a_linked_row_keeps_its_id_and_the_teams_columns(loose: Functions) -> None:
    """Clerk's columns are Clerk's from the next change on, whatever the row had in them."""
    (row_id,) = insert(loose, OLD | {"lastSignInAt": None, "lockedUntil": "never", "role": "admin"})
    assert adopt(loose, (row_id, "user_ada")) == ["linked"]
    assert loose.sync([filled("user_ada", email="ada@example.com", firstName="Ada")]) == ["created"]
    _, row = table(loose, "users")
    assert (row["_id"], row["name"], row["plan"]) == (row_id, "Ada", "pro")
    assert (row["status"], row["createdAt"], row["email"]) == ("active", CREATED_AT, "ada@example.com")
    assert (row["sortName"], row["sortEmail"]) == ("ada", "ada@example.com")
    assert not {"lastSignInAt", "lockedUntil", "role"} & row.keys()
    assert check(loose) == {}


def test_a_sign_in_before_the_first_change_is_kept(loose: Functions) -> None:
    """Also where the row has something else than a time."""
    (row_id,) = insert(loose, {"lastSignInAt": "yesterday"})
    adopt(loose, (row_id, "user_ada"))
    sign_in = {"type": "signIn", "clerkId": "user_ada", "lastSignInAt": 5, "source": "webhook"}
    assert loose.mutation("users:syncUsers", {"changes": [sign_in]}) == ["updated"]
    loose.sync([upsert("user_ada", lastSignInAt=3.0)])
    assert loose.rows()["user_ada"]["lastSignInAt"] == 5


def test_a_link_is_never_replaced(loose: Functions) -> None:
    one, two = insert(loose, {"name": "one"}, {"name": "two"})
    assert adopt(loose, (one, "user_ada")) == ["linked"]
    assert adopt(loose, (one, "user_ada")) == ["unchanged"]
    assert adopt(loose, (one, "user_bob"), (two, "user_ada")) == ["other", "taken"]
    assert [row.get("clerkId") for row in table(loose, "users")] == ["user_admin", "user_ada", None]
    links = [entry for entry in table(loose, "clerkAudit") if entry.get("fields") == ["clerkId"]]
    assert [(it["clerkId"], it["outcome"], it["source"]) for it in links] == [
        ("user_ada", "updated", "manual")
    ]


def test_two_rows_of_one_user_in_one_call_are_not_both_linked(loose: Functions) -> None:
    one, two = insert(loose, {"name": "one"}, {"name": "two"})
    links = [{"id": row_id, "clerkId": "user_ada"} for row_id in (one, two)]
    assert loose.mutation("users:adoptRows", {"links": links}) == ["linked", "taken"]


def test_what_is_gone_is_not_linked(loose: Functions) -> None:
    """A row that was removed meanwhile, and a user who was deleted."""
    one, two = insert(loose, {"name": "one"}, {"name": "two"})
    loose.mutation("raw:remove", {"id": one})
    loose.sync([delete("user_ada")])
    assert adopt(loose, (one, "user_bob"), (two, "user_ada")) == ["gone", "deleted"]


def test_the_version_of_a_row_that_somebody_removed_does_not_keep_a_row_empty(loose: Functions) -> None:
    """Else the stamps of the removed row would let each change that is not newer lose."""
    loose.sync([upsert("user_ada")])
    loose.mutation("raw:remove", {"id": table(loose, "users")[-1]["_id"]})
    (row_id,) = insert(loose, OLD)
    assert adopt(loose, (row_id, "user_ada")) == ["linked"]
    assert loose.sync([filled("user_ada")]) == ["created"]
    assert check(loose) == {}


@pytest.mark.parametrize("stamp", [[99, 99], "2020-01-01", [], [99], ["a", "b"], None])
def test_the_stamp_of_a_linked_row_does_not_keep_it_empty(loose: Functions, stamp: Any) -> None:
    """Neither that of another user, to whom the row was linked before, nor what a team has in that column."""
    one, _ = insert(loose, {**OLD, "clerkStamp": stamp}, {**OLD, "clerkId": "user_bob", "clerkStamp": stamp})
    assert adopt(loose, (one, "user_ada")) == ["linked"]
    assert loose.sync([filled("user_ada")]) == ["created"]
    is_stamp = stamp == [99, 99]
    assert loose.sync([filled("user_bob")]) == ["stale" if is_stamp else "created"]
    rows = {row["clerkId"]: row["updatedAt"] for row in loose.all_rows()}
    assert (rows["user_ada"], rows["user_bob"]) == (10.0, 99.0 if is_stamp else 10.0)


def test_a_row_that_a_webhook_created_is_merged_into_the_older_one(loose: Functions) -> None:
    """The team's row stays, with its id; it has Clerk's columns at once, and the totals count one user."""
    (row_id,) = insert(loose, OLD)
    loose.sync([upsert("user_ada", firstName="Ada", role="editor")])
    newer = table(loose, "users")[-1]["_id"]
    before = counted(loose)
    assert adopt(loose, (row_id, "user_ada")) == ["merged"]
    _, row = table(loose, "users")
    assert (row["_id"], row["name"], row["role"], row.get("email")) == (row_id, "Ada", "editor", None)
    assert check(loose) == {}
    assert counted(loose) == before
    assert [(it["from"], it["to"]) for it in table(loose, "merges")] == [(newer, row_id)]
    assert "merged" in [entry.get("outcome") for entry in table(loose, "clerkAudit")]
    assert loose.sync([upsert("user_ada", firstName="Ada", role="editor")]) == ["unchanged"]
    assert adopt(loose, (row_id, "user_ada")) == ["unchanged"]


@pytest.mark.parametrize("kind", ["older", "adopted", "has a column of the team's", "two rows", "not filled"])
def test_another_row_is_never_merged(loose: Functions, kind: str) -> None:
    """Only a later one that these functions created and that nobody has touched since."""
    if kind == "older":
        loose.sync([upsert("user_ada")])
    (row_id,) = insert(loose, {"name": "Ada"})
    if kind == "adopted":
        (other,) = insert(loose, {})
        adopt(loose, (other, "user_ada"))
        loose.sync([upsert("user_ada")])
    if kind == "has a column of the team's":
        insert(loose, {"clerkId": "user_ada", "plan": "pro"})
        loose.sync([upsert("user_ada")])
    if kind == "two rows":
        loose.sync([upsert("user_ada")])
        insert(loose, {"clerkId": "user_ada"})
    if kind == "not filled":
        insert(loose, {"clerkId": "user_ada"})
    before = table(loose, "users")
    assert adopt(loose, (row_id, "user_ada")) == ["taken"]
    assert table(loose, "users") == before


def test_at_most_a_hundred_rows_are_linked_at_once(loose: Functions) -> None:
    (row_id,) = insert(loose, OLD)
    links = {"links": [{"id": row_id, "clerkId": "user_ada"}] * 101}
    for call, name in ((loose.mutation, "users:adoptRows"), (loose.query, "users:compareAdoption")):
        with pytest.raises(AssertionError, match="links has 101 rows: send at most 100"):
            call(name, links)


# ---------------------------------------------------------------- is it time for the final schema?


def test_what_the_tight_table_would_refuse_is_named(loose: Functions) -> None:
    old, linked = insert(loose, OLD, {"clerkId": "user_ada"})
    assert check(loose) == {
        old: [
            "clerkId is missing",
            "status has another type",
            "createdAt has another type",
            "email has another type",
            "sortName is missing",
            "searchText is missing",
        ],
        linked: [f"{name} is missing" for name in ("status", "createdAt", "sortName", "searchText")],
    }
    answer = loose.query("users:checkRows", {"cursor": None})
    assert answer["rows"] == 3
    assert [row["clerkId"] for row in answer["refused"]] == [None, "user_ada"]


def test_the_tight_schema_takes_what_the_check_passes(loose: Functions, tmp_path: Path) -> None:
    """And no other one: each row of the loose table is inserted under the final schema."""
    linked, other = insert(loose, OLD, FALSE_ADMIN)
    adopt(loose, (linked, "user_ada"))
    loose.sync([filled("user_ada", email="ada@example.com", lastSignInAt=7.0)])
    refused = check(loose)
    assert list(refused) == [other]
    rows = {row["_id"]: {name: row[name] for name in row if name[0] != "_"} for row in table(loose, "users")}
    project = Project(tmp_path)
    project.write("clerk/columns.ts", OWN_COLUMNS)
    project.write("raw.ts", INSERT)
    with project.running() as tight:
        for row_id, row in rows.items():
            if row_id in refused:
                with pytest.raises(AssertionError, match="missing the required field"):
                    insert(tight, row)
            else:
                insert(tight, row)
        assert tight.rows()["user_ada"]["plan"] == "pro"


KINDS = """
import { v } from "convex/values";
export const requiredExtraColumns = { team: v.string() };
export const ownColumns = {};
export const extraColumns = {
  id: v.id("users"), text: v.string(), float: v.number(), big: v.int64(), yes: v.boolean(), raw: v.bytes(),
  nothing: v.null(), one: v.literal("a"), list: v.array(v.string()), map: v.record(v.string(), v.number()),
  object: v.object({ a: v.number(), b: v.optional(v.string()) }), either: v.union(v.string(), v.null()),
  any: v.any(),
};
"""
VALUES = """
import { internalMutation } from "./_generated/server";

const buffer = new ArrayBuffer(1);
const GOOD = {
  id: "x", text: "", float: 1, big: 1n, yes: false, raw: buffer, nothing: null, one: "a", list: ["a"],
  map: { a: 1 }, object: { a: 1 }, either: null, any: [buffer],
};
const BAD: [string, any][] = [
  ["id", 1], ["text", null], ["float", 1n], ["big", 1], ["yes", 1], ["raw", {}],
  ["nothing", false], ["one", "b"], ["list", "a"], ["list", ["a", 1]], ["map", []], ["map", buffer],
  ["map", { a: "1" }], ["object", null], ["object", {}],
  ["object", { a: 1, b: 1 }], ["object", { a: 1, c: 1 }], ["either", 1],
];

export const insert = internalMutation({
  args: {},
  handler: async (ctx) => {
    const derived = { sortName: "", searchText: "" };
    const user = { clerkId: "user_1", status: "active", createdAt: 1, ...derived, team: "" };
    const insert = async (row: any) => await ctx.db.insert("users", row);
    await insert({ ...user, ...GOOD });
    await insert({ ...user, ...GOOD, object: { a: 1, b: "b" }, either: "" });
    const bad = [];
    for (const [name, value] of BAD) bad.push([await insert({ ...user, [name]: value }), name]);
    return bad;
  },
});

// Leaves the rows as they are after a deploy that added the column.
export const removeTeams = internalMutation({
  args: {},
  handler: async (ctx) => {
    for (const row of await ctx.db.query("users").collect()) {
      if (row.role !== "admin") await ctx.db.patch("users", row._id, { team: undefined } as any);
    }
  },
});
"""


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Functions]:
    project = loose_project(tmp_path_factory.mktemp("kinds"))
    project.write("clerk/columns.ts", KINDS)
    project.write("kinds.ts", VALUES)
    with project.running() as functions:
        yield functions


def test_every_kind_of_column_is_checked(kinds: Functions) -> None:
    """A column of CLERK_CONVEX_FIELDS may have any validator."""
    kinds.clear()
    bad = kinds.mutation("kinds:insert", {})
    assert check(kinds) == {row_id: [f"{name} has another type"] for row_id, name in bad}


def test_a_new_column_changes_no_total(kinds: Functions) -> None:
    """The rows that lack it were counted before. They count once, until it is filled and after that."""
    kinds.clear()
    kinds.sync(
        [upsert("user_admin", role="admin", team="a"), *(upsert(f"user_{n}", team="b") for n in (1, 2, 3))]
    )
    kinds.mutation("kinds:removeTeams", {})
    assert len(check(kinds)) == 3
    assert counted(kinds) == {"total": 4, "active": 4, "signUps": 4}
    kinds.sync([upsert("user_1", updated_at=20.0, team="c"), delete("user_2")])
    assert counted(kinds) == {"total": 3, "active": 3, "signUps": 3}
    kinds.mutation("users:rebuildStats", {})
    assert eventually(lambda: not admin(kinds).query("users:stats")["rebuilding"])
    assert counted(kinds) == {"total": 3, "active": 3, "signUps": 3}
    kinds.sync([upsert("user_3", updated_at=20.0, team="c")])
    assert counted(kinds) == {"total": 3, "active": 3, "signUps": 3}


def test_a_column_that_nobody_declares_is_named(tmp_path: Path) -> None:
    """The rows of a table without validation may have any."""
    project = loose_project(tmp_path)
    project.replace("schema.ts", "...looseClerkTables,", "...looseClerkTables, users: anything,")
    project.replace(
        "schema.ts",
        "export default",
        "const any = { validator: { value: v.any() } };\n"
        "const anything = Object.create(looseClerkTables.users, any);\n"
        "export default",
    )
    with project.running() as functions:
        functions.sync([upsert("user_1")])
        (user,) = table(functions, "users")
        row = {name: value for name, value in user.items() if name[0] != "_"}
        (row_id,) = insert(functions, row | {"clerkId": "user_2", "nick": "x"})
        assert check(functions) == {row_id: ["nick is not in columns.ts"]}


def test_a_value_of_another_type_stops_no_repair(loose: Functions) -> None:
    """Rows of one user are merged whatever they have in the columns that Clerk fills."""
    for clerk_id in ("user_a", "user_b"):
        insert(loose, {"clerkId": clerk_id, "username": 7}, {"clerkId": clerk_id, "plan": "pro"})
    repaired = loose.mutation("users:repairDuplicates", {"clerkIds": ["user_a", "user_b"]})
    assert [it["removed"] for it in repaired] == [1, 1]
    assert [row.get("plan") for row in table(loose, "users")][1:] == ["pro", "pro"]


def test_a_value_of_another_type_stops_no_change(loose: Functions) -> None:
    """Neither an older one, nor one that does not name the columns."""
    stamp = {"clerkId": "user_a", "clerkStamp": [10.0, 100.0]}
    wrong = {"username": 7, "firstName": ["x"], "email": None, "phone": 8, "externalId": {}}
    insert(loose, {**stamp, **wrong, "status": "active"})
    assert loose.sync([filled("user_a", updated_at=9.0)]) == ["stale"]
    assert loose.sync([upsert("user_a", updated_at=11.0)]) == ["updated"]
    assert table(loose, "users")[1]["sortName"] == "user_a"
    assert loose.sync([filled("user_a", updated_at=12.0)]) == ["updated"]
    assert check(loose) == {}


def test_the_guide_s_schema_takes_the_guide_s_rows(tmp_path: Path) -> None:
    """docs/guides/existing-table.md: its columns and its loose schema, and the final schema after it."""
    project = Project(tmp_path)
    for block in blocks(ROOT / "docs/guides/existing-table.md"):
        if block.language == "ts":
            assert block.file is not None
            project.write(block.file.removeprefix("convex/"), block.text)
    project.write("raw.ts", INSERT)
    with project.running() as functions:
        rows = insert(functions, {"name": "Ada", "plan": "pro", "email": None}, {"name": "Bob"})
        assert adopt(functions, *zip(rows, ["user_ada", "user_bob"], strict=True)) == ["linked"] * 2
        assert len(check(functions)) == 2
        functions.sync([filled("user_ada"), filled("user_bob")])
        assert check(functions) == {}
        final = table(functions, "users")
    schema = project.folder / "convex/schema.ts"
    schema.write_text(schema.read_text().replace("looseClerkTables", "clerkTables"))
    with project.running() as functions:
        insert(functions, *({name: row[name] for name in row if name[0] != "_"} for row in final))
        assert functions.rows()["user_ada"]["plan"] == "pro"


def test_a_table_beside_theirs_leaves_their_rows_alone(tmp_path: Path) -> None:
    """With another name in clerk/module.ts the team's users table is neither read nor written."""
    project = Project(tmp_path)
    project.replace("clerk/module.ts", '"users" as const', '"clerkUsers" as const')
    project.write(
        "schema.ts",
        """
import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";
import { clerkTables } from "./clerk/tables";
const users = defineTable({ name: v.string(), clerkId: v.optional(v.string()), email: v.null() });
export default defineSchema({ ...clerkTables, users });
""",
    )
    project.write("raw.ts", INSERT)
    with project.running() as functions:
        insert(
            functions, {"name": "Ada", "clerkId": "user_ada", "email": None}, {"name": "Bob", "email": None}
        )
        before = table(functions, "users")
        assert functions.sync([filled("user_ada"), filled("user_bob"), delete("user_bob")])
        assert functions.rows().keys() == {"user_ada"}
        answer = functions.query("users:looseRows", {"column": "name", "cursor": None})
        assert answer == {"rows": [], "cursor": None}
        assert check(functions) == {}
        assert table(functions, "users") == before
