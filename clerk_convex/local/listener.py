"""The sockets that the local parts listen on."""

import socket

from clerk_convex.errors import LocalError

__all__ = ["listen"]


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
