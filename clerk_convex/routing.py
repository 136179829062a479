"""Routes that stay right however a framework takes them.

Frameworks copy the public attributes of a route (path, endpoint, name) and compile the path anew: FastAPI's
`include_router`, for one. So what is special about these paths is written into the path itself, as a
convertor, and the endpoint reads from the scope what the convertor matched.
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
    """A part at the end of a path. `\\Z`, because Starlette's own `$` lets a line feed follow."""

    def __init__(self, regex: str) -> None:
        self.regex = regex + r"\Z"  # type: ignore[misc]  # a ClassVar to Starlette, read from the instance

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


class _RestOfRoot(_Rest):
    """Everything below "/", which the path itself begins with."""

    def convert(self, value: str) -> str:
        return f"/{value}"

    def to_string(self, value: str) -> str:
        return value.removeprefix("/")


# All slashes, not one: where "//" matches nothing, Starlette redirects it to the path without slashes.
register_url_convertor("clerk_slashes", _Rest("/*"))
# /api/users and all below it, not /api/usersand
register_url_convertor("clerk_below", _Rest("(?:/(?s:.*))?"))
register_url_convertor("clerk_below_root", _RestOfRoot("(?s:.*)"))


class Endpoint(ABC):
    """An ASGI application that middleware can name as it names functions.

    It is no function, because Starlette gives functions to instrumentation that reads the body first.
    """

    def __init__(self, name: str) -> None:
        self.__name__ = self.__qualname__ = name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":  # only where the endpoint itself is mounted
            await WebSocketClose()(scope, receive, send)
        else:
            await self.serve(scope, receive, send)

    @abstractmethod
    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers an HTTP request."""


class DoorRoute(Route):
    """A route to `endpoint` at `path`, with a slash at the end or without.

    takes_below: everything below `path` goes to the endpoint too.
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
    """What follows the path of a DoorRoute: "", or text that begins with a slash.

    Where a framework mounts the endpoint without its route, it is what follows the mount.
    """
    rest: str | None = scope.get("path_params", {}).get(_REST)
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", "")) if rest is None else rest


def is_on_asyncio() -> bool:
    """True where asyncio runs the caller."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
