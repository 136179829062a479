"""convex/clerk/access.ts: the queries that each caller may call, and the errors that other callers get."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.functions import Caller, Denied, Functions, Project, delete, upsert

PAGE = {"paginationOpts": {"numItems": 10, "cursor": None}}
FOR_ADMINS: dict[str, dict[str, Any]] = {
    "users:getUsers": PAGE,
    "users:segments": {},
    "users:getUser": {"clerkId": "user_ada"},
    "users:stats": {},
    "users:auditLog": PAGE,
}


@pytest.fixture
def functions(functions: Functions) -> Functions:
    """Users of each kind."""
    functions.sync(
        [
            upsert("user_ada", role="admin", firstName="Ada", email="ada@example.com"),
            upsert("user_eve", role="member", firstName="Eve", email="eve@example.com"),
            upsert("user_noone"),
            upsert("user_banned", role="admin", status="banned"),
            upsert("user_locked", role="admin", status="locked"),
            upsert("user_deprovisioned", role="admin", status="deprovisioned"),
            upsert("user_Admin", role="Admin"),
            upsert("user_gone", role="admin"),
            delete("user_gone"),
        ]
    )
    return functions


def reason(caller: Caller, path: str, arguments: dict[str, Any] | None = None) -> str:
    with pytest.raises(Denied) as denied:
        caller.query(path, FOR_ADMINS[path] if arguments is None else arguments)
    data = denied.value.args[0]
    assert data.keys() == {"code", "reason", "message"}
    assert data["code"] == "access_denied"
    assert "user_" not in data["message"]
    assert "@" not in data["message"]
    return str(data["reason"])


@pytest.mark.parametrize("path", FOR_ADMINS)
def test_admins_only(functions: Functions, path: str) -> None:
    """An active admin gets an answer. Any other caller gets an error with the reason, and no data of any
    user."""
    assert functions.signed_in("user_ada").query(path, FOR_ADMINS[path])
    assert reason(functions.nobody(), path) == "not_signed_in"
    assert reason(functions.signed_in("user_ada", sts="pending"), path) == "not_signed_in"
    assert reason(functions.signed_in("user_new"), path) == "not_synced"
    assert reason(functions.signed_in("user_gone"), path) == "deleted"
    assert reason(functions.signed_in("user_banned"), path) == "not_active"
    assert reason(functions.signed_in("user_locked"), path) == "not_active"
    assert reason(functions.signed_in("user_deprovisioned"), path) == "not_active"
    assert reason(functions.signed_in("user_eve"), path) == "not_admin"
    assert reason(functions.signed_in("user_noone"), path) == "not_admin"
    assert reason(functions.signed_in("user_Admin"), path) == "not_admin"
    assert reason(functions.signed_in("USER_ADA"), path) == "not_synced"


@pytest.mark.parametrize("path", FOR_ADMINS)
def test_token_cannot_make_an_admin(functions: Functions, path: str) -> None:
    """Only the synced row counts, whatever a token claims."""
    claims = {"role": "admin", "metadata": {"role": "admin"}, "public_metadata": {"role": "admin"}}
    assert reason(functions.signed_in("user_eve", **claims), path) == "not_admin"


@pytest.mark.parametrize("path", [*FOR_ADMINS, "users:currentUser"])
def test_claim_cannot_change_the_identity(functions: Functions, path: str) -> None:
    """A custom claim with the name that Convex uses for the token's subject or issuer identifies no user."""
    for claims in ({"subject": "user_ada"}, {"issuer": "https://clerk.example.com"}):
        assert reason(functions.signed_in("user_eve", **claims), path, FOR_ADMINS.get(path, {})) == (
            "not_signed_in"
        )


@pytest.mark.parametrize("path", FOR_ADMINS)
def test_deploy_key_is_no_admin(functions: Functions, path: str) -> None:
    """A call with the deploy key has no identity. exportUsers is the query for it."""
    body = {"path": path, "args": FOR_ADMINS[path], "format": "json"}
    answer = functions.http.post("/api/query", json=body).json()
    assert answer["errorData"]["reason"] == "not_signed_in"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (upsert("user_ada", updated_at=11.0, role="member"), "not_admin"),
        (upsert("user_ada", updated_at=11.0, role=None), "not_admin"),
        (upsert("user_ada", updated_at=11.0, role="admin", status="banned"), "not_active"),
        (upsert("user_ada", updated_at=11.0, role="admin", status="locked"), "not_active"),
        (upsert("user_ada", updated_at=11.0, role="admin", status="deprovisioned"), "not_active"),
        (delete("user_ada"), "deleted"),
    ],
)
def test_change_takes_effect_before_the_token_expires(
    functions: Functions, change: Any, expected: str
) -> None:
    """A demotion, a ban or a deletion applies to the next call."""
    ada = functions.signed_in("user_ada")
    ada.query("users:stats")
    functions.sync([change])
    for path in FOR_ADMINS:
        assert reason(ada, path) == expected


def test_refusal_comes_before_anything_is_looked_up(functions: Functions) -> None:
    """A caller who is refused learns neither which users exist nor that the arguments were wrong."""
    eve = functions.signed_in("user_eve")
    for clerk_id in ("user_ada", "user_unknown"):
        assert reason(eve, "users:getUser", {"clerkId": clerk_id}) == "not_admin"
    assert reason(eve, "users:stats", {"today": "no day"}) == "not_admin"


def test_current_user(functions: Functions) -> None:
    """Every caller who is signed in gets their own state, admin or not, banned or not, and with or without a
    row."""
    ada = functions.signed_in("user_ada").query("users:currentUser")
    assert (ada["state"], ada["isAdmin"]) == ("synced", True)
    assert (ada["user"]["clerkId"], ada["user"]["email"]) == ("user_ada", "ada@example.com")
    for clerk_id in ("user_eve", "user_banned", "user_deprovisioned", "user_Admin"):
        answer = functions.signed_in(clerk_id).query("users:currentUser")
        assert (answer["state"], answer["isAdmin"], answer["user"]["clerkId"]) == ("synced", False, clerk_id)
    new = functions.signed_in("user_new")
    assert new.query("users:currentUser") == {"state": "not_synced", "clerkId": "user_new"}
    functions.sync([upsert("user_new")])
    assert new.query("users:currentUser")["state"] == "synced"
    gone = functions.signed_in("user_gone").query("users:currentUser")
    assert gone == {"state": "deleted", "clerkId": "user_gone"}
    assert reason(functions.nobody(), "users:currentUser", {}) == "not_signed_in"
    assert reason(functions.signed_in("user_ada", sts="pending"), "users:currentUser", {}) == "not_signed_in"


def test_only_the_queries_of_the_page_are_public(functions: Functions) -> None:
    """With an admin's token neither a function that writes nor the export can be called."""
    ada = functions.signed_in("user_ada")
    calls: dict[str, dict[str, Any]] = {"users:exportUsers": PAGE, "users:compareUsers": {"changes": []}}
    for path, arguments in calls.items():
        with pytest.raises(AssertionError, match="Could not find public function"):
            ada.query(path, arguments)


def test_team_replaces_the_rule(tmp_path: Path) -> None:
    """Queries and user management use the same function."""
    project = Project(tmp_path)
    project.replace(
        "clerk/access.ts",
        'return user.role === "admin" && user.status === "active";',
        'return user.role === "boss";',
    )
    with project.running() as functions:
        functions.sync([upsert("user_1", role="boss", status="banned"), upsert("user_2", role="admin")])
        boss, admin = functions.signed_in("user_1"), functions.signed_in("user_2")
        assert boss.query("users:stats")["total"] == 2
        assert boss.query("users:currentUser")["isAdmin"] is True
        assert reason(admin, "users:stats") == "not_admin"
        attempt = {"action": "ban", "target": "user_3", "requestId": "1"}
        assert functions.mutation("users:beginAction", {"actor": "user_1", **attempt})["allowed"] is True
        assert functions.mutation("users:beginAction", {"actor": "user_2", **attempt})["allowed"] is False
