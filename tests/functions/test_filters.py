"""convex/clerk/users/filters.ts: lists, searches and counts of the users who pass a filter."""

import random
from collections import Counter
from typing import Any

import pytest

from tests.functions.test_queries import ids, last_cursor
from tests.support.functions import CREATED_AT, Functions, upsert

STATUSES = ("active", "banned", "deprovisioned", "locked")
ADMIN = {"clerkId": "user_admin", "role": "admin", "status": "active", "createdAt": CREATED_AT - 1e9}


def crowd(count: int) -> list[dict[str, Any]]:
    """Users with and without a role, a verified address and a sign-in; some have equal times."""
    chance = random.Random(11)
    users = []
    for number in range(count):
        user = {
            "clerkId": f"user_{number:04}",
            "createdAt": CREATED_AT + chance.randrange(20),
            "status": chance.choice([*STATUSES, "active", "active"]),
            "role": chance.choice([None, "editor", "member"]),
            "emailVerified": chance.choice([None, True, False]),
            "email": f"mail{number}@example.com",
            "firstName": chance.choice(["Ada", "Grace"]),
            "lastSignInAt": chance.choice([None, float(chance.randrange(20))]),
        }
        users.append({name: value for name, value in user.items() if value is not None})
    return users


def load(functions: Functions, users: list[dict[str, Any]]) -> None:
    functions.sync(
        [
            upsert(clerk_id=user["clerkId"], **{k: v for k, v in user.items() if k != "clerkId"})
            for user in users
        ]
    )


def passes(user: dict[str, Any], wanted: dict[str, Any]) -> bool:
    for name in ("createdAt", "lastSignInAt"):
        if name in wanted and wanted[name] is None:
            if name in user:
                return False
        elif name in wanted:
            bounds = {"from": float("-inf"), "before": float("inf"), **wanted[name]}
            if name not in user or not bounds["from"] <= user[name] < bounds["before"]:
                return False
    has_role = wanted.get("role", user.get("role", "")) == user.get("role", "")
    verified = user.get("emailVerified", False)
    return bool(has_role and wanted.get("verified", verified) == verified)


FILTERS: dict[str, dict[str, Any]] = {
    "none": {},
    "role": {"role": "editor"},
    "no role": {"role": ""},
    "verified": {"verified": True},
    "not verified": {"verified": False},
    "joined": {"createdAt": {"from": CREATED_AT + 5, "before": CREATED_AT + 12}},
    "joined before": {"createdAt": {"before": CREATED_AT + 5}},
    "signed in": {"lastSignInAt": {"from": 7.0}},
    "signed in before": {"lastSignInAt": {"before": 7.0}},
    "signed in ever": {"lastSignInAt": {}},
    "never signed in": {"lastSignInAt": None},
    "editors who never signed in": {"role": "editor", "lastSignInAt": None},
    "all": {
        "role": "member",
        "verified": False,
        "createdAt": {"from": CREATED_AT + 2},
        "lastSignInAt": {"from": 1.0, "before": 18.0},
    },
    "nobody": {"role": "nobody"},
}


def test_lists_have_the_users_who_pass(functions: Functions) -> None:
    """In each order, of all users and of each status: the rows that pass, each once, also up
    to an end cursor. The counts are those of the lists."""
    users = [ADMIN, *crowd(70)]
    load(functions, users)
    admin = functions.signed_in("user_admin")
    known = {user["clerkId"]: user for user in users}
    for by in ("createdAt", "lastSignInAt", "name"):
        for order in ("asc", "desc"):
            sort = {"by": by, "order": order}
            everyone = ids(*admin.pages("users:getUsers", 100, sort=sort))
            for name, wanted in FILTERS.items():
                for status in (None, "active", "locked"):
                    more: dict[str, Any] = {"sort": sort, "filter": wanted}
                    more |= {} if status is None else {"status": status}
                    expected = [
                        it
                        for it in everyone
                        if passes(known[it], wanted) and status in (None, known[it]["status"])
                    ]
                    pages = admin.pages("users:getUsers", 7, **more)
                    assert ids(*pages) == expected, (name, sort, status)
                    assert all(len(page) <= 7 for page in pages)
            wanted = FILTERS["verified"]
            more = {"sort": sort, "filter": wanted}
            end = last_cursor(admin, "users:getUsers", **more)
            found = admin.until("users:getUsers", end, **more)
            assert ids(found) == [it for it in everyone if passes(known[it], wanted)]
    for wanted in FILTERS.values():
        counts = Counter(user["status"] for user in users if passes(user, wanted))
        segments = admin.query("users:segments", {"filter": wanted})
        assert {it["status"]: it["count"] for it in segments} == {
            status: counts[status] for status in STATUSES
        }
        assert not any(it["isMore"] for it in segments)


def test_a_page_looks_at_300_rows(functions: Functions) -> None:
    """Then it ends, empty perhaps, and the next one continues. A range of the sorted column needs no look."""
    users = [{"clerkId": f"user_{number:04}", "createdAt": CREATED_AT + number} for number in range(350)]
    users[0]["role"] = "editor"
    load(functions, [ADMIN, *users])
    admin = functions.signed_in("user_admin")
    pages = admin.pages("users:getUsers", 25, filter={"role": "editor"})
    assert [ids(page) for page in pages] == [[], ["user_0000"]]
    early = {"createdAt": {"from": CREATED_AT, "before": CREATED_AT + 3}}
    pages = admin.pages("users:getUsers", 25, filter=early)
    assert [ids(page) for page in pages] == [["user_0002", "user_0001", "user_0000"]]
    pages = admin.pages("users:getUsers", 25, filter={**early, "role": "editor"})
    assert [ids(page) for page in pages] == [["user_0000"]]

    def active(**arguments: Any) -> dict[str, Any]:
        return next(it for it in admin.query("users:segments", arguments) if it["status"] == "active")

    assert active() == {"status": "active", "count": 100, "isMore": True}
    assert active(filter={"role": "editor"}) == {"status": "active", "count": 0, "isMore": True}
    assert active(filter=early) == {"status": "active", "count": 3, "isMore": False}


def test_a_search_has_the_matches_who_pass(functions: Functions) -> None:
    users = [ADMIN, *crowd(40)]
    load(functions, users)
    admin = functions.signed_in("user_admin")
    for name, wanted in FILTERS.items():
        matching = {
            user["clerkId"] for user in users if user.get("firstName") == "Ada" and passes(user, wanted)
        }
        for status in (None, *STATUSES):
            more = {} if status is None else {"status": status}
            options = {"paginationOpts": {"numItems": 100, "cursor": None}}
            page = admin.query("users:getUsers", {**options, "search": "ada", "filter": wanted, **more})[
                "page"
            ]
            expected = {
                user["clerkId"] for user in users if user["status"] == (status or user["status"])
            } & matching
            assert set(ids(page)) == expected, (name, status)
        counted = admin.query("users:segments", {"search": " ada ", "filter": wanted})
        assert sum(segment["count"] for segment in counted) == len(matching)
        assert not any(segment["isMore"] for segment in counted)
    counted = admin.query("users:segments", {"search": "user_0007"})
    assert sum(segment["count"] for segment in counted) == 1


def test_a_search_says_that_there_may_be_more(functions: Functions) -> None:
    """It returns fifty at most."""
    load(functions, [ADMIN, *({"clerkId": f"user_{number}", "firstName": "Ada"} for number in range(60))])
    counted = functions.signed_in("user_admin").query("users:segments", {"search": "ada"})
    assert sum(segment["count"] for segment in counted) == 50
    assert all(segment["isMore"] for segment in counted)


@pytest.mark.parametrize(
    "wanted", [{"role": 1}, {"createdAt": 5}, {"createdAt": None}, {"createdAt": {"after": 5}}, {"name": "x"}]
)
def test_a_wrong_filter_is_refused(functions: Functions, wanted: dict[str, Any]) -> None:
    load(functions, [ADMIN])
    with pytest.raises(AssertionError, match="ArgumentValidationError"):
        functions.signed_in("user_admin").query("users:segments", {"filter": wanted})
