"""The service that entry points share: one Clerk client, one writer and so on for each event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

import clerk_convex
from clerk_convex.clerk.api import Clerk
from clerk_convex.convex.client import Deployment
from clerk_convex.convex.functions import FunctionsCheck
from clerk_convex.convex.refusals import Ledger
from clerk_convex.convex.writer import Status, Writer, WriterLimits
from clerk_convex.entities.users import Fields
from clerk_convex.errors import SettingsError
from clerk_convex.net.observer import Observer
from clerk_convex.net.per_loop import PerLoop
from clerk_convex.settings import AdminSettings, BackfillSettings, ConvexSettings, Settings

if TYPE_CHECKING:
    from clerk_convex.clerk.tokens import SessionTokens
    from clerk_convex.net.limits import Limiter
    from clerk_convex.net.prometheus import Metrics

__all__ = ["Service", "Timeouts", "service_finder"]

logger = logging.getLogger("clerk_convex")


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Limits in seconds. The defaults are for callers that wait for an answer."""

    clerk_call: float = 8.0
    """One call of Clerk's Backend API, with connecting and reading."""
    clerk_retries: float = 4.0
    """How long a call of Clerk's Backend API is retried. An admin sees an error earlier than a backfill."""
    convex_call: float = 7.0
    """One call of a Convex function. Convex makes a call wait for up to 5 s before it answers 429."""
    write: float = 9.0
    """From a change's submission until it is written. Svix gives up on a webhook after 15 s."""
    disconnect_check: float = 1.0
    """From when on a webhook watches for a sender that disconnects. Most changes are written by then."""
    on_change: float = 5.0
    """One call of `on_change`."""
    bulk: float = 15.0
    """From the start of a request for several users until no further call of Clerk is begun for it."""
    audit_wait: float = 2.0
    """How long an admin's answer waits for the end of its audit row. Recording continues after that."""
    ledger: float = 1.0
    """How long refused changes are collected before they are recorded together."""
    audit: float = 540.0
    """How long the end of an action is retried. After 600 s Convex itself records it as unknown."""


class Service:
    """Owns what the entry points share, one of each for every event loop of every process.

        service = Service(Settings.from_env())
        app = Starlette(routes=[webhook_route(service=service), user_routes(service=service)])

    All entry points with one service use one writer in each event loop. So their changes leave together, and
    they all slow down when Convex is overloaded. And they fill columns of your own by one function.

    Nothing is made or connected before its first use; everything closes with the event loop. Each property
    raises SettingsError if a setting that it needs is missing.
    A subclass may override `make_clerk`, `make_writer` and `make_metrics`, for other limits or in tests.
    """

    def __init__(self, settings: Settings, *, timeouts: Timeouts | None = None) -> None:
        self.settings = settings
        self.timeouts = timeouts or Timeouts()
        self.last_event_at: float | None = None
        """When the last webhook with a valid signature arrived, of any type: Unix time in seconds."""
        self.metrics = self.make_metrics()
        """What was counted, if CLERK_CONVEX_METRICS_TOKEN is set and prometheus-client is installed."""
        self.observer = self.metrics or Observer()
        """Gets what happens, for the metrics."""
        self.last_follow_at: float | None = None
        """When a follower, here or in another replica, last finished a pass: Unix time in seconds."""
        self.functions = FunctionsCheck(
            lambda: self.writer.deployment, settings.convex_users_module, clerk_convex.__version__
        )
        """The comparison of the functions in Convex with this package."""
        self._clerks = PerLoop(self.make_clerk)
        self._writers = PerLoop(self.make_writer)
        self._ledgers = PerLoop(self._make_ledger)
        self._tokens = PerLoop(self._make_tokens)
        self._limiters = PerLoop(self._make_limiter)
        self._background: dict[str, PerLoop[asyncio.Task[None]]] = {}
        self._fields: list[Fields] = []

    @property
    def fields(self) -> Fields | None:
        """The function for columns of your own: the `fields` of a route, or else CLERK_CONVEX_FIELDS.

        Routes without `fields` and the follower use it, too. If they did not, what they write would lack
        columns, and would make the webhook that has them stale.
        """
        return self._fields[-1] if self._fields else self.settings.clerk_convex_fields

    def use_fields(self, fields: Fields) -> None:
        """Take the `fields` of a route. Log a warning if something else writes by another function."""
        if fields in self._fields:
            return
        if self._fields:
            logger.warning(
                "Routes of one service have different `fields`, so the columns of a user depend on the route"
                " that wrote last: give all of them the same function."
            )
        elif fields != self.settings.clerk_convex_fields:
            logger.warning(
                "A route has `fields` that CLERK_CONVEX_FIELDS does not name, so commands such as the"
                " backfill, the nightly run and clerk-convex follow write users without these columns:"
                " set CLERK_CONVEX_FIELDS=module:function, too."
            )
        self._fields.append(fields)

    def run_in_background(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run `work` until the running event loop ends, which cancels it. It needs no lifespan.

        A second call with the same name does nothing in the same event loop.
        """
        tasks = self._background.get(name)
        if tasks is None:  # each event calls this, so it makes nothing that is there
            start = PerLoop(lambda: asyncio.get_running_loop().create_task(work()))
            tasks = self._background.setdefault(name, start)
        tasks.get()

    @property
    def clerk(self) -> Clerk:
        """The client of Clerk's Backend API."""
        return self._clerks.get()

    @property
    def writer(self) -> Writer:
        """The writer into Convex. Its `deployment` calls other functions."""
        return self._writers.get()

    @property
    def writer_status(self) -> Status | None:
        """The state of the running loop's writer. None if there is none yet."""
        writer = self._writers.made
        return None if writer is None else writer.status

    @property
    def ledger(self) -> Ledger:
        """The ledger of refused changes."""
        return self._ledgers.get()

    @property
    def tokens(self) -> SessionTokens:
        """The check of session tokens, with Clerk's public keys."""
        return self._tokens.get()

    @property
    def limiter(self) -> Limiter:
        """The counters of incoming calls. Raises SettingsError if they are to be in Redis and cannot."""
        return self._limiters.get()

    def forget_calls(self) -> None:
        """Start the counts of incoming calls again, for tests that share a service. Redis keeps its own."""
        self._limiters = PerLoop(self._make_limiter)

    def read_state(self) -> None:
        """Tell the observer in the background what Convex knows, at most once a minute."""
        with contextlib.suppress(SettingsError):  # then nothing is synchronized
            self.ledger.state  # noqa: B018 - asks Convex

    def make_clerk(self) -> Clerk:
        """Make the Clerk client of an event loop."""
        return self.clerk_with_share(1.0)

    def clerk_with_share(self, share: float) -> Clerk:
        """Make a Clerk client that uses this part of Clerk's rate limit."""
        settings = self.settings.require(BackfillSettings)
        return Clerk(
            settings.clerk_secret_key.get_secret_value(),
            settings.clerk_api_url,
            timeout=self.timeouts.clerk_call,
            patience=self.timeouts.clerk_retries,
            instance_id=settings.clerk_instance_id,
            share=share,
            observer=self.observer,
        )

    def make_deployment(self) -> Deployment:
        """Make the client of the Convex deployment that the writer of an event loop uses."""
        settings = self.settings.require(ConvexSettings)
        return Deployment(
            settings.convex_url,
            settings.convex_deploy_key.get_secret_value(),
            timeout=self.timeouts.convex_call,
            observer=self.observer,
        )

    def make_writer(self) -> Writer:
        """Make the writer of an event loop."""
        return self.writer_within(WriterLimits(deadline=self.timeouts.write))

    def writer_within(self, limits: WriterLimits, *, dry_run: bool = False) -> Writer:
        """Make a writer with these limits. With `dry_run` it only reports what Convex would do."""
        return Writer(
            self.make_deployment(),
            module=self.settings.convex_users_module,
            limits=limits,
            dry_run=dry_run,
            omit=self.settings.omitted_columns,
        )

    def make_metrics(self) -> Metrics | None:
        """Make the metrics of the process, if they are turned on and can be kept."""
        if self.settings.clerk_convex_metrics_token is None:
            return None
        try:  # the package is optional, and webhooks work without it
            from clerk_convex.net.prometheus import Metrics
        except ImportError:
            logger.warning(
                "CLERK_CONVEX_METRICS_TOKEN is set, but prometheus-client is not installed, and nothing is"
                " counted: pip install 'clerk-convex[metrics]'."
            )
            return None
        return Metrics()

    def _make_ledger(self) -> Ledger:
        writer = self.writer
        return Ledger(writer.deployment, writer.module, gather=self.timeouts.ledger)

    # The imports are here because `import clerk_convex` must not load jwt, cryptography and limits: a service
    # that only receives webhooks does not use them.

    def _make_tokens(self) -> SessionTokens:
        from clerk_convex.clerk.tokens import SessionTokens

        settings = self.settings.require(AdminSettings)
        return SessionTokens(
            settings.clerk_jwt_issuer_domain,
            authorized_parties=settings.clerk_authorized_parties,
            audiences=settings.clerk_jwt_audience,
        )

    def _make_limiter(self) -> Limiter:
        from clerk_convex.net.limits import Limiter

        url = self.settings.clerk_convex_redis_url
        return Limiter(None if url is None else url.get_secret_value())


def service_finder(
    service: Service | None,
    settings: Settings | None,
    required: type[Settings],
    fields: Fields | None = None,
) -> Callable[[], Service]:
    """Return a function that returns the service of a route: `service`, or else the process's for `settings`.

    Routes with equal settings share a service. If `settings` is None, they are read from the environment each
    time the function is called. It raises SettingsError if one is malformed, or a `required` one is missing.

    fields: those of the route. The service has them before any route looks for it.
    """
    if service is None:
        finder = _Finder(settings, required)
        if fields is not None:
            with _lock:
                _route_fields[finder] = fields
        return finder
    if settings is not None:
        raise TypeError("Pass either service or settings: a service has settings.")
    if fields is not None:
        service.use_fields(fields)
    return lambda: service


@dataclass(frozen=True, eq=False)
class _Finder:
    """Finds or makes the service that routes with equal settings share."""

    settings: Settings | None
    required: type[Settings]

    def __call__(self) -> Service:
        settings = Settings.from_env() if self.settings is None else self.settings
        settings.require(self.required)
        with _lock:
            service = next((one for one in _services if one.settings == settings), None)
            if service is None:
                service = Service(settings)
                _services.add(service)
            # Also of routes without a request: a probe may come first, and start the follower.
            for finder, fields in _route_fields.items():
                if finder.settings in (self.settings, settings):
                    service.use_fields(fields)
        return service


_services: WeakSet[Service] = WeakSet()
_route_fields: WeakKeyDictionary[_Finder, Fields] = WeakKeyDictionary()  # of the routes that have some
_lock = threading.Lock()  # requests may be served in several threads, each with an event loop
