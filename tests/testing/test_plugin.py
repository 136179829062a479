"""The pytest plugin: what its fixtures give, how a test starts afresh, and that it costs nothing unused."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from convex import ConvexError

from benchmarks.ports import free_port
from clerk_convex import LocalError, pytest_plugin
from clerk_convex.local.clerk import Faults, LocalClerk
from clerk_convex.local.clerk.svix import Delivery
from clerk_convex.testing import Caller, LocalSet
from tests.support.functions import ROOT, Project, eventually

ANOTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
FIRST: dict[str, Any] = {"paginationOpts": {"numItems": 25, "cursor": None}}


def test_a_user_arrives(clerk: LocalClerk, clerk_convex: LocalSet) -> None:
    """What happens at the local Clerk is in Convex as soon as the set has settled."""
    assert clerk_convex.rows() == {}
    ada = clerk.create_user(first_name="Ada")["id"]
    clerk_convex.settle()
    row = clerk_convex.row(ada)
    assert row is not None
    assert row["firstName"] == "Ada"
    clerk.delete_user(ada)
    clerk_convex.settle()
    assert clerk_convex.row(ada) is None


def test_rows_without_a_clerk_id_are_left_out(
    clerk_convex: LocalSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loose table, looseClerkTables, may have such rows, and exports them."""
    page = {"page": [{"name": "Bob"}, {"clerkId": None}, {"clerkId": "user_1"}], "isDone": True}
    client = SimpleNamespace(query=lambda path, arguments: page)
    monkeypatch.setitem(clerk_convex.__dict__, "functions", client)
    assert clerk_convex.rows() == {"user_1": {"clerkId": "user_1"}}
    assert clerk_convex.row("user_2") is None


def test_callers_use_routes_and_reactive_queries(
    as_user: Callable[..., Caller], as_admin: Callable[..., Caller]
) -> None:
    """An admin may what a user may not, and a subscription brings what the admin has done."""
    eve, ada = as_user(first_name="Eve"), as_admin(first_name="Ada")
    assert eve.http.post(f"/api/users/{ada.id}/ban").status_code == 403
    with pytest.raises(ConvexError, match="admin"):
        eve.convex.query("users:getUsers", FIRST)
    page = ada.convex.query("users:getUsers", FIRST)
    assert {user["firstName"] for user in page["page"]} == {"Ada", "Eve"}
    assert ada.http.post(f"/api/users/{eve.id}/ban").status_code == 200
    banned = ada.until("users:getUser", {"clerkId": eve.id}, lambda user: user["status"] == "banned")
    assert banned["firstName"] == "Eve"
    with pytest.raises(TimeoutError, match=r"users:getUser had no wanted value within 2 s; the last of 1"):
        ada.until("users:getUser", {"clerkId": eve.id}, lambda user: False, timeout=2)
    with pytest.raises(ConvexError, match="admin"):
        eve.until("users:getUsers", FIRST)


@pytest.mark.anyio
async def test_fixtures_work_in_a_coroutine(
    clerk_convex: LocalSet, as_user: Callable[..., Caller], as_admin: Callable[..., Caller]
) -> None:
    """So do the headers with any client, and a wait for a query."""
    grace = clerk_convex.clerk.create_user(first_name="Grace")
    callers = as_admin(first_name="Ada"), as_user(grace), as_user(grace["id"])
    async with httpx.AsyncClient(base_url=clerk_convex.url, trust_env=False) as client:
        statuses = [(await client.get("/api/users", headers=it.headers)).status_code for it in callers]
    assert statuses == [200, 403, 403]
    assert callers[1].id == callers[2].id == grace["id"]
    assert callers[1].session_id != callers[2].session_id
    me = callers[0].until("users:currentUser", wanted=lambda me: me["state"] == "synced" and me["isAdmin"])
    assert me["user"]["firstName"] == "Ada"


def test_a_caller_is_someone(clerk_convex: LocalSet) -> None:
    """A user who exists or the fields of a new one, not both; a token can be made as a test needs it."""
    eve = clerk_convex.as_user()
    with pytest.raises(TypeError, match="either a user or the fields"):
        clerk_convex.as_user(eve.id, first_name="Eve")
    expired = {"Authorization": f"Bearer {eve.token(lifetime=-60)}"}
    assert httpx.get(f"{clerk_convex.url}/api/users", headers=expired, trust_env=False).status_code == 401


def test_nothing_of_the_test_before_is_left(clerk_convex: LocalSet) -> None:
    """No user, row, job, fault or limit; a subscriber sees the tables become empty."""
    clerk_convex.as_user(first_name="Eve", email_address=["eve@example.com"])
    clerk_convex.clerk.faults = Faults(status=503)
    watcher: Iterator[Any] = clerk_convex.functions.subscribe("users:exportUsers", FIRST)
    assert len(next(watcher)["page"]) == 1
    clerk_convex.reset()
    assert next(watcher)["page"] == []
    assert (clerk_convex.clerk.count, clerk_convex.rows()) == (0, {})
    again = clerk_convex.as_user(email_address=["eve@example.com"])
    assert clerk_convex.rows().keys() == {again.id}
    key = {"Authorization": f"Bearer {clerk_convex.clerk.secret_key}"}
    wrong = {"Authorization": "Bearer nonsense"}
    statuses: list[int] = []
    while 429 not in statuses[-1:]:
        url = f"{clerk_convex.url}/api/users"
        statuses.append(httpx.get(url, headers=wrong, trust_env=False).status_code)
    clerk_convex.reset()
    assert httpx.get(url, headers=wrong, trust_env=False).status_code == 401
    assert httpx.get(f"{clerk_convex.clerk.url}/v1/users", headers=key, trust_env=False).status_code == 200


def test_all_rows_are_returned(clerk_convex: LocalSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those behind the first page."""
    monkeypatch.setattr("clerk_convex.testing.local_set._PAGE", 2)
    clerk_convex.clerk.create_users([{} for _ in range(5)])
    clerk_convex.settle()
    assert clerk_convex.rows().keys() == {user["id"] for user in clerk_convex.clerk.users()}


def test_undelivered_webhooks_are_an_error(clerk_convex: LocalSet) -> None:
    """Rather than a row that is missed later, the test says what the receiver answered."""
    clerk = clerk_convex.clerk
    clerk.webhooks.delivery = Delivery(late=1.0)
    clerk.create_user()
    with pytest.raises(LocalError, match=r"undelivered after 0 s: none has failed\."):
        clerk_convex.settle(0)
    clerk_convex.reset()
    clerk.webhooks.add_endpoint(f"{clerk_convex.url}/webhooks/clerk", ANOTHER)
    clerk.create_user()
    # The service answers the message of its own endpoint with 200, before the other one or after it.
    assert eventually(lambda: {200, 400} <= {attempt.status for attempt in clerk.webhooks.attempts})
    with pytest.raises(LocalError, match=r"undelivered after 0 s: the last failed attempt got 400\."):
        clerk_convex.settle(0)
    clerk_convex.reset()
    clerk.webhooks.add_endpoint(f"http://127.0.0.1:{free_port()}")
    clerk.create_user()
    assert eventually(lambda: None in [attempt.status for attempt in clerk.webhooks.attempts])
    with pytest.raises(LocalError, match=r"the last failed attempt got no answer\."):
        clerk_convex.settle(0)


def test_what_a_test_has_stopped_is_started_for_the_next(clerk_convex: LocalSet) -> None:
    clerk_convex.as_user()
    clerk_convex.convex.stop()
    clerk_convex.reset()
    clerk_convex.as_user(first_name="Eve")
    assert [row["firstName"] for row in clerk_convex.rows().values()] == ["Eve"]
    # In this project's tests, another fixture has this name.
    assert getattr(pytest_plugin.convex, "__wrapped__")(clerk_convex) is clerk_convex.convex  # noqa: B009


TEAM = """
import pytest

def test_own_functions(clerk_convex, convex, as_user):
    eve = as_user(first_name="Eve")
    assert clerk_convex.row(eve.id)["firstName"] == "Eve"
    assert eve.until("people:currentUser")["user"]["firstName"] == "Eve"
    assert eve.convex.query("greeting:read") == "hello = hello"
    assert clerk_convex.convex is convex

@pytest.mark.anyio
async def test_in_a_coroutine(as_admin):
    assert as_admin().http.get("/api/users").status_code == 200
"""
GREETING = """
import { query } from "./_generated/server";
export const read = query({ args: {}, handler: () => process.env.GREETING });
"""
INI = """
[pytest]
filterwarnings = error
clerk_convex_functions = backend/convex
clerk_convex_module = people
clerk_convex_env =
    GREETING = hello = hello
"""


def run_pytest(folder: Path, *arguments: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_a_team_has_the_fixtures_by_installing_the_package(tmp_path: Path) -> None:
    """With functions of its own under another name and in parallel; `-p no:` leaves it out."""
    (tmp_path / "backend").mkdir()
    project = Project(tmp_path / "backend")
    (project.folder / "convex/users.ts").rename(project.folder / "convex/people.ts")
    project.replace("clerk/module.ts", "internal.users", "internal.people")
    project.write("greeting.ts", GREETING)
    (tmp_path / "pytest.ini").write_text(INI)
    (tmp_path / "test_team.py").write_text(TEAM)
    assert "3 passed" in run_pytest(tmp_path, "-n", "1")  # the coroutine with asyncio and trio
    (tmp_path / "pytest.ini").unlink()
    fixtures = run_pytest(tmp_path, "-p", "no:clerk_convex", "--fixtures", "--quiet")
    assert "as_admin" not in fixtures


def test_plugin_costs_nothing_unused() -> None:
    """A run of pytest without the fixtures imports the plugin's module, and nothing else of this project."""
    code = "import sys, pytest; before = set(sys.modules); import clerk_convex.pytest_plugin;"
    printed = subprocess.run(
        [sys.executable, "-c", code + "print(*set(sys.modules) - before)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert set(printed.split()) == {"clerk_convex", "clerk_convex.pytest_plugin"}


def configuration(root: Path, **ini: Any) -> Any:
    values = {pytest_plugin.FUNCTIONS: "", pytest_plugin.MODULE: "", pytest_plugin.ENV: [], **ini}
    return SimpleNamespace(rootpath=root, getini=values.__getitem__)


def test_functions_are_found(tmp_path: Path) -> None:
    """The folder of the ini file, or convex/ of the project, or else the functions of the package."""
    assert pytest_plugin._functions(configuration(tmp_path)) is None
    assert pytest_plugin._functions(configuration(ROOT)) == ROOT / "convex"
    backend = tmp_path / "backend"
    backend.mkdir()
    assert pytest_plugin._functions(configuration(tmp_path, clerk_convex_functions="backend")) == backend
    (tmp_path / "convex.json").write_text('{"functions": "backend"}')
    (backend / "schema.ts").touch()
    assert pytest_plugin._functions(configuration(tmp_path)) == backend.resolve()


@pytest.mark.parametrize(
    ("ini", "message"),
    [
        ({"clerk_convex_functions": "nowhere"}, "= nowhere is no folder: write the path"),
        ({"clerk_convex_env": ["A=1", "B"]}, "clerk_convex_env has a line without =: write NAME=value."),
    ],
)
def test_wrong_options_are_said_in_one_line(tmp_path: Path, ini: dict[str, Any], message: str) -> None:
    (tmp_path / "backend").mkdir()
    started = getattr(pytest_plugin._clerk_convex_started, "__wrapped__")  # noqa: B009
    with pytest.raises(pytest.UsageError, match=re.escape(message)):
        next(started(configuration(tmp_path, **ini)))


def test_set_that_cannot_start_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test fails with the reason and the remedy, without a traceback of this package."""
    monkeypatch.chdir(tmp_path)  # npm packages of the current directory would do
    (tmp_path / "convex").mkdir()
    started = getattr(pytest_plugin._clerk_convex_started, "__wrapped__")  # noqa: B009
    ini = configuration(tmp_path, clerk_convex_functions="convex")
    with pytest.raises(pytest.fail.Exception, match="needs the npm packages") as failed:
        next(started(ini))
    assert not failed.value.pytrace
