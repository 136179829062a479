"""Open sockets on 127.0.0.1 for the local parts, and serve ASGI applications on them."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from starlette.types import ASGIApp

from clerk_convex.errors import LocalError

__all__ = ["NO_TLS", "listen", "serving"]

# Seconds that a connection is kept. httpx keeps one for 5, and so would uvicorn: now and then httpx would
# send a request at the moment when the server closes, and get no answer.
_IDLE = 75

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients of the local parts, whose addresses are http. For its default, httpx reads the machine's
certificates, which takes 20 ms a client."""


def listen(port: int, name: str) -> socket.socket:
    """Return a listening socket on 127.0.0.1. `port` 0 takes a free port.

    Raises LocalError, which names the part `name`, if the port is in use.
    """
    try:
        listener = socket.create_server(("127.0.0.1", port))
    except OSError as error:
        raise LocalError(
            f"{name} cannot listen on port {port} ({error.strerror}): "
            "stop the program that uses it, or choose another port."
        ) from error
    # asyncio sets TCP_NODELAY only on sockets whose protocol number is set, and this one's is 0. Without it
    # the body of an answer waits 40 ms for the client's delayed ACK of the head.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


@contextmanager
def serving(app: ASGIApp, listener: socket.socket, name: str, **options: Any) -> Iterator[threading.Thread]:
    """Serve `app` in a thread while the context is open. `options` go to uvicorn.

    At the end, requests in progress have one second to finish. Raises LocalError, which names the part
    `name`, if the server ends while it starts.
    """
    import uvicorn  # here, because what only calls the local parts needs no server

    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=_IDLE,
        **options,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), name="local-server", daemon=True)
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise LocalError(f"{name} ended while it was started; the log says why.")
            time.sleep(0.005)
        yield thread
    finally:
        server.should_exit = True
        thread.join(3.0)
