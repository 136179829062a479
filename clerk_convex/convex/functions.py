"""The version of the functions that Convex runs, compared with the version of this package."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from convex.values import ConvexValue

from clerk_convex.convex.client import Deployment, FunctionMissing
from clerk_convex.errors import DeploymentError

__all__ = ["About", "FunctionsCheck", "is_newer", "read_about", "to_about"]

logger = logging.getLogger("clerk_convex")

_EVERY = 600.0  # seconds between two checks
_SOON = 60.0  # the same after a difference or a failure
_DELAY = 1.0  # seconds until a check starts: events come first


@dataclass(frozen=True, slots=True)
class About:
    """The version of the deployed functions. columns: those of a user that a change may name."""

    version: str
    columns: frozenset[str]


async def read_about(deployment: Deployment, module: str) -> About | None:
    """Return what the deployed functions say, or None if they have no `about`: they are older, or not there.

    Raises DeploymentError.
    """
    try:
        return to_about(await deployment.send("query", f"{module}:about", b"{}"))
    except FunctionMissing:
        return None


def to_about(answer: ConvexValue) -> About | None:
    """Return the answer of `about`, or None if it is none."""
    match answer:
        case {"version": str(version), "columns": [*columns]}:
            return About(version, frozenset(map(str, columns)))
    return None


def is_newer(one: str, other: str) -> bool:
    """Return whether a version is newer than another, by its numbers."""
    first, second = ([int(number) for number in re.findall(r"\d+", text)[:3]] for text in (one, other))
    return first > second


class FunctionsCheck:
    """Asks the deployed functions for their version every ten minutes, and logs a difference once.

    It only informs: a check that fails changes nothing, and no event waits for one.
    """

    def __init__(self, find_deployment: Callable[[], Deployment], module: str, version: str) -> None:
        self.state: Literal["ok", "older", "newer"] | None = None
        """How the functions compare with this package. None: not known yet."""
        self._find_deployment = find_deployment
        self._module = module
        self._version = version
        self._due_at = float("-inf")
        self._logged: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Let a check start in the background in a moment, if one is due."""
        now = time.monotonic()
        if now >= self._due_at:
            self._due_at = now + _SOON
            asyncio.get_running_loop().call_later(_DELAY, self._start)

    def _start(self) -> None:
        task = asyncio.get_running_loop().create_task(self._check())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _check(self) -> None:
        try:
            about = await read_about(self._find_deployment(), self._module)
        except DeploymentError:  # whoever writes to Convex logs it
            return
        remedy = "Run clerk-convex init --upgrade in the Convex project, then npx convex deploy."
        if about is None:
            self.state = "older"
            found = f"older than {self._version}, or not those that CONVEX_USERS_MODULE names"
        elif about.version == self._version:
            self.state = "ok"
            self._due_at = time.monotonic() + _EVERY
            return
        else:
            found = f"of version {about.version}, and this package is {self._version}"
            self.state = "newer" if is_newer(about.version, self._version) else "older"
            if self.state == "newer":
                remedy = "Upgrade it: pip install -U clerk-convex."
        text = f"The functions in Convex are {found}. {remedy}"
        if text not in self._logged:
            self._logged.add(text)
            logger.warning("%s", text)
