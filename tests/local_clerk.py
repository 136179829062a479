"""A local Clerk whose server is a thread of the tests' process, where it can be looked into."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from clerk_convex.local.clerk_instance import ClerkInstance
from clerk_convex.local.clerk_server import running
from clerk_convex.local.listener import listen

CONTROL_KEY = "control"


@contextmanager
def served(**options: Any) -> Iterator[ClerkInstance]:
    clerk = ClerkInstance(**options)
    with listen(0, "The local Clerk") as listener, running(clerk, listener, CONTROL_KEY):
        yield clerk
