"""Run an instance in the process that LocalClerk starts: `python -m clerk_convex.local.clerk.server`.

The first line of stdin is JSON: `options` of the ClerkInstance, `descriptor` of the socket to listen on,
`control_key`, and `parent`, the id of the parent process. This process ends when the parent does.
"""

import json
import os
import select
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from clerk_convex.local.clerk.control import with_control
from clerk_convex.local.clerk.instance import ClerkInstance
from clerk_convex.local.clerk.pages import create_app
from clerk_convex.local.listener import serving

__all__ = ["main", "running"]

LOOK_EVERY = 0.5  # seconds


@contextmanager
def running(clerk: ClerkInstance, listener: socket.socket, control_key: str) -> Iterator[None]:
    """Serve an instance in this process, and deliver its webhooks."""
    clerk.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    app = with_control(create_app(clerk), clerk, control_key)
    # WithFaults sends the Date header; uvicorn's own may be a second late.
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
        return  # the parent has ended
    configuration = json.loads(line)
    listener = socket.socket(fileno=configuration["descriptor"])
    with running(ClerkInstance(**configuration["options"]), listener, configuration["control_key"]):
        # stdin stays open if a fork of the parent holds its other end. The parent's id changes in any case.
        while os.getppid() == configuration["parent"]:
            if select.select([stdin], [], [], LOOK_EVERY)[0]:
                break


if __name__ == "__main__":
    main(sys.stdin.buffer)
