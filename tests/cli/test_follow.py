"""clerk_convex/cli/follow.py: the output of the command and its exit status."""

from __future__ import annotations

import json
import time

import pytest

from clerk_convex.backfill.follow import Follower
from clerk_convex.cli import follow as command
from tests.support.backfill_set import BackfillSet, hasty, shared_clerk
from tests.support.functions import Functions


@pytest.fixture
def local(functions: Functions, monkeypatch: pytest.MonkeyPatch) -> BackfillSet:
    hasty(monkeypatch)
    local = BackfillSet(shared_clerk(), functions)
    for name, value in local.environment().items():
        monkeypatch.setenv(name, value)
    return local


def test_once_makes_one_pass(local: BackfillSet, capsys: pytest.CaptureFixture[str]) -> None:
    local.sign_up(2)
    assert command.main(["--once"]) == 0
    assert capsys.readouterr() == ("all users read: 2 created\n", "")
    assert command.main(["--once", "--json"]) == 0
    out = json.loads(capsys.readouterr().out)
    assert (out["whole"], out["pruned"], out["pruneRefused"]) == (False, None, False)


def test_once_beside_another_follower_is_1(local: BackfillSet, capsys: pytest.CaptureFixture[str]) -> None:
    other = {"holder": "other", "pass": None, "created": 0}
    local.functions.mutation("users:leaseFollow", {**other, "ms": 60_000})
    assert command.main(["--once"]) == 1
    assert "Another follower holds the lease." in capsys.readouterr().err
    assert command.main(["--once", "--quiet"]) == 1
    assert capsys.readouterr() == ("", "")


def test_ctrl_c_releases_the_lease(
    local: BackfillSet, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pass with nothing new prints nothing."""
    local.sign_up(1)
    turn, passes = Follower.turn, []

    async def counted(follower: Follower) -> object:
        passes.append(1)
        if len(passes) == 3:
            raise KeyboardInterrupt
        return await turn(follower)

    monkeypatch.setattr(Follower, "turn", counted)
    assert command.main(["--every", "1"]) == 130
    out, err = capsys.readouterr()
    assert out == "all users read: 1 created\n"
    assert err.startswith(
        "Following Clerk every 1 s. Ctrl-C ends it.\nInterrupted. Another follower can take"
    )
    other = {"holder": "other", "pass": None, "created": 0}
    taken = local.functions.mutation("users:leaseFollow", {**other, "ms": 1})
    assert taken["held"]
    assert local.functions.query("users:status", {})["lastFollow"]["at"] <= time.time() * 1000


@pytest.mark.parametrize("every", ["0", "3601", "soon", "1.5"])
def test_a_wrong_interval_is_2(every: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        command.main(["--every", every])
    assert "a number of seconds from 1 to 3600" in capsys.readouterr().err
