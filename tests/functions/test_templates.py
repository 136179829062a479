"""A team's project, made from convex's own template, accepts the functions in convex/."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from clerk_convex.cli.init import main as init
from clerk_convex.local.convex.deployment import _node
from tests.support.functions import ROOT, Project, upsert
from tests.support.team import OWN_PROJECT

# The lowest documented version, and the version of all other tests.
VERSIONS = {
    "lowest": ROOT / "tests" / "functions" / "templates" / "lowest" / "node_modules" / "convex",
    "newest": ROOT / "node_modules" / "convex",
}
TEMPLATES = "./node_modules/convex/dist/cjs/cli/codegen_templates"
TSCONFIG = f"console.log(require('{TEMPLATES}/tsconfig.js').tsconfigCodegen())"

# A team with a users table of its own: required and optional columns that Clerk fills, and one other column.
OWN_COLUMNS = """
import { v } from "convex/values";
export const extraColumns = { plan: v.string() };
export const requiredExtraColumns = { tenant: v.string(), tier: v.union(v.literal("a"), v.literal("b")) };
"""
CREDITS = "clerkId: v.string(),\n    credits: v.optional(v.number()),\n    ...requiredColumns"


class Template:
    """A project with a version of convex and its template's tsconfig, and no other packages.

    team: the files of its own functions, for `init`. None: it has a copy of ours.
    """

    def __init__(self, folder: Path, convex: Path, team: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        if team is None:
            ignored = shutil.ignore_patterns("_generated", "tsconfig.json")
            shutil.copytree(ROOT / "convex", folder / "convex", ignore=ignored)
        else:
            (folder / "convex").mkdir()
            for name, text in team.items():
                (folder / "convex" / name).write_text(text)
        (folder / "node_modules").mkdir()
        (folder / "node_modules" / "convex").symlink_to(convex)
        (folder / "package.json").write_text('{"dependencies": {"convex": "*"}}')
        (folder / "convex" / "tsconfig.json").write_text(self.run("--eval", TSCONFIG))

    def run(self, *arguments: str | Path) -> str:
        """Return Node's output. The environment has no deployment, and no other Node in its path."""
        ran = subprocess.run(
            [_node(), *arguments],
            cwd=self.folder,
            env={"PATH": os.defpath, "HOME": str(self.folder)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    def typecheck(self) -> None:
        command = self.folder / "node_modules" / "convex" / "bin" / "main.js"
        self.run(command, "codegen", "--system-udfs", "--typecheck", "disable")
        self.run(ROOT / "node_modules" / "typescript" / "bin" / "tsc", "-p", "convex")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_fresh_template_accepts_the_functions(version: str, tmp_path: Path) -> None:
    """`npx convex deploy` type-checks with the project's own tsconfig: no `.at()`, no @types/node."""
    template = Template(tmp_path, VERSIONS[version])
    # The check is strict: a missing expected error is an error.
    more = "// @ts-expect-error -- no @types/node\nexport const environment = process.env;"
    if version == "lowest":
        more += "\n// @ts-expect-error -- ES2021\nexport const last = [1].at(-1);"
    (tmp_path / "convex" / "more.ts").write_text(more)
    template.typecheck()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_project_with_functions_takes_init(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With users, crons and tables of its own. The types are generated without an account."""
    template = Template(tmp_path, VERSIONS[version], OWN_PROJECT)
    monkeypatch.chdir(tmp_path)
    assert init(["--write", "--module", "lib/clerkUsers", "--table", "clerkUsers"]) == 0
    template.typecheck()
    api = (tmp_path / "convex/_generated/api.d.ts").read_text()
    assert '"lib/clerkUsers": typeof' in api
    assert "clerk-convex" not in api, "the record is no module"


def with_own_columns(convex: Path) -> None:
    (convex / "clerk" / "columns.ts").write_text(OWN_COLUMNS)
    tables = convex / "clerk" / "tables.ts"
    before = tables.read_text()
    after = before.replace("clerkId: v.string(),\n    ...requiredColumns", CREDITS)
    assert after != before
    tables.write_text(after)


@pytest.mark.parametrize("version", VERSIONS)
def test_columns_of_a_team_type_check(version: str, tmp_path: Path) -> None:
    """Optional and required columns that Clerk fills, and columns that it does not fill."""
    template = Template(tmp_path, VERSIONS[version])
    with_own_columns(tmp_path / "convex")
    template.typecheck()


def test_required_columns_are_required(tmp_path: Path) -> None:
    """A user with a value for each column is written. A user without one is refused."""
    project = Project(tmp_path)
    with_own_columns(tmp_path / "convex")
    with project.running() as functions:
        assert functions.sync([upsert("user_1", tenant="acme", tier="b", plan="pro")]) == ["created"]
        assert functions.sync([upsert("user_1", updated_at=11.0, tenant="acme", tier="a")]) == ["updated"]
        row = functions.rows()["user_1"]
        assert (row["tenant"], row["tier"], row["plan"]) == ("acme", "a", "pro")
        with pytest.raises(AssertionError, match="tier"):
            functions.sync([upsert("user_2", tenant="acme")])
        assert list(functions.rows()) == ["user_1"]
