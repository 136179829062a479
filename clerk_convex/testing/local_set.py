"""The local set as a test uses it: shortcuts to seed it, to wait for it and to look at what arrived."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from convex import ConvexClient

from clerk_convex.errors import LocalError
from clerk_convex.local.stack import LocalStack
from clerk_convex.testing.caller import Caller

__all__ = ["LocalSet"]

_PAGE = 1000


class LocalSet(LocalStack):
    """A local Clerk, the service and a local Convex, for tests: a LocalStack whose Clerk has no rate limit.

        def test_a_user_arrives(clerk_convex):
            ada = clerk_convex.clerk.create_user(first_name="Ada")
            clerk_convex.settle()
            assert clerk_convex.row(ada["id"])["firstName"] == "Ada"

    functions: the folder of the functions, as for LocalConvex.
    module: the module of the users functions, CONVEX_USERS_MODULE. None: as for LocalStack.
    env: environment variables of the functions.
    """

    def __init__(
        self,
        *,
        functions: str | Path | None = None,
        module: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        chosen = {} if module is None else {"CONVEX_USERS_MODULE": module}
        super().__init__(functions=functions, rate_limit=0, env=env, chosen=chosen)
        self._callers: list[Caller] = []

    def reset(self) -> None:
        """Return to the state after `start`, within milliseconds. Start again what a test has stopped."""
        self.sign_out()
        if self.ended() is None:
            super().reset()
        else:
            self.stop()
            self.start()

    def stop(self) -> None:
        """Stop all parts. Does nothing if none runs."""
        self.sign_out()
        self.__dict__.pop("functions", None)  # its address is another after the next start
        super().stop()

    def sign_out(self) -> None:
        """Close the connections of all callers."""
        for caller in self._callers:
            caller.close()
        self._callers.clear()

    def settle(self, timeout: float = 10.0) -> None:
        """Wait until Convex has each change that was made at Clerk.

        Raises LocalError if webhooks are still undelivered after `timeout` seconds.
        """
        if not self.clerk.webhooks.drain(timeout):
            failed = [attempt for attempt in self.clerk.webhooks.attempts if not attempt.ok]
            last = "none has failed"
            if failed:
                last = f"the last failed attempt got {failed[-1].status or 'no answer'}"
            raise LocalError(
                f"Webhooks are undelivered after {timeout:g} s: {last}. The service's log says why."
            )

    @cached_property
    def functions(self) -> ConvexClient:
        """The official client with the deploy key: query, mutation and action, also of internal functions."""
        client = ConvexClient(self.convex.url)
        client.set_admin_auth(self.convex.deploy_key)
        return client

    def rows(self) -> dict[str, dict[str, Any]]:
        """Return the rows of the users table by Clerk id. In a loose table, some rows have none."""
        functions, path = self.functions, f"{self.settings.convex_users_module}:exportUsers"
        rows: dict[str, dict[str, Any]] = {}
        options: dict[str, Any] = {"numItems": _PAGE, "cursor": None}
        while True:
            page = functions.query(path, {"paginationOpts": options})
            rows |= {row["clerkId"]: row for row in page["page"] if isinstance(row.get("clerkId"), str)}
            if page["isDone"]:
                return rows
            options["cursor"] = page["continueCursor"]

    def row(self, user_id: str) -> dict[str, Any] | None:
        """Return the row of a user, or None if there is none."""
        return self.rows().get(user_id)

    def as_user(self, user: str | Mapping[str, Any] | None = None, /, **fields: Any) -> Caller:
        """Sign a user in, and return the caller when Convex has the row.

        `user` is an id or a user of Clerk. Without one, this creates a user of `fields`, as
        `LocalClerk.create_user` takes them.
        """
        if user is None:
            user = self.clerk.create_user(**fields)
        elif fields:
            raise TypeError("Pass either a user or the fields of a new one.")
        caller = Caller(self, user if isinstance(user, str) else user["id"])
        self._callers.append(caller)
        self.settle()
        return caller

    def as_admin(self, **fields: Any) -> Caller:
        """Create an admin, by the public metadata {"role": "admin"}, and sign the admin in."""
        return self.as_user(**{"public_metadata": {"role": "admin"}, **fields})
