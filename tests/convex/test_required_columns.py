"""Functions whose users table requires columns of the team: requiredExtraColumns in columns.ts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from clerk_convex import __version__
from clerk_convex.convex.client import CallRefused, Deployment
from clerk_convex.convex.writer import Writer
from clerk_convex.entities.changes import Change, Delete, SignIn
from clerk_convex.entities.users import COLUMNS
from clerk_convex.errors import DeploymentMisconfigured
from tests.support import stand_in
from tests.support.backfill_set import BackfillSet, hasty, shared_clerk
from tests.support.functions import Functions, Project, upsert
from tests.support.stand_in import DEPLOY_KEY, Behaviour, StandIn

pytestmark = pytest.mark.anyio

REQUIRING = """
import { v } from "convex/values";
export const extraColumns = { plan: v.string(), seats: v.number() };
export const requiredExtraColumns = { tenant: v.string(), tier: v.union(v.literal("a"), v.literal("b")) };
export const ownColumns = {};
"""
REQUIRED: dict[str, Any] = {"tenant": "acme", "tier": "a"}
HINT = "CLERK_CONVEX_FIELDS must return each of requiredExtraColumns in columns.ts for every user"


def fields_of(user: Mapping[str, Any]) -> dict[str, Any]:
    """Fill the columns, but the required ones only of users who have a first name."""
    return {"plan": "free", **(REQUIRED if user.get("first_name") else {})}


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Functions]:
    project = Project(tmp_path_factory.mktemp("project"))
    project.write("clerk/columns.ts", REQUIRING)
    with project.running() as functions:
        yield functions


async def submit(functions: Functions, *changes: Change) -> Sequence[object]:
    functions.clear()
    writer = Writer(Deployment(functions.convex.url, functions.convex.deploy_key))
    try:
        await writer.check()
        return await asyncio.gather(*map(writer.submit, changes), return_exceptions=True)
    finally:
        await writer.aclose()


async def test_one_bad_change_blocks_no_other(functions: Functions) -> None:
    """One user of five lacks a required column: that change alone is refused, and the others are written."""
    changes = [upsert(f"user_{n}", **({} if n == 3 else REQUIRED)) for n in range(5)]
    results = await submit(functions, *changes)
    refused = results[3]
    assert isinstance(refused, CallRefused)
    assert refused.clerk_id == "user_3"
    assert HINT in str(refused)
    assert [*results[:3], results[4]] == ["created"] * 4
    assert sorted(functions.rows()) == ["user_0", "user_1", "user_2", "user_4"]


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        ({**REQUIRED, "plan": 5.0}, "'plan'"),  # another type
        ({**REQUIRED, "plan": "free", "locale": "fr"}, "'locale'"),  # no such column
        ({"tenant": "acme", "tier": "c", "plan": "free"}, ""),  # none can be left out
        ({"plan": "free"}, ""),
    ],
)
async def test_only_the_refused_column_is_named(
    functions: Functions, columns: dict[str, Any], named: str
) -> None:
    """Not the other columns of the team, which Convex accepts."""
    (refused,) = await submit(functions, upsert(**columns))
    assert isinstance(refused, CallRefused)
    told = str(refused)
    assert (f"CLERK_CONVEX_FIELDS returns {named}: columns.ts" in told) == bool(named)
    assert (HINT in told) != bool(named)


@pytest.mark.parametrize("queries", ["accept", "fail"])
async def test_a_refusal_for_another_reason_names_no_column(convex: StandIn, queries: str) -> None:
    """The function that runs after each change has failed, or Convex cannot be asked any more."""
    about = {"version": __version__, "columns": [*COLUMNS, "tenant"]}
    convex.about = stand_in.value(about)

    async def behaviour(call: stand_in.Call, writer: asyncio.StreamWriter) -> None:
        is_example = any(change["clerkId"] == "example" for change in call.changes)
        answer = stand_in.sync()
        if is_example or (call.changes and call.target == "/api/mutation"):
            answer = stand_in.failure()
        elif call.changes and queries == "fail":
            answer = stand_in.status(503)
        await answer(call, writer)

    convex.behave(then=behaviour)
    writer = Writer(Deployment(convex.url, DEPLOY_KEY))
    for change in (upsert(tenant="acme"), Delete("user_2", 200.0, "webhook")):
        with pytest.raises(CallRefused) as caught:
            await writer.submit(change)
        assert "CLERK_CONVEX_FIELDS" not in str(caught.value)
    await writer.aclose()


async def test_changes_without_columns_are_written(functions: Functions) -> None:
    assert await submit(
        functions,
        upsert("user_1", **REQUIRED),
        SignIn("user_1", 1.7e12, "webhook"),
        Delete("user_2", 200.0, "webhook"),
    ) == ["created", "updated", "deleted"]


@pytest.mark.parametrize(
    "about",
    [
        stand_in.value({"version": "0.0.9", "columns": [*COLUMNS]}),
        stand_in.value({"version": __version__, "columns": ["email"]}),
        stand_in.value({}),
        stand_in.failure(),
        stand_in.failure("Could not find function users:about"),
    ],
)
async def test_functions_of_another_version_are_still_told_apart(convex: StandIn, about: Behaviour) -> None:
    """By the version and the columns that they tell."""
    convex.about = about
    convex.behave(then=stand_in.sync(refuse=lambda change: True))
    writer = Writer(Deployment(convex.url, DEPLOY_KEY))
    with pytest.raises(DeploymentMisconfigured, match="of another version"):
        await writer.check()
    await writer.aclose()


def test_a_backfill_reads_all_that_can_be_written(
    functions: Functions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And names the others, one by one."""
    hasty(monkeypatch)
    local = BackfillSet(shared_clerk(), functions)
    local.sign_up(3, first_name="Ada")
    (nameless,) = local.sign_up(1, username="nobody")
    settings = local.settings(clerk_convex_fields=fields_of)
    report = local.run(settings)
    assert report.counts == {"created": 3, "failed": 1}
    ((clerk_id, reason),) = ((it.clerk_id, it.reason) for it in report.failures)
    assert (clerk_id, HINT in reason) == (nameless, True)
    assert len(functions.rows()) == 3
