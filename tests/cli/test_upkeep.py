"""The commands status, repair, export and forget: what they say, where, and with which exit status."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterator
from typing import Any

import pytest

from clerk_convex.cli import forget, main, repair
from clerk_convex.errors import DeploymentUnavailable
from clerk_convex.local.clerk import Faults
from clerk_convex.settings import Settings
from clerk_convex.upkeep import SyncStatus, read_status
from tests.support import stand_in
from tests.support.backfill_set import BackfillSet, functions_of, hasty, shared_clerk
from tests.support.functions import Functions, delete, upsert
from tests.support.stand_in import DEPLOY_KEY, StandIn


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Functions]:
    with functions_of(tmp_path_factory.mktemp("project")) as functions:
        yield functions


@pytest.fixture
def local(project: Functions, monkeypatch: pytest.MonkeyPatch) -> BackfillSet:
    local = BackfillSet(shared_clerk(), project)
    for name, value in local.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("clerk_convex.backfill.comparison.AGAIN", 0.1)
    hasty(monkeypatch)
    return local


@pytest.fixture
def convex_only(local: BackfillSet, monkeypatch: pytest.MonkeyPatch) -> BackfillSet:
    """With the settings of Convex alone."""
    monkeypatch.delenv("CLERK_SECRET_KEY")
    monkeypatch.delenv("CLERK_API_URL")
    return local


class Ran:
    """Runs commands, and holds what the last one wrote."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.out = self.err = ""

    def __call__(self, *arguments: str) -> int:
        status = main(list(arguments))
        self.out, self.err = self._capsys.readouterr()
        return status

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def ran(capsys: pytest.CaptureFixture[str]) -> Ran:
    return Ran(capsys)


def refuse(functions: Functions, clerk_id: str, **more: Any) -> None:
    refusal = {"clerkId": clerk_id, "source": "webhook", "reason": "Convex refused it.", "count": 1}
    refusal |= {"observedAt": 1000.0, **more}
    functions.mutation("users:recordRefusals", {"refusals": [refusal]})


# Status


def test_the_status_needs_convex_alone(convex_only: BackfillSet, ran: Ran) -> None:
    assert ran("status") == 0
    assert ran.out.splitlines() == [
        "Users     0",
        "Admins    no active one",
        "Webhook   none has ever changed a row. Is the endpoint set up in Clerk?",
        "Follow    nothing follows Clerk",
        "Backfill  none has run",
        "Nightly   no nightly run has compared both sides",
        "Refused   nothing",
    ]
    assert ran.err == ""
    assert ran("status", "--json") == 0
    assert (ran.json["ok"], ran.json["needs"], ran.json["users"]["total"]) == (True, [], 0)


def test_the_status_after_a_night(local: BackfillSet, ran: Ran) -> None:
    """The nightly run leaves its numbers. A refusal is named, and is 1."""
    local.sign_up(2)
    local.clerk.create_user(public_metadata={"role": "admin"})
    assert ran("backfill", "--nightly") == 0
    local.functions.sync([upsert("user_1", status="banned"), delete("user_1")])
    assert ran("status") == 0
    lines = ran.out.splitlines()
    assert lines[:2] == ["Users     3 (3 active)", "Admins    an active one exists"]
    assert lines[2].startswith("Webhook   the last one that changed a row came ")
    assert lines[4].startswith("Backfill  finished ")
    assert lines[4].endswith(" ago: 3 created")
    assert lines[5].startswith("Nightly   equal ")
    assert lines[5].endswith(": 3 users in Clerk, 3 rows in Convex")

    refuse(local.functions, "user_2", eventId="msg_1")
    refuse(local.functions, "user_3", count=2)
    assert ran("status") == 1
    assert "Refused   changes of 2 users\n" in ran.out
    assert "seconds ago (webhook, event msg_1): Convex refused it.\n" in ran.out
    assert "  user_3  2 times, " in ran.out
    assert ran.out.endswith("Next: remove the causes of the refusals, then clerk-convex repair --refused\n")
    assert ran("status", "--json") == 1
    assert ran.json["refusals"]["count"] == 2
    assert isinstance(ran.json["lastVerification"]["rows"], int)


FOUND: dict[str, Any] = {
    "now": 10_000_000.0,
    "users": {
        "total": 2.0,
        "active": 2.0,
        "banned": 0.0,
        "deprovisioned": 0.0,
        "locked": 0.0,
        "rebuilding": True,
    },
    "hasActiveAdmin": False,
    "lastWebhookAt": None,
    "lastFollow": {"at": 9_970_000.0, "every": 60_000.0},
    "lastBackfill": {
        "startedAt": 9_000_000.0,
        "heartbeatAt": 9_950_000.0,
        "finishedAt": None,
        "counts": {"created": 2.0, "failed": 0.0},
    },
    "lastFinishedBackfillAt": 0.0,
    "lastVerification": {
        "users": 3.0,
        "rows": 2.0,
        "missing": 1.0,
        "differing": 0.0,
        "extra": 0.0,
        "duplicate": 0.0,
        "unreadable": 0.0,
        "unlinked": 0.0,
        "at": 10_000_000.0 - 86_400_000.0 * 3,
    },
    "refusals": {"count": 1000.0, "isMore": True, "latest": []},
}


def test_what_waits_for_a_person() -> None:
    status = SyncStatus(FOUND)
    text = str(status)
    assert "Users     2 (2 active); still counting\n" in text
    assert (
        "Backfill  running, started 17 minutes ago: 2 created; the last whole one finished 3 hours ago"
        in text
    )
    assert "Follow    the last pass ended 30 seconds ago, every 60 seconds\n" in text
    assert "Nightly   not equal, 1 missing 3 days ago: 3 users in Clerk, 2 rows in Convex" in text
    assert "changes of over 1,000 users" in text
    assert status.to_json()["needs"] == [
        "remove the causes of the refusals, then clerk-convex repair --refused",
        "clerk-convex backfill --verify    (the last nightly run found differences)",
    ]
    stopped = FOUND["lastBackfill"] | {"heartbeatAt": 0.0, "counts": {}}
    duplicates = FOUND["lastVerification"] | {"duplicate": 1.0}
    one = FOUND["refusals"] | {"count": 1.0, "isMore": False}
    status = SyncStatus(
        FOUND
        | {"lastBackfill": stopped, "lastVerification": duplicates, "refusals": one}
        | {"lastFinishedBackfillAt": None}
    )
    assert "stopped before its end, started 17 minutes ago: no users yet\n" in str(status)
    assert "changes of 1 user\n" in str(status)
    assert [task.partition("    ")[0] for task in status.to_json()["needs"]][1:] == [
        "clerk-convex backfill",
        "clerk-convex repair --duplicates",
    ]


def test_trouble_at_convex(convex: StandIn, monkeypatch: pytest.MonkeyPatch, ran: Ran) -> None:
    """What passes is waited out; what does not is a line, and 1. A rejected key is 2."""
    monkeypatch.setenv("CONVEX_URL", convex.url)
    monkeypatch.setenv("CONVEX_DEPLOY_KEY", DEPLOY_KEY)
    convex.behave(stand_in.status(503), then=stand_in.value(FOUND))
    assert ran("status") == 1
    assert ran.out.startswith("Users     2")
    convex.behave(then=stand_in.status(401))
    assert ran("status") == 2
    assert ran.err.startswith("Convex answered 401")
    assert ran.err.count("\n") == 1


@pytest.mark.anyio
async def test_the_patience_ends(convex: StandIn) -> None:
    convex.behave(then=stand_in.status(503))
    settings = Settings.from_env({"CONVEX_URL": convex.url, "CONVEX_DEPLOY_KEY": DEPLOY_KEY})
    with pytest.raises(DeploymentUnavailable):
        await read_status(settings, patience=0.0)


@pytest.mark.parametrize("command", ["status", "repair user_1", "export user_1", "forget user_1"])
def test_settings_that_are_missing_are_2(command: str, monkeypatch: pytest.MonkeyPatch, ran: Ran) -> None:
    for name in ("CONVEX_URL", "CONVEX_DEPLOY_KEY", "CLERK_SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)
    assert ran(*command.split()) == 2
    assert ran.err.startswith("Not set in the environment: ")


# Repair


def test_repair_writes_what_clerk_has_and_ends_the_refusal(local: BackfillSet, ran: Ran) -> None:
    first, second = local.sign_up(2)
    refuse(local.functions, first)
    refuse(local.functions, second)
    assert ran("repair", first) == 0
    assert ran.out == f"{first}  created\n"
    assert ran("repair", "--refused", "--dry-run", "--json") == 0
    assert ran.json == {
        "ok": True,
        "dryRun": True,
        "users": [{"clerkId": second, "outcome": "created"}],
    }
    assert ran("repair", "--refused") == 0
    assert ran("status") == 0
    assert local.differences() == []
    assert ran("repair", "--refused") == 0
    assert ran.out == "No user has a refused change.\n"
    assert [row.get("source") for row in local.table("clerkAudit")] == ["manual", "manual"]


def test_a_user_that_fails_is_1(local: BackfillSet, ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    (first,) = local.sign_up(1)
    monkeypatch.setenv("CLERK_CONVEX_FIELDS", "tests.cli.test_upkeep:no_column")
    assert ran("repair", first) == 1
    assert ran.out.startswith(f"{first}  failed: Convex refused")
    assert ran("status") == 1
    assert f"  {first}  once, " in ran.out


def no_column(user: object) -> dict[str, int]:
    return {"noSuchColumn": 1}


@pytest.mark.parametrize(
    "arguments", [[], ["--refused", "--duplicates"], ["user_1", "--refused"], ["../x"], ["user_1,user_2"]]
)
def test_usage_of_repair(arguments: list[str], ran: Ran, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        ran("repair", *arguments)
    assert ended.value.code == 2
    assert "error: " in capsys.readouterr().err


# Export and forget


def test_export_prints_json(convex_only: BackfillSet, ran: Ran) -> None:
    functions = convex_only.functions
    functions.sync([upsert("user_ada", firstName="Ada", email="ada@example.com", event_id="msg_1")])
    for more in ([], ["--json"]):
        assert ran("export", "user_ada", *more) == 0
        assert list(ran.json) == [
            *("clerkId", "users", "clerkVersions", "clerkRefusals", "clerkBackfills", "clerkAudit"),
        ]
        assert ran.json["users"][0]["email"] == "ada@example.com"
        assert ran.json["clerkAudit"][0]["eventId"] == "msg_1"
    assert ran("export", "user_nobody") == 0
    assert (ran.json["users"], ran.json["clerkVersions"]) == ([], None)
    assert ran.err.startswith("Convex stores nothing of this person.")


def test_forget_needs_a_yes_and_a_user_whom_clerk_does_not_have(local: BackfillSet, ran: Ran) -> None:
    (ada,) = local.sign_up(1)
    local.run()
    local.functions.sync([upsert(ada, updated_at=9e12, role="x")])
    before = local.dump()
    assert ran("forget", ada, "--yes") == 1
    assert (ran.out, ran.err.startswith("Clerk still has this user, so nothing was erased.")) == ("", True)
    local.clerk.delete_user(ada)
    assert ran("forget", ada) == 0
    assert ran.out.startswith("1 row, 0 refusals, the mention in 1 backfill: would be erased.\n")
    assert "What stays: the tombstone" in ran.out
    assert ran.out.endswith("Nothing was written. Next: the same command with --yes\n")
    assert local.dump() == before

    assert ran("forget", ada, "--yes", "--json") == 0
    assert ran.json == {
        "clerkId": ada,
        "dryRun": False,
        "rows": 1,
        "refusals": 0,
        "backfills": 1,
        "entries": 2,
        "hasTombstone": True,
    }
    assert local.functions.rows() == {}
    assert ada not in str(local.table("clerkAudit"))
    assert ada in str(local.table("clerkVersions"))
    assert ran("forget", ada, "--yes") == 0
    assert ran.out.startswith("0 rows, 0 refusals, the mention in 0 backfills: erased.\n0 entries of")


def test_forget_of_nobody_leaves_nothing(local: BackfillSet, ran: Ran) -> None:
    before = local.dump()
    assert ran("forget", "user_nobody", "--yes") == 0
    assert "tombstone" not in ran.out
    assert local.dump() == before


def test_forget_a_user_whom_clerk_still_has(convex_only: BackfillSet, ran: Ran) -> None:
    """It asks nothing of Clerk, and the row stays erased."""
    convex_only.functions.sync([upsert("user_ada")])
    convex_only.clerk.faults = Faults(status=500)
    assert ran("forget", "user_ada", "--still-at-clerk", "--yes") == 0
    assert convex_only.functions.sync([upsert("user_ada", observed_at=9e15)]) == ["tombstoned"]


def test_what_a_person_should_know_after_ctrl_c() -> None:
    told = {
        command.when_interrupted(Namespace(dry_run=not writes, yes=writes))
        for command in (repair.COMMAND, forget.COMMAND)
        for writes in (False, True)
    }
    assert told == {
        "Nothing was written.",
        "What was written stays; the same command does the rest.",
        "The same command does the rest.",
    }
