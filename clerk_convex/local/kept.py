"""Keep the ports and keys of a folder's local set, so that they are the same in each run."""

from __future__ import annotations

import fcntl
import json
import os
import random
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path

from clerk_convex.errors import LocalError
from clerk_convex.local.clerk.svix import new_secret
from clerk_convex.local.clerk.tokens import new_secret_key
from clerk_convex.local.convex.deployment import new_deploy_key

__all__ = ["Kept", "kept"]

FOLDER = ".clerk-convex"
PORTS = range(20_000, 32_000)  # below those that systems give to clients, which would now and then be in use


@dataclass(frozen=True, slots=True)
class Kept:
    """The ports and keys of a set. A port of 0 is a free one."""

    port: int
    convex_port: int
    clerk_port: int
    deploy_key: str
    secret_key: str
    webhook_secret: str


@contextmanager
def kept(project: Path, say: Callable[[str], object]) -> Iterator[Kept]:
    """Yield the ports and keys of the set of `project`, new ones in its first run.

    They are in a file that git ignores and only its owner can read. While the context is open, a second set
    of this folder gets others. A port that is in use is replaced by a free one. `say` gets a line about each.

    Raises LocalError if the file is there and cannot be read.
    """
    path = project / FOLDER / "local.json"
    try:
        descriptor = _open(path)
    except OSError as error:
        say(f"{path} cannot be written ({error.strerror}): this run has ports and keys of its own.")
        yield _new(0, 0, 0)
        return
    with os.fdopen(descriptor, "r+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another set of this folder is up: this one has ports and keys of its own.")
            yield _new(0, 0, 0)
            return
        text = file.read()
        if text:
            mine = _read(path, text)
        else:
            mine = _new(*islice(filter(_is_free, random.sample(PORTS, len(PORTS))), 3))
            json.dump(asdict(mine), file)
            file.flush()
        yield _with_free_ports(mine, say)


def _open(path: Path) -> int:
    """Open the file, made with its folder if it is not there. Only its owner can read it."""
    path.parent.mkdir(exist_ok=True)
    ignored = path.parent / ".gitignore"
    if not ignored.exists():
        ignored.write_text("*\n", encoding="utf-8")
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def _new(port: int, convex_port: int, clerk_port: int) -> Kept:
    return Kept(port, convex_port, clerk_port, new_deploy_key(), new_secret_key(), new_secret())


def _read(path: Path, text: str) -> Kept:
    try:
        found = Kept(**json.loads(text))
        kinds = [type(value) for value in asdict(found).values()]
    except (ValueError, TypeError):
        kinds = []
    if kinds != [int, int, int, str, str, str]:
        raise LocalError(f"{path} is damaged: delete it, and the next run makes new ports and keys.")
    return found


def _with_free_ports(mine: Kept, say: Callable[[str], object]) -> Kept:
    """Return `mine` with 0 in place of each port that another program listens on."""

    def free(port: int) -> int:
        if _is_free(port):
            return port
        say(f"Port {port}, which this folder's set had before, is in use: this run has another one.")
        return 0

    return replace(
        mine, port=free(mine.port), convex_port=free(mine.convex_port), clerk_port=free(mine.clerk_port)
    )


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
