"""clerk_convex/backfill/run.py and reading.py: at the end Convex equals Clerk, whatever changes during the
run."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from clerk_convex.backfill import backfill, verify
from clerk_convex.backfill.reading import plan, together
from clerk_convex.backfill.run import read_page
from clerk_convex.clerk.api import Clerk, Page
from clerk_convex.errors import (
    ClerkError,
    ClerkMisconfigured,
    ClerkUnavailable,
    DeploymentMisconfigured,
    DeploymentUnavailable,
    SettingsError,
)
from clerk_convex.local.clerk import Faults, LocalClerk
from clerk_convex.local.clerk.objects import new_event, to_json
from clerk_convex.local.demo.people import people
from clerk_convex.local.stack import LocalStack
from clerk_convex.webhook.events import Ignored
from tests.support.backfill_set import BackfillSet, Then, small_pages
from tests.support.clerk_events import read_event
from tests.support.functions import Project, delete, upsert
from tests.support.stand_in import DEPLOY_KEY, StandIn, failure

DAY = 86_400_000


# ---------------------------------------------------------------- all of them


@pytest.mark.parametrize("count", [0, 1, 499, 500, 501, 5000])
def test_all_users_are_created_once(local: BackfillSet, count: int) -> None:
    """Whatever the number of users and of pages that they fill."""
    local.sign_up(count)
    report = local.run()
    assert report.counts == ({"created": count} if count else {})
    assert report.users == count
    assert report.ok
    assert local.differences() == []


def test_all_kinds_of_users_are_written(local: BackfillSet) -> None:
    """No user is lost for having only a phone number, a ban or unusual metadata."""
    for person in people(120):
        local.clerk.create_user(**person)
    assert local.run().ok
    assert local.differences() == []


def test_a_second_run_writes_nothing(local: BackfillSet) -> None:
    """The report says so. An unchanged user costs no write of a row, a stamp or an audit entry."""
    local.sign_up(30)
    local.run()
    before = local.dump()
    report = local.run()
    assert report.counts == {"unchanged": 30}
    assert "30 unchanged" in str(report)
    after = local.dump()
    assert {**before, "clerkBackfills": []} == {**after, "clerkBackfills": []}


def test_users_created_by_a_run_are_one_audit_entry(local: BackfillSet) -> None:
    """It has their number. Each user whom the run updates has an entry of its own."""
    first, *_ = local.sign_up(30)
    local.run()
    local.clerk.update_user(first, first_name="Ada")
    local.run()
    rows = local.table("clerkAudit")
    assert [(row.get("outcome"), row.get("count"), row.get("clerkId")) for row in rows] == [
        (None, 30, None),  # created
        ("updated", None, first),
    ]


# ---------------------------------------------------------------- several ranges, and one millisecond


@pytest.mark.parametrize("concurrency", [1, 3, 8])
def test_ranges_are_read_concurrently_and_each_user_once(
    local: BackfillSet, monkeypatch: pytest.MonkeyPatch, concurrency: int
) -> None:
    """Users whose sign-ups are spread unevenly over the years are divided by counting."""
    small_pages(monkeypatch, 10)
    dice = random.Random(1)
    for number in range(300):
        created_at = 1_600_000_000_000 + (number if number < 200 else dice.randrange(DAY * 1000))
        local.clerk.create_user(username=f"user{number}", created_at=created_at)
    report = local.run(concurrency=concurrency)
    assert report.counts == {"created": 300}
    (run,) = local.table("clerkBackfills")
    assert len(run["progress"]["ranges"]) > concurrency
    assert all(part["done"] for part in run["progress"]["ranges"])
    assert local.differences() == []


def test_many_users_with_the_same_created_at(local: BackfillSet) -> None:
    """Users imported in one millisecond fill pages that `created_at` alone cannot separate."""
    for number in range(2300):
        local.clerk.create_user(username=f"user{number}", created_at=1_600_000_000_000 + number // 2200)
    assert local.run().counts == {"created": 2300}
    assert local.differences() == []


def test_an_instance_that_becomes_empty_after_the_count(
    local: BackfillSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The users are counted, and deleted before the first page. There is nothing to read, and no error."""
    small_pages(monkeypatch, 2)
    ids = local.sign_up(20)

    async def late(*arguments: Any) -> Any:
        for user_id in ids:
            local.clerk.delete_user(user_id)
        return await plan(*arguments)

    monkeypatch.setattr("clerk_convex.backfill.run.plan", late)
    assert local.run().users == 0


# ---------------------------------------------------------------- while it runs


def test_the_cursors_user_is_deleted_during_the_run(
    local: BackfillSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last user of a page is deleted before the next page is read. Clerk refuses the cursor, and no user
    is missed."""
    small_pages(monkeypatch, 10)
    for number in range(45):
        local.clerk.create_user(username=f"user{number}", created_at=1_600_000_000_000)
    genuine = Clerk.list_users
    deleted: list[str] = []

    async def list_and_delete(self: Clerk, **question: Any) -> Any:
        if (cursor := question.get("starting_after")) and len(deleted) < 3:
            local.clerk.delete_user(cursor)
            deleted.append(cursor)
        return await genuine(self, **question)

    monkeypatch.setattr(Clerk, "list_users", list_and_delete)
    assert local.run().ok
    # They were read before their deletion. Only a webhook would remove their rows.
    assert sorted(local.differences()) == sorted(deleted)
    assert local.clerk.count == 42


@pytest.mark.parametrize("answers", ["nobody", "everybody"])
def test_clerk_accepts_a_cursor_of_a_deleted_user(
    local: BackfillSet, monkeypatch: pytest.MonkeyPatch, answers: str
) -> None:
    """Clerk does not document this case. So an empty page is not taken for the end."""
    small_pages(monkeypatch, 10)
    for number in range(25):
        local.clerk.create_user(username=f"user{number}", created_at=1_600_000_000_000)
    genuine = Clerk.list_users
    deleted: list[str] = []

    async def list_and_delete(self: Clerk, **question: Any) -> Any:
        cursor = question.get("starting_after")
        if cursor and not deleted:
            local.clerk.delete_user(cursor)
            deleted.append(cursor)
        if cursor in deleted:
            if answers == "nobody":
                return Page([], 0.0)
            question["starting_after"] = None
        return await genuine(self, **question)

    monkeypatch.setattr(Clerk, "list_users", list_and_delete)
    assert local.run().ok
    assert local.differences() == deleted


def test_users_change_and_webhooks_arrive_during_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Users are created, updated, banned, signed in and deleted during the run. Their webhooks come twice and
    in random order through the real route. At the end Convex equals Clerk, and verify agrees."""
    small_pages(monkeypatch, 50)
    with LocalStack() as stack:
        clerk = stack.clerk
        clerk.webhooks.delivery = replace(clerk.webhooks.delivery, late=0.2, doubled=0.3, shuffled=0.5)
        ids = [clerk.create_user(username=f"user{number}")["id"] for number in range(400)]
        stopped = threading.Event()
        dice = random.Random(2)

        def live() -> None:
            for _ in range(400):
                if stopped.wait(0.005):
                    break
                user_id = dice.choice(ids)
                match dice.randrange(5):
                    case 0:
                        ids.append(clerk.create_user(first_name="New")["id"])
                    case 1:
                        ids.remove(user_id)
                        clerk.delete_user(user_id)
                    case 2:
                        clerk.ban(user_id)
                    case 3:
                        clerk.sign_in(user_id)
                    case _:
                        clerk.update_user(user_id, first_name=f"Name{dice.random()}")

        living = threading.Thread(target=live)
        living.start()
        try:
            report = asyncio.run(backfill(stack.settings, concurrency=2))
        finally:
            stopped.set()
            living.join()
        assert report.ok, report
        assert clerk.webhooks.drain(30)
        monkeypatch.setattr("clerk_convex.backfill.comparison.AGAIN", 0.2)
        verified = asyncio.run(verify(stack.settings))
        assert verified.equal, verified
        assert verified.users == clerk.count


def test_a_user_deleted_between_reading_and_writing_stays_deleted(local: BackfillSet) -> None:
    """The webhook of the deletion arrives before the page is written. The page does not bring the user
    back."""
    first, second = local.sign_up(2)
    local.functions.sync([delete(first, observed_at=time.time() * 1000)])
    report = local.run()
    assert report.counts == {"created": 1, "tombstoned": 1}
    assert report.ok
    assert list(local.functions.rows()) == [second]


def test_newer_webhooks_win_over_the_page(local: BackfillSet) -> None:
    """A change in Convex that is newer than Clerk's page stays."""
    (user_id,) = local.sign_up(1)
    newer = upsert(user_id, updated_at=time.time() * 1000 + 60_000, firstName="Newer")
    local.functions.sync([newer])
    assert local.run().counts == {"stale": 1}
    assert local.functions.rows()[user_id]["firstName"] == "Newer"


def test_two_concurrent_runs_do_no_harm(local: BackfillSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether or not they share a position, no user is missing, and nothing is written twice."""
    small_pages(monkeypatch, 10)
    local.sign_up(200)

    async def both() -> list[Any]:
        return list(await asyncio.gather(*(backfill(local.settings(), concurrency=2) for _ in range(2))))

    reports = asyncio.run(both())
    assert all(report.ok for report in reports)
    assert local.differences() == []
    assert len(local.table("users")) == 200
    assert local.table("clerkVersions") == []  # the rows have the stamps


# ---------------------------------------------------------------- users who cannot be written


def test_unreadable_users_are_reported_and_the_others_written(
    local: BackfillSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user without times, two without an id, and one whose team columns Convex cannot hold are reported."""
    ids = local.sign_up(10)
    genuine = Clerk.list_users

    async def with_odd_ones(self: Clerk, **question: Any) -> Page:
        page = await genuine(self, **question)
        for user in page.users:
            if user["id"] == ids[3]:
                user["updated_at"] = None
            if user["id"] == ids[5]:
                user["id"] = ""
        if question.get("created_at_after") is None:
            page.users.append("no user at all")
        return page

    def fields(user: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"é": 1} if user["id"] == ids[7] else {}

    monkeypatch.setattr(Clerk, "list_users", with_odd_ones)
    report = local.run(local.settings(clerk_convex_fields=fields))
    assert not report.ok
    assert report.counts == {"created": 7, "failed": 4}
    named = [failure.clerk_id for failure in report.failures]
    assert sorted(named) == sorted([ids[3], ids[7], "(a user without an id)", "(a user without an id)"])
    assert ids[3] in str(report)
    assert set(local.functions.rows()) == set(ids) - {ids[3], ids[5], ids[7]}


def test_refused_users_are_reported_and_the_others_written(
    local: BackfillSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Convex refuses more users of one page than the writer isolates at a time."""
    ids = local.sign_up(150)
    refused = set(ids[::6])

    def fields(user: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"plan": "gold"} if user["id"] in refused else {}

    report = local.run(local.settings(clerk_convex_fields=fields))
    assert report.counts == {"created": 125, "failed": 25}
    assert {failure.clerk_id for failure in report.failures} == refused
    assert "25 not readable or refused" in str(report)


def test_undeclared_columns_stop_the_run_early(local: BackfillSet) -> None:
    """If every user is refused, the cause is common to all, and the report names it."""
    local.sign_up(120)
    report = local.run(local.settings(clerk_convex_fields=lambda user: {"plan": "gold"}))
    assert isinstance(report.error, DeploymentMisconfigured)
    assert "CLERK_CONVEX_FIELDS" in str(report)


# ---------------------------------------------------------------- a team's own columns


def plan_of(user: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"plan": user["public_metadata"].get("plan")}


def test_own_columns_are_the_same_by_every_path(tmp_path: Path) -> None:
    """A webhook, a backfill and syncUser write the same row. A writer that does not know the team's columns
    erases none."""
    project = Project(tmp_path)
    project.replace("clerk/columns.ts", "extraColumns = {}", "extraColumns = { plan: v.string() }")
    project.replace(
        "clerk/columns.ts",
        'import type { GenericValidator } from "convex/values";',
        'import { v, type GenericValidator } from "convex/values";',
    )
    with project.running() as functions, LocalClerk(rate_limit=0) as clerk:
        local = BackfillSet(clerk, functions)
        user = clerk.create_user(first_name="Ada", public_metadata={"plan": "gold"})
        settings = local.settings(clerk_convex_fields=plan_of)

        assert local.run(settings).counts == {"created": 1}
        by_backfill = functions.rows()[user["id"]]
        assert by_backfill["plan"] == "gold"

        assert local.run().counts == {"unchanged": 1}  # a run without the function for plans
        event = new_event("user.updated", user, "ins_1", int(time.time() * 1000))
        change = read_event(to_json(event).encode(), fields=plan_of)
        assert not isinstance(change, Ignored)
        assert functions.sync([change]) == ["unchanged"]
        stamps = {"updatedAt": user["updated_at"], "observedAt": time.time() * 1000}
        columns = {"status": "active", "createdAt": user["created_at"], "firstName": "Ada"}
        data = {"clerkId": user["id"], "userData": {**stamps, **columns}}
        assert functions.mutation("users:syncUser", data) == "unchanged"
        assert {**functions.rows()[user["id"]], "observedAt": 0} == {**by_backfill, "observedAt": 0}


# ---------------------------------------------------------------- dry runs


def test_a_dry_run_writes_nothing(local: BackfillSet) -> None:
    """It reports the outcome for every user. The database, positions included, stays as it is."""
    ids = local.sign_up(30)
    local.run()
    local.clerk.create_user(first_name="New")
    local.clerk.update_user(ids[0], first_name="Changed")
    local.functions.sync([upsert("user_gone")])
    before = local.dump()
    report = local.run(dry_run=True, prune=True)
    assert report.counts == {"created": 1, "updated": 1, "unchanged": 29}
    assert report.pruning is not None
    assert report.pruning.deleted == 1
    assert "Nothing was written" in str(report)
    assert local.dump() == before


# ---------------------------------------------------------------- what is wrong from the start


def test_wrong_settings_fail_before_the_run(local: BackfillSet) -> None:
    """Each raises an error of its own, before anything is read or written."""
    local.sign_up(1)
    wrong: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"clerk_secret_key": None}, SettingsError, "CLERK_SECRET_KEY"),
        (
            {"clerk_secret_key": "sk_test_wrongwrongwrongwrong"},
            ClerkMisconfigured,
            "CLERK_SECRET_KEY was rejected",
        ),
        ({"clerk_api_url": local.functions.convex.url}, ClerkMisconfigured, "CLERK_API_URL"),
        ({"convex_deploy_key": "prod:wrong|wrong"}, DeploymentMisconfigured, "CONVEX_DEPLOY_KEY"),
        ({"convex_url": local.clerk.url}, DeploymentMisconfigured, "Convex answered 404"),
        ({"convex_users_module": "elsewhere"}, DeploymentMisconfigured, "Deploy the functions"),
    ]
    for changes, kind, text in wrong:
        with pytest.raises(kind, match=text):
            local.run(local.settings(**changes))
    assert all(rows == [] for rows in local.dump().values())


def test_an_unreachable_address_is_an_error_after_the_patience(local: BackfillSet) -> None:
    """The network or Convex may come back, so the run waits first."""
    with pytest.raises(ClerkUnavailable, match="cannot be reached"):
        local.run(local.settings(clerk_api_url="http://127.0.0.1:9"), patience=0.3)
    with pytest.raises(DeploymentUnavailable, match="cannot be reached"):
        local.run(local.settings(convex_url="http://127.0.0.1:9"), patience=0.3)


def test_functions_of_another_version_are_an_error(local: BackfillSet) -> None:
    with StandIn() as convex:
        convex.behave(then=failure())
        with pytest.raises(DeploymentMisconfigured, match="refuses even an empty call"):
            local.run(local.settings(convex_url=convex.url, convex_deploy_key=DEPLOY_KEY))


def test_the_environment_is_the_default(local: BackfillSet, monkeypatch: pytest.MonkeyPatch) -> None:
    local.sign_up(2)
    for name, value in local.environment().items():
        monkeypatch.setenv(name, value)
    assert asyncio.run(backfill()).counts == {"created": 2}
    assert asyncio.run(verify()).equal


# ---------------------------------------------------------------- trouble on the way


def test_an_outage_is_waited_out(local: BackfillSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clerk fails and drops connections for a while. The run takes longer, and reads all users."""
    small_pages(monkeypatch, 10)
    local.sign_up(60)

    def fail() -> None:
        local.clerk.faults = Faults(status=503, times=2)

    report = local.run(on_progress=Then(20, fail))
    assert report.ok
    assert local.differences() == []


def test_a_key_revoked_during_the_run_stops_it(local: BackfillSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """The report has the work that was done, and the next run resumes it."""
    small_pages(monkeypatch, 10)
    local.sign_up(100)
    key = local.clerk.secret_key

    def revoke() -> None:
        local.clerk.secret_key = "sk_live_another"

    settings = local.settings()
    report = local.run(settings, concurrency=1, on_progress=Then(30, revoke))
    assert isinstance(report.error, ClerkMisconfigured)
    assert 30 <= report.users < 100
    assert "Stopped before the end" in str(report)

    local.clerk.secret_key = key
    notes = Then(0, None)
    again = local.run(settings, on_progress=notes)
    assert again.resumed
    assert "Resuming" in notes.notes[0]
    assert again.users < 100
    assert again.counts["created"] == 100
    assert local.differences() == []


def test_an_outage_of_convex_stops_the_run_after_the_patience(
    local: BackfillSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_pages(monkeypatch, 10)
    local.sign_up(50)
    with StandIn() as convex:
        # The stand-in does not implement startBackfill, so this is a dry run.
        report = asyncio.run(
            backfill(
                local.settings(convex_url=convex.url, convex_deploy_key=DEPLOY_KEY),
                dry_run=True,
                concurrency=1,
                patience=0.3,
                on_progress=Then(20, convex.stop),
            )
        )
    assert isinstance(report.error, DeploymentUnavailable)
    assert report.users >= 20


def test_a_refusal_without_a_cursor_is_an_error(local: BackfillSet, monkeypatch: pytest.MonkeyPatch) -> None:
    local.sign_up(3)

    async def refuse(self: Clerk, **question: Any) -> Any:
        raise ClerkError("Clerk answered 422")

    monkeypatch.setattr(Clerk, "list_users", refuse)
    report = local.run()
    assert str(report.error) == "Clerk answered 422"


def test_a_refused_cursor_of_an_existing_user_is_an_error(
    local: BackfillSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading the range again would fail again, for ever."""
    small_pages(monkeypatch, 2)
    for number in range(6):
        local.clerk.create_user(username=f"user{number}", created_at=1_600_000_000_000)
    genuine = Clerk.list_users

    async def refuse(self: Clerk, **question: Any) -> Any:
        if question.get("starting_after"):
            raise ClerkError("Clerk answered 422")
        return await genuine(self, **question)

    monkeypatch.setattr(Clerk, "list_users", refuse)
    assert str(local.run().error) == "Clerk answered 422"


def test_together_lets_unexpected_errors_through() -> None:
    """A bug is not taken for an outage."""

    async def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ExceptionGroup, match="unhandled"):
        asyncio.run(together(broken()))


# ---------------------------------------------------------------- any interleaving


@hypothesis_settings(
    max_examples=40,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_any_interleaving_of_pages_and_webhooks_converges(local: BackfillSet, data: st.DataObject) -> None:
    """Pages are read at any time and written at any later time. Webhooks come late, twice and in any order.
    At the end Convex equals Clerk."""
    local.functions.convex.clear()
    clock = 1_700_000_000_000
    users: dict[str, dict[str, Any]] = {}
    on_their_way: list[Any] = []
    template = local.clerk.create_user(first_name="Template")
    local.clerk.delete_user(template["id"])

    def tell(kind: str, user: dict[str, Any]) -> None:
        event = read_event(to_json(new_event(kind, user, "ins_1", clock)).encode())
        on_their_way.extend([event] * data.draw(st.integers(1, 2)))

    for number in range(data.draw(st.integers(3, 10))):
        clock += data.draw(st.integers(1, 3)) * 2000
        step = data.draw(st.sampled_from(["create", "update", "delete", "read", "write", "write"]))
        if step == "create":
            user = {**template, "id": f"user_{number}", "created_at": clock, "updated_at": clock}
            users[user["id"]] = user
            tell("user.created", user)
        elif step == "read":
            page = Page([dict(user) for user in users.values()], clock - 1000.0)
            on_their_way += read_page(page, None)[0]
        elif step == "write" and on_their_way:
            on_their_way = list(data.draw(st.permutations(on_their_way)))
            count = data.draw(st.integers(1, len(on_their_way)))
            local.functions.sync(on_their_way[:count])
            del on_their_way[:count]
        elif users:
            user_id = data.draw(st.sampled_from(sorted(users)))
            if step == "update":
                users[user_id] = {**users[user_id], "first_name": f"Name{number}", "updated_at": clock}
                tell("user.updated", users[user_id])
            elif step == "delete":
                del users[user_id]
                tell("user.deleted", {"id": user_id, "object": "user", "deleted": True})
    if on_their_way:
        local.functions.sync(on_their_way)
    rows = local.functions.rows()
    assert {user_id: row.get("firstName") for user_id, row in rows.items()} == {
        user_id: user["first_name"] for user_id, user in users.items()
    }


def test_lock_ends_after_the_date_of_the_page() -> None:
    """Clerk counts the seconds of a lock from when it made the page."""
    user = {
        "id": "user_1",
        "created_at": 1,
        "updated_at": 2,
        "locked": True,
        "lockout_expires_in_seconds": 60,
    }
    ([change], _) = read_page(Page([user], 1_750_000_000_000.0), None)
    assert change.columns["lockedUntil"] == 1_750_000_060_000.0
