"""docs/guides/deletion.md: what belongs to a deleted user goes in batches, also after one has failed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.documents import blocks
from tests.support.functions import ROOT, Functions, Project, delete, eventually, upsert

GUIDE = ROOT / "docs/guides/deletion.md"
MESSAGES = 20_000
RAW = """
import { v } from "convex/values";
import { internalMutation, internalQuery } from "./_generated/server";

export const write = internalMutation({
  args: { clerkId: v.string(), count: v.number(), text: v.string() },
  handler: async (ctx, { clerkId, count, text }) => {
    const users = ctx.db.query("users").withIndex("by_clerk_id", (q) => q.eq("clerkId", clerkId));
    const { _id: userId } = (await users.first())!;
    for (let n = 0; n < count; n += 1) await ctx.db.insert("messages", { userId, text });
  },
});

export const left = internalQuery({
  args: {},
  handler: async (ctx) => ({
    messages: (await ctx.db.query("messages").collect()).length,
    erasures: (await ctx.db.query("erasures").collect()).length,
  }),
});

export const heal = internalMutation({
  args: {},
  handler: async (ctx) => {
    const poison = ctx.db.query("messages").filter((q) => q.eq(q.field("text"), "poison"));
    for (const { _id } of await poison.collect()) await ctx.db.patch("messages", _id, { text: "" });
  },
});
"""
# A batch with such a message fails after it has deleted others.
POISON = """for (const message of batch) {
      if (message.text === "poison") throw new Error("not this one");
      await ctx.db.delete("messages", message._id);
    }"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Functions]:
    """Run the guide's own code. Batches fail where a test wants it; an erasure counts as stopped at once."""
    project = Project(tmp_path_factory.mktemp("project"))
    for block in blocks(GUIDE):
        assert block.file is not None
        project.write(block.file.removeprefix("convex/"), block.text)
    loop = 'for (const message of batch) await ctx.db.delete("messages", message._id);'
    project.replace("erasures.ts", loop, POISON)
    project.replace("erasures.ts", "const STALLED_MS = 10 * 60 * 1000", "const STALLED_MS = -1")
    project.write("raw.ts", RAW)
    with project.running() as functions:
        yield functions


@pytest.fixture
def functions(running: Functions) -> Functions:
    running.clear()
    running.sync([upsert("user_1"), upsert("user_2")])
    return running


def write(functions: Functions, clerk_id: str, count: int, text: str = "") -> None:
    functions.mutation("raw:write", {"clerkId": clerk_id, "count": count, "text": text})


def left(functions: Functions) -> tuple[int, int]:
    """Return how many messages and erasures there are."""
    answer = functions.query("raw:left", {})
    return int(answer["messages"]), int(answer["erasures"])


def test_more_than_one_transaction_can_delete(functions: Functions) -> None:
    """All documents of the user go, and nobody else's; then nothing of the erasure is left."""
    for _ in range(4):
        write(functions, "user_1", MESSAGES // 4)
    write(functions, "user_2", 3)
    assert functions.sync([delete("user_1")]) == ["deleted"]
    assert left(functions)[1] <= 1
    assert eventually(lambda: left(functions) == (3, 0), 60)
    # The same event once more starts nothing.
    assert functions.sync([delete("user_1")]) == ["unchanged"]
    assert left(functions) == (3, 0)


@pytest.mark.parametrize("count", [0, 1, 499, 500, 501])
def test_the_last_batch_ends_it(functions: Functions, count: int) -> None:
    """Also if it is full, or the only one, or empty."""
    write(functions, "user_1", count)
    functions.sync([delete("user_1")])
    assert eventually(lambda: left(functions) == (0, 0))


def test_an_erasure_that_failed_in_the_middle_is_resumed(
    functions: Functions, caplog: pytest.LogCaptureFixture
) -> None:
    """The batch that failed is undone as a whole. The erasure stays, and the cron takes it up."""
    write(functions, "user_1", 1200)
    write(functions, "user_1", 1, "poison")
    write(functions, "user_1", 1200)
    functions.sync([delete("user_1")])
    assert eventually(lambda: "not this one" in caplog.text)
    assert left(functions) == (1401, 1)
    functions.mutation("raw:heal", {})
    assert left(functions) == (1401, 1)  # nothing goes on by itself
    functions.mutation("erasures:resume", {})
    # Another one meanwhile does no harm.
    functions.mutation("erasures:resume", {})
    assert eventually(lambda: left(functions) == (0, 0))
    functions.mutation("erasures:resume", {})
    assert left(functions) == (0, 0)


def test_a_user_without_a_row_has_nothing_to_delete(functions: Functions) -> None:
    assert functions.sync([delete("user_3")]) == ["deleted"]
    assert left(functions) == (0, 0)
