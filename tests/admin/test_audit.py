"""clerk_convex/admin/audit.py: the end of an action is sent to Convex until Convex has it."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from convex.values import ConvexValue

from clerk_convex.admin.actions import find_action
from clerk_convex.admin.answers import Problem
from clerk_convex.admin.audit import AuditRow
from clerk_convex.admin.models import Question
from clerk_convex.admin.requests import Call
from clerk_convex.convex.client import Deployment, Kind
from clerk_convex.errors import DeploymentUnavailable
from clerk_convex.service import Timeouts
from tests.support.stand_in import DEPLOY_KEY
from tests.support.virtual_time import now, run


class Scripted(Deployment):
    """A Convex whose first answers to `finishAction` fail. It records the calls with their times."""

    def __init__(self, troubles: int) -> None:
        super().__init__("http://convex.test", DEPLOY_KEY)
        self.troubles = troubles
        self.told: list[tuple[str, Any]] = []
        self.times: list[float] = []

    async def send(self, kind: Kind, name: str, args: bytes) -> ConvexValue:
        if name == "people:beginAction":
            return {"allowed": True, "id": "attempt_1"}
        self.told.append((f"{kind} {name}", json.loads(args)))
        self.times.append(now())
        if len(self.told) <= self.troubles:
            raise DeploymentUnavailable("Convex answered 503.")
        return None


def finish(convex: Scripted, problem: Problem | None = None) -> None:
    async def main() -> None:
        row = AuditRow(convex, "people", "req_1", timeout=Timeouts().audit)
        await row.begin(Call(*find_action("GET", ""), Question()), "user_admin")
        await row.finish(problem)

    run(main())


@pytest.mark.parametrize("troubles", [0, 1, 5])
def test_the_end_is_recorded_in_spite_of_trouble(troubles: int, caplog: pytest.LogCaptureFixture) -> None:
    """It is sent again after pauses that double from a tenth of a second, or half of that, until Convex has
    it."""
    convex = Scripted(troubles)
    finish(convex)
    end = ("mutation people:finishAction", {"id": "attempt_1", "outcome": "done"})
    assert convex.told == [end] * (troubles + 1)
    pauses = [0.1, 0.2, 0.4, 0.8]
    waited = [later - earlier for earlier, later in zip(convex.times, convex.times[1:], strict=False)]
    for pause, longest in zip(waited, pauses, strict=False):
        assert longest / 2 <= pause <= longest + 0.001
    assert all(pause >= 0.8 for pause in waited[4:])
    assert caplog.records == []


def test_why_it_failed_is_recorded() -> None:
    convex = Scripted(0)
    finish(convex, Problem(404, "resource_not_found", "There is no such user."))
    assert convex.told[0][1] == {
        "id": "attempt_1",
        "outcome": "failed",
        "status": 404,
        "code": "resource_not_found",
    }


def test_an_end_that_cannot_be_recorded_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """After the timeout the log has the request id and the end."""
    caplog.set_level(logging.WARNING)
    convex = Scripted(1_000_000)
    finish(convex)
    (record,) = caplog.records
    assert "how request req_1 ended (TimeoutError); it was done" in record.getMessage()
    assert len(convex.told) > 5
    assert convex.times[-1] - convex.times[0] > 7
