"""clerk_convex/project/plan.py: a folder of functions becomes complete and current; a team's work stays."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from clerk_convex.errors import ProjectError
from clerk_convex.project import Kind, Mode, Plan, files
from clerk_convex.project.plan import Step
from clerk_convex.project.record import RECORD, Record
from clerk_convex.project.source import Source
from clerk_convex.project.template import OWN, Names
from tests.support.functions import ROOT
from tests.support.team import Team, edit

SCHEMA = """import { defineSchema, defineTable } from "convex/server";

export default defineSchema({
  messages: defineTable({}),
});
"""


def run(
    team: Team,
    mode: Mode = Mode.INIT,
    *,
    write: bool = False,
    module: str | None = None,
    table: str | None = None,
) -> Plan:
    plan = Plan(team.folder, module=module, table=table)
    plan.run(mode, write=write)
    return plan


def kinds(plan: Plan) -> dict[str, Kind]:
    return {step.path: step.kind for step in plan.steps}


def check(team: Team) -> dict[str, Kind]:
    before = team.files()
    found = kinds(run(team, Mode.CHECK))
    assert team.files() == before, "a check writes nothing"
    return found


def test_everything_is_written_into_an_empty_folder(team: Team) -> None:
    """And the second run does nothing, not even touch a file."""
    assert set(check(team).values()) == {Kind.MISSING}
    plan = run(team)
    assert plan.is_complete
    for file in (file for file in team.template.rglob("*.ts")):
        assert file.read_text() == team.read(str(file.relative_to(team.template)))
    before = team.files()
    for mode in Mode:
        again = run(team, mode, write=True)
        assert (again.steps, again.is_complete, again.previous) == ([], True, "1.0.0")
    assert team.files() == before


def test_lines_of_a_team_s_files_are_written_only_if_asked(team: Team) -> None:
    team.write("schema.ts", SCHEMA)
    team.write(
        "crons.js",
        'import { cronJobs } from "convex/server";\nconst own = cronJobs();\nexport default own;\n',
    )
    team.write("auth.config.ts", "export default { providers: list };\n")
    before = {name: team.read(name) for name in ("schema.ts", "crons.js", "auth.config.ts")}
    plan = run(team)
    assert not plan.is_complete
    assert kinds(run(team, Mode.CHECK)) == {
        "schema.ts": Kind.LACKS,
        "crons.js": Kind.LACKS,
        "auth.config.ts": Kind.BY_HAND,
    }
    assert {name: team.read(name) for name in before} == before
    (schema,) = (step for step in plan.steps if step.path == "schema.ts")
    assert "+  ...clerkTables," in schema.lines

    plan = run(team, write=True)
    assert not plan.is_complete, "a person must add the provider"
    assert "  ...clerkTables,\n  messages" in team.read("schema.ts")
    assert "own.daily(" in team.read("crons.js")
    assert not (team.folder / "crons.ts").exists()
    assert team.read("auth.config.ts") == before["auth.config.ts"]


def test_another_name_for_module_and_table(team: Team) -> None:
    """Both are remembered: later runs need not be told."""
    team.write("users.ts", "export const own = 1;\n")
    team.write("schema.ts", SCHEMA.replace("messages", "users"))
    run(team, module="lib/clerkUsers", table="clerkUsers", write=True)
    assert "return internal.lib.clerkUsers;" in team.read("clerk/module.ts")
    assert 'USERS = "clerkUsers" as const' in team.read("clerk/module.ts")
    functions = team.read("lib/clerkUsers.ts")
    assert 'from "../clerk/order/sync"' in functions
    assert 'from "./' not in functions
    assert "npx convex run --prod lib/clerkUsers:deleteUser" in functions
    assert team.read("users.ts") == "export const own = 1;\n"
    assert run(team).names == Names("lib/clerkUsers", "clerkUsers")
    assert check(team) == {}


def test_the_module_is_renamed_by_an_upgrade(team: Team) -> None:
    """The old file goes, unless the team has changed it."""
    run(team)
    assert kinds(run(team, module="members"))["users.ts"] is Kind.OBSOLETE
    run(team, Mode.UPGRADE, module="members")
    assert not (team.folder / "users.ts").exists()
    assert "return internal.members;" in team.read("clerk/module.ts")
    team.edit("members.ts", "export const stats", "export const totals")
    plan = run(team, Mode.UPGRADE, module="people")
    assert kinds(plan)["members.ts"] is Kind.LEFT
    assert plan.is_complete
    assert "totals" in team.read("members.ts")
    assert check(team) == {}
    team.write("own.ts", "export const own = 1;")
    with pytest.raises(ProjectError, match=r"own\.ts is yours"):
        run(team, Mode.UPGRADE, module="own")


@pytest.mark.parametrize(
    ("file", "text", "module", "message"),
    [
        ("users.ts", "export const own = 1;", None, r"users.ts is yours. .* --module clerkUsers"),
        ("users.jsx", "export const own = 1;", None, r"users.jsx is yours"),
        ("people.ts", "", "people", r"people.ts is yours"),
        ("clerk/access.ts", "export const own = 1;", None, r"clerk/access.ts is yours. The folder clerk/"),
        (
            "schema.ts",
            SCHEMA.replace("messages", "users"),
            None,
            r"table users. .* --table clerkUsers.* adopt",
        ),
        ("schema.ts", "defineSchema({ ...authTables })", None, r"schema.ts has a table users"),
    ],
)
def test_a_name_that_is_taken_is_refused(
    team: Team, file: str, text: str, module: str | None, message: str
) -> None:
    """Before anything is written."""
    team.write(file, text)
    before = team.files()
    with pytest.raises(ProjectError, match=message):
        run(team, module=module)
    assert team.files() == before


def test_no_table_of_ours_can_be_that_of_users() -> None:
    """In the object of all tables the later one would replace the table of users."""
    source = Source((ROOT / "convex/clerk/tables.ts").read_text())
    start = source.only(r"export const clerkTables = \{")
    assert start is not None
    ours = [entry.partition(":")[0] for entry in source.entries(start.end() - 1)]
    assert ours.pop(0) == "[USERS]"
    assert "clerkFollow" in ours
    for table in ours:
        with pytest.raises(ProjectError, match=f"{table} is another table"):
            Names(table=table)


def test_a_table_that_becomes_ours_is_left_to_a_person(team: Team) -> None:
    """Named with --table, a table of the team is no mistake; init says what to do with its columns."""
    team.write("schema.ts", SCHEMA.replace("messages", "users"))
    plan = run(team, table="users", write=True)
    (step,) = (step for step in plan.steps if step.kind is Kind.BY_HAND)
    assert "clerk/columns.ts" in step.lines[0]
    assert step.lines[1:] == ('  import { clerkTables } from "./clerk/tables";', "  ...clerkTables,")
    assert check(team) == {"schema.ts": Kind.BY_HAND}
    team.write("schema.ts", "export default defineSchema({ ...looseClerkTables });")
    assert check(team) == {}


def test_an_upgrade_replaces_what_the_team_has_not_touched(team: Team) -> None:
    """And creates what is new, removes what is gone, and keeps what is the team's own."""
    run(team)
    for path in OWN:
        team.write(path, "// our own\n" + team.read(path))
    team.write("clerk/notes.ts", "// of the team, in our folder\n")
    team.install(
        "1.1.0",
        state=(
            "row = await usersOf(ctx, clerkId).first()",
            "row = await usersOf(ctx, clerkId).first() /* new */",
        ),
    )
    (team.template / "clerk/order/duplicates.ts").unlink()
    (team.template / "clerk/users/derived.ts").unlink()
    (team.template / "clerk/more.ts").write_text("export const more = 1;\n")
    edit(team.template / "clerk/columns.ts", "own columns of", "own new columns of")
    found = check(team)
    assert found == {
        "clerk/more.ts": Kind.MISSING,
        "clerk/order/duplicates.ts": Kind.OBSOLETE,
        "clerk/state.ts": Kind.OLD,
        "clerk/users/derived.ts": Kind.OBSOLETE,
        "clerk/version.ts": Kind.OLD,
    }
    before = team.files()
    assert kinds(run(team)) == found
    assert team.files() == before, "init alone would make a mixture"
    assert run(team, Mode.UPGRADE).is_complete
    assert "/* new */" in team.read("clerk/state.ts")
    assert not (team.folder / "clerk/order/duplicates.ts").exists()
    assert (team.folder / "clerk/order").exists()
    assert {team.read(path)[:11] for path in OWN} == {"// our own\n"}
    assert team.read("clerk/notes.ts").startswith("// of the team")
    assert Record.read(team.folder).version == "1.1.0"  # type: ignore[union-attr]
    before = team.files()
    assert run(team, Mode.UPGRADE).steps == []
    assert team.files() == before


def test_what_the_team_s_own_files_lack_is_said(team: Team) -> None:
    """They are never written again, so a person adds what a new version needs from them."""
    run(team)
    with (team.template / "clerk/columns.ts").open("a") as file:
        file.write("export const omitted: string[] = [];\n")
    before = team.read("clerk/columns.ts")
    plan = run(team, Mode.UPGRADE, write=True)
    (step,) = plan.steps
    assert (step.path, step.kind, plan.is_complete) == ("clerk/columns.ts", Kind.BY_HAND, False)
    assert step.lines[1:] == ("  export const omitted: string[] = [];",)
    assert team.read("clerk/columns.ts") == before
    team.write("clerk/columns.ts", f"const omitted = [];\nexport {{ omitted }};\n{before}")
    assert check(team) == {}


def test_own_files_may_be_there_before(team: Team) -> None:
    """A team that has read the documentation may write them first."""
    names = ("extraColumns", "requiredExtraColumns", "ownColumns")
    team.write("clerk/columns.ts", "".join(f"export const {name} = {{}};\n" for name in names))
    assert run(team).is_complete
    assert team.read("clerk/columns.ts").startswith("export const extraColumns = {};")


def test_an_upgrade_merges_what_the_team_has_changed(team: Team) -> None:
    """Changes of different places come together; nothing of the team's is lost."""
    run(team)
    team.edit("clerk/state.ts", "// Reads what", "// OURS\n// Reads what")
    assert check(team) == {"clerk/state.ts": Kind.CHANGED}
    assert run(team).is_complete
    team.install("1.1.0", state=("versionsOf(ctx, clerkId).first()", "versionsOf(ctx, clerkId).unique()"))
    assert check(team)["clerk/state.ts"] is Kind.MERGE
    assert run(team, Mode.UPGRADE).is_complete
    merged = team.read("clerk/state.ts")
    assert "// OURS\n" in merged
    assert "versionsOf(ctx, clerkId).unique()" in merged
    assert check(team) == {"clerk/state.ts": Kind.CHANGED}


@pytest.mark.parametrize("has_git", [True, False])
def test_two_changes_of_one_place_are_left_to_a_person(
    team: Team, monkeypatch: pytest.MonkeyPatch, *, has_git: bool
) -> None:
    """The new file is put beside the team's. Until it is merged and removed, each run says so."""
    run(team)
    team.edit(
        "clerk/state.ts",
        "row = await usersOf(ctx, clerkId).first()",
        "row = await usersOf(ctx, clerkId).unique()",
    )
    changed = team.read("clerk/state.ts")
    if not has_git:
        monkeypatch.setattr(shutil, "which", lambda name: None)
    team.install(
        "1.1.0",
        state=("row = await usersOf(ctx, clerkId).first()", "row = await usersOf(ctx, clerkId).take(1)"),
    )
    plan = run(team, Mode.UPGRADE)
    assert kinds(plan)["clerk/state.ts"] is Kind.CONFLICT
    assert not plan.is_complete
    assert team.read("clerk/state.ts") == changed
    assert team.read("clerk/state.ts.new") == (team.template / "clerk/state.ts").read_text()
    for mode in Mode:
        before = team.files()
        plan = run(team, mode)
        assert (kinds(plan), plan.is_complete) == ({"clerk/state.ts": Kind.WAITING}, False)
        assert team.files() == before

    # The next version comes before the team has merged: its change is not taken for a wish to undo ours.
    team.install("1.2.0", state=("// Reads what", "// 1.2\n// Reads what"))
    plan = run(team, Mode.UPGRADE)
    assert (kinds(plan)["clerk/state.ts"], plan.is_complete) == (Kind.WAITING, False)
    team.edit("clerk/state.ts", ".unique()", ".take(1)")
    (team.folder / "clerk/state.ts.new").unlink()
    assert run(team, Mode.UPGRADE).is_complete
    assert team.read("clerk/state.ts") == (team.template / "clerk/state.ts").read_text()


def test_a_copy_by_hand_is_taken_over(team: Team) -> None:
    """Files that are as ours need nothing. Of the others nobody knows the old text: a person merges."""
    shutil.copytree(team.template, team.folder, dirs_exist_ok=True)
    team.edit("clerk/state.ts", "// Reads what", "// OURS\n// Reads what")
    (team.folder / "clerk/order/rules.ts").unlink()
    found = check(team)
    assert found == {"clerk/order/rules.ts": Kind.MISSING, "clerk/state.ts": Kind.FOREIGN}
    before = team.files()
    assert not run(team).is_complete
    assert team.files() == before
    assert not run(team, Mode.UPGRADE).is_complete
    assert "// OURS" in team.read("clerk/state.ts")
    assert check(team) == {"clerk/state.ts": Kind.WAITING}
    (team.folder / "clerk/state.ts.new").unlink()
    assert check(team) == {"clerk/state.ts": Kind.CHANGED}


@pytest.mark.parametrize("mode", [Mode.INIT, Mode.UPGRADE])
@pytest.mark.parametrize("writes", range(1, 9))
def test_an_interrupted_run_is_completed_by_the_next(
    team: Team, monkeypatch: pytest.MonkeyPatch, writes: int, mode: Mode
) -> None:
    """Wherever it stops, and with the names that the first run was given."""
    module: str | None = "members"
    if mode is Mode.UPGRADE:
        run(team, module=module)
        module = None
        team.edit("clerk/state.ts", "// Reads what", "// OURS\n// Reads what")
        team.edit("clerk/users/text.ts", "export function fold", "export function fold /* OURS */")
        team.install(
            "1.1.0",
            state=("row = await usersOf(ctx, clerkId).first()", "row = await usersOf(ctx, clerkId).take(1)"),
        )
        file = team.template / "clerk/users/text.ts"
        file.write_text(file.read_text().replace("export function fold", "export function fold /* NEW */"))
    done = 0
    real = os.replace

    def replace(self: Path, target: Path) -> Path:
        nonlocal done
        if done == writes:
            raise KeyboardInterrupt
        done += 1
        real(self, target)
        return target

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", replace)
        try:
            run(team, mode, module=module)
        except KeyboardInterrupt:
            assert mode is Mode.INIT or done == writes
    plan = run(team, mode)
    assert plan.names.module == "members"
    for path in ("clerk/order/rules.ts", "clerk/version.ts", "clerk/tables.ts"):
        assert team.read(path) == (team.template / path).read_text()
    assert not list(team.folder.rglob("*.tmp"))
    if mode is Mode.INIT:
        assert plan.is_complete
        assert check(team) == {}
    else:
        assert "// OURS" in team.read("clerk/state.ts")
        assert "take(1)" in team.read("clerk/state.ts")
        assert "/* OURS */" in team.read("clerk/users/text.ts")
        assert "/* NEW */" in team.read("clerk/users/text.ts.new")
        assert check(team) == {"clerk/state.ts": Kind.CHANGED, "clerk/users/text.ts": Kind.WAITING}
        (team.folder / "clerk/users/text.ts.new").unlink()  # a person has merged it
        assert check(team) == dict.fromkeys(["clerk/state.ts", "clerk/users/text.ts"], Kind.CHANGED)


@pytest.mark.parametrize("between", ["", "\n      "])
def test_an_index_that_is_gone_is_replaced_in_the_teams_rule(team: Team, between: str) -> None:
    """The rule itself stays as the team wrote it, and nothing is left to do by hand."""
    run(team)
    team.edit("clerk/access.ts", 'role === "admin" &&', 'role === "boss" &&')
    now = team.read("clerk/access.ts")
    team.edit(
        "clerk/access.ts",
        '.withSearchIndex("by_search_text", (q) => q.search("searchText", PADDING).eq("role", "admin")',
        f'.withIndex({between}"by_role_and_status", (q) => q.eq("role", "admin")',
    )
    team.edit("clerk/access.ts", 'import { PADDING } from "./users/text";\n', "")
    assert check(team) == {"clerk/access.ts": Kind.RENEWED}
    run(team)
    assert "by_role_and_status" in team.read("clerk/access.ts")
    assert run(team, Mode.UPGRADE).is_complete
    assert sorted(team.read("clerk/access.ts").splitlines()) == sorted(now.splitlines())
    assert check(team) == {}


def test_line_ends_and_permissions_stay(team: Team) -> None:
    """A checkout with CRLF is not taken for changed, and a file keeps the line ends that it has."""
    run(team)
    for file in team.folder.rglob("*.ts"):
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    (team.folder / "clerk/state.ts").chmod(0o640)
    team.write("schema.ts", SCHEMA.replace("\n", "\r\n"))
    assert check(team) == {"schema.ts": Kind.LACKS}
    team.install(
        "1.1.0",
        state=("row = await usersOf(ctx, clerkId).first()", "row = await usersOf(ctx, clerkId).take(1)"),
    )
    assert run(team, Mode.UPGRADE, write=True).is_complete
    for name in ("clerk/state.ts", "schema.ts"):
        content = (team.folder / name).read_bytes()
        assert content.count(b"\n") == content.count(b"\r\n") > 3
    assert (team.folder / "clerk/state.ts").stat().st_mode & 0o777 == 0o640


def test_a_symbolic_link_stays(team: Team) -> None:
    """As of a schema that several projects share: its target gets the lines."""
    shared = team.folder.parent / "shared.ts"
    shared.write_text(SCHEMA)
    (team.folder / "schema.ts").symlink_to("../shared.ts")
    assert run(team, write=True).is_complete
    assert (team.folder / "schema.ts").is_symlink()
    assert "...clerkTables," in shared.read_text()


def test_a_file_that_was_removed_comes_back(team: Team) -> None:
    run(team)
    (team.folder / "clerk/state.ts").unlink()
    (team.folder / "clerk/columns.ts").unlink()
    (team.folder / "crons.ts").unlink()
    lost = {"clerk/columns.ts", "clerk/state.ts", "crons.ts"}
    assert check(team) == dict.fromkeys(sorted(lost, key=list(check(team)).index), Kind.MISSING)
    assert run(team).is_complete
    assert check(team) == {}


def test_a_file_that_both_removed_is_gone(team: Team) -> None:
    run(team)
    (team.folder / "clerk/users/derived.ts").unlink()
    (team.template / "clerk/users/derived.ts").unlink()
    assert check(team) == {}


def test_an_incomplete_installation_is_said(team: Team) -> None:
    edit(team.template / "clerk/module.ts", "return internal.users;", "return internal.people;")
    with pytest.raises(ProjectError, match="Install the package again"):
        run(team)


def test_a_newer_copy_is_not_touched(team: Team) -> None:
    team.install("1.10.0")
    run(team)
    team.install("1.9.0")
    before = team.files()
    for mode in Mode:
        with pytest.raises(
            ProjectError, match=r"of version 1\.10\.0, and this package is 1\.9\.0\. Upgrade it"
        ):
            run(team, mode)
    assert team.files() == before


@pytest.mark.parametrize(
    ("content", "is_refused"),
    [('{"version": "1.30.9"}', True), ('{"version": "1.31.0"}', False), ("{}", False)],
)
def test_a_convex_that_is_too_old_is_refused(team: Team, content: str, *, is_refused: bool) -> None:
    """Rather than functions that do not type-check."""
    package = team.folder.parent / "node_modules/convex/package.json"
    package.parent.mkdir(parents=True)
    package.write_text(content)
    if not is_refused:
        assert run(team).is_complete
        return
    with pytest.raises(ProjectError, match=r"need convex 1\.31 or newer, and this project has 1\.30\.9"):
        run(team)


@pytest.mark.parametrize("damage", ["", "[]", "{}", '"base": "AAAA"', '"sha256": "x"', '"module": 7'])
def test_a_damaged_record_is_said(team: Team, damage: str) -> None:
    run(team)
    text = team.read(RECORD)
    if damage.startswith('"'):
        name = damage.partition(":")[0]
        content = json.loads(text)
        value = json.loads(damage.partition(": ")[2])
        (content if name == '"module"' else content["files"]["clerk/state.ts"])[name.strip('"')] = value
        damage = json.dumps(content)
    team.write(RECORD, damage)
    with pytest.raises(ProjectError, match=r"clerk/\.clerk-convex\.json is damaged\. Restore it"):
        run(team)


def test_what_cannot_be_read_or_written_is_said(team: Team) -> None:
    team.write("clerk", "a file where our folder is")
    with pytest.raises(ProjectError, match=r"clerk.* cannot be read or written \("):
        run(team)
    (team.folder / "clerk").unlink()
    (team.folder / "schema.ts").write_bytes(b"\xff")
    with pytest.raises(ProjectError, match=r"schema\.ts is not UTF-8 text"):
        run(team)


def test_a_folder_that_empties_is_removed(team: Team) -> None:
    team.write("lib/users.ts", "")
    files.remove(team.folder / "lib/users.ts")
    assert not (team.folder / "lib").exists()


def test_a_step_says_what_is_done() -> None:
    step = Step("clerk/state.ts", Kind.MISSING, "text")
    assert (step.state, step.is_open) == ("missing", True)
    step.is_done = True
    assert (step.state, step.is_open) == ("written", False)
