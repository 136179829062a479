"""convex/clerk/admin/actions.ts: which admin may do which action at Clerk, and its row in the audit log."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.functions import LATER, Functions, Project, delete, eventually, upsert


@pytest.fixture
def functions(functions: Functions) -> Functions:
    functions.sync(
        [
            upsert("user_a", role="admin", firstName="Ada", email="ada@example.com"),
            upsert("user_b", role="admin"),
            upsert("user_member", role="member", email="eve@example.com"),
            upsert("user_banned", role="admin", status="banned"),
            upsert("user_gone", role="admin"),
            delete("user_gone"),
        ]
    )
    return functions


number = 0


def begin(
    functions: Functions,
    actor: str,
    target: str | None = None,
    *,
    action: str = "ban",
    metadata: str | None = None,
    request_id: str | None = None,
) -> Any:
    global number  # a new id for each request
    number += 1
    attempt: dict[str, Any] = {
        "actor": actor,
        "action": action,
        "requestId": request_id or f"req_{number}",
    }
    if metadata is not None:
        attempt["publicMetadata"] = metadata
    if target is not None:
        attempt["target"] = target
    return functions.mutation("users:beginAction", attempt)


def finish(functions: Functions, attempt: Any, outcome: str = "done", **more: Any) -> None:
    assert functions.mutation("users:finishAction", {"id": attempt["id"], "outcome": outcome, **more}) is None


def refused(answer: Any) -> str:
    assert answer.keys() == {"allowed", "reason", "message"}
    assert answer["allowed"] is False
    assert answer["message"].endswith(".")
    assert "user_" not in answer["message"]
    return str(answer["reason"])


def attempts(functions: Functions, reader: str = "user_a") -> list[dict[str, Any]]:
    """Return the actions in the log, the oldest first."""
    [page] = functions.signed_in(reader).pages("users:auditLog", 100)
    return [
        {name: value for name, value in entry.items() if name[0] != "_" and name not in {"name", "actorName"}}
        for entry in reversed(page)
        if "requestId" in entry
    ]


def test_action_is_recorded_from_start_to_end(functions: Functions) -> None:
    """One row has the admin, the action, the target, the request and the end. It has no values."""
    done = begin(functions, "user_a", "user_member", action="lock", request_id="req_x")
    assert done.keys() == {"allowed", "id"}
    row = {
        "outcome": "started",
        "action": "lock",
        "actor": "user_a",
        "clerkId": "user_member",
        "requestId": "req_x",
        "removesAdmin": True,
        "source": "admin",
        "fields": [],
    }
    assert attempts(functions) == [row]
    before = time.time() * 1000
    finish(functions, done)
    [ended] = attempts(functions)
    assert before <= ended.pop("endedAt") <= time.time() * 1000
    assert ended == {**row, "outcome": "done"}
    failed = begin(functions, "user_a", action="create", request_id="req_y")
    finish(functions, failed, "failed", status=422, code="form_identifier_exists")
    ended = attempts(functions)[1]
    assert ended.pop("endedAt") >= before
    assert ended == {
        "outcome": "failed",
        "action": "create",
        "actor": "user_a",
        "requestId": "req_y",
        "removesAdmin": False,
        "source": "admin",
        "fields": [],
        "status": 422.0,
        "reason": "form_identifier_exists",
    }
    assert "example.com" not in str(attempts(functions))


def test_first_end_counts(functions: Functions) -> None:
    """A second end, from a retry, changes nothing. An end changes no other row of the log."""
    attempt = begin(functions, "user_a", "user_member")
    finish(functions, attempt)
    finish(functions, attempt, "failed", code="late")
    assert [row["outcome"] for row in attempts(functions)] == ["done"]
    [[*_, created]] = functions.signed_in("user_a").pages("users:auditLog", 100)
    finish(functions, {"id": created["_id"]}, "failed")
    assert functions.signed_in("user_a").pages("users:auditLog", 100, outcome="failed") == [[]]


def test_end_without_a_row_is_no_error(functions: Functions) -> None:
    """The log may have been pruned, or the table cleared."""
    attempt = begin(functions, "user_a", "user_member")
    functions.clear()
    finish(functions, attempt)


def test_same_request_is_the_same_action(functions: Functions) -> None:
    """A service that got no answer asks again. It gets the same answer, and there is one row. A request with
    another action has a row of its own."""
    first = begin(functions, "user_a", "user_member", request_id="req_x")
    assert begin(functions, "user_a", "user_member", request_id="req_x") == first
    assert len(attempts(functions)) == 1
    other = begin(functions, "user_a", "user_member", request_id="req_x", action="lock")
    assert other != first
    assert begin(functions, "user_a", "user_b", request_id="req_x") != first
    assert refused(begin(functions, "user_member", "user_member", request_id="req_x")) == "not_admin"
    assert len(attempts(functions)) == 4
    # A denial is one row too, and only for the same action.
    assert refused(begin(functions, "user_member", "user_member", request_id="req_x")) == "not_admin"
    assert len(attempts(functions)) == 4
    assert refused(begin(functions, "user_member", "user_a", request_id="req_x")) == "not_admin"
    assert len(attempts(functions)) == 5
    # Once an action is closed, a call with the same id begins a new action.
    finish(functions, first)
    assert begin(functions, "user_a", "user_member", request_id="req_x")["id"] != first["id"]
    assert begin(functions, "user_a", "user_member", request_id="req_x", action="lock") == other


def test_permission_is_checked_again_for_a_repeated_request(functions: Functions) -> None:
    """A caller who was demoted in between cannot repeat an action that was allowed before."""
    begin(functions, "user_b", "user_member", request_id="req_x")
    functions.sync([upsert("user_b", updated_at=20.0, role="member")])
    assert refused(begin(functions, "user_b", "user_member", request_id="req_x")) == "not_admin"
    assert [row["outcome"] for row in attempts(functions)] == ["started", "denied"]
    assert refused(begin(functions, "user_b", "user_member", request_id="req_x")) == "not_admin"
    assert [row["outcome"] for row in attempts(functions)] == ["started", "denied"]


def test_repeated_request_gets_the_same_denial(functions: Functions) -> None:
    """Also if the action would be allowed by now, or denied for another reason."""
    refusals = {
        "user_unknown": ("user_b", "not_synced"),
        "user_member": ("user_b", "not_admin"),
        "user_banned": ("user_b", "not_active"),
        "user_gone": ("user_b", "deleted"),
        "user_a": ("user_a", "self"),
    }
    answers = {actor: begin(functions, actor, refusals[actor][0], request_id="req_x") for actor in refusals}
    finish(functions, begin(functions, "user_a", "user_b"))
    last = begin(functions, "user_b", "user_a", request_id="req_y")
    assert refused(last) == "last_admin"
    before = attempts(functions)
    functions.sync([upsert("user_c", role="admin"), upsert("user_unknown", role="admin")])
    functions.sync([upsert("user_member", updated_at=11.0, role="admin")])
    functions.sync([upsert("user_banned", updated_at=11.0, role="admin")])
    for actor, (target, reason) in refusals.items():
        again = begin(functions, actor, target, request_id="req_x")
        assert again == answers[actor]
        assert refused(again) == reason
    assert begin(functions, "user_b", "user_a", request_id="req_y") == last
    assert attempts(functions) == before
    # The permission for another request is decided anew.
    assert begin(functions, "user_member", "user_b", request_id="req_z")["allowed"] is True


def test_denial_is_checked_again_after_a_minute(tmp_path: Path) -> None:
    """A service that gives each request the same id is not denied for ever."""
    project = Project(tmp_path)
    project.replace("clerk/admin/actions.ts", "const OPEN_MS = 60 * 1000", "const OPEN_MS = 200")
    with project.running() as functions:
        functions.sync([upsert("user_a")])
        assert refused(begin(functions, "user_a", "user_b", request_id="req_x")) == "not_admin"
        functions.sync([upsert("user_a", updated_at=11.0, role="admin")])
        assert eventually(lambda: begin(functions, "user_a", "user_b", request_id="req_x")["allowed"] is True)


AGE = """
import { v } from "convex/values";
import { internalMutation } from "./_generated/server";

// Makes all actions `ms` older.
export const age = internalMutation({
  args: { ms: v.number() },
  handler: async (ctx, { ms }) => {
    for (const { _id, at } of await ctx.db.query("clerkActions").collect()) {
      await ctx.db.patch("clerkActions", _id, { at: at - ms });
    }
  },
});
"""


@pytest.mark.parametrize("ended_by", ["the next action", "the daily job"])
def test_abandoned_action_is_closed(tmp_path: Path, ended_by: str) -> None:
    """The service stopped, or never got the permission. The row says that the outcome is unknown."""
    project = Project(tmp_path)
    project.write("test.ts", AGE)
    project.replace("clerk/admin/actions.ts", "const BATCH = 100", "const BATCH = 2")
    with project.running() as functions:
        functions.mutation("users:pruneClerkAudit", {})  # no entry of an earlier version is listed later
        functions.sync([upsert("user_a", role="admin")])
        denials = [
            begin(functions, "user_unknown", "user_1") for _ in range(3 * (ended_by == "the daily job"))
        ]
        done = begin(functions, "user_a", "user_1")
        finish(functions, done)
        abandoned = [begin(functions, "user_a", f"user_{number}") for number in range(5)]
        denied = ["denied"] * len(denials)
        assert [row["outcome"] for row in attempts(functions)] == [*denied, "done", *["started"] * 5]
        functions.mutation("test:age", {"ms": 10 * 60 * 1000.0 + 1})
        if ended_by == "the daily job":
            functions.mutation("users:pruneClerkAudit", {})
            outcomes = [*denied, "done", *["unknown"] * 5]
        else:
            begin(functions, "user_a", "user_9", request_id="req_x")
            outcomes = ["done", *["unknown"] * 2, *["started"] * 4]
        assert eventually(lambda: [row["outcome"] for row in attempts(functions)] == outcomes)
        first = attempts(functions)[len(denials) + 1]
        assert first["clerkId"] == "user_0"
        assert not {"reason", "status", "endedAt"} & first.keys()  # nobody knows them
        finish(functions, abandoned[0])
        assert attempts(functions)[len(denials) + 1] == first


def test_action_is_not_closed_within_ten_minutes(functions: Functions) -> None:
    """Ten minutes are far more than an action takes."""
    started = begin(functions, "user_a", "user_member")
    functions.mutation("users:pruneClerkAudit", {})
    begin(functions, "user_a", "user_b")
    finish(functions, started)
    assert [row["outcome"] for row in attempts(functions)] == ["done", "started"]


@pytest.mark.parametrize(
    ("actor", "reason"),
    [
        ("user_member", "not_admin"),
        ("user_banned", "not_active"),
        ("user_gone", "deleted"),
        ("user_unknown", "not_synced"),
    ],
)
@pytest.mark.parametrize("action", ["ban", "get"])
def test_only_admins_are_allowed(functions: Functions, actor: str, reason: str, action: str) -> None:
    """The rule is that of the queries. A denial is in the log, with its reason."""
    assert refused(begin(functions, actor, "user_b", action=action)) == reason
    [row] = attempts(functions)
    assert (row["outcome"], row["actor"], row["clerkId"], row["reason"]) == (
        "denied",
        actor,
        "user_b",
        reason,
    )


def test_admin_cannot_remove_their_own_role(functions: Functions) -> None:
    """Not even if there are other admins. An action that keeps the role is allowed on the own account."""
    assert refused(begin(functions, "user_a", "user_a")) == "self"
    assert begin(functions, "user_a", "user_a", action="update")["allowed"] is True


def test_admins_cannot_remove_each_other_concurrently(functions: Functions) -> None:
    """An admin who is being removed counts as removed until the action has failed."""
    first = begin(functions, "user_a", "user_b")
    assert first["allowed"] is True
    assert refused(begin(functions, "user_b", "user_a")) == "last_admin"
    finish(functions, first, "failed", status=404)
    assert begin(functions, "user_b", "user_a")["allowed"] is True


@pytest.mark.parametrize(
    "end", [("done", {}), *(("failed", {"status": status}) for status in (500, 502, 504))]
)
def test_removal_that_may_be_done_counts_as_done(functions: Functions, end: tuple[str, Any]) -> None:
    """Clerk did it, or may have done it, and the row is not updated yet: the other admin is the last one."""
    first = begin(functions, "user_a", "user_b")
    finish(functions, first, end[0], **end[1])
    assert refused(begin(functions, "user_b", "user_a")) == "last_admin"
    assert begin(functions, "user_a", "user_b")["allowed"] is True  # once more


def test_only_removals_reduce_the_admins(functions: Functions) -> None:
    """An admin who is being renamed still counts. A user who is no admin can always be removed."""
    begin(functions, "user_a", "user_b", action="update")
    begin(functions, "user_a", action="create")
    first = begin(functions, "user_b", "user_a")
    assert first["allowed"] is True
    functions.sync([upsert("user_b", updated_at=11.0, role="member")])
    assert begin(functions, "user_a", "user_member")["allowed"] is True


def test_one_admin_stays_after_ten_concurrent_removals(functions: Functions) -> None:
    """Ten admins in a ring each remove the next one at the same moment."""
    ring = [f"user_ring{number}" for number in range(10)]
    functions.sync([upsert(clerk_id, role="admin") for clerk_id in ring])
    functions.sync([delete("user_a"), delete("user_b")])

    async def all_begin() -> list[bool]:
        headers = dict(functions.http.headers)
        async with httpx.AsyncClient(base_url=functions.convex.url, headers=headers, trust_env=False) as http:

            async def begin_one(place: int) -> bool:
                attempt = {
                    "actor": ring[place],
                    "target": ring[place - 1],
                    "action": "ban",
                }
                args = {**attempt, "requestId": f"ring_{place}"}
                body = {"path": "users:beginAction", "args": args, "format": "json"}
                answer = (await http.post("/api/mutation", json=body)).json()
                return bool(answer["value"]["allowed"])

            return list(await asyncio.gather(*map(begin_one, range(10))))

    assert sorted(asyncio.run(all_begin())) == [False] + [True] * 9


def test_last_active_admin_stays(functions: Functions) -> None:
    """Banned, locked, deprovisioned and deleted admins do not count as remaining. A user who is no admin can
    always be removed."""
    functions.sync([upsert("user_d", role="admin", status="deprovisioned")])
    functions.sync([upsert("user_b", updated_at=11.0, role="admin", status="locked")])
    assert refused(begin(functions, "user_a", "user_a")) == "self"
    for target in ("user_b", "user_member", "user_banned", "user_gone", "user_unknown"):
        assert begin(functions, "user_a", target)["allowed"] is True
    functions.sync([upsert("user_b", updated_at=12.0, role="admin")])
    finish(functions, begin(functions, "user_a", "user_b"))
    functions.sync([upsert("user_b", updated_at=13.0, role="member")])
    assert refused(begin(functions, "user_b", "user_a")) == "not_admin"


def test_open_action_counts_until_it_is_abandoned(tmp_path: Path) -> None:
    """A service that stopped in an action does not block others for ever. One that was suspended goes on."""
    project = Project(tmp_path)
    project.write("later.ts", LATER)
    wanted = {"actor": "user_b", "target": "user_a", "action": "ban"}
    with project.running() as functions:
        functions.sync([upsert("user_a", role="admin"), upsert("user_b", role="admin")])
        assert begin(functions, "user_a", "user_b")["allowed"] is True
        for seconds in (45, 599):
            sooner = functions.later(seconds, "beginAction", {**wanted, "requestId": f"req_{seconds}"})
            assert refused(sooner) == "last_admin"
        later = functions.later(601, "beginAction", {**wanted, "requestId": "req_later"})
        assert later["allowed"] is True


def test_admin_with_many_words_remains(functions: Functions) -> None:
    """However many words and ids the row of the other admin has, it is found among many users."""
    others = [upsert(f"user_{number}", firstName="Ada", email="ada@example.com") for number in range(200)]
    many: dict[str, Any] = {
        "firstName": "One Two Three Four Five Six",
        "lastName": "Seven Eight Nine",
        "username": "ten",
        "externalId": "x" * 64,
        "phone": "+15551234567",
    }
    functions.sync([*others, upsert("user_b", updated_at=11.0, role="admin", **many)])
    assert begin(functions, "user_b", "user_a")["allowed"] is True


def test_possible_admins_are_checked_by_the_rule(tmp_path: Path) -> None:
    """possibleAdmins may return users who are no admins. They do not count."""
    project = Project(tmp_path)
    project.replace(
        "clerk/access.ts",
        'return user.role === "admin" && user.status === "active";',
        'return user.role === "admin" && user.status === "active" && user.emailVerified === true;',
    )
    with project.running() as functions:
        functions.sync([upsert("user_a", role="admin", emailVerified=True), upsert("user_b", role="admin")])
        functions.sync([upsert("user_c", role="admin", emailVerified=True)])
        first = begin(functions, "user_a", "user_c")
        assert first["allowed"] is True
        assert refused(begin(functions, "user_c", "user_a")) == "last_admin"


@pytest.mark.parametrize("action", ["ban", "lock", "delete"])
def test_actions_that_remove_an_admin(functions: Functions, action: str) -> None:
    """These actions count by their name alone, for every target, also if its row is not here yet."""
    assert refused(begin(functions, "user_a", "user_a", action=action)) == "self"
    for target in ("user_b", "user_member", "user_unknown"):
        begin(functions, "user_a", target, action=action)
    assert [row["removesAdmin"] for row in attempts(functions)] == [True] * 4


@pytest.mark.parametrize(
    ("metadata", "removes"),
    [
        ({"role": "admin"}, False),
        ({"plan": "x"}, False),
        ({"nested": {"role": "user"}}, False),
        ({"nested": {"role": None}}, False),
        ({"__proto__": {"role": "user"}}, False),
        ({"role": "user"}, True),
        ({"role": None}, True),
        ({"role": None, "__proto__": {"role": "admin"}}, True),
        ({"role": ["admin"]}, True),
        ({"role": {"admin": True}}, True),
        ({"role": "Admin"}, True),
    ],
)
def test_metadata_that_removes_an_admin(
    functions: Functions, metadata: dict[str, Any], removes: bool
) -> None:
    """Any other role than admin does, in whatever form. The patch itself is not recorded."""
    functions.sync([upsert("user_a", updated_at=11.0, role="admin", publicMetadata='{"role":"admin"}')])
    patch = json.dumps(metadata)
    answer = begin(functions, "user_a", "user_a", action="update_metadata", metadata=patch)
    assert answer["allowed"] is not removes
    if removes:
        assert refused(answer) == "self"
    [row] = attempts(functions)
    assert row["removesAdmin"] is removes
    assert "publicMetadata" not in row


def test_metadata_that_are_not_kept(functions: Functions) -> None:
    """Where CLERK_CONVEX_OMIT leaves them out, the row's role counts until a patch replaces it."""
    functions.sync([upsert("user_b", updated_at=11.0, role="admin")])
    for patch in ('{"plan":"x"}', '{"role":"editor"}', '{"role":null}'):
        begin(functions, "user_a", "user_b", action="update_metadata", metadata=patch)
    assert [row["removesAdmin"] for row in attempts(functions)] == [False, True, True]


@pytest.mark.parametrize("text", ["no JSON", "[]", "null", "7"])
def test_metadata_that_cannot_be_read(functions: Functions, text: str) -> None:
    """Unreadable metadata in a row that was written by hand counts as none. The patch counts."""
    functions.sync([upsert("user_b", updated_at=11.0, role="admin", publicMetadata=text)])
    begin(functions, "user_a", "user_b", action="update_metadata", metadata='{"role":"admin"}')
    begin(functions, "user_a", "user_b", action="update_metadata", metadata='{"plan":"x"}')
    begin(functions, "user_a", "user_b", action="update_metadata")
    assert [row["removesAdmin"] for row in attempts(functions)] == [False, True, True]


def test_a_teams_rule_judges_metadata(tmp_path: Path) -> None:
    """The rule gets the metadata as Clerk merges it: nested objects are merged, and null removes a key."""
    project = Project(tmp_path)
    project.replace(
        "clerk/access.ts",
        'return user.role === "admin" && user.status === "active";',
        'const { team } = JSON.parse(user.publicMetadata ?? "{}");\n  return team?.lead === true;',
    )
    project.replace(
        "clerk/access.ts",
        'return ctx.db\n    .query(USERS)\n    .withSearchIndex("by_search_text", (q) =>'
        ' q.search("searchText", PADDING).eq("role", "admin").eq("status", "active"));',
        "return ctx.db.query(USERS);",
    )
    with project.running() as functions:
        metadata = '{"team":{"lead":true,"name":"x"}}'
        functions.sync([upsert(name, publicMetadata=metadata) for name in ("user_a", "user_b")])

        def patch(text: str) -> Any:
            return begin(functions, "user_a", "user_a", action="update_metadata", metadata=text)

        for kept in ('{"role":null}', '{"team":{"name":null}}', '{"team":{"lead":true}}'):
            assert patch(kept)["allowed"] is True
        for lost in ('{"team":null}', '{"team":{"lead":null}}', '{"team":7}', '{"team":{"lead":{}}}'):
            assert refused(patch(lost)) == "self"
        # By this rule a ban does not remove an admin, so the last admin may be banned.
        assert begin(functions, "user_a", "user_a", action="ban")["allowed"] is True
