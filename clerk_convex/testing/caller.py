"""Call the service and Convex as a signed-in user."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Any

import httpx
from convex import ConvexClient

from clerk_convex.local.listener import NO_TLS

if TYPE_CHECKING:
    from clerk_convex.local.stack import LocalStack

__all__ = ["Caller"]

_HOUR = 3600.0  # seconds; the token of a websocket is not renewed


class Caller:
    """A user with a session, as a browser is one.

        users = caller.convex.query("users:getUsers", {"paginationOpts": {"numItems": 25, "cursor": None}})
        answer = caller.http.post(f"/api/users/{user_id}/ban")

    A test gets callers from the fixtures `as_user` and `as_admin`.
    """

    id: str
    """The user's id at Clerk."""
    session_id: str

    def __init__(self, stack: LocalStack, user_id: str) -> None:
        self.id = user_id
        self.session_id = str(stack.clerk.sign_in(user_id)["id"])
        self._stack = stack

    def token(self, **options: Any) -> str:
        """Return a new session token. `options` are those of `LocalClerk.session_token`."""
        return self._stack.clerk.session_token(self.session_id, **options)

    @property
    def headers(self) -> dict[str, str]:
        """The header with a new session token, for any client and any service."""
        return {"Authorization": f"Bearer {self.token()}"}

    @cached_property
    def http(self) -> httpx.Client:
        """A client of the set's service. Each request has a new session token."""
        return httpx.Client(base_url=self._stack.url, auth=_Fresh(self), verify=NO_TLS, trust_env=False)

    @cached_property
    def convex(self) -> ConvexClient:
        """The official client of Convex: query, mutation, action, and subscribe over a websocket."""
        client = ConvexClient(self._stack.convex.url)
        client.set_auth(self.token(lifetime=_HOUR))
        return client

    def until(
        self,
        path: str,
        arguments: Mapping[str, Any] | None = None,
        wanted: Callable[[Any], object] = bool,
        *,
        timeout: float = 10.0,
    ) -> Any:
        """Subscribe to a query, and return its first value for which `wanted` is true.

            caller.until("users:currentUser", wanted=lambda me: me["isAdmin"])

        Raises TimeoutError after `timeout` seconds, and ConvexError if the query does.
        """
        subscription = self.convex.subscribe(path, dict(arguments or {}))
        values: list[Any] = []

        async def look() -> Any:
            async with asyncio.timeout(timeout):
                while True:
                    values.append(await anext(subscription))
                    if wanted(values[-1]):
                        return values[-1]

        # A thread, because the caller may be a coroutine, whose loop cannot run a second one.
        with ThreadPoolExecutor(1) as thread:
            try:
                return thread.submit(asyncio.run, look()).result()
            except TimeoutError:
                last = f"the last of {len(values)} was {values[-1]!r}" if values else "there was none"
                text = f"{path} had no wanted value within {timeout:g} s; {last}."
                raise TimeoutError(text) from None

    def close(self) -> None:
        """Close the connections. The fixtures do so at the end of a test."""
        if "http" in self.__dict__:
            self.http.close()
        self.__dict__.pop("convex", None)  # it closes when it is garbage


class _Fresh(httpx.Auth):
    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers.update(self._caller.headers)
        yield request
