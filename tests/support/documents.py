"""Find the code blocks in the README and the documentation, and run them as a reader does.

HANDLED lists the languages of fenced blocks. The `console` and `python` blocks of a page run in order, in one
shell and one empty folder, against a local set:

- In a `console` block, a line that begins with "$ " is a command. The lines after it are its output, in which
  "…" stands for any text. A command must exit with 0.
- A block whose first line is a comment with a file name is written to that file in the folder.
- A server keeps running for the rest of the page.
- `Session` replaces the addresses and names that a reader replaces. A command that needs an account or takes
  minutes is not run; NOT_RUN has the reason. The files and options that it names are checked.

As a program, this module stands in for pip, npm and npx, and runs Python blocks.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tomllib
from ast import PyCF_ALLOW_TOP_LEVEL_AWAIT
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.request import Request, urlopen

from benchmarks.ports import free_port

ROOT = Path(__file__).parent.parent.parent

RUN = {"console", "python"}
HANDLED = {
    "console": "run",
    "python": "run",
    "sh": "lines of a crontab, run without a terminal",
    "diff": "each removed line is in the code, once",
    "ts": "type-checked in convex/",
    "tsx": "type-checked in examples/dashboard",
    "json": "parsed",
    "toml": "parsed",
    "yaml": "parsed, and its probes compared with the application's routes",
    "text": "diagrams, equal in all places",
}
NOT_RUN = {
    r"scripts/test\b.*": "it runs these tests",
    r"scripts/(install|lint|docs)\b.*": "CI runs it",
    r"scripts/(release|chaos|picture|mutants|lowest|smoke)\b.*": "it takes minutes",
    r"scripts/demo$": "it runs until it is stopped; with --once it is run",
    r"clerk-convex follow\b.*": "it runs until it is stopped; tests/cli/test_follow.py runs it",
    r"npx convex (deploy|env)\b.*": "it needs an account at Convex",
    r"npx convex codegen\b.*": "tests/functions/test_templates.py runs it",
}
SERVER = re.compile(r"uvicorn |python -m clerk_convex\.local(?!.* --(once|help))")
READY = "Uvicorn running|Ctrl-C stops all of it"


@dataclass(frozen=True)
class Block:
    """A fenced block, with the number of its first line."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def file(self) -> str | None:
        """The name of the file that the block is, from its first line, or None."""
        named = re.match(r"(?:#|//) ([\w./-]+\.\w+)\n", self.text)
        return named[1] if named else None

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    docs = [path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts]
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(docs)]


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, without the directives of the site's generator."""
    found: list[Block] = []
    lines = page.read_text().split("\n")
    number = 0
    while number < len(lines):
        fence = re.match(r"( *)(`{3,}|:{3,}|~{3,})(.*)", lines[number])
        if fence is None:
            number += 1
            continue
        start = number
        number += 1
        while lines[number].strip() != fence[2]:
            number += 1
        text = "".join(f"{line.removeprefix(fence[1])}\n" for line in lines[start + 1 : number])
        number += 1
        if not fence[3].startswith("{"):
            found.append(Block(page, start + 1, fence[3].strip(), text))
    return found


def indented_code(page: Path) -> Iterator[int]:
    """Yield the line numbers of indented code. It has no language, so it would not be run."""
    is_fenced, opener = False, ""
    before = ""
    for number, line in enumerate(page.read_text().split("\n"), 1):
        if line.lstrip().startswith("```"):
            is_fenced = not is_fenced
        if line.strip() and not line.startswith(" "):
            opener = line
        is_item = re.match(r"[-*+] |[0-9]+\. ", opener) is not None
        if not is_fenced and line.startswith("    ") and not before.strip() and not is_item:
            yield number
        before = line


@dataclass
class Command:
    text: str
    output: list[str]

    def reason(self) -> str | None:
        """Return why the command is not run, or None."""
        return next((reason for pattern, reason in NOT_RUN.items() if re.match(pattern, self.text)), None)


def commands(block: Block) -> list[Command]:
    found: list[Command] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            text, _, _ = line[2:].partition("  # ")
            found.append(Command(text.strip(), []))
        else:
            assert found, f"{block}: begin with a command: $ …"
            found[-1].output.append(line)
    return found


class Session:
    """Run the blocks of a page in an empty folder and one shell.

    environment: the settings of a local set, for pages that do not start one.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._port = str(free_port())
        self._replaced = {
            "https://users.example.com": f"http://127.0.0.1:{self._port}",
            "8000": self._port,
            "8001": str(free_port()),
            "scripts/demo ": "python -m clerk_convex.local --demo ",
        }
        self._environment = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(folder),
            "PYTHONPATH": str(ROOT),
            "LC_ALL": "C.UTF-8",
            "DJANGO_SETTINGS_MODULE": "django_project",
            **environment,
        }
        (folder / "examples").symlink_to(ROOT / "examples")
        (folder / "package.json").write_text("{}")  # a Convex project has one
        (folder / "django_project.py").write_text(DJANGO_PROJECT)

    def run(self, found: Sequence[Block]) -> None:
        script = [PRELUDE]
        expected: list[tuple[Block, Command]] = []
        programs: list[str] = []
        for number, block in enumerate(found):
            if block.file is not None:
                path = self._folder / block.file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(self._replace(block.text))
            steps: list[Command] = []
            if block.language == "python":
                (self._folder / f".block{number}.py").write_text(self._replace(block.text))
                programs.append(f".block{number}.py")
                if number + 1 < len(found) and found[number + 1].language == "python":
                    continue  # those that follow each other share a process: starting one takes the time
                steps = [Command(f"python -m tests.support.documents exec {' '.join(programs)}", [])]
                programs = []
            elif block.language == "console":
                steps = commands(block)
            for command in steps:
                if command.reason() is None:
                    script.append(self._step(len(expected), command.text))
                    expected.append((block, command))
        (self._folder / ".script").write_text("\n".join(script))
        outputs = self._run_script()
        for number, (block, command) in enumerate(expected):
            assert number in outputs, f"{block}: {command.text} was not reached"
            status, output = outputs[number]
            complaint = f"{block}: {command.text}\nexited with {status} and printed:\n{output}"
            assert status == 0, complaint + self._errors()
            wanted = [self._replace(line) for line in command.output]
            assert matches(wanted, output), complaint + "\nand not:\n" + "\n".join(wanted)

    def _replace(self, text: str) -> str:
        for name, value in self._replaced.items():
            text = text.replace(name, value)
        return text

    def _step(self, number: int, command: str) -> str:
        text = self._replace(command)
        if SERVER.match(text):
            log = f".server{number}"
            text = f"{text} > {log} 2>&1 & wait_for {log}; cat {log}"
        return f"printf '\\n@@ {number}\\n'; {{ {text}\n}} 2>> .errors; printf '\\n@@ status %s\\n' $?"

    def _run_script(self) -> dict[int, tuple[int, str]]:
        process = subprocess.Popen(
            ["bash", ".script"],  # noqa: S607
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            printed, _ = process.communicate(timeout=160)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        parts = re.split(r"\n@@ (\d+)\n", printed)
        outputs: dict[int, tuple[int, str]] = {}
        for number, part in zip(parts[1::2], parts[2::2], strict=True):
            output, _, status = part.rpartition("\n@@ status ")
            outputs[int(number)] = (int(status), output.strip("\n"))
        return outputs

    def _errors(self) -> str:
        return "\nwith the errors:\n" + (self._folder / ".errors").read_text()


def matches(wanted: Sequence[str], output: str) -> bool:
    """Return whether the output has the wanted lines.

    "…" stands for any text in a line; a line of its own stands for any number of lines. Without wanted lines,
    any output matches.
    """
    if not wanted:
        return True
    lines = [r"(?:[^\n]*\n)*?" if it == "…" else re.escape(it).replace("…", "[^\n]*") + "\n" for it in wanted]
    return (
        re.fullmatch("".join(lines), "\n".join(line.rstrip() for line in output.split("\n")) + "\n")
        is not None
    )


DJANGO_PROJECT = """
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = __name__
SECRET_KEY = "of a test"
urlpatterns = []
"""

# Shell functions, because an activated virtual environment puts its programs first on PATH.
PRELUDE = f"""
stand_in() {{ {shlex.quote(sys.executable)} -m tests.support.documents "$@"; }}
pip() {{ stand_in pip "$@"; }}
npm() {{ stand_in npm "$@"; }}
npx() {{ stand_in npx "$@"; }}
python3() {{ if [ "$1 $2" = "-m venv" ]; then ln -s {shlex.quote(sys.prefix)} "$3"; else python "$@"; fi; }}
wait_for() {{
  for _ in $(seq 600); do grep -qE {shlex.quote(READY)} "$1" && return; sleep 0.1; done
  return 1
}}
stop() {{ kill $(jobs -p) 2> /dev/null; wait; }}
trap stop EXIT
touch .errors
"""


# Stand-ins that the session's shell calls


def stand_in_for_pip(arguments: Sequence[str]) -> None:
    """Check `pip install REQUIREMENT`: it is a checkout of this project, and its extras exist."""
    verb, *requirements = arguments
    assert verb == "install"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for requirement in (it for it in requirements if it != "--upgrade"):
        named = re.fullmatch(r"(/path/to/clerk-convex|\.)(?:\[([\w,]+)\])?", requirement)
        assert named, requirement
        extras = set((named[2] or "").split(",")) - {""}
        assert extras <= project["optional-dependencies"].keys(), requirement


def stand_in_for_npm(arguments: Sequence[str]) -> None:
    """Check `npm install [PACKAGE…]`, `npm pack` and `npm run SCRIPT` against this project's package.json."""
    match arguments:
        case ["install", *rest]:
            package = json.loads((ROOT / "package.json").read_text())
            versions = package["devDependencies"]
            for name in (it for it in rest if not it.startswith("-")):
                if name.endswith(".tgz"):
                    assert Path(name).is_file(), name
                    continue
                name, _, version = name.partition("@")
                assert name in versions or (ROOT / "node_modules" / name).is_dir(), name
                assert version in {"", versions.get(name)}, f"{name}@{version}, and not {versions.get(name)}"
            if not Path("node_modules").exists():
                Path("node_modules").symlink_to(ROOT / "node_modules")
        case ["pack", "--workspace", folder]:
            package = json.loads((ROOT / folder / "package.json").read_text())
            Path(f"{package['name']}-{package['version']}.tgz").touch()
        case ["run", script]:
            assert script in json.loads(Path("package.json").read_text())["scripts"], script
        case _:
            raise AssertionError(arguments)


def stand_in_for_npx(arguments: Sequence[str]) -> None:
    """Run `npx convex run [--prod] FUNCTION [ARGUMENTS]` at the local Convex, which validates arguments."""
    tool, verb, *rest = (it for it in arguments if it != "--prod")
    assert (tool, verb) == ("convex", "run")
    path, given = rest[0], json.loads(rest[1]) if len(rest) > 1 else {}
    headers = {
        "Authorization": f"Convex {os.environ['CONVEX_DEPLOY_KEY']}",
        "Content-Type": "application/json",
    }
    body = json.dumps({"path": path, "args": given, "format": "json"}).encode()
    for kind in ("mutation", "query"):
        request = Request(f"{os.environ['CONVEX_URL']}/api/{kind}", body, headers)  # noqa: S310
        with urlopen(request, timeout=30) as response:  # noqa: S310
            answer = json.load(response)
        if answer.get("status") == "success":
            print(json.dumps(answer["value"]))  # noqa: T201
            return
    raise AssertionError(answer)


def run_python(path: Path) -> None:
    """Run a Python block, also with `await` at its top level. Check the routes of its `app`, if any."""
    text = path.read_text()
    code = compile(text, path.name, "exec", flags=PyCF_ALLOW_TOP_LEVEL_AWAIT)
    module = sys.modules[path.stem] = ModuleType(path.stem)  # frameworks look up the module of a handler
    names = module.__dict__

    async def run() -> None:
        if inspect.iscoroutine(result := eval(code, names)):  # noqa: S307
            await result
        if "app" in names:
            await _check_app(names["app"], text)

    asyncio.run(run())


async def _check_app(app: Any, text: str) -> None:
    """Check that the routes are at a documented path and refuse a request without credentials."""
    import httpx

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
        if "webhook_route(" in text:
            paths = ("/webhooks/clerk", "/hooks/clerk", "/auth/webhooks/clerk", "/v1/webhooks/clerk")
            answers = [await client.post(path, content=b"{}") for path in paths]
            assert [it.status_code for it in answers if it.status_code != 404] == [400], answers
        if "user_routes(" in text:
            answers = [await client.get(path) for path in ("/api/users", "/v1/api/users")]
            assert [it.status_code for it in answers if it.status_code != 404] == [401], answers


if __name__ == "__main__":
    command, *rest = sys.argv[1:]
    if command == "exec":
        for name in rest:
            run_python(Path(name))
    else:
        {"pip": stand_in_for_pip, "npm": stand_in_for_npm, "npx": stand_in_for_npx}[command](rest)
