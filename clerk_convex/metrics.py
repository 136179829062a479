"""The route for Prometheus. It needs the extra `metrics` and CLERK_CONVEX_METRICS_TOKEN."""

from __future__ import annotations

import logging
import secrets
from functools import cached_property

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from clerk_convex.errors import SettingsError
from clerk_convex.net.routing import NEEDS_ASYNCIO, is_on_asyncio
from clerk_convex.service import Service, service_finder
from clerk_convex.settings import Settings

__all__ = ["metrics_routes"]

logger = logging.getLogger("clerk_convex")


def metrics_routes(*, settings: Settings | None = None, service: Service | None = None) -> list[BaseRoute]:
    """Return the route `/metrics`, from which Prometheus reads how the synchronization goes.

        app = Starlette(routes=[webhook_route(), *metrics_routes()])

    settings: those of the other routes, with CLERK_CONVEX_METRICS_TOKEN. By default they are read from the
        environment with the first request.
    service: the service of the other routes, in place of `settings`.

    The service counts only if CLERK_CONVEX_METRICS_TOKEN is set; a caller must send it, `Authorization:
    Bearer …`. Without it the route answers 404, so that a service publishes nothing by accident. The answer
    holds nothing about a user.

    The route works under a mount or a prefix, and needs no lifespan.
    """
    endpoint = _Metrics(settings, service)
    return [Route("/metrics", endpoint.metrics, name="clerk_metrics", include_in_schema=False)]


class _Metrics:
    """The endpoint. It finds the service that the other routes with the same settings share."""

    def __init__(self, settings: Settings | None, service: Service | None) -> None:
        self._find_service = service_finder(service, settings, Settings)
        self._logged: set[str] = set()

    @cached_property
    def _service(self) -> Service:
        return self._find_service()

    async def metrics(self, request: Request) -> Response:
        """Answer with the metrics, if the caller sends the token."""
        try:
            service = self._service
        except SettingsError as error:
            return self._off(503, str(error))
        token = service.settings.clerk_convex_metrics_token
        if token is None:
            return self._off(404, "CLERK_CONVEX_METRICS_TOKEN is not set.")
        if not _is_allowed(request, token.get_secret_value()):
            text = "Send CLERK_CONVEX_METRICS_TOKEN in a header: Authorization: Bearer <token>."
            return JSONResponse({"error": text}, 401, {"WWW-Authenticate": "Bearer"})
        if service.metrics is None:
            return self._off(503, "prometheus-client is not installed: pip install 'clerk-convex[metrics]'.")
        if not is_on_asyncio():
            return self._off(503, NEEDS_ASYNCIO)
        service.read_state()
        return Response(service.metrics.render(), media_type=service.metrics.content_type)

    def _off(self, status: int, why: str) -> Response:
        """Log once why there are no metrics. The caller may be anyone, so the answer does not say it."""
        if why not in self._logged:
            self._logged.add(why)
            logger.warning("GET /metrics answers %d: %s", status, why)
        text = "There is nothing here." if status == 404 else "There are no metrics. The log says why."
        return JSONResponse({"error": text}, status)


def _is_allowed(request: Request, token: str) -> bool:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and secrets.compare_digest(given.strip().encode(), token.encode())
