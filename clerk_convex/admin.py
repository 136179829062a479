"""The routes with which admins manage users at Clerk, written through to Convex and recorded there."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import secrets
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from pydantic import SecretStr
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from clerk_convex.access import SessionTokens
from clerk_convex.admin_answers import Problem, answer, clerk_problem, user_of
from clerk_convex.admin_attempts import Attempt
from clerk_convex.admin_calls import Read, RemovesAdmin, Write, find_action, is_read, read_call, removes_admin
from clerk_convex.changes import Change, Delete, Upsert
from clerk_convex.clerk import Clerk, Snapshot
from clerk_convex.errors import (
    ClerkConvexError,
    ClerkError,
    ClerkUnavailable,
    SettingsError,
    TokenError,
)
from clerk_convex.limiter import Limit, Limiter, network
from clerk_convex.logs import OnceAMinute, describe
from clerk_convex.routing import NEEDS_ASYNCIO, DoorRoute, Endpoint, is_on_asyncio, rest_of_path
from clerk_convex.settings import Settings
from clerk_convex.shared import PerLoop, writers
from clerk_convex.users import Fields, read_user
from clerk_convex.writer import Writer

__all__ = ["UserRoutes", "user_routes"]

logger = logging.getLogger("clerk_convex")

T = TypeVar("T")

# Someone waits: sooner than for a backfill it is better to say that it did not work.
_CLERK_TIMEOUT, _CLERK_PATIENCE = 8.0, 4.0  # seconds
_RECORD_WITHIN = 2.0  # seconds that an answer waits for the audit log

_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,63}")


def user_routes(
    prefix: str = "/api/users",
    *,
    settings: Settings | None = None,
    fields: Fields | None = None,
    removes_admin: RemovesAdmin = removes_admin,
) -> UserRoutes:
    """The routes for admins: list, get, create, edit, ban, lock and delete users at Clerk.

        app = Starlette(routes=[webhook_route(), user_routes()])  # /api/users

    `settings` (default: the environment's, read with the first request) needs CLERK_SECRET_KEY,
    CLERK_JWT_ISSUER_DOMAIN, CONVEX_URL and CONVEX_DEPLOY_KEY. `fields` overrides CLERK_CONVEX_FIELDS.

    Callers send Clerk's session token, `Authorization: Bearer …`. Whether they may is asked of Convex for
    each call (`users:beginAction`): the rule is `isAdmin` in `convex/clerk/access.ts`. Who replaces it there
    gives `removes_admin` here: it takes public metadata that is to be merged into a user's, and returns True
    if that one is no admin afterwards. Nobody can take it from their own account or from the last admin.

    What Clerk did is written to Convex before the answer, and recorded there. Once Clerk was asked, both are
    done even if the caller goes away.

    It works wherever it is mounted and needs no lifespan.
    """
    return UserRoutes(prefix, Manager(settings, fields, removes_admin))


class UserRoutes(DoorRoute):
    """One route to all that is below the prefix, so that it fits where a route does."""

    def __init__(self, prefix: str, manager: Manager) -> None:
        super().__init__(prefix, manager, takes_below=True)
        self.manager = manager


@dataclass(frozen=True, slots=True)
class _Setup:
    """What the settings say, checked, and what follows from it."""

    app: ASGIApp
    module: str
    fields: Fields | None
    reads: Limit
    writes: Limit
    addresses: Limit
    tokens: PerLoop[SessionTokens]
    limiters: PerLoop[Limiter]
    clerks: PerLoop[Clerk]
    writers: PerLoop[Writer]


class Manager(Endpoint):
    """The ASGI application behind the routes. Makes nothing before the first request needs it."""

    def __init__(self, settings: Settings | None, fields: Fields | None, removes_admin: RemovesAdmin) -> None:
        super().__init__("clerk_users")
        self._settings = settings
        self._fields = fields
        self._removes_admin = removes_admin
        self._setup: _Setup | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._sayings = OnceAMinute()

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            app = self._set_up().app
        except SettingsError:
            app = self._serve  # which says so
        await app(scope, receive, send)

    def check(self) -> None:
        """Raises SettingsError if the settings are not what the routes need."""
        self._set_up()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        given_id, request_id = _request_ids(request)
        try:
            response = await self._answer(request, request_id)
        except ClientDisconnect:
            return
        except HTTPException:  # the host has a limit for bodies of its own
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the answer says as much as may be said
            response = self._refusal(error, request_id)
        response.headers["X-Request-Id"] = given_id or request_id
        response.headers["Cache-Control"] = "no-store"
        with contextlib.suppress(OSError):  # the client has gone, ASGI 2.4 says
            await response(scope, receive, send)

    async def _answer(self, request: Request, request_id: str) -> Response:
        action, target = _find_action(request)
        if not is_on_asyncio():
            raise Problem(503, "needs_asyncio", NEEDS_ASYNCIO)
        setup = self._set_up()
        caller = await _authenticate(setup, request)
        await _admit(setup, setup.reads if is_read(action) else setup.writes, caller)
        call = await read_call(request, action, target, self._removes_admin)
        # What has begun at Clerk comes to its end and is recorded, also if the caller goes away.
        return await asyncio.shield(self._start(self._perform(setup, call, caller, request_id)))

    async def _perform(self, setup: _Setup, call: Read | Write, caller: str, request_id: str) -> Response:
        attempt = Attempt(setup.writers.get(), setup.module, request_id)
        try:
            await attempt.begin(call, caller)
        except Problem as refusal:
            if attempt.is_unclear:
                self._start(attempt.finish(refusal))
            raise
        clerk = setup.clerks.get()
        try:
            result = await call.run(clerk)
        except Exception as error:  # noqa: BLE001 - it is raised again, once it is recorded
            problem = self._problem(error, request_id, is_write=isinstance(call, Write))
        else:
            if isinstance(call, Read):
                await self._record(attempt)
                return answer(cast("dict[str, Any]", result))
            return await self._write_through(setup, attempt, call, cast("Snapshot", result), caller)
        await self._record(attempt, problem)
        raise problem

    async def _write_through(
        self, setup: _Setup, attempt: Attempt, call: Write, snapshot: Snapshot, caller: str
    ) -> Response:
        """The answer to what Clerk has done."""
        body: dict[str, Any] = {"user": user_of(snapshot.user), "synced": True}
        if call.action == "delete":
            body = {"deleted": True, "id": call.target, "synced": True}
        try:
            await setup.writers.get().submit(_change(setup, call, snapshot, caller))
        except ClerkConvexError as error:
            body["synced"] = False
            body["message"] = (
                "Clerk has done it, but it is not in Convex yet: the webhook will bring it, or the next"
                f" backfill. {error}"
            )
        # Not before: until then who may be the last admin is judged by the attempt.
        if body["synced"]:
            await self._record(attempt)
        else:  # nor can that be recorded now
            self._start(attempt.finish())
        return answer(body, call.status)

    async def _record(self, attempt: Attempt, problem: Problem | None = None) -> None:
        """Record what became of the call. Waits for it a moment only; it goes on after that."""
        await asyncio.wait({self._start(attempt.finish(problem))}, timeout=_RECORD_WITHIN)

    def _start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)  # the loop itself would let it go
        task.add_done_callback(self._tasks.discard)
        return task

    def _refusal(self, error: Exception, request_id: str) -> Response:
        problem = self._problem(error, request_id)
        if problem.status >= 500:
            self._log_once_a_minute(problem)
        return answer({"error": {**problem.error, "request_id": request_id}}, problem.status, problem.headers)

    def _problem(self, error: Exception, request_id: str, *, is_write: bool = False) -> Problem:
        match error:
            case Problem():
                return error
            case SettingsError():
                # Anyone may ask, so the answer does not say what is missing.
                if self._sayings.is_due("not_set_up"):
                    logger.warning("User management answers 503 (not_set_up): %s", error)
                text = "User management is not set up. The log of the service says what is missing."
                return Problem(503, "not_set_up", text, retry_after=60.0)
            case ClerkError():
                return clerk_problem(error, is_write=is_write)
        logger.error("Request %s is answered with 500: unexpected %s.", request_id, describe(error))
        return Problem(500, "internal", "This should not have happened. The log of the service says more.")

    def _log_once_a_minute(self, problem: Problem) -> None:
        if self._sayings.is_due(problem.code):
            logger.warning(
                "User management answers %d (%s): %s", problem.status, problem.code, problem.error["message"]
            )

    def _set_up(self) -> _Setup:
        if self._setup is None:
            settings = Settings.from_env() if self._settings is None else self._settings
            settings.require("CLERK_SECRET_KEY", "CLERK_JWT_ISSUER_DOMAIN", "CONVEX_URL", "CONVEX_DEPLOY_KEY")
            redis_url = settings.clerk_convex_redis_url
            redis = None if redis_url is None else redis_url.get_secret_value()
            Limiter(redis)  # raises what is wrong with it now
            secret_key = cast("SecretStr", settings.clerk_secret_key).get_secret_value()
            self._setup = _Setup(
                app=_with_cors(self._serve, settings.clerk_convex_cors_origins),
                module=settings.convex_users_module,
                fields=settings.clerk_convex_fields if self._fields is None else self._fields,
                reads=Limit(settings.clerk_convex_read_limit, "reads"),
                writes=Limit(settings.clerk_convex_write_limit, "writes"),
                addresses=Limit(settings.clerk_convex_address_limit, "addresses"),
                tokens=PerLoop(
                    lambda: SessionTokens(
                        str(settings.clerk_jwt_issuer_domain),
                        authorized_parties=settings.clerk_authorized_parties,
                        audiences=settings.clerk_jwt_audience,
                    )
                ),
                limiters=PerLoop(lambda: Limiter(redis)),
                clerks=PerLoop(
                    lambda: Clerk(
                        secret_key,
                        settings.clerk_api_url,
                        timeout=_CLERK_TIMEOUT,
                        patience=_CLERK_PATIENCE,
                        instance_id=settings.clerk_instance_id,
                    )
                ),
                writers=writers(settings),
            )
        return self._setup


def _find_action(request: Request) -> tuple[str, str | None]:
    """The action that a request is for, and whom it is about. Raises Problem, 404 or 405."""
    path = rest_of_path(request.scope)
    # No path of ours has a slash that is encoded, and servers decode it: user_1%2Fban is no ban of user_1.
    if b"%2f" in (request.scope.get("raw_path") or b"").lower():
        path = "//"
    return find_action(request.method, path)


async def _authenticate(setup: _Setup, request: Request) -> str:
    """The Clerk id of the caller. Raises Problem."""
    try:
        return await setup.tokens.get().verify(_token(request))
    except ClerkUnavailable as error:
        raise Problem(503, "keys_unavailable", str(error), retry_after=error.retry_after) from None
    except TokenError as error:
        code, text = error.code, str(error)
    # Only now: whoever has a token is not kept out because others at the same address have none.
    await _admit(setup, setup.addresses, network(None if request.client is None else request.client.host))
    raise Problem(401, code, text, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})


def _token(request: Request) -> str:
    values = request.headers.getlist("authorization")
    scheme, _, token = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not token.strip():
        raise TokenError("no_token", "Send Clerk's session token in a header: Authorization: Bearer <token>.")
    return token.strip()


async def _admit(setup: _Setup, limit: Limit, key: str) -> None:
    """Raises Problem if there were too many calls."""
    wait = await setup.limiters.get().hit(limit, key)
    if wait is not None:
        text = f"Too many calls: {limit} are allowed. Try again in {wait:.0f} s."
        raise Problem(429, "too_many_calls", text, retry_after=wait)


def _change(setup: _Setup, call: Write, snapshot: Snapshot, caller: str) -> Change:
    """What Clerk has done. Raises UserError."""
    if call.target is not None and call.action == "delete":
        return Delete(call.target, snapshot.observed_at, "admin", actor=caller)
    user = read_user(snapshot.user, setup.fields, observed_at=snapshot.observed_at)
    return Upsert(user.clerk_id, user.updated_at, snapshot.observed_at, user.columns, "admin", actor=caller)


def _with_cors(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    if not origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=["GET", "POST", "PATCH", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "X-Request-Id"],
        expose_headers=["Retry-After", "X-Request-Id"],
    )


def _request_ids(request: Request) -> tuple[str, str]:
    """The caller's own id if it is well formed, else nothing, and the one that is recorded.

    The one that is recorded begins with the caller's, so that it is found by it. It is not the same: what
    was allowed once under an id must not be allowed again because someone sends that id again.
    """
    given = request.headers.get("x-request-id", "")
    if _REQUEST_ID.fullmatch(given):
        return given, f"{given}.{secrets.token_hex(8)}"
    return "", f"req_{secrets.token_hex(12)}"
