"""A team's project, and the version of this package that is installed there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from clerk_convex.project import plan, template
from tests.support.functions import ROOT

# A team's own project, with a users.ts and a users table, in the forms that Convex's documentation has.
OWN_PROJECT = {
    "users.ts": """
import { query } from "./_generated/server";
import { v } from "convex/values";
export const first = query({
  args: {},
  returns: v.nullable(v.id("users")),
  handler: async (ctx) => (await ctx.db.query("users").first())?._id ?? null,
});
""",
    "schema.ts": """
import { defineSchema, defineTable } from 'convex/server'
import { v } from 'convex/values'

const counters = { counters: defineTable({ name: v.string() }) }

export default defineSchema(
  {
    ...counters,
    // who writes
    users: defineTable({ name: v.string(), token: v.string() }).index('by_token', ['token']),
    messages: defineTable({ userId: v.id('users'), body: v.string() }),
  },
  { strictTableNameTypes: true },
)
""",
    "crons.ts": """
import { cronJobs } from "convex/server";
import { internal } from "./_generated/api";
import { internalMutation } from "./_generated/server";

export const tidy = internalMutation({ args: {}, handler: async () => {} });

const jobs = cronJobs();

jobs.interval("tidy", { hours: 1 }, internal.crons.tidy, {});

export default jobs;
""",
    "auth.config.ts": """
export default {
  providers: [
    {
      domain: "https://login.example.com",
      applicationID: "example",
    },
  ],
};
""",
}


class Team:
    """A team's project, which is the current folder, and the version of this package that is installed."""

    def __init__(self, folder: Path, package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder / "convex"
        self.folder.mkdir(parents=True)
        (folder / "package.json").write_text("{}")
        self.template = package / "template/convex"
        ignored = shutil.ignore_patterns("_generated", "README.md", "tsconfig.json")
        shutil.copytree(ROOT / "convex", self.template, ignore=ignored)
        self._monkeypatch = monkeypatch
        monkeypatch.chdir(folder)
        monkeypatch.setattr(template, "PACKAGE", package)
        self.install("1.0.0")

    def install(self, version: str, **changes: tuple[str, str]) -> None:
        """Install a version of this package. `changes`: of a file in clerk/, a text and what replaces it."""
        self._monkeypatch.setattr(plan, "__version__", version)
        (self.template / "clerk/version.ts").write_text(f'export const VERSION = "{version}";\n')
        for name, (old, new) in changes.items():
            edit(self.template / f"clerk/{name}.ts", old, new)

    def write(self, path: str, text: str) -> None:
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_text(text)

    def read(self, path: str) -> str:
        return (self.folder / path).read_text()

    def edit(self, path: str, old: str, new: str) -> None:
        edit(self.folder / path, old, new)

    def files(self) -> dict[str, tuple[bytes, int]]:
        """Return the content of each file and the time of its last change."""
        files = (path for path in self.folder.rglob("*") if path.is_file())
        return {str(file): (file.read_bytes(), file.stat().st_mtime_ns) for file in files}


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1, f"{old!r} is not in {file} once"
    file.write_text(text.replace(old, new))


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Team:
    """Return a team's project without functions. It is the current folder."""
    return Team(tmp_path / "app", tmp_path / "package", monkeypatch)
