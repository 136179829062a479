"""Clerk, the service and Convex on this machine, started and stopped together."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import uvicorn
from starlette.applications import Starlette

from clerk_convex.errors import LocalError
from clerk_convex.local.clerk import LocalClerk
from clerk_convex.local.deployment import LocalConvex
from clerk_convex.settings import Settings
from clerk_convex.webhook import webhook_route

__all__ = ["LocalStack"]

WEBHOOK_PATH = "/webhooks/clerk"


class LocalStack:
    """A local Clerk whose webhooks reach `clerk_convex.app`, which writes to a local Convex.

    Ports on 127.0.0.1, 0 is any free one: `port` of the service, `convex_port`, `clerk_port`. `speed` divides
    the schedule on which webhooks are retried. `project` is a directory with `convex/` and `node_modules/`.

    `start` raises LocalError if a part cannot be started, and leaves none running then.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        convex_port: int = 0,
        clerk_port: int = 0,
        speed: float = 1000.0,
        project: Path | None = None,
    ) -> None:
        self.port = port
        self.convex_port = convex_port
        self.clerk_port = clerk_port
        self.speed = speed
        self.project = project

    def start(self) -> None:
        with ExitStack() as parts:
            listener = parts.enter_context(_listen(self.port))
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            self.clerk = LocalClerk(
                port=self.clerk_port, webhook_url=self.url + WEBHOOK_PATH, speed=self.speed
            )
            parts.enter_context(self.clerk)
            issuer = {"CLERK_JWT_ISSUER_DOMAIN": self.clerk.issuer}
            self.convex = LocalConvex(port=self.convex_port, project=self.project, env=issuer)
            parts.enter_context(self.convex)
            parts.enter_context(_Service(Settings.from_env(self.environment()), listener))
            self._parts = parts.pop_all()

    def stop(self) -> None:
        self._parts.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def environment(self) -> Mapping[str, str]:
        """The settings, by their names in the environment, with which any program reaches this set."""
        return {
            "CONVEX_URL": self.convex.url,
            "CONVEX_DEPLOY_KEY": self.convex.deploy_key,
            "CLERK_API_URL": self.clerk.url,
            "CLERK_SECRET_KEY": self.clerk.secret_key,
            "CLERK_WEBHOOK_SIGNING_SECRET": self.clerk.webhook_secret,
            "CLERK_JWT_ISSUER_DOMAIN": self.clerk.issuer,
            "WEBHOOK_URL": self.url + WEBHOOK_PATH,
        }


class _Service:
    """`clerk_convex.app` in a thread of this process."""

    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        app = Starlette(routes=[webhook_route(settings=settings)])
        config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, args=([listener],), name="local-service", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        while not self._server.started:
            time.sleep(0.005)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(3.0)


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError as error:
        raise LocalError(
            f"The service cannot listen on port {port} ({error.strerror}): "
            "stop the program that uses it, or choose another with --port."
        ) from error
