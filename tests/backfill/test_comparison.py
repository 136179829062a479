"""clerk_convex/backfill/comparison.py: each kind of difference is found, and only those."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from clerk_convex.backfill import OnProgress, Progress, Verification, backfill, verify
from clerk_convex.clerk.api import Clerk, Page
from clerk_convex.errors import ClerkUnavailable
from clerk_convex.local.clerk.objects import new_event, to_json
from clerk_convex.webhook.events import Ignored
from tests.support.backfill_set import BackfillSet, small_pages
from tests.support.backfill_wire import Answer, Request, Wire
from tests.support.clerk_events import read_event
from tests.support.functions import delete, upsert
from tests.support.virtual_time import now, run


@pytest.fixture
def local(local: BackfillSet, monkeypatch: pytest.MonkeyPatch) -> BackfillSet:
    monkeypatch.setattr("clerk_convex.backfill.comparison.AGAIN", 0.1)
    return local


def apply_webhook(local: BackfillSet, kind: str, user: Mapping[str, Any]) -> None:
    event = new_event(kind, user, "ins_1", int(time.time() * 1000))
    change = read_event(to_json(event).encode())
    assert not isinstance(change, Ignored)
    local.functions.sync([change])


def test_equal_after_a_backfill_and_without_users(local: BackfillSet) -> None:
    """Clerk and Convex are equal after a backfill, and also if neither has a user."""
    assert local.verify().equal
    local.sign_up(30)
    local.run()
    verified = local.verify()
    assert verified.equal
    assert (verified.users, verified.rows, verified.examples) == (30, 30, ())


def test_each_kind_of_difference_is_found(local: BackfillSet) -> None:
    """Missing rows, users changed at Clerk, extra rows, and rows edited by hand in any column are found."""
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


def test_derived_columns_are_not_compared(local: BackfillSet) -> None:
    """The columns for sorting and search are not compared. The next run corrects them."""
    first, *_ = local.sign_up(3)
    local.run()
    right = local.functions.rows()[first]
    local.edit(first, {"sortName": "zzz"})
    assert local.verify().equal
    assert local.run().counts == {"unchanged": 3}
    assert local.functions.rows()[first] == right


def test_edit_after_a_webhook_is_found(local: BackfillSet) -> None:
    """A row that a webhook wrote and that was edited by hand within the same second differs."""
    (user_id,) = local.sign_up(1)
    apply_webhook(local, "user.created", local.clerk.get_user(user_id))
    assert local.verify().equal
    local.edit(user_id, {"lastName": "By hand"})
    assert local.verify().differing == 1


def test_a_tombstone_of_an_existing_user_is_a_missing_row(local: BackfillSet) -> None:
    (user_id,) = local.sign_up(1)
    local.functions.sync([delete(user_id)])
    assert local.verify().examples == (("missing", user_id),)


def test_a_later_sign_in_in_convex_is_no_difference(local: BackfillSet) -> None:
    """Clerk's list may be older than the last webhook. So only an earlier sign-in in Convex is a
    difference."""
    first, second = local.sign_up(2)
    local.clerk.sign_in(second)
    local.run()
    local.edit(first, {"lastSignInAt": time.time() * 1000 + 60_000})
    assert local.verify().equal
    local.edit(second, {"lastSignInAt": 1.0})
    assert local.verify().examples == (("differing", second),)


def test_unreadable_users_are_reported(local: BackfillSet, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_verify_writes_nothing(local: BackfillSet) -> None:
    """The database, positions included, stays as it is, whatever differences are found."""
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


def test_time_of_the_last_webhook(local: BackfillSet) -> None:
    """It is the time of the last webhook that changed a row. A backfill does not count."""
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
    """Clerk is a moment ahead at the first looks. The user is equal as soon as the webhook has reached
    Convex."""
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


def test_user_who_keeps_changing_without_webhooks_differs(
    local: BackfillSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comparison ends, and reports the user as differing."""
    monkeypatch.setattr("clerk_convex.backfill.comparison.AGAIN", 0.01)
    busy, *_ = local.sign_up(5)
    local.run()
    on_each_list(monkeypatch, lambda question: local.clerk.update_user(busy, first_name=f"{time.time()}"))
    local.clerk.update_user(busy, first_name="Name")
    assert local.verify().examples == (("differing", busy),)


def test_user_deleted_between_two_looks_is_no_difference(
    local: BackfillSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user who is missing in Convex at the first look and gone from Clerk at the second is neither missing
    nor extra."""
    (user_id,) = local.sign_up(1)

    def remove(question: Mapping[str, Any]) -> None:
        if local.clerk.count:
            local.clerk.delete_user(user_id)

    on_each_list(monkeypatch, remove)
    assert local.verify().equal


def test_a_row_whose_deletion_is_on_its_way_is_not_extra(
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


def test_user_left_out_of_a_list_is_asked_for_by_id(
    local: BackfillSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clerk's lists may lag. If they leave out a user, the user's row does not count as extra, and a missing
    row still counts as missing."""
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


def test_a_call_for_second_looks_has_a_hundred_users(
    local: BackfillSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the comparison of an empty Convex with a full Clerk ends soon."""
    local.sign_up(450)
    calls = 0

    def count(question: Mapping[str, Any]) -> None:
        nonlocal calls
        calls += bool(question.get("user_id"))

    on_each_list(monkeypatch, count)
    assert local.verify(concurrency=2).missing == 450
    assert calls <= 6


def test_clerk_lost_on_the_way_is_an_error(local: BackfillSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """If Clerk cannot be reached any more, the comparison raises an error and reports no result."""
    local.sign_up(3)
    on_each_list(monkeypatch, lambda question: local.clerk.close())
    with pytest.raises(ClerkUnavailable, match="Clerk cannot be reached"):
        local.verify(patience=0.2)


def test_a_program_can_backfill_and_verify(local: BackfillSet) -> None:
    """A program can call both, one after the other, in one event loop."""
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
    """There are no second looks, and no time is spent waiting for them."""
    sign_up(wire, 30, rows=True)

    async def main() -> float:
        assert (await verify(wire.settings)).equal
        return now()

    assert run(main()) < 0.1
    lists = wire.asked("/users")
    assert sum("user_id" in request.args for request in lists) == 1  # of the rows


@pytest.mark.parametrize("side", ["users", "rows"])
def test_user_who_differs_is_looked_at_again_after_five_seconds(wire: Wire, side: str) -> None:
    """Not sooner, because a webhook needs a moment to arrive, and not much later."""
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
def test_user_who_changes_between_two_looks_is_looked_at_again(wire: Wire, column: str) -> None:
    """Any change at Clerk counts, a sign-in too. After ten looks the user is reported as differing."""
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
    """The hundred-and-first is counted and not named."""
    sign_up(wire, 101)
    wire.rows = [{"clerkId": f"user_ghost{number}"} for number in range(101)]
    verified = run(verify(wire.settings))
    assert (verified.missing, verified.extra) == (101, 101)
    kinds = [kind for kind, _ in verified.examples]
    assert (kinds.count("missing"), kinds.count("extra")) == (100, 100)


def test_progress_has_both_sides(wire: Wire) -> None:
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
        (30, 10, False),  # --prune removes as many without --yes
        (30, 11, True),
        (300, 15, False),  # 5 %
        (300, 16, True),
    ],
)
def test_many_rows_without_a_user_raise_a_doubt(wire: Wire, users: int, extra: int, doubted: bool) -> None:
    """The key may belong to another instance. So the report does not suggest --prune, but says how to make
    sure."""
    sign_up(wire, users, rows=True)
    wire.rows += ghosts(extra)
    verified = run(verify(wire.settings))
    assert verified.extra == extra
    if doubted:
        said = f"{extra} of {users + extra} rows are of users that the Clerk instance of CLERK_SECRET_KEY "
        assert verified.doubt is not None
        assert verified.doubt.startswith(f"{said}({wire.clerk.instance_id}, production) does not have.")
        assert "--prune" not in str(verified)
    else:
        assert verified.doubt is None
        assert str(verified).endswith("Next: python -m clerk_convex.backfill --prune")


def test_no_doubt_if_clerk_confirms_the_instance(wire: Wire) -> None:
    wire.rows = ghosts(50)
    settings = wire.settings.model_copy(update={"clerk_instance_id": wire.clerk.instance_id})
    verified = run(verify(settings))
    assert verified.doubt is None
    assert str(verified).endswith("Next: python -m clerk_convex.backfill --prune")


def test_the_instance_is_not_asked_for_without_a_doubt(wire: Wire) -> None:
    sign_up(wire, 3)
    assert run(verify(wire.settings)).doubt is None
    assert wire.asked("/instance") == []


@pytest.mark.parametrize(
    ("kind", "deploy_key"),
    [("development", "prod:a|x"), ("production", "prod:a|x"), ("development", "dev:a|x")],
)
def test_a_development_key_with_a_production_deployment_raises_a_doubt(
    wire: Wire, kind: str, deploy_key: str
) -> None:
    """A single such row is enough. Other pairs of a key and a deployment raise no doubt."""
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
def test_a_clerk_without_an_instance_route_is_no_error(wire: Wire, extra: int) -> None:
    """The comparison works without the instance, and a doubt calls it unknown."""
    sign_up(wire, 30, rows=True)
    wire.rows += ghosts(extra)
    wire.answer = lambda request: httpx.Response(404) if request.what == "/instance" else None
    verified = run(verify(wire.settings))
    assert verified.extra == extra
    assert (verified.doubt is None) == (extra == 1)
    assert verified.doubt is None or "CLERK_SECRET_KEY (unknown)" in verified.doubt


def test_an_absent_user_is_compared_as_a_deletion_by_clerk(wire: Wire) -> None:
    """The row is compared with a deletion that a webhook announces. With a prune's deletion, the rules would
    call a newer row stale."""
    wire.rows = ghosts(1)
    run(verify(wire.settings))
    (change,) = wire.asked("compareUsers")[-1].args["changes"]
    assert (change["type"], change["source"], change["clerkId"]) == ("delete", "webhook", "user_ghost0")
