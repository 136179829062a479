"""User management between a local Clerk and a local Convex, with two admins and an ordinary user.

No webhook is set up, so only user management and `sync` write to Convex.
"""

from __future__ import annotations

from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.types import ASGIApp

from clerk_convex import Settings, user_routes
from clerk_convex.entities.changes import Upsert
from clerk_convex.entities.users import read_user
from clerk_convex.service import Service, Timeouts
from tests.support.functions import Caller, Functions

PREFIX = "/api/users"
ORIGIN = "https://app.example.com"
NOWHERE = "http://127.0.0.1:9"


class Managed:
    """The admins Ada and Grace, the ordinary user Eve, and the settings of the routes between both ends."""

    def __init__(self, functions: Functions) -> None:
        assert functions.clerk is not None
        self.clerk = functions.clerk
        self.convex = functions.convex
        self.functions = functions
        self.timeouts = Timeouts()
        self.ada = self.sign_up("Ada", role="admin")
        self.grace = self.sign_up("Grace", role="admin")
        self.eve = self.sign_up("Eve")

    def sign_up(self, name: str, *, role: str | None = None) -> str:
        """Create a user in Clerk and Convex. Return the user's id."""
        user = self.clerk.create_user(
            first_name=name,
            email_address=[f"{name.lower()}@example.com"],
            public_metadata={} if role is None else {"role": role},
        )
        self.sync(user["id"])
        return str(user["id"])

    def sync(self, user_id: str) -> None:
        """Write a user to Convex as a webhook does."""
        user = self.clerk.get_user(user_id)
        read = read_user(user)
        self.functions.sync([Upsert(read.clerk_id, read.updated_at, 0.0, read.columns, "webhook")])

    def settings(self, **more: str) -> Settings:
        return Settings.from_env(
            {
                "CLERK_SECRET_KEY": self.clerk.secret_key,
                "CLERK_API_URL": self.clerk.url,
                "CLERK_JWT_ISSUER_DOMAIN": self.clerk.issuer,
                "CLERK_AUTHORIZED_PARTIES": ORIGIN,
                "CONVEX_URL": self.convex.url,
                "CONVEX_DEPLOY_KEY": self.convex.deploy_key,
            }
            | more
        )

    def app(self, **more: str) -> Starlette:
        service = Service(self.settings(**more), timeouts=self.timeouts)
        return Starlette(routes=[user_routes(service=service)])

    def token(self, user_id: str, **options: Any) -> str:
        session = self.clerk.sign_in(user_id)
        return self.clerk.session_token(session["id"], **{"azp": ORIGIN, **options})

    def client(self, app: ASGIApp, token: str | None = None, address: str = "192.0.2.1") -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app, client=(address, 1234))
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return httpx.AsyncClient(transport=transport, base_url="http://service" + PREFIX, headers=headers)

    def as_admin(self, app: ASGIApp | None = None, **more: str) -> httpx.AsyncClient:
        return self.client(self.app(**more) if app is None else app, self.token(self.ada))

    def audit(self, **filters: Any) -> list[dict[str, Any]]:
        """Return the audit log as an admin reads it, the newest first, without changes from Clerk itself."""
        grace = Caller(self.convex, self.token(self.grace))
        pages = grace.pages("users:auditLog", 100, **filters)
        return [row for page in pages for row in page if row["source"] == "admin"]

    def attempts(self) -> list[dict[str, Any]]:
        """Return the recorded actions of admins, the oldest first."""
        return [row for row in reversed(self.audit()) if "action" in row]

    def state(self) -> tuple[Any, Any]:
        """Return all users of Clerk and all rows of Convex."""
        return self.clerk.users(), self.functions.rows()

    def assert_equal(self) -> None:
        """Check that Convex has a row for each user of Clerk, with equal columns, and no other row."""
        rows = self.functions.rows()
        users = {user["id"]: user for user in self.clerk.users()}
        assert rows.keys() == users.keys()
        for user_id, user in users.items():
            columns = {name: value for name, value in read_user(user).columns.items() if value is not None}
            # Without a webhook, sign-ins are not written.
            assert rows[user_id].items() >= (
                columns.items() - {("lastSignInAt", columns.get("lastSignInAt"))}
            )
            assert not {"firstName", "lastName", "username", "externalId"} & (rows[user_id].keys() - columns)
