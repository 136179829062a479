"""Python and TypeScript have the same names of outcomes, sources and statuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from clerk_convex import settings
from clerk_convex.entities import COLUMNS, OUTCOMES, SOURCES, STATUSES
from clerk_convex.net.observer import DRIFT
from tests.support.functions import ROOT

# Bundles the module of the tables, as `npx convex` does, and writes what its validators accept.
SCRIPT = """
import { build } from "esbuild";
const entry = `
  import { clerkColumns, clerkTables, outcome, status, verified } from "./convex/clerk/tables";
  const values = (union) => union.members.map((member) => member.value);
  const { source } = clerkTables.clerkAudit.validator.fields;
  console.log(JSON.stringify({
    columns: [...clerkColumns], outcomes: values(outcome), sources: values(source), statuses: values(status),
    verified: Object.keys(verified.fields),
  }));
`;
const { outputFiles } = await build({
  stdin: { contents: entry, resolveDir: "." }, bundle: true, format: "esm", write: false,
});
await import("data:text/javascript;base64," + Buffer.from(outputFiles[0].text).toString("base64"));
"""


@pytest.fixture(scope="module")
def names() -> dict[str, set[str]]:
    node = Path(sys.executable).with_name("node")
    command = [str(node), "--input-type=module", "--eval", SCRIPT]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=120)
    return {kind: set(values) for kind, values in json.loads(done.stdout).items()}


def test_outcomes(names: dict[str, set[str]]) -> None:
    assert names["outcomes"] == OUTCOMES


def test_statuses(names: dict[str, set[str]]) -> None:
    assert names["statuses"] == STATUSES


def test_sources(names: dict[str, set[str]]) -> None:
    """One more is Convex's own: changes by its scheduler."""
    assert names["sources"] == SOURCES | {"schedule"}


def test_columns_that_may_be_left_out(names: dict[str, set[str]]) -> None:
    """The rules need the others, and no column is in neither list."""
    assert set(settings.OMITTABLE) | set(settings._NEEDED) == names["columns"] | {"clerkId"}
    assert not set(settings.OMITTABLE) & set(settings._NEEDED)


def test_columns(names: dict[str, set[str]]) -> None:
    assert names["columns"] == COLUMNS


def test_kinds_of_differences(names: dict[str, set[str]]) -> None:
    """Convex keeps the number of each, and of users and rows, as the nightly run found them."""
    assert names["verified"] == {*DRIFT, "users", "rows"}
