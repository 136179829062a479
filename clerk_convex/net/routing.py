"""Routes that work the same in Starlette, in FastAPI, under a mount and behind a prefix.

Frameworks copy the public attributes of a route (path, endpoint, name) and compile the path again; FastAPI's
`include_router` does. Behaviour in an overridden method would be lost. So the path itself carries it, as a
Starlette convertor, and the endpoint reads from the scope what the convertor matched.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Any

from starlette.convertors import Convertor, register_url_convertor
from starlette.datastructures import URLPath
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketClose

__all__ = ["NEEDS_ASYNCIO", "DoorRoute", "Endpoint", "is_on_asyncio", "rest_of_path"]

NEEDS_ASYNCIO = (
    "clerk_convex needs asyncio, and this server runs its requests on another event loop, trio for example."
    " Start the server with asyncio: `hypercorn --worker-class asyncio`."
)

_REST = "clerk_path"


class _Rest(Convertor[str]):
    """A convertor for the rest of a path. It ends with `\\Z` because `$` would allow a line feed after it."""

    def __init__(self, regex: str) -> None:
        self.regex = regex + r"\Z"  # type: ignore[misc]  # a ClassVar to Starlette, read from the instance

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


class _RestOfRoot(_Rest):
    """The rest below "/". That slash is part of the route's path, so the matched text lacks it."""

    def convert(self, value: str) -> str:
        return f"/{value}"

    def to_string(self, value: str) -> str:
        return value.removeprefix("/")


# Any number of slashes: if "//" did not match, Starlette would redirect it.
register_url_convertor("clerk_slashes", _Rest("/*"))
# Matches /api/users and /api/users/x, but not /api/usersx.
register_url_convertor("clerk_below", _Rest("(?:/(?s:.*))?"))
register_url_convertor("clerk_below_root", _RestOfRoot("(?s:.*)"))


class Endpoint(ABC):
    """An ASGI application with a `__name__`, which middleware and instrumentation ask an endpoint for.

    It is not a function because Starlette wraps functions in a handler that instrumentation may hook to read
    the body first.
    """

    def __init__(self, name: str) -> None:
        self.__name__ = self.__qualname__ = name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":  # only if the endpoint itself is mounted
            await WebSocketClose()(scope, receive, send)
        else:
            await self.serve(scope, receive, send)

    @abstractmethod
    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer an HTTP request."""


class DoorRoute(Route):
    """A route to `endpoint` at `path`, with and without a slash at the end.

    takes_below: also route every path below `path` to the endpoint.
    """

    def __init__(self, path: str, endpoint: Endpoint, *, takes_below: bool = False) -> None:
        path = path.rstrip("/")
        convertor = "clerk_below" if takes_below else "clerk_slashes"
        if not path:
            path, convertor = "/", "clerk_below_root" if takes_below else "clerk_slashes"
        super().__init__(
            f"{path}{{{_REST}:{convertor}}}", endpoint, name=endpoint.__name__, include_in_schema=False
        )

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        return super().url_path_for(name, **{_REST: "", **path_params})


def rest_of_path(scope: Scope) -> str:
    """Return the part of the request's path below the DoorRoute: "", or text that begins with a slash.

    If a framework mounts the endpoint without its route, return the part after the mount.
    """
    rest: str | None = scope.get("path_params", {}).get(_REST)
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", "")) if rest is None else rest


def is_on_asyncio() -> bool:
    """Return whether the caller runs on asyncio, and not on trio for example."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
