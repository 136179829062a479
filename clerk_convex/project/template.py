"""The Convex functions that come with this package, under the names that a team gives module and table."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from clerk_convex.errors import ProjectError
from clerk_convex.project.files import is_file, read_text

__all__ = ["OWN", "Names", "find_folder", "find_template", "render"]

PACKAGE = Path(__file__).resolve().parent.parent
OWN = ("clerk/columns.ts", "clerk/onUserChange.ts", "clerk/access.ts")
"""Files that belong to the team: written where there are none, and never touched again."""

_RESERVED_MODULES = {"schema", "crons", "http", "auth", "clerk", "_generated"}
_IDENTIFIER = r"[A-Za-z][A-Za-z0-9_]*"


@dataclass(frozen=True, slots=True)
class Names:
    """The names of the functions' module ("users", "lib/users") and of the table of users."""

    module: str = "users"
    table: str = "users"

    def __post_init__(self) -> None:
        if not re.fullmatch(rf"{_IDENTIFIER}(/{_IDENTIFIER})*", self.module):
            raise ProjectError(
                "--module: write a path in convex/ such as clerkUsers or lib/users, without .ts."
            )
        if self.module.split("/")[0] in _RESERVED_MODULES:
            raise ProjectError(f"--module: {self.module} has another meaning. Take clerkUsers, for example.")
        if not re.fullmatch(_IDENTIFIER, self.table) or len(self.table) > 64:
            raise ProjectError("--table: write up to 64 letters, digits and _ that begin with a letter.")
        if self.table in _other_tables():
            raise ProjectError(f"--table: {self.table} is another table. Take clerkUsers, for example.")

    @property
    def file(self) -> str:
        """The file of the module, from the folder of functions."""
        return f"{self.module}.ts"


def find_folder(into: str | None) -> Path:
    """Return the folder of functions: `into`, or the one that convex.json names, or convex/.

    It need not exist yet. Raises ProjectError if nothing here looks like a project with Convex.
    """
    if into is not None:
        folder = Path(into)
        if not folder.is_dir() and not folder.parent.is_dir():
            raise ProjectError(f"--into: there is no folder {folder.parent}.")
    elif is_file(Path("convex.json")):
        folder = Path(_functions_of(Path("convex.json")))
    else:
        folder = Path("convex")
        if not folder.is_dir() and not is_file(Path("package.json")):
            raise ProjectError(
                "There is no convex.json, no convex/ and no package.json here. Run this in the folder of your"
                " Convex project, or name its functions with --into."
            )
    if folder.resolve() == find_template().resolve():
        raise ProjectError(
            f"{folder} holds the functions of this package itself. Name another folder with --into."
        )
    return folder


def _functions_of(file: Path) -> str:
    try:
        content = json.loads(read_text(file))
    except ValueError:
        raise ProjectError(
            f"{file} is not JSON. Mend it, or name the folder of functions with --into."
        ) from None
    functions = content.get("functions", "convex") if isinstance(content, dict) else None
    if not isinstance(functions, str) or not functions:
        raise ProjectError(f'{file} does not name a folder in "functions". Mend it, or use --into.')
    return functions


def find_template() -> Path:
    """Return the folder of the package's own functions: in a wheel, or in a checkout."""
    wheel = PACKAGE / "template" / "convex"
    return wheel if wheel.is_dir() else PACKAGE.parent / "convex"


def _other_tables() -> list[str]:
    """Return the names of the tables beside that of users."""
    tables = read_text(find_template() / "clerk/tables.ts")
    return re.findall(r"^  (\w+): defineTable\(", tables, re.MULTILINE)


def render(names: Names) -> Mapping[str, str]:
    """Return the text of each file that a project needs, by its path in the folder of functions."""
    template = find_template()
    paths = [*sorted((template / "clerk").rglob("*.ts")), *(template / f"{name}.ts" for name in _SINGLE)]
    files = {path.relative_to(template).as_posix(): read_text(path) for path in paths}
    files["clerk/module.ts"] = _rename(
        files["clerk/module.ts"],
        {
            "return internal.users;": f"return internal.{names.module.replace('/', '.')};",
            'USERS = "users" as const': f'USERS = "{names.table}" as const',
        },
    )
    functions = files.pop("users.ts").replace(" users:", f" {names.module}:")
    up = "../" * (len(PurePosixPath(names.module).parts) - 1) or "./"
    files[names.file] = functions.replace('from "./', f'from "{up}')
    return files


_SINGLE = ("users", "schema", "crons", "auth.config")


def _rename(text: str, names: Mapping[str, str]) -> str:
    for old, new in names.items():
        if text.count(old) != 1:  # a defect of this package, that its tests find
            raise ProjectError(f"The template has no {old!r}. Install the package again.")
        text = text.replace(old, new)
    return text
