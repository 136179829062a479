"""What the routes of a process share, and what each of its event loops has of its own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Generic, TypeVar, cast

from pydantic import SecretStr

from clerk_convex.convex.client import Deployment
from clerk_convex.convex.writer import Writer
from clerk_convex.settings import Settings

__all__ = ["PerLoop", "writers"]

T = TypeVar("T")


class PerLoop(Generic[T]):
    """One of something for each event loop of each process, made when it is first asked for.

    By process and loop, because a forked child must not share its parent's connections.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: dict[tuple[int, asyncio.AbstractEventLoop], T] = {}

    def get(self) -> T:
        """The running loop's."""
        here = os.getpid(), asyncio.get_running_loop()
        if here not in self._made:
            for process, loop in list(self._made):
                if loop.is_closed():
                    self._made.pop((process, loop), None)
            self._made[here] = self._make()
        return self._made[here]

    @property
    def made(self) -> T | None:
        """The running loop's; None if it was not asked for so far."""
        return self._made.get((os.getpid(), asyncio.get_running_loop()))

    def __len__(self) -> int:
        return len(self._made)


_writers: dict[tuple[str, str, str], PerLoop[Writer]] = {}


def writers(settings: Settings) -> PerLoop[Writer]:
    """The writers into the deployment of `settings`, which must have CONVEX_URL and CONVEX_DEPLOY_KEY.

    Whoever writes to one deployment from one loop shares one writer: what it knows of Convex's troubles
    holds for all of them, and their changes leave together.
    """
    url, module = str(settings.convex_url), settings.convex_users_module
    deploy_key = cast("SecretStr", settings.convex_deploy_key).get_secret_value()
    found = _writers.get((url, deploy_key, module))
    if found is None:
        found = PerLoop(lambda: Writer(Deployment(url, deploy_key), module=module))
    return _writers.setdefault((url, deploy_key, module), found)
