"""clerk_convex/project/wiring.py and source.py: lines go where they belong in a team's files, or nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from clerk_convex.project.source import Source
from clerk_convex.project.wiring import ByHand, has_table, wire_auth, wire_crons, wire_schema
from tests.support.functions import ROOT

OUR_CRONS = (ROOT / "convex/crons.ts").read_text()
IMPORT = 'import { clerkTables } from "./clerk/tables";\n'
HEAD = 'import { defineSchema, defineTable } from "convex/server";\n'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "defineSchema({\n  own: defineTable({}),\n});",
            "defineSchema({\n  ...clerkTables,\n  own: defineTable({}),\n});",
        ),
        ("defineSchema({ own });", "defineSchema({ ...clerkTables, own });"),
        ("defineSchema({own});", "defineSchema({...clerkTables, own});"),
        ("defineSchema({});", "defineSchema({ ...clerkTables });"),
        ("defineSchema({\n});", "defineSchema({\n  ...clerkTables,\n});"),
        ("defineSchema({\n\n    own,\n});", "defineSchema({\n    ...clerkTables,\n\n    own,\n});"),
        (
            "defineSchema({ // ours {\n  own,\n}, { schemaValidation: false });",
            "defineSchema({ // ours {\n  ...clerkTables,\n  own,\n}, { schemaValidation: false });",
        ),
        (
            "defineSchema(\n    {\n\t...authTables, // of ')'\n\town,\n    },\n);",
            "defineSchema(\n    {\n\t...clerkTables,\n\t...authTables, // of ')'\n\town,\n    },\n);",
        ),
    ],
)
def test_the_tables_are_spread_into_the_schema(before: str, after: str) -> None:
    """In each of the usual forms, first, with the indent of the other tables; the rest stays as it is."""
    wired = wire_schema(f"{HEAD}\nexport default {before}\n", "ts", "")
    assert wired == f"{HEAD}{IMPORT}\nexport default {after}\n"
    assert wire_schema(wired, "ts", "") is None, "a second run adds nothing"


@pytest.mark.parametrize(
    "text",
    [
        "export default defineSchema(tables);",
        "const schema = makeSchema();\nexport default schema;",
        "const a = defineSchema({});\nexport default defineSchema({});",
        "export default defineSchema({ a: /[(]/ });",
        "export default defineSchema({ a: b) });",
        "export default defineSchema({ own",
        "// export default defineSchema({});",
        "",
    ],
)
def test_a_schema_of_another_form_is_left_to_a_person(text: str) -> None:
    wired = wire_schema(HEAD + text, "ts", "")
    assert isinstance(wired, ByHand)
    assert wired.lines == (IMPORT.strip(), "...clerkTables,")


@pytest.mark.parametrize("spread", ["...clerkTables", "...looseClerkTables"])
def test_a_schema_that_has_the_tables_lacks_nothing(spread: str) -> None:
    assert wire_schema(f"export default defineSchema({{ {spread}, own }});", "ts", "") is None
    assert wire_schema(f"export default defineSchema({{ /* {spread} */ own }});", "ts", "") is not None


@pytest.mark.parametrize(
    ("imports", "line"),
    [
        ("import { defineSchema } from 'convex/server'\n", "import { clerkTables } from './clerk/tables'\n"),
        ('import {\n  defineSchema,\n} from "convex/server"; // server\nimport "./x";\n', IMPORT),
        ('"use strict";\nimport type { A } from "a";\n\nimport b from "b";\n', IMPORT),
    ],
)
def test_an_import_is_written_as_the_others_and_after_them(imports: str, line: str) -> None:
    wired = wire_schema(f"{imports}export default defineSchema({{}});\n", "ts", "")
    assert wired == f"{imports}{line}export default defineSchema({{ ...clerkTables }});\n"


def test_an_import_is_written_once_and_without_others_first() -> None:
    twice = wire_schema(f"{IMPORT}export default defineSchema({{}});\n", "ts", "")
    assert twice == f"{IMPORT}export default defineSchema({{ ...clerkTables }});\n"
    assert Source("const a = 1;\n").with_import("b", "c") == 'import { b } from "c";\nconst a = 1;\n'


def test_jobs_are_added_to_the_crons() -> None:
    """Under the name that the team gives them, before the export."""
    before = (
        'import { cronJobs } from "convex/server";\n\nconst jobs = cronJobs();\n'
        'jobs.interval("mine", { hours: 1 }, f, {});\n\nexport default jobs;\n'
    )
    wired = wire_crons(before, "ts", OUR_CRONS)
    assert isinstance(wired, str)
    assert 'import { functions } from "./clerk/module";\n\nconst jobs' in wired
    (job,) = [f"jobs{line[5:]}" for line in OUR_CRONS.splitlines() if line.startswith("crons.")]
    assert f"{{}});\n\n{job}\nexport default jobs;\n" in wired
    assert wire_crons(wired, "ts", OUR_CRONS) is None
    by_hand = wired.replace("functions().pruneClerkAudit", "internal.users.pruneClerkAudit")
    assert wire_crons(by_hand, "ts", OUR_CRONS) is None


@pytest.mark.parametrize(
    "text",
    [
        "export default makeCrons();",
        "const crons = cronJobs();\nexport { crons as default };",
        "const crons = cronJobs();\n// prune: pruneClerkAudit\nexport default all(crons);",
        "const crons = cronJobs();\nf(\nexport default crons;",
    ],
)
def test_crons_of_another_form_are_left_to_a_person(text: str) -> None:
    wired = wire_crons(text, "ts", OUR_CRONS)
    assert isinstance(wired, ByHand)
    assert "pruneClerkAudit" in wired.lines[1]


PROVIDER = '{ domain: process.env.CLERK_JWT_ISSUER_DOMAIN!, applicationID: "convex" }'
CONVEX_AUTH = "{ domain: process.env.CONVEX_SITE_URL, applicationID: 'convex' }"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("export default {\n  providers: [],\n};\n", f"export default {{\n  providers: [{PROVIDER}],\n}};\n"),
        (
            f"export default {{\n  providers: [\n    {CONVEX_AUTH},\n  ],\n}};\n",
            f"export default {{\n  providers: [\n    {PROVIDER},\n    {CONVEX_AUTH},\n  ],\n}};\n",
        ),
        (
            "export default { providers: [{ type: 'customJwt', issuer: process.env.A }] };",
            f"export default {{ providers: [{PROVIDER}, {{ type: 'customJwt', issuer: process.env.A }}] }};",
        ),
    ],
)
def test_clerk_becomes_a_provider(before: str, after: str) -> None:
    declared = (
        ""
        if "process" in before
        else "declare const process: { env: Record<string, string | undefined> };\n\n"
    )
    wired = wire_auth(before, "ts", "")
    assert wired == declared + after
    assert wire_auth(wired, "ts", "") is None
    assert wire_auth(before, "js", "") == after.replace("!", "")


def test_process_is_declared_after_the_imports() -> None:
    wired = wire_auth(
        'import { AuthConfig } from "convex/server";\nexport default { providers: [] };', "ts", ""
    )
    assert isinstance(wired, str)
    assert wired.startswith('import { AuthConfig } from "convex/server";\n\ndeclare const process: ')


@pytest.mark.parametrize(
    "text",
    [
        (ROOT / "convex/auth.config.ts").read_text(),
        'export default { providers: [{ domain: "https://clerk.example.com", applicationID: "convex" }] };',
        "export default { providers: [{ domain: process.env.CLERK_URL, applicationID: 'convex' }] };",
        'export default makeAuth("https://x.clerk.accounts.dev", "convex");',
    ],
)
def test_a_project_with_clerk_needs_no_provider(text: str) -> None:
    assert wire_auth(text, "ts", "") is None


def test_providers_of_another_form_are_left_to_a_person() -> None:
    wired = wire_auth("export default { providers };", "ts", "")
    assert wired == ByHand("The list of providers needs Clerk's session tokens:", (f"{PROVIDER},",))


@pytest.mark.parametrize(
    ("file", "text", "is_taken"),
    [
        ("schema.ts", "export default defineSchema({ users: defineTable({}) });", True),
        ("tables/people.ts", 'export const tables = { "users": defineTable({}) };', True),
        ("schema.ts", "export default defineSchema({ ...authTables });", True),
        ("schema.js", "export const users\n: defineTable", True),
        (
            "schema.ts",
            "// users: defineTable({})\nexport default defineSchema({ superusers: defineTable({}) });",
            False,
        ),
        ("parts/rate/schema.ts", "export default defineSchema({ users: defineTable({}) });", False),
        ("_generated/x.ts", "export default defineSchema({ users: defineTable({}) });", False),
        ("clerk/tables.ts", "export default defineSchema({ users: defineTable({}) });", False),
        (".git/x.ts", "export default defineSchema({ users: defineTable({}) });", False),
        ("notes.md", "users: defineTable({})", False),
    ],
)
def test_a_table_of_the_team_is_found(file: str, text: str, is_taken: bool, tmp_path: Path) -> None:
    """In any of its own modules, but not in ours, in generated ones or in a component's."""
    (tmp_path / "parts/rate").mkdir(parents=True)
    (tmp_path / "parts/rate/convex.config.ts").write_text("")
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(text)
    assert has_table(tmp_path, "users") == (tmp_path / file if is_taken else None)
    assert has_table(tmp_path, "members") is None
    assert has_table(tmp_path / "none", "users") is None


def test_what_is_in_strings_and_comments_is_no_code() -> None:
    source = Source('a(\'{\', "\\"(", `[\n${b}`); // }\n/* ) */ c')
    assert len(source.code) == len(source.text)
    assert source.is_readable
    assert source.uncommented == 'a(\'{\', "\\"(", `[\n${b}`);     \n        c'
    assert not Source("(]").is_readable
