"""Start and stop a local Clerk, the service and a local Convex together."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from clerk_convex.app import create_app
from clerk_convex.local.clerk import LocalClerk
from clerk_convex.local.convex import LocalConvex
from clerk_convex.local.dashboard import PAGE_PATH, is_built, with_dashboard
from clerk_convex.local.listener import listen, serving
from clerk_convex.service import Service
from clerk_convex.settings import Settings

__all__ = ["LocalStack"]

WEBHOOK_PATH = "/webhooks/clerk"
# These two describe a team's own functions, so they apply here too. All other settings are the set's own.
FROM_ENVIRONMENT = ("CONVEX_USERS_MODULE", "CLERK_CONVEX_FIELDS")


class LocalStack:
    """A local set: Clerk sends webhooks to the service, which writes to Convex and serves the dashboard.

        with LocalStack() as stack:
            stack.clerk.create_user(first_name="Ada")
            stack.clerk.webhooks.drain(timeout=5)

    The set reads CONVEX_USERS_MODULE and CLERK_CONVEX_FIELDS from the environment, and no other setting.
    Without CONVEX_USERS_MODULE it uses the module that `clerk/module.ts` of the functions names.
    `reset` empties it within milliseconds.

    Args:
        port: the service's port on 127.0.0.1; 0 takes a free port.
        convex_port: the same for the local Convex.
        clerk_port: the same for the local Clerk.
        speed: divides the schedule on which webhooks are retried.
        project, functions, data, watch, deploy_key: as for LocalConvex.
        secret_key, webhook_secret: as for LocalClerk.
        webhook_url: the service that gets the webhooks, in place of the set's own. That one serves the page.
        connected: whether `start` sets the webhook up. If not, call `connect`.
        rate_limit: of the local Clerk, as for LocalClerk.
        env: environment variables of the functions, beside CLERK_JWT_ISSUER_DOMAIN.
        chosen: settings of the service by name. They replace those from the environment.
    """

    url: str
    """The address of the service. Set by `start`."""
    dashboard_url: str | None
    """The address of the users page, or None if the dashboard was not built. Set by `start`."""
    clerk: LocalClerk
    convex: LocalConvex
    settings: Settings
    """The settings of the service. Set by `start`."""

    def __init__(
        self,
        *,
        port: int = 0,
        convex_port: int = 0,
        clerk_port: int = 0,
        speed: float = 1000.0,
        project: str | Path | None = None,
        functions: str | Path | None = None,
        data: Iterable[str | Path] = (),
        watch: bool = False,
        deploy_key: str | None = None,
        secret_key: str | None = None,
        webhook_secret: str | None = None,
        webhook_url: str | None = None,
        connected: bool = True,
        rate_limit: int | None = None,
        env: Mapping[str, str] | None = None,
        chosen: Mapping[str, str] | None = None,
    ) -> None:
        self._port = port
        self._convex_port = convex_port
        self._clerk_port = clerk_port
        self._speed = speed
        self._functions: Mapping[str, Any] = {
            "project": project,
            "functions": functions,
            "data": tuple(data),
            "watch": watch,
            "deploy_key": deploy_key,
        }
        self._keys: Mapping[str, Any] = {"secret_key": secret_key, "webhook_secret": webhook_secret}
        self._webhook_url = webhook_url
        self._connected = connected
        self._rate_limit = rate_limit
        self._env = dict(env or {})
        self._chosen = dict(chosen or {})
        self._parts = ExitStack()

    def start(self) -> None:
        """Start all parts. On an error, stop those that run already.

        Raises:
            LocalError: a part cannot be started.
            SettingsError: CONVEX_USERS_MODULE or CLERK_CONVEX_FIELDS is malformed.
        """
        with ExitStack() as parts:
            listener = parts.enter_context(listen(self._port, "The service"))
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            self.dashboard_url = self.url + PAGE_PATH if is_built() else None
            self.clerk = LocalClerk(
                port=self._clerk_port,
                webhook_url=self.webhook_url if self._connected else None,
                speed=self._speed,
                rate_limit=self._rate_limit,
                **self._keys,
            )
            parts.enter_context(self.clerk)
            issuer = {"CLERK_JWT_ISSUER_DOMAIN": self.clerk.issuer}
            self.convex = LocalConvex(port=self._convex_port, env={**self._env, **issuer}, **self._functions)
            parts.enter_context(self.convex)
            chosen = {name: os.environ.get(name, "") for name in FROM_ENVIRONMENT}
            self.settings = Settings.from_env({**chosen, **self._chosen, **self.environment()})
            places = {
                "convexUrl": self.convex.url,
                "clerkUrl": self.clerk.url,
                "usersModule": self.settings.convex_users_module,
            }
            self._service = Service(self.settings)
            service = with_dashboard(create_app(service=self._service), places)
            parts.enter_context(serving(service, listener, "The service"))
            # Stop Clerk first: the service then waits for no further webhook.
            parts.callback(self.clerk.close)
            self._parts = parts.pop_all()

    @property
    def webhook_url(self) -> str:
        """The address that gets the webhooks."""
        return self._webhook_url or self.url + WEBHOOK_PATH

    def connect(self) -> None:
        """Set the webhook up: Clerk sends all later changes to `webhook_url`. A second call does nothing."""
        if not self.clerk.webhooks.has_endpoints:
            self.clerk.webhooks.add_endpoint(self.webhook_url, self.clerk.webhook_secret)

    def reset(self) -> None:
        """Return to the state after `start`, within milliseconds: no users, rows, jobs, faults, messages.

        Addresses and keys stay. Subscribers see the tables become empty.
        """
        self.clerk.reset()  # first: after it, no webhook of before is on its way to Convex
        self.convex.clear()
        self._service.forget_calls()

    def stop(self) -> None:
        """Stop all parts. Does nothing if none runs."""
        self._parts.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def ended(self) -> str | None:
        """Return the name of a part whose process has ended by itself, or None."""
        for process, part in (
            (self.convex.process, "The local Convex"),
            (self.clerk.process, "The local Clerk"),
        ):
            if process.poll() is not None:
                return part
        return None

    @property
    def _users_module(self) -> str:
        name = "CONVEX_USERS_MODULE"
        return self._chosen.get(name) or os.environ.get(name) or self.convex.users_module

    def environment(self) -> Mapping[str, str]:
        """Return the environment variables with which another program reaches this set."""
        return {
            "CONVEX_URL": self.convex.url,
            "CONVEX_DEPLOY_KEY": self.convex.deploy_key,
            "CONVEX_USERS_MODULE": self._users_module,
            "CLERK_API_URL": self.clerk.url,
            "CLERK_SECRET_KEY": self.clerk.secret_key,
            "CLERK_WEBHOOK_SIGNING_SECRET": self.clerk.webhook_secret,
            "CLERK_JWT_ISSUER_DOMAIN": self.clerk.issuer,
            "WEBHOOK_URL": self.webhook_url,
            **({} if self.dashboard_url is None else {"DASHBOARD_URL": self.dashboard_url}),
        }
