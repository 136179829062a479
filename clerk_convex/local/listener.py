"""The sockets that the local parts listen on, and the server behind them."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from clerk_convex.errors import LocalError

__all__ = ["listen", "serving"]


def listen(port: int, who: str) -> socket.socket:
    """A listening socket on 127.0.0.1; `port` 0 is any free one. Raises LocalError if it is taken."""
    try:
        listener = socket.create_server(("127.0.0.1", port))
    except OSError as error:
        raise LocalError(
            f"{who} cannot listen on port {port} ({error.strerror}): "
            "stop the program that uses it, or choose another port."
        ) from error
    # asyncio does so only for sockets that name their protocol, which this one does not. Without it the
    # body of an answer waits for the client's delayed ACK of its head: 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


@contextmanager
def serving(app: ASGIApp, listener: socket.socket, who: str, **options: Any) -> Iterator[threading.Thread]:
    """Serve `app` in a thread, with uvicorn's `options`; at the end for a second at most.

    `who` names it in the LocalError that is raised if it cannot be served.
    """
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1, **options)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), name="local-server", daemon=True)
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise LocalError(f"{who} ended while it was started; the log says why.")
            time.sleep(0.005)
        yield thread
    finally:
        server.should_exit = True
        thread.join(3.0)
