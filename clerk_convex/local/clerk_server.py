"""A local Clerk in a process of its own: LocalClerk starts `python -m clerk_convex.local.clerk_server`.

The first line of its stdin is JSON: `options` of the ClerkInstance, `descriptor` of the socket to listen on,
`control_key`, and `parent`, the id of the process to end with.
"""

import json
import os
import select
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from clerk_convex.local.clerk_control import with_control
from clerk_convex.local.clerk_instance import ClerkInstance
from clerk_convex.local.clerk_pages import create_app
from clerk_convex.local.listener import serving

__all__ = ["main", "running"]

LOOK_EVERY = 0.5  # seconds


@contextmanager
def running(clerk: ClerkInstance, listener: socket.socket, control_key: str) -> Iterator[None]:
    """Serve an instance in this process, and deliver its webhooks."""
    clerk.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    app = with_control(create_app(clerk), clerk, control_key)
    # The API sends a date of its own, exact to the second.
    with serving(app, listener, "The local Clerk", date_header=False, lifespan="off", ws="none"):
        clerk.webhooks.start()
        try:
            yield
        finally:
            clerk.webhooks.close()


def main(stdin: IO[bytes]) -> None:
    """Serve until the process that holds the other end of `stdin` is gone."""
    line = stdin.readline()
    if not line:
        return  # it has gone already
    configuration = json.loads(line)
    listener = socket.socket(fileno=configuration["descriptor"])
    with running(ClerkInstance(**configuration["options"]), listener, configuration["control_key"]):
        # A fork of the parent may hold the other end open; then only its id tells that it has gone.
        while os.getppid() == configuration["parent"]:
            if select.select([stdin], [], [], LOOK_EVERY)[0]:
                break


if __name__ == "__main__":
    main(sys.stdin.buffer)
