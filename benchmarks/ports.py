"""A port for a server that starts later."""

from __future__ import annotations

import contextlib
import secrets
import socket

__all__ = ["free_port"]

FIRST, COUNT = 10_000, 22_000  # below the ports that Linux chooses by itself, also for outgoing connections
_given: set[int] = set()


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody uses, nor is likely to take before the server starts."""
    while True:
        port = FIRST + secrets.randbelow(COUNT)
        if port in _given:
            continue
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            _given.add(port)
            return port
