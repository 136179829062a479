"""clerk_convex/convex/refusals.py: the ledger of refused changes, recorded in the background."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from clerk_convex.convex import refusals
from clerk_convex.convex.client import Deployment
from clerk_convex.convex.refusals import Ledger, Refusal, refusal_of
from clerk_convex.errors import ChangeRefused, UserError
from clerk_convex.net.backoff import Backoff
from tests.support import stand_in
from tests.support.stand_in import DEPLOY_KEY, StandIn

pytestmark = pytest.mark.anyio

DONE = stand_in.value(None)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "_BACKOFF", Backoff(first=0.0, longest=0.0))


def ledger_for(convex: StandIn) -> Ledger:
    return Ledger(Deployment(convex.url, DEPLOY_KEY), "users", gather=0.01)


def refusal(number: int = 1, **more: Any) -> Refusal:
    return Refusal(f"user_{number}", "webhook", "why", **{"observed_at": 5.0, **more})


def recorded(convex: StandIn) -> list[list[dict[str, Any]]]:
    return [call.body["args"]["refusals"] for call in convex.calls if call.path == "users:recordRefusals"]


async def ended(ledger: Ledger) -> None:
    """Wait until nothing more is sent."""
    assert ledger._sending is not None
    async with asyncio.timeout(60):
        await ledger._sending


def test_the_refusal_of_an_error() -> None:
    """It has the text of the error, which quotes nobody. An error that names no user is no refusal."""
    error = UserError("No time.")
    assert refusal_of(error, "webhook") is None
    error.clerk_id, error.observed_at = "user_1", 7.0
    assert refusal_of(error, "webhook", "msg_1") == Refusal("user_1", "webhook", "No time.", 7.0, "msg_1")
    refused = ChangeRefused("No.")
    refused.clerk_id = "user_2"
    assert refusal_of(refused, "backfill") == Refusal("user_2", "backfill", "No.", 0.0)


async def test_refusals_leave_together_one_for_each_user(convex: StandIn) -> None:
    convex.behave(then=DONE)
    ledger = ledger_for(convex)
    ledger.add(None)
    ledger.add(refusal(observed_at=9.0, event_id="msg_1"))
    ledger.add(refusal(2))
    ledger.add(refusal(observed_at=3.0))
    await ended(ledger)
    first = {"clerkId": "user_1", "source": "webhook", "reason": "why", "observedAt": 9.0, "count": 2.0}
    assert recorded(convex) == [[first, first | {"clerkId": "user_2", "observedAt": 5.0, "count": 1.0}]]
    ledger.add(refusal(event_id="msg_2"))
    await ended(ledger)
    assert recorded(convex)[1][0]["eventId"] == "msg_2"


async def test_it_is_bounded(convex: StandIn, caplog: pytest.LogCaptureFixture) -> None:
    """At most 1,000 users wait, and 500 leave in a call. The log names nobody."""
    convex.behave(then=DONE)
    ledger = ledger_for(convex)
    for number in range(1200):
        ledger.add(refusal(number))
    ledger.add(refusal(1))  # one of those that wait
    await ended(ledger)
    assert [len(part) for part in recorded(convex)] == [500, 500]
    (record,) = caplog.records
    assert "more than 1,000 users wait" in record.getMessage()
    assert "user_" not in record.getMessage()


async def test_trouble_that_passes_is_waited_out(convex: StandIn) -> None:
    """What comes meanwhile is recorded with it, and nothing is counted twice."""
    convex.behave(stand_in.status(503), stand_in.status(503), then=DONE)
    ledger = ledger_for(convex)
    ledger.add(refusal())
    await asyncio.to_thread(convex.wait_for_calls, 1)
    ledger.add(refusal())
    ledger.add(refusal(2))
    await ended(ledger)
    last = recorded(convex)[-1]
    assert [(it["clerkId"], it["count"]) for it in last] == [("user_1", 2.0), ("user_2", 1.0)]
    assert len(recorded(convex)) == 3


async def test_trouble_that_lasts_ends_in_a_line_of_the_log(
    convex: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    convex.behave(then=stand_in.status(503))
    ledger = ledger_for(convex)
    ledger.add(refusal())
    await ended(ledger)
    assert len(recorded(convex)) == 5
    (record,) = caplog.records
    told = "Refused changes are not recorded in Convex: Convex answered 503 (InternalServerError)."
    assert (record.levelno, record.getMessage()) == (
        logging.WARNING,
        f"{told} It may get better by itself.",
    )


async def test_functions_without_a_ledger(convex: StandIn, caplog: pytest.LogCaptureFixture) -> None:
    """Older functions do not know it: that is said once a minute, and the rest of the service works."""
    convex.behave(then=stand_in.failure("Could not find public function for 'users:recordRefusals'."))
    ledger = ledger_for(convex)
    for number in range(600):
        ledger.add(refusal(number))
    await ended(ledger)
    assert [len(part) for part in recorded(convex)] == [500, 100]
    (record,) = caplog.records
    assert "there is no such function" in record.getMessage()


async def told(ledger: Ledger) -> int | None:
    """What the ledger tells once its question is answered."""
    assert ledger.refused is None or ledger._asking is not None
    if ledger._asking is not None:
        await ledger._asking
    return ledger.refused


async def test_the_number_is_asked_once_a_minute_and_after_each_record(convex: StandIn) -> None:
    convex.behave(then=stand_in.value({"refusals": {"count": 3.0}}))
    ledger = ledger_for(convex)
    assert [ledger.refused, await told(ledger)] == [None, 3]
    assert [await told(ledger) for _ in range(3)] == [3, 3, 3]
    assert len(convex.calls) == 1
    ledger.add(refusal())
    await ended(ledger)
    convex.behave(then=stand_in.value({"refusals": {"count": 4.0}}))
    assert ledger.refused == 3
    assert await told(ledger) == 4


@pytest.mark.parametrize("answer", [stand_in.status(503), stand_in.value({}), stand_in.value(None)])
async def test_the_number_is_unknown_without_an_answer(convex: StandIn, answer: Any) -> None:
    convex.behave(then=answer)
    assert await told(ledger_for(convex)) is None
