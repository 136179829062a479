"""The routes for probes: whether the process runs, and whether it can do its work."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import cached_property

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from clerk_convex.convex.writer import Status
from clerk_convex.errors import SettingsError
from clerk_convex.following import follow_in_background
from clerk_convex.net.routing import NEEDS_ASYNCIO, is_on_asyncio
from clerk_convex.service import Service, service_finder
from clerk_convex.settings import AdminSettings, Settings, WebhookSettings

__all__ = ["health_routes"]

logger = logging.getLogger("clerk_convex")

_HOUR = 3600.0  # seconds


def health_routes(*, settings: Settings | None = None, service: Service | None = None) -> list[BaseRoute]:
    """Return the routes `/healthz` and `/readyz` for the probes of a platform.

        app = Starlette(routes=[webhook_route(), *health_routes()])

    settings: those of the webhook route. By default they are read from the environment with the first
        request.
    service: the service of the webhook route, in place of `settings`.

    `GET /healthz` answers 200: the process runs. `GET /readyz` answers 200 if the settings of the webhook are
    valid, else 503. The state of Convex and of user management is in its body only.

    The routes work under a mount or a prefix, and need no lifespan. They are for everyone: their answers hold
    no setting and nothing about a user.
    """
    health = _Health(settings, service)
    return [
        Route("/healthz", health.healthz, name="clerk_healthz", include_in_schema=False),
        Route("/readyz", health.readyz, name="clerk_readyz", include_in_schema=False),
    ]


class _Health:
    """The endpoints. They find the service that the other routes with the same settings share."""

    def __init__(self, settings: Settings | None, service: Service | None) -> None:
        self._find_webhook = service_finder(service, settings, WebhookSettings)
        self._find_admin = service_finder(service, settings, AdminSettings)
        self._logged: set[str] = set()

    async def healthz(self, request: Request) -> JSONResponse:
        """Answer 200: the process runs."""
        return JSONResponse({"status": "ok"})

    async def readyz(self, request: Request) -> JSONResponse:
        """Answer 200 if the settings of the webhook are valid, else 503.

        The state of Convex is in the body only: its outage must not take every replica out of service. So is
        the state of user management: webhooks work without it.

        `functions` says whether the functions in Convex are of this version: "ok", "older" or "newer".
        `refused` is the number of users with a change that was refused, up to a minute old, and null while it
        is not known.

        `follow_age` is the seconds since a follower last finished a pass, as far as this process knows. It is
        null if the process does not follow.

        The endpoint is public. So the log says what is wrong, and the body does not. `last_event_at` (Unix
        seconds) is rounded down to the hour: it shows that webhooks arrive, but not when somebody signed in.
        """
        is_ready = self._is_valid(self._check_webhook, "The webhook")
        if is_ready:
            self._webhook.functions.start()  # in the background: the next answer knows
            follow_in_background(self._webhook)
        status = self._webhook.writer_status if is_ready else None
        last_event_at = self._webhook.last_event_at if is_ready else None
        last_follow_at = self._webhook.last_follow_at if is_ready else None
        body = {
            "status": "ready" if is_ready else "not ready",
            "user_management": "ready" if self._is_valid(self._check_admin, "User management") else "off",
            "convex": None if status is None else _convex(status),
            "functions": self._webhook.functions.state if is_ready else None,
            "refused": self._webhook.ledger.refused if is_ready else None,
            "follow_age": None if last_follow_at is None else round(time.time() - last_follow_at),
            "last_event_at": None if last_event_at is None else last_event_at // _HOUR * _HOUR,
        }
        return JSONResponse(body, 200 if is_ready else 503)

    @cached_property
    def _webhook(self) -> Service:
        return self._find_webhook()

    @cached_property
    def _admin(self) -> Service:
        return self._find_admin()

    def _check_webhook(self) -> None:
        _require_asyncio()
        self._webhook.settings.require(WebhookSettings)

    def _check_admin(self) -> None:
        _require_asyncio()
        self._admin.settings.require(AdminSettings)
        self._admin.limiter  # noqa: B018 - checks the address of Redis

    def _is_valid(self, check: Callable[[], None], what: str) -> bool:
        """Return whether the settings of a part are valid. Log each problem once."""
        try:
            check()
        except SettingsError as error:
            text = f"{what} is off: {error}"
            if text not in self._logged:
                self._logged.add(text)
                logger.warning("%s", text)
            return False
        return True


def _require_asyncio() -> None:
    if not is_on_asyncio():
        raise SettingsError(NEEDS_ASYNCIO)


def _convex(status: Status) -> str | None:
    """Return "ok" or "failing", by the last write; None before the first.

    A refused change counts as "ok": Convex has answered.
    """
    if status.last_success is None and status.last_error is None:
        return None
    failed_at = 0.0 if status.last_error in {None, "ChangeRefused"} else status.last_error_at or 0.0
    return "failing" if failed_at > (status.last_success or 0.0) else "ok"
