from __future__ import annotations

import io
import re
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from clerk_convex.entities.users import read_user
from clerk_convex.errors import LocalError
from clerk_convex.local.clerk import Webhooks
from clerk_convex.local.clerk.instance import ClerkInstance
from clerk_convex.local.clerk.svix import Delivery, Stats
from clerk_convex.local.demo import scenario
from clerk_convex.local.demo.scenario import begin, compare, once, sign_up
from clerk_convex.local.stack import LocalStack
from tests.support.functions import ROOT, Functions


@pytest.fixture
def stack() -> Iterator[LocalStack]:
    with LocalStack(project=ROOT, connected=False) as stack:
        yield stack


def test_once_ends_equal(stack: LocalStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scenario has every kind of change and trouble, and ends with Convex equal to Clerk."""
    monkeypatch.setattr(scenario, "PAGE", 8)  # rows are read page by page
    out = io.StringIO()
    assert once(stack, 30, out) == 0
    backfill, clerk, webhooks, convex = out.getvalue().splitlines()
    assert backfill == "Backfill  15 users who were there before the webhook"
    kinds = (
        "new names, 12 new addresses, 12 new roles, 12 bans, 12 locks, 12 deprovisions, 12 sign-ins, "
        "3 deletions"
    )
    assert clerk == f"Clerk     27 users: 15 sign-ups, 12 {kinds}"
    assert re.fullmatch(
        r"Webhooks  (\d+) messages, [1-9]\d* of them doubled, in \d+ attempts; 0 undelivered", webhooks
    )
    assert convex == "Convex    27 rows: 27 equal, 0 differing, 0 missing, 0 too many"
    trouble = stack.clerk.webhooks.delivery
    assert min(trouble.late, trouble.doubled, trouble.shuffled) > 0
    functions = Functions(stack.convex)
    with functions.http:
        rows = functions.rows()
    assert rows.keys() == {user["id"] for user in stack.clerk.users()}
    assert {row["status"] for row in rows.values()} == {"active", "banned", "deprovisioned", "locked"}


def test_sign_ups_grow_until_now() -> None:
    """A new set looks as if it had grown: the last month has more sign-ups than any before."""
    clerk = ClerkInstance()
    now = 1_800_000_000_000
    ids = sign_up(clerk, 200, now=now)
    users = clerk.users()
    assert [user["id"] for user in users] == ids  # the last one newest
    month = 30 * 86_400_000
    joined = [(now - user["created_at"]) // month for user in users]
    assert 60 < joined.count(0) > joined.count(1) > joined.count(3) > 0
    for user in users:
        assert user["created_at"] <= min(user["updated_at"], user["last_sign_in_at"] or now)
        assert max(user["updated_at"], user["last_sign_in_at"] or 0) <= now


def test_once_is_the_same_each_time() -> None:
    """The same users change in the same way in every run; only Clerk's clock differs."""

    def played() -> list[dict[str, Any]]:
        clerk = ClerkInstance()
        scenario._play(clerk, [], 40)
        return [
            {name: value for name, value in read_user(user).columns.items() if name != "lastSignInAt"}
            | {"id": user["id"], "signed in": user["last_sign_in_at"] is not None}
            for user in clerk.users()
        ]

    first = played()
    assert first == played()
    assert len(first) == 36


def test_once_names_each_wrong_row(stack: LocalStack) -> None:
    """A missing, differing or extra row is named with its columns and no value, and the status is 1."""
    ids = sign_up(ClerkInstance(), 20)  # the same ids as in every run
    clerk = ClerkInstance()
    scenario._play(clerk, [], 20)
    gone, changed = [user["id"] for user in clerk.users()][:2]
    functions = Functions(stack.convex)
    with functions.http:
        assert functions.mutation("users:deleteUser", {"clerkId": gone}) == "deleted"
        for user_id in (changed, "user_nobody"):
            columns = {"createdAt": 1, "status": "active", "phone": "secret", "externalId": "secret"}
            data = {"updatedAt": 9e15, "observedAt": 0, **columns}
            assert functions.mutation("users:syncUser", {"clerkId": user_id, "userData": data}) == "created"
    assert {gone, changed} <= set(ids)
    out = io.StringIO()
    assert once(stack, 20, out) == 1
    convex, missing, differing, extra = out.getvalue().splitlines()[3:]
    assert convex == "Convex    18 rows: 16 equal, 1 differing, 1 missing, 1 too many"
    assert missing == f"missing: {gone}"
    assert re.fullmatch(rf"differing: {changed} in [A-Za-z, ]*phone[A-Za-z, ]*", differing)
    assert extra == "too many: user_nobody"
    assert "secret" not in out.getvalue()


def test_once_notices_lost_messages(stack: LocalStack) -> None:
    """Messages that are never sent are counted, and the status is 1."""
    stack.clerk.webhooks.delivery = Delivery(lost=0.5)
    out = io.StringIO()
    assert once(stack, 20, out) == 1
    assert re.search(r"; [1-9]\d* undelivered\n", out.getvalue())


def test_once_notices_a_wrong_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """If every webhook is refused, it stops after a while and names some of the missing users."""

    class Mistaken(LocalStack):
        def environment(self) -> Mapping[str, str]:
            return {
                **super().environment(),
                "CLERK_WEBHOOK_SIGNING_SECRET": "whsec_bWlzdGFrZW4gZm9yIGFub3RoZXIgb25l",
            }

    monkeypatch.setattr(scenario, "PATIENCE", 0.2)
    with Mistaken(project=ROOT) as stack:
        out = io.StringIO()
        assert once(stack, 20, out) == 1
    lines = out.getvalue().splitlines()
    # Only the backfill has written users: ten, and one of them was deleted since.
    assert re.fullmatch(r"Convex    10 rows: \d equal, \d differing, 9 missing, 1 too many", lines[3])
    assert len(lines) == 4 + scenario.SHOWN + 1
    assert re.fullmatch(r"and \d+ more", lines[-1])


def test_once_without_users(stack: LocalStack) -> None:
    """Zero users are compared too."""
    out = io.StringIO()
    assert once(stack, 0, out) == 0
    assert "Convex    0 rows: 0 equal" in out.getvalue()


def test_deliveries_are_waited_for_while_any_arrives(
    stack: LocalStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow delivery is not a failed one."""
    monkeypatch.setattr(scenario, "PATIENCE", 0.05)
    answers = iter([(False, 1), (False, 2), (True, 3)])
    delivered = 0

    def drain(timeout: float) -> bool:
        nonlocal delivered
        done, delivered = next(answers)
        return done

    monkeypatch.setattr(stack.clerk.webhooks, "drain", drain)
    monkeypatch.setattr(Webhooks, "stats", property(lambda webhooks: Stats(delivered=delivered)))
    scenario._wait_for_deliveries(stack)
    assert delivered == 3


def test_compare_counts_second_rows_and_own_columns() -> None:
    """A second row of one user is extra. The columns of CLERK_CONVEX_FIELDS are compared too."""
    clerk = ClerkInstance()
    user = clerk.create_user(first_name="Ada")
    row = {"clerkId": user["id"], **read_user(user).columns}
    assert compare([user], [row, {"name": "Bob"}, {"clerkId": None}]).problems() == []  # two of a loose table
    assert compare([user], [row, row]).problems() == [f"too many: {user['id']}"]
    compared = compare([user], [row], lambda user: {"plan": "free"})
    assert compared.problems() == [f"differing: {user['id']} in plan"]
    assert compared.equal == 0


def test_work_in_a_thread_leaves_the_main_thread_free() -> None:
    """Users are created in another thread, so that Ctrl-C does not wait for a lock. An error there is raised
    here."""
    threads: list[threading.Thread] = []
    scenario._in_thread(lambda: threads.append(threading.current_thread()))
    assert threads[0] is not threading.current_thread()
    assert threads[0].daemon
    with pytest.raises(ZeroDivisionError):
        scenario._in_thread(lambda: 1 / 0)


def test_a_failed_backfill_ends_the_scenario(stack: LocalStack) -> None:
    """If a team's function fails for a user, the error comes first, and not as a difference at the end."""

    def fails(user: Mapping[str, Any]) -> Mapping[str, str]:
        raise KeyError("plan")

    stack.settings = stack.settings.model_copy(update={"clerk_convex_fields": fails})
    with pytest.raises(LocalError, match="CLERK_CONVEX_FIELDS failed with KeyError"):
        begin(stack, 1, io.StringIO())
