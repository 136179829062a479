"""Run a local Clerk in a thread of the test process, so that a test can inspect its state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from clerk_convex.local.clerk.instance import ClerkInstance
from clerk_convex.local.clerk.server import running
from clerk_convex.local.listener import listen

CONTROL_KEY = "control"


@contextmanager
def served(**options: Any) -> Iterator[ClerkInstance]:
    clerk = ClerkInstance(**options)
    with listen(0, "The local Clerk") as listener, running(clerk, listener, CONTROL_KEY):
        yield clerk
