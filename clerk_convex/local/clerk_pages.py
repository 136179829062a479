"""The local Clerk's side for browsers and verifiers: what needs no secret key."""

import re
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from clerk_convex.local.clerk_api import create_api
from clerk_convex.local.clerk_http import Troubled, answer, on_http_error, on_refusal
from clerk_convex.local.clerk_objects import ClerkRefusal

if TYPE_CHECKING:
    from clerk_convex.local.clerk import LocalClerk

__all__ = ["create_app"]

PUBLIC = re.compile(r"/sign-in|/v1/client(/.*)?|/\.well-known/.*")
EVERYONE = {"access-control-allow-origin": "*"}


class _Frontend:
    def __init__(self, clerk: "LocalClerk") -> None:
        self._clerk = clerk

    def jwks(self, request: Request) -> Response:
        response = answer(self._clerk.jwks())
        response.headers.update(EVERYONE)
        return response

    async def configuration(self, request: Request) -> Response:
        issuer = self._clerk.issuer
        response = answer(
            {
                "issuer": issuer,
                "jwks_uri": f"{issuer}/.well-known/jwks.json",
                "authorization_endpoint": f"{issuer}/oauth/authorize",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
            }
        )
        response.headers.update(EVERYONE)
        return response


def create_app(clerk: "LocalClerk") -> ASGIApp:
    """The ASGI application that serves all of `clerk`: what is not public is the Backend API's."""
    frontend = _Frontend(clerk)
    public = Starlette(
        routes=[
            Route("/.well-known/jwks.json", frontend.jwks),
            Route("/.well-known/openid-configuration", frontend.configuration),
        ],
        exception_handlers={ClerkRefusal: on_refusal, HTTPException: on_http_error},
    )
    browsers, backends = Troubled(public, lambda: clerk.frontend_faults), create_api(clerk)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        mine = PUBLIC.fullmatch(scope["path"])
        await (browsers if mine else backends)(scope, receive, send)

    return app
