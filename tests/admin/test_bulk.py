"""clerk_convex/admin/bulk.py: one action for several users, with the guards and records of the single one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, cast

import pytest

from clerk_convex.admin import bulk
from clerk_convex.admin.actions import Done, find_action
from clerk_convex.admin.answers import Problem
from clerk_convex.admin.audit import AuditRow
from clerk_convex.admin.bulk import Bulk
from clerk_convex.admin.models import Nothing
from clerk_convex.admin.requests import Call
from clerk_convex.clerk.api import Clerk, Page, Snapshot
from clerk_convex.local.clerk import Faults
from clerk_convex.service import Timeouts
from tests.admin.test_routes import error
from tests.support.managed import NOWHERE, Managed
from tests.support.virtual_time import now, run

ROLE = {"public_metadata": {"role": "editor"}}


def crowd(managed: Managed, count: int = 3) -> list[str]:
    return [managed.sign_up(f"User{number}") for number in range(count)]


async def post(client: Any, action: str, ids: list[str], **more: Any) -> Any:
    return await client.post("/bulk", json={"action": action, "user_ids": ids, **more})


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The calls of Clerk, without those for the caller."""
    calls: list[str] = []
    send = Clerk._call

    async def recorded(self: Clerk, method: str, path: str, *rest: Any, **more: Any) -> Any:
        calls.append(f"{method} {path}")
        return await send(self, method, path, *rest, **more)

    monkeypatch.setattr(Clerk, "_call", recorded)
    return calls


@pytest.mark.anyio
async def test_each_action(managed: Managed, asked: list[str]) -> None:
    """Each user has the effect, a result and a row in the audit log. Bans are one call of Clerk."""
    ids = crowd(managed)
    results = [{"id": user_id, "status": 200, "synced": True} for user_id in ids]
    calls = {"ban": 1, "unban": 1, "lock": 3, "unlock": 3, "update_metadata": 3, "delete": 3}
    status = {"ban": "banned", "lock": "locked"}
    async with managed.as_admin() as client:
        for action, count in calls.items():
            asked.clear()
            more = ROLE if action == "update_metadata" else {}
            response = await client.post(
                "/bulk",
                json={"action": action, "user_ids": [*ids, ids[0]], **more},
                headers={"X-Request-Id": f"request-{action}"},
            )
            assert (response.status_code, response.json()) == (
                200,
                {"done": 3, "failed": 0, "results": results},
            )
            assert len(asked) == count
            managed.assert_equal()
            rows = managed.functions.rows()
            if action == "delete":
                assert not rows.keys() & set(ids)
            else:
                assert {rows[user_id]["status"] for user_id in ids} == {status.get(action, "active")}
    assert {rows[user_id].get("role") for user_id in rows} >= {"admin"}
    for action in calls:
        attempts = [row for row in managed.attempts() if row["action"] == action]
        assert sorted(row["clerkId"] for row in attempts) == sorted(ids)
        assert {row["outcome"] for row in attempts} == {"done"}
        numbers = {row["requestId"].rpartition(".")[2] for row in attempts}
        assert numbers == {"1", "2", "3"}
        assert all(row["requestId"].startswith(f"request-{action}.") for row in attempts)


@pytest.mark.anyio
async def test_a_role_is_changed(managed: Managed) -> None:
    ids = crowd(managed, 2)
    async with managed.as_admin() as client:
        assert (await post(client, "update_metadata", ids, **ROLE)).json()["done"] == 2
    assert [managed.functions.rows()[user_id]["role"] for user_id in ids] == ["editor", "editor"]


@pytest.mark.anyio
@pytest.mark.parametrize("action", ["ban", "lock", "delete", "update_metadata"])
async def test_the_guards_of_the_single_action(managed: Managed, action: str) -> None:
    """Nobody can do it to the own account, wherever it is in the list; the others are done."""
    more = ROLE if action == "update_metadata" else {}
    kay = managed.sign_up("Kay", role="admin")
    async with managed.as_admin() as client:
        body = (await post(client, action, [managed.ada, kay, managed.eve], **more)).json()
    assert (body["done"], body["failed"]) == (2, 1)
    assert [result["status"] for result in body["results"]] == [403, 200, 200]
    assert body["results"][0]["error"]["code"] == "self"
    managed.assert_equal()
    ends = {row["clerkId"]: row["outcome"] for row in managed.attempts()}
    assert ends == {managed.ada: "denied", kay: "done", managed.eve: "done"}


@pytest.mark.anyio
@pytest.mark.parametrize("action", ["ban", "lock", "delete"])
async def test_a_user_that_fails_does_not_stop_the_others(managed: Managed, action: str) -> None:
    """The local Clerk refuses a whole ban for one unknown user. Then each user gets a call."""
    async with managed.as_admin() as client:
        body = (await post(client, action, ["user_nobody", managed.eve])).json()
    unknown, eve = body["results"]
    assert (unknown["status"], unknown["error"]["code"]) == (404, "resource_not_found")
    assert eve == {"id": managed.eve, "status": 200, "synced": True}
    managed.assert_equal()
    assert {row["clerkId"]: row["outcome"] for row in managed.attempts()} == {
        "user_nobody": "failed",
        managed.eve: "done",
    }


@pytest.mark.anyio
async def test_a_user_whom_clerk_does_not_name_gets_a_call(
    managed: Managed, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one that is missing in the answer to a ban of several it is not known whether it was banned."""
    ids = crowd(managed)
    real = Clerk.ban_users

    async def partial(self: Clerk, user_ids: list[str]) -> Page:
        page = await real(self, user_ids)
        return Page([page.users[0], "odd", page.users[1]], page.observed_at)

    monkeypatch.setitem(bulk._TOGETHER, "ban", partial)
    async with managed.as_admin() as client:
        assert (await post(client, "ban", ids)).json()["done"] == 3
    assert asked == ["POST /users/ban", f"POST /users/{ids[2]}/ban"]


@pytest.mark.anyio
async def test_one_user_is_a_single_call(managed: Managed, asked: list[str]) -> None:
    async with managed.as_admin() as client:
        assert (await post(client, "ban", [managed.eve])).json()["done"] == 1
    assert asked == [f"POST /users/{managed.eve}/ban"]


@pytest.mark.anyio
async def test_callers_who_are_no_admin(managed: Managed) -> None:
    """The whole request is denied, with one row in the audit log and not one for each user."""
    async with managed.client(managed.app(CLERK_API_URL=NOWHERE), managed.token(managed.eve)) as client:
        response = await post(client, "delete", [managed.ada, managed.grace])
        assert (response.status_code, error(response)["code"]) == (403, "not_admin")
    async with managed.client(managed.app()) as client:
        assert (await post(client, "ban", [managed.eve])).status_code == 401
    (row,) = managed.attempts()
    assert (row["action"], row["outcome"], row["clerkId"]) == ("delete", "denied", managed.ada)


@pytest.mark.anyio
async def test_convex_cannot_be_asked(managed: Managed) -> None:
    async with managed.as_admin(CONVEX_URL=NOWHERE) as client:
        response = await post(client, "ban", [managed.eve, managed.grace])
    assert (response.status_code, error(response)["code"]) == (503, "convex_unavailable")
    assert not managed.clerk.get_user(managed.eve)["banned"]


@pytest.mark.anyio
async def test_clerk_in_trouble(managed: Managed) -> None:
    """Each user has the error, and the audit log too. Nothing is asked again, user by user."""
    managed.timeouts = Timeouts(clerk_retries=0.0)
    async with managed.as_admin() as client:
        await client.get(f"/{managed.eve}")
        managed.clerk.faults = Faults(status=500, times=1)
        response = await post(client, "ban", [managed.eve, managed.grace])
    assert response.status_code == 200
    assert [(it["status"], it["error"]["may_be_done"]) for it in response.json()["results"]] == [
        (502, True)
    ] * 2
    assert [row["outcome"] for row in managed.attempts()[1:]] == ["failed"] * 2


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"action": "ban", "user_ids": []}, "user_ids"),
        ({"action": "ban", "user_ids": ["user_1"] * 51}, "user_ids"),
        ({"action": "ban", "user_ids": ["user_1", "x"]}, "user_ids.1"),
        ({"action": "ban", "user_ids": "user_1"}, "user_ids"),
        ({"action": "create", "user_ids": ["user_1"]}, "action"),
        ({"user_ids": ["user_1"]}, "action"),
        ({"action": "update_metadata", "user_ids": ["user_1"]}, "body"),
        ({"action": "update_metadata", "user_ids": ["user_1"], "public_metadata": {}}, "body"),
        ({"action": "ban", "user_ids": ["user_1"], **ROLE}, "body"),
        ({"action": "ban", "user_ids": ["user_1"], "reason": "x"}, "reason"),
    ],
)
async def test_wrong_requests(managed: Managed, body: dict[str, Any], field: str) -> None:
    async with managed.as_admin() as client:
        response = await client.post("/bulk", json=body)
        assert (response.status_code, error(response)["errors"][0]["field"]) == (422, field)
        response = await client.get("/bulk")
        assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert managed.attempts() == []


@pytest.mark.anyio
async def test_a_limit_of_its_own(managed: Managed) -> None:
    async with managed.as_admin(CLERK_CONVEX_BULK_LIMIT="2/minute") as client:
        answers = [await post(client, "unlock", [managed.eve]) for _ in range(3)]
        assert [response.status_code for response in answers] == [200, 200, 429]
        assert (await client.post(f"/{managed.eve}/unlock")).status_code == 200


# Time


class Slow:
    """Permissions and calls of Clerk that take a while. `cast` passes it as the parts that Bulk needs."""

    def __init__(self, *, permission: float, call: float) -> None:
        self.permission = permission
        self.call = call
        self.begun: list[str] = []
        self.busy = self.most_busy = 0
        self.together = 0

    async def begin(self, call: Call) -> AuditRow:
        await asyncio.sleep(self.permission)
        self.begun.append(call.target or "")
        return AuditRow(cast(Any, None), "users", "req_1", timeout=1.0)

    async def complete(self, row: AuditRow, call: Call, run: Awaitable[Done]) -> dict[str, Any]:
        return (await run).body | {"synced": True}

    async def lock(self, user_id: str) -> Snapshot:
        self.busy += 1
        self.most_busy = max(self.most_busy, self.busy)
        await asyncio.sleep(self.call)
        self.busy -= 1
        return Snapshot({"id": user_id}, 0.0)

    ban = lock

    def perform(self, action: str, count: int = 50) -> tuple[dict[str, Any], float]:
        """Return the answer, and the seconds that it took."""

        async def main() -> tuple[dict[str, Any], float]:
            started = now()
            calls = [
                Call(*find_action("POST", f"/user_{number}/{action}"), Nothing()) for number in range(count)
            ]
            many = Bulk(cast(Clerk, self), begin=self.begin, complete=self.complete, seconds=15.0)
            return await many.run(calls), now() - started

        return run(main())


def test_what_is_not_begun_in_time_is_not_done() -> None:
    """Eight calls at a time. After 15 seconds those that wait for their turn are answered with 503."""
    slow = Slow(permission=0.1, call=4.0)
    body, seconds = slow.perform("lock")
    assert slow.most_busy == 8
    assert (body["done"], body["failed"]) == (32, 18)
    late = body["results"][-1]
    assert (late["status"], late["error"]["code"], late["error"]["may_be_done"]) == (503, "too_late", False)
    assert len(slow.begun) == 50
    assert seconds == pytest.approx(16.8, abs=0.2)


def test_permissions_that_take_too_long_are_not_asked_for() -> None:
    """A ban of all at once is not begun after the time either."""
    slow = Slow(permission=7.0, call=0.0)
    body, _ = slow.perform("ban")
    assert 0 < len(slow.begun) < 50
    assert body["done"] == 0
    assert {result["error"]["code"] for result in body["results"]} == {"too_late"}


def test_a_request_that_is_late_at_its_beginning_is_refused() -> None:
    slow = Slow(permission=0.0, call=0.0)

    async def main() -> None:
        many = Bulk(cast(Clerk, slow), begin=slow.begin, complete=slow.complete, seconds=0.0)
        await many.run([Call(*find_action("POST", "/user_1/lock"), Nothing())])

    with pytest.raises(Problem) as caught:
        run(main())
    assert caught.value.code == "too_late"
    assert slow.begun == []
