"""A local Clerk and a local Convex for the tests of the backfill."""

from __future__ import annotations

import asyncio
import atexit
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from clerk_convex.backfill import OnProgress, Report, Verification, backfill, verify
from clerk_convex.entities.users import Fields, read_user
from clerk_convex.local.clerk import LocalClerk
from clerk_convex.settings import Settings
from tests.support.functions import ROOT, Functions, Project

TABLES = ("users", "clerkVersions", "clerkAudit", "clerkBackfills")
DUMP = """
import { v } from "convex/values";
import { internalMutation, internalQuery } from "./_generated/server";

export const dump = internalQuery({
  args: { table: v.string() },
  handler: (ctx, { table }) => ctx.db.query(table as "users").collect(),
});

// When the newest row was inserted. Returns 0 without rows.
export const newest = internalQuery({
  args: {},
  handler: async (ctx) => (await ctx.db.query("users").order("desc").first())?._creationTime ?? 0,
});

// An edit that somebody makes by hand in the Convex dashboard.
export const edit = internalMutation({
  args: { clerkId: v.string(), columns: v.any() },
  handler: async (ctx, { clerkId, columns }) => {
    const rows = ctx.db.query("users").withIndex("by_clerk_id", (q) => q.eq("clerkId", clerkId));
    const row = (await rows.first())!;
    if (columns === "copy") {
      const { _id, _creationTime, ...values } = row;
      await ctx.db.insert("users", values);
    } else if (columns === null) await ctx.db.delete("users", row._id);
    else await ctx.db.patch("users", row._id, columns);
  },
});

// Makes all rows some seconds old: a prune removes only rows that are older than itself.
export const age = internalMutation({
  args: {},
  handler: async (ctx) => {
    for (const { _id } of await ctx.db.query("clerkVersions").collect()) {
      await ctx.db.patch("clerkVersions", _id, { observedAt: 1 });
    }
    for (const { _id, clerkStamp } of await ctx.db.query("users").collect()) {
      if (clerkStamp) await ctx.db.patch("users", _id, { clerkStamp: [clerkStamp[0]!, 1] });
    }
  },
});

// Makes the runs those of functions that did not know holders.
export const forgetHolder = internalMutation({
  args: {},
  handler: async (ctx) => {
    for (const { _id } of await ctx.db.query("clerkBackfills").collect()) {
      await ctx.db.patch("clerkBackfills", _id, { holder: undefined });
    }
  },
});

// Lets the lease of a follower expire, so that no test waits for it.
export const expire = internalMutation({
  args: {},
  handler: async (ctx) => {
    for (const { _id } of await ctx.db.query("clerkFollow").collect()) {
      await ctx.db.patch("clerkFollow", _id, { expiresAt: 0 });
    }
  },
});
"""


@contextmanager
def functions_of(folder: Path, *, silence_ms: str = "0") -> Iterator[Functions]:
    """Run the project's functions in `folder`. They treat a run as ended after `silence_ms` of silence."""
    project = Project(folder)
    project.write("test.ts", DUMP)
    project.replace(
        "clerk/backfill/runs.ts", "const SILENT_MS = 60 * 1000", f"const SILENT_MS = {silence_ms}"
    )
    with project.running() as functions:
        yield functions


@cache
def _production_clerk() -> LocalClerk:
    clerk = LocalClerk(rate_limit=0, secret_key="sk_live_" + "0" * 20)
    clerk.start()
    atexit.register(clerk.close)
    return clerk


def shared_clerk() -> LocalClerk:
    """Return the production instance that the tests of this process share, without users and faults."""
    clerk = _production_clerk()
    if clerk.process.poll() is not None:  # a test has closed it
        clerk.start()
    clerk.reset()
    return clerk


class BackfillSet:
    """A local Clerk and empty tables, with shortcuts to run a backfill and to look at the result."""

    def __init__(self, clerk: LocalClerk, functions: Functions) -> None:
        self.clerk = clerk
        self.functions = functions
        functions.convex.clear()

    def sign_up(self, count: int, **fields: Any) -> list[str]:
        """Create users at Clerk, who have signed up one after the other until now, and return their ids."""
        begin = time.time() * 1000 - 2 * count
        people = [
            {"username": f"user{number}", "created_at": int(begin) + 2 * number, **fields}
            for number in range(count)
        ]
        return [user["id"] for user in self.clerk.create_users(people)]

    def settings(self, **changes: Any) -> Settings:
        return Settings(
            **{
                "clerk_secret_key": self.clerk.secret_key,
                "clerk_api_url": self.clerk.url,
                "convex_url": self.functions.convex.url,
                "convex_deploy_key": self.functions.convex.deploy_key,
                "clerk_convex_pace": 1000.0,  # MiB: as fast as the local Convex
                **changes,
            }
        )

    def environment(self, **changes: str) -> dict[str, str]:
        return {
            "CLERK_SECRET_KEY": self.clerk.secret_key,
            "CLERK_API_URL": self.clerk.url,
            "CONVEX_URL": self.functions.convex.url,
            "CONVEX_DEPLOY_KEY": self.functions.convex.deploy_key,
            "CLERK_CONVEX_PACE": "1000",
            **changes,
        }

    def run(self, settings: Settings | None = None, **options: Any) -> Report:
        return asyncio.run(backfill(settings or self.settings(), **options))

    def verify(self, settings: Settings | None = None, **options: Any) -> Verification:
        return asyncio.run(verify(settings or self.settings(), **options))

    @contextmanager
    def command(self, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
        """Run the backfill's command line in a process, which is killed at the end of the context."""
        process = subprocess.Popen(
            [sys.executable, "-m", "clerk_convex.backfill", *arguments],
            cwd=ROOT,
            env={"PATH": os.environ.get("PATH", os.defpath), **self.environment(**environment)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            try:
                yield process
            finally:
                process.kill()

    def table(self, name: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.functions.query("test:dump", {"table": name})
        return rows

    def dump(self) -> Mapping[str, list[dict[str, Any]]]:
        """Return all rows of all tables."""
        return {name: self.table(name) for name in TABLES}

    def newest(self) -> float:
        """Return the time of the newest row, which costs little however many there are."""
        created: float = self.functions.query("test:newest", {})
        return created

    def edit(self, clerk_id: str, columns: object) -> None:
        """Patch a user's row past the functions. None deletes the row, "copy" inserts it a second time."""
        self.functions.mutation("test:edit", {"clerkId": clerk_id, "columns": columns})

    def differences(self, fields: Fields | None = None) -> list[str]:
        """Return the ids whose row differs from Clerk, compared without the backfill's own code."""
        wanted = {user["id"]: read_user(user, fields).columns for user in self.clerk.users()}
        rows = self.functions.rows()
        return [
            clerk_id
            for clerk_id in wanted.keys() | rows.keys()
            if clerk_id not in rows
            or clerk_id not in wanted
            or any(rows[clerk_id].get(name) != value for name, value in wanted[clerk_id].items())
        ]


class Then(OnProgress):
    """Progress that calls `action` once, when `after` users are processed, and collects the notes."""

    def __init__(self, after: int, action: Any) -> None:
        self.notes: list[str] = []
        self._after = after
        self._action = action

    def step(self, progress: Any) -> None:
        if progress.done >= self._after and self._action is not None:
            action, self._action = self._action, None
            action()

    def note(self, text: str) -> None:
        self.notes.append(text)


def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the pauses before retries of a refused request, and before the second check of missing users."""
    monkeypatch.setattr("clerk_convex.backfill.session._DOUBTS_AT_FIRST", (0.0, 0.0))
    monkeypatch.setattr("clerk_convex.backfill.session._DOUBTS", (0.0, 0.0, 0.0))
    monkeypatch.setattr("clerk_convex.backfill.reading._SECOND_404", 0.0)
    monkeypatch.setattr("clerk_convex.backfill.rows.SECOND_LOOK", 0.0)
    monkeypatch.setattr("clerk_convex.backfill.follow.SECOND_LOOK", 0.0)
    # Both checks may then fall into the same second.
    monkeypatch.setattr("clerk_convex.clerk.api._WHOLE_SECOND", -10_000.0)


def small_pages(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Make pages and ranges so small that a few users fill many."""
    monkeypatch.setattr("clerk_convex.backfill.ranges.PAGE", size)
    monkeypatch.setattr("clerk_convex.backfill.reading.PAGE", size)
    monkeypatch.setattr("clerk_convex.backfill.ranges._FEWEST_PAGES", 1)
