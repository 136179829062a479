"""clerk_convex/backfill/comparison.py: each kind of difference is found, and only those."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from clerk_convex.backfill import OnProgress, Progress, Verification, backfill, verify
from clerk_convex.clerk.api import Clerk, Page
from clerk_convex.errors import ClerkUnavailable
from clerk_convex.local.clerk import LocalClerk
from clerk_convex.local.clerk.objects import new_event, to_json
from clerk_convex.webhook.events import Ignored, read_event
from tests.support.backfill_set import BackfillSet, functions_of, hasty, small_pages
from tests.support.backfill_wire import Answer, Request, Wire
from tests.support.functions import Functions, delete, upsert
from tests.support.virtual_time import now, run


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Functions]:
    with functions_of(tmp_path_factory.mktemp("project")) as functions:
        yield functions


@pytest.fixture
def local(functions: Functions, monkeypatch: pytest.MonkeyPatch) -> Iterator[BackfillSet]:
    monkeypatch.setattr("clerk_convex.backfill.comparison.AGAIN", 0.1)
    hasty(monkeypatch)
    with LocalClerk(rate_limit=0, secret_key="sk_live_" + "0" * 20) as clerk:
        yield BackfillSet(clerk, functions)


def apply_webhook(local: BackfillSet, kind: str, user: Mapping[str, Any]) -> None:
    event = new_event(kind, user, "ins_1", int(time.time() * 1000))
    change = read_event(to_json(event).encode())
    assert not isinstance(change, Ignored)
    local.functions.sync([change])


def test_equal_is_equal(local: BackfillSet) -> None:
    """After a backfill, and with nobody at all."""
    assert local.verify().equal
    local.sign_up(30)
    local.run()
    verified = local.verify()
    assert verified.equal
    assert (verified.users, verified.rows, verified.examples) == (30, 30, ())


def test_each_kind_of_difference_is_found(local: BackfillSet) -> None:
    """Missing, changed at Clerk, too many, and a row edited by hand, in whatever column."""
    ids = local.sign_up(30, last_name="Before")
    local.run()
    local.edit(ids[0], None)
    local.clerk.update_user(ids[1], last_name="After")
    local.edit(ids[2], {"lastName": "By hand"})
    local.edit(ids[3], {"phone": "+1"})
    local.edit(ids[4], {"createdAt": 5})
    local.edit(ids[5], {"status": "banned"})
    local.edit(ids[6], "copy")
    local.clerk.delete_user(ids[7])
    new = local.clerk.create_user(username="new")["id"]
    verified = local.verify()
    assert not verified.equal
    assert sorted(verified.examples) == sorted(
        [
            ("missing", ids[0]),
            ("missing", new),
            *(("differing", ids[number]) for number in range(1, 6)),
            ("duplicate", ids[6]),
            ("extra", ids[7]),
        ]
    )
    found = verified.missing, verified.differing, verified.duplicate, verified.extra
    assert found == (2, 5, 1, 1)


def test_columns_that_follow_from_others_are_no_difference(local: BackfillSet) -> None:
    """Those for sorting and search are Convex's own: not compared, and right again after the next run."""
    first, *_ = local.sign_up(3)
    local.run()
    right = local.functions.rows()[first]
    local.edit(first, {"sortName": "zzz"})
    assert local.verify().equal
    assert local.run().counts == {"unchanged": 3}
    assert local.functions.rows()[first] == right


def test_what_differs_since_a_webhook_is_found(local: BackfillSet) -> None:
    """A row that came by webhook and was edited by hand within the same second."""
    (user_id,) = local.sign_up(1)
    apply_webhook(local, "user.created", local.clerk.get_user(user_id))
    assert local.verify().equal
    local.edit(user_id, {"lastName": "By hand"})
    assert local.verify().differing == 1


def test_a_tombstone_of_a_living_user_is_a_missing_row(local: BackfillSet) -> None:
    (user_id,) = local.sign_up(1)
    local.functions.sync([delete(user_id)])
    assert local.verify().examples == (("missing", user_id),)


def test_a_later_sign_in_in_convex_is_no_difference(local: BackfillSet) -> None:
    """Clerk's list may lag behind what a webhook told; an earlier one is a difference."""
    first, second = local.sign_up(2)
    local.clerk.sign_in(second)
    local.run()
    local.edit(first, {"lastSignInAt": time.time() * 1000 + 60_000})
    assert local.verify().equal
    local.edit(second, {"lastSignInAt": 1.0})
    assert local.verify().examples == (("differing", second),)


def test_unreadable_users_are_not_passed_over(local: BackfillSet, monkeypatch: pytest.MonkeyPatch) -> None:
    local.sign_up(3)
    local.run()
    genuine = Clerk.list_users

    async def with_an_odd_one(self: Clerk, **question: Any) -> Page:
        page = await genuine(self, **question)
        if question.get("created_at_after") is None:
            page.users.append("no user at all")
        return page

    monkeypatch.setattr(Clerk, "list_users", with_an_odd_one)
    verified = local.verify()
    assert verified.examples == (("unreadable", "(a user without an id)"),)
    assert not verified.equal


def test_it_writes_nothing_at_all(local: BackfillSet) -> None:
    """Whatever it finds: the database, positions included, stays as it is."""
    ids = local.sign_up(10)
    local.run()
    local.edit(ids[0], {"lastName": "By hand"})
    local.clerk.delete_user(ids[1])
    local.clerk.create_user(username="new")
    before = local.dump()
    assert not local.verify().equal
    assert local.dump() == before


def test_the_examples_are_a_hundred_of_each_kind(local: BackfillSet, monkeypatch: pytest.MonkeyPatch) -> None:
    small_pages(monkeypatch, 50)
    local.sign_up(250)
    verified = local.verify()
    assert verified.missing == 250
    assert len(verified.examples) == 100


def test_when_the_last_webhook_came(local: BackfillSet) -> None:
    """The time of the last one that changed a row, and not of a backfill."""
    local.sign_up(1)
    local.run()
    assert local.verify().last_webhook_at is None
    begun = time.time() * 1000
    user = local.clerk.create_user(username="new")
    apply_webhook(local, "user.created", user)
    last = local.verify().last_webhook_at
    assert last is not None
    assert begun - 1000 <= last <= time.time() * 1000 + 1000


# ---------------------------------------------------------------- users who change meanwhile


def on_each_list(monkeypatch: pytest.MonkeyPatch, action: Any) -> None:
    genuine = Clerk.list_users

    async def list_and_act(self: Clerk, **question: Any) -> Page:
        page = await genuine(self, **question)
        action(question)
        return page

    monkeypatch.setattr(Clerk, "list_users", list_and_act)


def test_users_who_keep_changing_are_equal_if_their_webhooks_arrive(
    local: BackfillSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each of the first looks Clerk is a moment ahead; as soon as Convex has caught up, they are equal."""
    busy, *_ = local.sign_up(5)
    local.run()
    looks = 0

    def change(question: Mapping[str, Any]) -> None:
        nonlocal looks
        looks += 1
        if looks <= 6:
            user = local.clerk.update_user(busy, first_name=f"Name{looks}")
            if looks == 6:
                apply_webhook(local, "user.updated", user)

    on_each_list(monkeypatch, change)
    local.clerk.update_user(busy, first_name="Name")
    assert local.verify().equal
    assert looks >= 6


def test_users_who_keep_changing_differ_if_nothing_ever_arrives(
    local: BackfillSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes to an end, and says so."""
    monkeypatch.setattr("clerk_convex.backfill.comparison.AGAIN", 0.01)
    busy, *_ = local.sign_up(5)
    local.run()
    on_each_list(monkeypatch, lambda question: local.clerk.update_user(busy, first_name=f"{time.time()}"))
    local.clerk.update_user(busy, first_name="Name")
    assert local.verify().examples == (("differing", busy),)


def test_users_who_are_deleted_between_two_looks_are_equal(
    local: BackfillSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Missing at the first look, gone at the second: there is nobody to miss, and no row too many."""
    (user_id,) = local.sign_up(1)

    def remove(question: Mapping[str, Any]) -> None:
        if local.clerk.count:
            local.clerk.delete_user(user_id)

    on_each_list(monkeypatch, remove)
    assert local.verify().equal


def test_a_row_whose_deletion_is_on_its_way_is_not_too_many(
    local: BackfillSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    (user_id,) = local.sign_up(1)
    local.run()
    local.clerk.delete_user(user_id)
    genuine = Clerk.get_user

    async def get_after_the_webhook(self: Clerk, clerk_id: str) -> Any:
        local.functions.sync([delete(clerk_id, observed_at=time.time() * 1000)])
        return await genuine(self, clerk_id)

    monkeypatch.setattr(Clerk, "get_user", get_after_the_webhook)
    assert local.verify().equal


def test_whom_a_list_leaves_out_is_asked_for_by_name(
    local: BackfillSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clerk's lists may lag: neither is a row too many for that, nor is a missing user forgotten."""
    first, second = local.sign_up(2)
    local.functions.sync([upsert(first)])
    local.functions.sync([delete("user_gone")])
    genuine = Clerk.list_users

    async def by_ids_nobody(self: Clerk, **question: Any) -> Page:
        page = await genuine(self, **question)
        return Page([], page.observed_at) if question.get("user_id") else page

    monkeypatch.setattr(Clerk, "list_users", by_ids_nobody)
    verified = local.verify()
    assert sorted(verified.examples) == sorted([("differing", first), ("missing", second)])
    assert verified.extra == 0


def test_second_looks_at_hundreds_share_their_calls(
    local: BackfillSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred in a call, so that an empty Convex is soon told from a full Clerk."""
    local.sign_up(450)
    calls = 0

    def count(question: Mapping[str, Any]) -> None:
        nonlocal calls
        calls += bool(question.get("user_id"))

    on_each_list(monkeypatch, count)
    assert local.verify(concurrency=2).missing == 450
    assert calls <= 6


def test_clerk_lost_on_the_way_is_an_error(local: BackfillSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then nothing can be said, and nothing is."""
    local.sign_up(3)
    on_each_list(monkeypatch, lambda question: local.clerk.close())
    with pytest.raises(ClerkUnavailable, match="Clerk cannot be reached"):
        local.verify(patience=0.2)


def test_a_program_can_do_both(local: BackfillSet) -> None:
    """In one event loop, one after the other."""
    local.sign_up(3)

    async def both() -> Verification:
        assert (await backfill(local.settings())).ok
        return await verify(local.settings())

    assert asyncio.run(both()).equal


# ---------------------------------------------------------------- in virtual time


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    return Wire(monkeypatch)


def sign_up(wire: Wire, count: int, *, rows: bool = False) -> list[str]:
    ids = [
        wire.clerk.create_user(username=f"user{number}", created_at=number)["id"] for number in range(count)
    ]
    if rows:
        assert run(backfill(wire.settings)).ok
        wire.requests.clear()
    return ids


def test_equal_users_are_looked_at_once(wire: Wire) -> None:
    """No second looks, and no waiting for any."""
    sign_up(wire, 30, rows=True)

    async def main() -> float:
        assert (await verify(wire.settings)).equal
        return now()

    assert run(main()) < 0.1
    lists = wire.asked("/users")
    assert sum("user_id" in request.args for request in lists) == 1  # of the rows


@pytest.mark.parametrize("side", ["users", "rows"])
def test_who_differs_is_looked_at_again_five_seconds_later(wire: Wire, side: str) -> None:
    """Not sooner: a webhook takes a moment; and not much later."""
    sign_up(wire, 3, rows=True)
    if side == "users":
        del wire.rows[0]
    else:
        wire.rows.append({"clerkId": "user_ghost"})

    async def main() -> float:
        assert not (await verify(wire.settings)).equal
        return now()

    assert (5 if side == "users" else 10) <= run(main()) < 11
    looks = [request.at for request in wire.asked("compareUsers" if side == "users" else "/users/user_ghost")]
    if side == "users":
        assert looks[-1] - looks[-2] == pytest.approx(5, abs=0.1)
    else:
        assert looks == pytest.approx([5, 10], abs=0.1)


def test_a_webhook_within_five_seconds_makes_it_equal(wire: Wire) -> None:
    sign_up(wire, 2, rows=True)
    rows, wire.rows = wire.rows, []

    def answer(request: Request) -> Answer:
        if now() > 4.9 and not wire.rows:
            wire.rows = rows
        return None

    wire.answer = answer
    assert run(verify(wire.settings)).equal


@pytest.mark.parametrize("column", ["first_name", "last_sign_in"])
def test_who_changes_between_two_looks_is_looked_at_again(wire: Wire, column: str) -> None:
    """Whatever changes at Clerk, a sign-in too; ten looks, and then it is a difference."""
    (user_id,) = sign_up(wire, 1, rows=True)
    stopped = 1000
    looks = 0

    def answer(request: Request) -> Answer:
        nonlocal looks
        if request.what == "/users" and looks < stopped and not wire.asked("exportUsers"):
            looks += 1
            if column == "first_name":
                wire.clerk.update_user(user_id, first_name=f"Name{looks}")
            else:
                wire.clerk.sign_in(user_id)
        return None

    wire.answer = answer
    assert run(verify(wire.settings)).examples == (("differing", user_id),)
    assert len(wire.asked("compareUsers")) == 1 + 1 + 10  # the check, the first look, ten more
    looks, stopped = 0, 6  # three of them to read all users
    wire.requests.clear()
    assert run(verify(wire.settings)).examples == (("differing", user_id),)
    assert len(wire.asked("compareUsers")) == 1 + 1 + 4


def test_hundreds_are_looked_at_again_a_hundred_at_a_time(wire: Wire) -> None:
    sign_up(wire, 450)
    verified = run(verify(wire.settings, concurrency=1))
    assert verified.missing == 450
    again = [request for request in wire.asked("/users") if "user_id" in request.args]
    assert len(again) == 5


def test_a_hundred_examples_of_each_kind(wire: Wire) -> None:
    """Exactly: the hundred-and-first is counted and not named."""
    sign_up(wire, 101)
    wire.rows = [{"clerkId": f"user_ghost{number}"} for number in range(101)]
    verified = run(verify(wire.settings))
    assert (verified.missing, verified.extra) == (101, 101)
    kinds = [kind for kind, _ in verified.examples]
    assert (kinds.count("missing"), kinds.count("extra")) == (100, 100)


def test_progress_is_told_of_both_sides(wire: Wire) -> None:
    sign_up(wire, 3, rows=True)
    steps: list[Progress] = []

    class Noting(OnProgress):
        def step(self, progress: Progress) -> None:
            steps.append(progress)

    verified = run(verify(wire.settings, on_progress=Noting()))
    assert (verified.users, verified.rows) == (3, 3)
    assert steps[0] == Progress("verifying", 3, 3)
    assert steps[-1] == Progress("verifying the rows", 3, None)


# ---------------------------------------------------------------- another instance's rows


def ghosts(count: int) -> list[dict[str, Any]]:
    return [{"clerkId": f"user_ghost{number}"} for number in range(count)]


@pytest.mark.parametrize(
    ("users", "extra", "doubted"),
    [
        (0, 1, True),  # no overlap
        (3, 3, True),  # half of the rows
        (4, 3, False),
        (30, 10, False),  # what --prune takes without a yes
        (30, 11, True),
        (300, 15, False),  # 5 %
        (300, 16, True),
    ],
)
def test_many_rows_of_nobody_raise_a_doubt(wire: Wire, users: int, extra: int, doubted: bool) -> None:
    """The key may be another instance's: --prune is not told, but how to make sure."""
    sign_up(wire, users, rows=True)
    wire.rows += ghosts(extra)
    verified = run(verify(wire.settings))
    assert verified.extra == extra
    if doubted:
        said = f"{extra} of {users + extra} rows are of users whom the Clerk instance of CLERK_SECRET_KEY "
        assert verified.doubt is not None
        assert verified.doubt.startswith(f"{said}({wire.clerk.instance_id}, production) does not have.")
        assert "--prune" not in str(verified)
    else:
        assert verified.doubt is None
        assert str(verified).endswith("Next: python -m clerk_convex.backfill --prune")


def test_no_doubt_is_raised_where_clerk_confirms_the_instance(wire: Wire) -> None:
    wire.rows = ghosts(50)
    settings = wire.settings.model_copy(update={"clerk_instance_id": wire.clerk.instance_id})
    verified = run(verify(settings))
    assert verified.doubt is None
    assert str(verified).endswith("Next: python -m clerk_convex.backfill --prune")


def test_nothing_is_asked_where_there_is_nothing_to_doubt(wire: Wire) -> None:
    sign_up(wire, 3)
    assert run(verify(wire.settings)).doubt is None
    assert wire.asked("/instance") == []


@pytest.mark.parametrize(
    ("kind", "deploy_key"),
    [("development", "prod:a|x"), ("production", "prod:a|x"), ("development", "dev:a|x")],
)
def test_a_development_key_beside_a_production_deployment_raises_one(
    wire: Wire, kind: str, deploy_key: str
) -> None:
    """However few the rows are; other pairs do not."""
    sign_up(wire, 30, rows=True)
    wire.rows += ghosts(1)
    answer = {"object": "instance", "id": "ins_1", "environment_type": kind, "allowed_origins": None}
    wire.answer = lambda request: httpx.Response(200, json=answer) if request.what == "/instance" else None
    settings = wire.settings.model_copy(update={"convex_deploy_key": SecretStr(deploy_key)})
    verified = run(verify(settings))
    if (kind, deploy_key) == ("development", "prod:a|x"):
        assert verified.doubt == (
            "CLERK_SECRET_KEY belongs to a development instance (ins_1, development), CONVEX_DEPLOY_KEY to a "
            "production deployment. The rows may be another instance's."
        )
    else:
        assert verified.doubt is None


@pytest.mark.parametrize("extra", [1, 40])
def test_a_clerk_that_does_not_tell_its_instance_is_no_error(wire: Wire, extra: int) -> None:
    """The comparison works without the instance, and a doubt calls it unknown."""
    sign_up(wire, 30, rows=True)
    wire.rows += ghosts(extra)
    wire.answer = lambda request: httpx.Response(404) if request.what == "/instance" else None
    verified = run(verify(wire.settings))
    assert verified.extra == extra
    assert (verified.doubt is None) == (extra == 1)
    assert verified.doubt is None or "CLERK_SECRET_KEY (unknown)" in verified.doubt


def test_what_a_row_is_compared_with_is_what_clerk_announces(wire: Wire) -> None:
    """A deletion is compared as the webhook's: the rules take a prune's for stale where the row is newer."""
    wire.rows = ghosts(1)
    run(verify(wire.settings))
    (change,) = wire.asked("compareUsers")[-1].args["changes"]
    assert (change["type"], change["source"], change["clerkId"]) == ("delete", "webhook", "user_ghost0")
