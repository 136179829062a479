"""convex/clerk/admin/actions.ts: who may do what at Clerk, and that each attempt is written down."""

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
    """Those in the log, the oldest first."""
    [page] = functions.signed_in(reader).pages("users:auditLog", 100)
    return [
        {name: value for name, value in entry.items() if name[0] != "_" and name not in {"name", "actorName"}}
        for entry in reversed(page)
        if "requestId" in entry
    ]


def test_attempt_is_written_down_and_settled(functions: Functions) -> None:
    """One row from its start to its end: who, what, whom, which request, how it ended. No values."""
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
    finish(functions, done)
    assert attempts(functions) == [{**row, "outcome": "done"}]
    failed = begin(functions, "user_a", action="create", request_id="req_y")
    finish(functions, failed, "failed", status=422, code="form_identifier_exists")
    assert attempts(functions)[1] == {
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
    """A second one, from a retry, changes nothing; nor can any other row of the log be settled."""
    attempt = begin(functions, "user_a", "user_member")
    finish(functions, attempt)
    finish(functions, attempt, "failed", code="late")
    assert [row["outcome"] for row in attempts(functions)] == ["done"]
    [[*_, created]] = functions.signed_in("user_a").pages("users:auditLog", 100)
    finish(functions, {"id": created["_id"]}, "failed")
    assert functions.signed_in("user_a").pages("users:auditLog", 100, outcome="failed") == [[]]


def test_row_that_is_gone_is_no_error(functions: Functions) -> None:
    """The log may have been pruned, or the table cleared."""
    attempt = begin(functions, "user_a", "user_member")
    functions.clear()
    finish(functions, attempt)


def test_same_request_is_the_same_attempt(functions: Functions) -> None:
    """Whoever did not hear the answer asks again: one row, and the same answer. Another action is another."""
    first = begin(functions, "user_a", "user_member", request_id="req_x")
    assert begin(functions, "user_a", "user_member", request_id="req_x") == first
    assert len(attempts(functions)) == 1
    assert begin(functions, "user_a", "user_member", request_id="req_x", action="lock") != first
    assert begin(functions, "user_a", "user_b", request_id="req_x") != first
    assert refused(begin(functions, "user_member", "user_member", request_id="req_x")) == "not_admin"
    assert len(attempts(functions)) == 4
    # A refusal is one row, too, of the same attempt only.
    assert refused(begin(functions, "user_member", "user_member", request_id="req_x")) == "not_admin"
    assert len(attempts(functions)) == 4
    assert refused(begin(functions, "user_member", "user_a", request_id="req_x")) == "not_admin"
    assert len(attempts(functions)) == 5
    # What was settled is not begun with the same id by accident, but anew.
    finish(functions, first)
    assert begin(functions, "user_a", "user_member", request_id="req_x")["id"] != first["id"]


def test_same_request_is_asked_again_whether_it_may(functions: Functions) -> None:
    """Whoever was demoted in between gets no further by repeating what he began as an admin."""
    begin(functions, "user_b", "user_member", request_id="req_x")
    functions.sync([upsert("user_b", updated_at=20.0, role="member")])
    assert refused(begin(functions, "user_b", "user_member", request_id="req_x")) == "not_admin"
    assert [row["outcome"] for row in attempts(functions)] == ["started", "denied"]
    assert refused(begin(functions, "user_b", "user_member", request_id="req_x")) == "not_admin"
    assert [row["outcome"] for row in attempts(functions)] == ["started", "denied"]


def test_same_request_gets_the_same_refusal(functions: Functions) -> None:
    """Also if it would be allowed by now, or refused for another reason: one question has one answer."""
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
    # Another request is asked afresh.
    assert begin(functions, "user_member", "user_b", request_id="req_z")["allowed"] is True


def test_refusal_is_asked_again_after_a_minute(tmp_path: Path) -> None:
    """A service that gives each request the same id is not refused for ever."""
    project = Project(tmp_path)
    project.replace("clerk/admin/actions.ts", "const OPEN_MS = 60 * 1000", "const OPEN_MS = 200")
    with project.running() as functions:
        functions.sync([upsert("user_a")])
        assert refused(begin(functions, "user_a", "user_b", request_id="req_x")) == "not_admin"
        functions.sync([upsert("user_a", updated_at=11.0, role="admin")])
        assert eventually(lambda: begin(functions, "user_a", "user_b", request_id="req_x")["allowed"] is True)


@pytest.mark.parametrize("ended_by", ["the next attempt", "the daily job"])
def test_attempt_that_nobody_ends_is_ended(tmp_path: Path, ended_by: str) -> None:
    """Its service stopped, or never heard that it might begin. It failed; nobody knows if it was done."""
    project = Project(tmp_path)
    project.replace(
        "clerk/admin/actions.ts", "const ABANDONED_MS = 10 * 60 * 1000", "const ABANDONED_MS = 300"
    )
    project.replace("clerk/admin/actions.ts", "const BATCH = 100", "const BATCH = 2")
    with project.running() as functions:
        functions.sync([upsert("user_a", role="admin")])
        done = begin(functions, "user_a", "user_1")
        finish(functions, done)
        abandoned = [begin(functions, "user_a", f"user_{number}") for number in range(5)]
        assert [row["outcome"] for row in attempts(functions)] == ["done", *["started"] * 5]
        time.sleep(0.35)
        if ended_by == "the daily job":
            functions.mutation("users:pruneClerkAudit", {})
            outcomes = ["done", *["failed"] * 5]
        else:
            begin(functions, "user_a", "user_9", request_id="req_x")
            outcomes = ["done", *["failed"] * 2, *["started"] * 4]
        assert eventually(lambda: [row["outcome"] for row in attempts(functions)] == outcomes)
        first = attempts(functions)[1]
        assert (first["reason"], first["clerkId"], "status" in first) == ("unknown", "user_0", False)
        finish(functions, abandoned[0])
        assert attempts(functions)[1] == first


def test_attempt_is_not_ended_while_it_may_go_on(functions: Functions) -> None:
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
def test_only_admins_may(functions: Functions, actor: str, reason: str, action: str) -> None:
    """By the rule of the queries; a refusal is in the log, with its reason."""
    assert refused(begin(functions, actor, "user_b", action=action)) == reason
    [row] = attempts(functions)
    assert (row["outcome"], row["actor"], row["clerkId"], row["reason"]) == (
        "denied",
        actor,
        "user_b",
        reason,
    )


def test_nobody_removes_himself(functions: Functions) -> None:
    """Not even where there are others; what takes nothing away he may do to himself."""
    assert refused(begin(functions, "user_a", "user_a")) == "self"
    assert begin(functions, "user_a", "user_a", action="update")["allowed"] is True


def test_admins_cannot_remove_each_other_at_once(functions: Functions) -> None:
    """Whoever is being removed counts as removed, until that has failed."""
    first = begin(functions, "user_a", "user_b")
    assert first["allowed"] is True
    assert refused(begin(functions, "user_b", "user_a")) == "last_admin"
    finish(functions, first, "failed", status=404)
    assert begin(functions, "user_b", "user_a")["allowed"] is True


@pytest.mark.parametrize(
    "end", [("done", {}), *(("failed", {"status": status}) for status in (500, 502, 504))]
)
def test_what_may_have_been_done_counts_as_done(functions: Functions, end: tuple[str, Any]) -> None:
    """Clerk did it, or may have, and it is not here yet: the other one is the last admin."""
    first = begin(functions, "user_a", "user_b")
    finish(functions, first, end[0], **end[1])
    assert refused(begin(functions, "user_b", "user_a")) == "last_admin"
    assert begin(functions, "user_a", "user_b")["allowed"] is True  # once more


def test_only_removals_count_as_such(functions: Functions) -> None:
    """Who is being renamed stays. And who is no admin can be removed, whoever is on his way out."""
    begin(functions, "user_a", "user_b", action="update")
    begin(functions, "user_a", action="create")
    first = begin(functions, "user_b", "user_a")
    assert first["allowed"] is True
    functions.sync([upsert("user_b", updated_at=11.0, role="member")])
    assert begin(functions, "user_a", "user_member")["allowed"] is True


def test_one_admin_stays_whatever_many_do_at_once(functions: Functions) -> None:
    """A ring of ten admins, each about to remove the next, all at the same moment."""
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
    """Banned, locked, deprovisioned and deleted admins do not count as left. A user can always be removed."""
    functions.sync([upsert("user_d", role="admin", status="deprovisioned")])
    functions.sync([upsert("user_b", updated_at=11.0, role="admin", status="locked")])
    assert refused(begin(functions, "user_a", "user_a")) == "self"
    for target in ("user_b", "user_member", "user_banned", "user_gone", "user_unknown"):
        assert begin(functions, "user_a", target)["allowed"] is True
    functions.sync([upsert("user_b", updated_at=12.0, role="admin")])
    finish(functions, begin(functions, "user_a", "user_b"))
    functions.sync([upsert("user_b", updated_at=13.0, role="member")])
    assert refused(begin(functions, "user_b", "user_a")) == "not_admin"


def test_attempt_that_never_ended_counts_for_a_minute(tmp_path: Path) -> None:
    """A service that died in between blocks nothing for ever."""
    project = Project(tmp_path)
    project.write("later.ts", LATER)
    wanted = {"actor": "user_b", "target": "user_a", "action": "ban"}
    with project.running() as functions:
        functions.sync([upsert("user_a", role="admin"), upsert("user_b", role="admin")])
        assert begin(functions, "user_a", "user_b")["allowed"] is True
        sooner = functions.later(45, "beginAction", {**wanted, "requestId": "req_sooner"})
        assert refused(sooner) == "last_admin"
        assert functions.later(61, "beginAction", {**wanted, "requestId": "req_later"})["allowed"] is True


def test_a_team_may_have_more_admins_than_are_admins(tmp_path: Path) -> None:
    """Those whom possibleAdmins brings are held against the rule."""
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
    """By their name alone, of whomever: also of a user whose row is not here yet."""
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
    """Another role than admin does, however it is written. The patch itself is recorded nowhere."""
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
    """Where CLERK_CONVEX_OMIT leaves them out, the row's role counts as Clerk's, until a patch replaces it."""
    functions.sync([upsert("user_b", updated_at=11.0, role="admin")])
    for patch in ('{"plan":"x"}', '{"role":"editor"}', '{"role":null}'):
        begin(functions, "user_a", "user_b", action="update_metadata", metadata=patch)
    assert [row["removesAdmin"] for row in attempts(functions)] == [False, True, True]


@pytest.mark.parametrize("text", ["no JSON", "[]", "null", "7"])
def test_metadata_that_cannot_be_read(functions: Functions, text: str) -> None:
    """In a row that was written by hand it counts as none; what a patch adds counts."""
    functions.sync([upsert("user_b", updated_at=11.0, role="admin", publicMetadata=text)])
    begin(functions, "user_a", "user_b", action="update_metadata", metadata='{"role":"admin"}')
    begin(functions, "user_a", "user_b", action="update_metadata", metadata='{"plan":"x"}')
    begin(functions, "user_a", "user_b", action="update_metadata")
    assert [row["removesAdmin"] for row in attempts(functions)] == [False, True, True]


def test_a_teams_rule_judges_metadata(tmp_path: Path) -> None:
    """The rule sees the metadata as Clerk will have merged it: deep, and without what null removes."""
    project = Project(tmp_path)
    project.replace(
        "clerk/access.ts",
        'return user.role === "admin" && user.status === "active";',
        'const { team } = JSON.parse(user.publicMetadata ?? "{}");\n  return team?.lead === true;',
    )
    project.replace(
        "clerk/access.ts",
        'return ctx.db\n    .query(USERS)\n    .withIndex("by_role_and_status", (q) =>'
        ' q.eq("role", "admin").eq("status", "active"));',
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
        # By this rule a ban takes nothing away, and so the last one may be banned.
        assert begin(functions, "user_a", "user_a", action="ban")["allowed"] is True
