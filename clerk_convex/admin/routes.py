"""The routes with which admins manage users: done at Clerk, written to Convex, recorded in the audit log.

A call passes, from top to bottom, `Manager._answer` and `Manager._perform`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import cached_property
from typing import Any, TypeVar

from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from clerk_convex.admin.actions import Done, find_action, is_post
from clerk_convex.admin.answers import Problem, answer, clerk_problem
from clerk_convex.admin.audit import AuditRow
from clerk_convex.admin.bulk import Bulk
from clerk_convex.admin.caller import Callers
from clerk_convex.admin.own_row import write_own_row
from clerk_convex.admin.requests import Call, read_call, read_calls
from clerk_convex.clerk.api import Snapshot
from clerk_convex.convex.refusals import refusal_of
from clerk_convex.entities.changes import Change, Delete, Upsert
from clerk_convex.entities.users import Fields, read_user
from clerk_convex.errors import (
    ChangeRefused,
    ClerkConvexError,
    ClerkError,
    ClerkUnavailable,
    SettingsError,
    TokenError,
    UserError,
)
from clerk_convex.following import follow_in_background
from clerk_convex.net.limits import Limit, network
from clerk_convex.net.logs import OnceAMinute, describe
from clerk_convex.net.routing import NEEDS_ASYNCIO, DoorRoute, Endpoint, is_on_asyncio, rest_of_path
from clerk_convex.service import Service, service_finder
from clerk_convex.settings import AdminSettings, Settings

__all__ = ["UserRoutes", "user_routes"]

logger = logging.getLogger("clerk_convex")

T = TypeVar("T")

_RETRY_AFTER = 5.0  # seconds
_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,63}")


def user_routes(
    prefix: str = "/api/users",
    *,
    settings: Settings | None = None,
    fields: Fields | None = None,
    service: Service | None = None,
) -> UserRoutes:
    """Return the routes for admins: list, get, create, edit, ban, lock and delete users at Clerk.

        app = Starlette(routes=[webhook_route(), user_routes()])  # /api/users

    settings: must have CLERK_SECRET_KEY, CLERK_JWT_ISSUER_DOMAIN, CONVEX_URL and CONVEX_DEPLOY_KEY. By
        default they are read from the environment with the first request.
    fields: takes a Clerk user and returns columns of your own. It overrides CLERK_CONVEX_FIELDS for all
        routes of the service and for its follower. The backfill, the nightly run and `clerk-convex follow`
        know only CLERK_CONVEX_FIELDS, so set it to the same function.
    service: what the routes share with others, in place of `settings`. By default all routes with equal
        settings share one.

    Callers send Clerk's session token, `Authorization: Bearer …`. Convex decides for each call whether the
    caller may make it (`users:beginAction`), by the rule `isAdmin` in `convex/clerk/access.ts`. No admin can
    take the role from themselves or from the last admin.

    `POST /api/users/me` is for everyone who is signed in: it writes the caller's own row, so that it is there
    right after the sign-up, before the first webhook.

    A change at Clerk is written to Convex and recorded in the audit log before the answer. Both are completed
    even if the caller disconnects after Clerk was called.

    The routes work under a mount or a prefix, and need no lifespan.
    """
    return UserRoutes(prefix, Manager(service_finder(service, settings, AdminSettings, fields), fields))


class UserRoutes(DoorRoute):
    """One route for all paths below the prefix, so that it can stand wherever a route can."""

    def __init__(self, prefix: str, manager: Manager) -> None:
        super().__init__(prefix, manager, takes_below=True)
        self.manager = manager


class Manager(Endpoint):
    """The ASGI application behind the routes. It reads settings and connects with the first request."""

    def __init__(self, find_service: Callable[[], Service], fields: Fields | None) -> None:
        super().__init__("clerk_users")
        self._find_service = find_service
        self._fields = fields
        self._tasks: set[asyncio.Task[Any]] = set()
        self._once_a_minute = OnceAMinute()
        self._callers = Callers()

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            app = self._with_cors
        except SettingsError:
            app = self._serve  # answers 503
        await app(scope, receive, send)

    @cached_property
    def service(self) -> Service:
        """The shared service. Raises SettingsError if a setting is missing or malformed."""
        return self._find_service()

    @cached_property
    def _settings(self) -> AdminSettings:
        return self.service.settings.require(AdminSettings)

    @cached_property
    def _limits(self) -> dict[str, Limit]:
        texts = {
            "reads": self._settings.clerk_convex_read_limit,
            "writes": self._settings.clerk_convex_write_limit,
            "bulk": self._settings.clerk_convex_bulk_limit,
            "invitations": self._settings.clerk_convex_invitation_limit,
            "me": self._settings.clerk_convex_me_limit,
            "addresses": self._settings.clerk_convex_address_limit,
        }
        return {name: Limit(text, name) for name, text in texts.items()}

    @property
    def _read_fields(self) -> Fields | None:
        return self.service.fields if self._fields is None else self._fields

    @cached_property
    def _with_cors(self) -> ASGIApp:
        return _with_cors(self._serve, self._settings.clerk_convex_cors_origins)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        given_id, request_id = _request_ids(request)
        try:
            response = await self._answer(request, request_id)
        except ClientDisconnect:
            return
        except HTTPException:  # from the host, for example a limit of its own for bodies
            raise
        except Exception as error:  # noqa: BLE001 - every error gets an answer
            response = self._error_response(error, request_id)
        response.headers["X-Request-Id"] = given_id or request_id
        response.headers["Cache-Control"] = "no-store"
        with contextlib.suppress(OSError):  # ASGI 2.4: the client has disconnected
            await response(scope, receive, send)

    async def _answer(self, request: Request, request_id: str) -> Response:
        """Find the action, authenticate and limit the caller, read the request, and perform the action.

        The call for the caller's own row is no action: it needs no admin, and takes no body. A request for
        several users is an action for each.

        Raises Problem and SettingsError.
        """
        method, path = request.method, _path(request)
        is_own, is_bulk = is_post("/me", method, path), is_post("/bulk", method, path)
        if not (is_own or is_bulk):
            action, target = find_action(method, path)
        if not is_on_asyncio():
            raise Problem(503, "needs_asyncio", NEEDS_ASYNCIO)
        caller = await self._authenticate(request)
        follow_in_background(self.service)
        if is_own:
            await self._limit("me", caller)
            return answer({"outcome": await write_own_row(self.service, caller, self._read_fields)})
        if is_bulk:
            await self._limit("bulk", caller)
            calls = await read_calls(request)
            return await asyncio.shield(self._start(self._perform_all(calls, caller, request_id)))
        await self._limit(action.limit or ("reads" if action.is_read else "writes"), caller)
        call = await read_call(request, action, target)
        # Shielded: once it has begun it is completed and recorded, even if the caller disconnects.
        return await asyncio.shield(self._start(self._perform(call, caller, request_id)))

    async def _perform(self, call: Call, caller: str, request_id: str) -> Response:
        """Open the audit row, call Clerk, write the change to Convex, close the row, and answer.

        Before that, a write asks Clerk for the caller, so that Convex decides by what Clerk knows now.
        """
        if not call.action.is_read:
            await self._callers.refresh(self.service, caller, self._read_fields)
        row = await self._begin(call, caller, request_id)
        body = await self._complete(row, call, caller, call.run(self.service.clerk), request_id)
        return answer(body, call.action.status)

    async def _perform_all(self, calls: Sequence[Call], caller: str, request_id: str) -> Response:
        """Perform one action for several users, and answer with the result of each."""
        await self._callers.refresh(self.service, caller, self._read_fields)
        ids = {call.target: f"{request_id}.{number}" for number, call in enumerate(calls, 1)}
        bulk = Bulk(
            self.service.clerk,
            begin=lambda call: self._begin(call, caller, ids[call.target]),
            complete=lambda row, call, run: self._complete(row, call, caller, run, ids[call.target]),
            seconds=self.service.timeouts.bulk,
        )
        return answer(await bulk.run(calls))

    async def _complete(
        self, row: AuditRow, call: Call, caller: str, run: Awaitable[Done], request_id: str
    ) -> dict[str, Any]:
        """Call Clerk by `run`, write the change, close the row, and return the body of the answer.

        Raises Problem.
        """
        try:
            done = await run
            body = done.body
            if done.snapshot is not None:
                body |= await self._write(row, call, done, done.snapshot, caller)
        except Exception as error:
            is_write = not (call.action.is_read or call.action.is_sync)
            problem = self._problem(error, request_id, is_write=is_write)
            await self._finish(row, problem)
            raise problem from error
        # Only now: until the change is in Convex, the open row tells Convex that an admin is being removed.
        await self._finish(row, done=done, wait=body.get("synced", True))
        return body

    async def _authenticate(self, request: Request) -> str:
        """Return the Clerk id of the caller. Raises Problem."""
        try:
            return await self.service.tokens.verify(_token(request))
        except ClerkUnavailable as error:
            raise Problem(503, "keys_unavailable", str(error), retry_after=error.retry_after) from None
        except TokenError as error:
            code, text = error.code, str(error)
        # Only calls without a valid token count against the address, so that they cannot lock out callers
        # with a valid token at the same address.
        host = None if request.client is None else request.client.host
        await self._limit("addresses", network(host))
        raise Problem(401, code, text, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})

    async def _limit(self, name: str, key: str) -> None:
        """Count a call of `key` with one of the limits. Raises Problem if there were too many."""
        limit = self._limits[name]
        wait = await self.service.limiter.hit(limit, key)
        if wait > 0.0:
            self.service.observer.limit_hit(name)
            text = f"Too many calls: {limit} are allowed. Try again in {wait:.0f} s."
            raise Problem(429, "too_many_calls", text, retry_after=wait)

    async def _begin(self, call: Call, caller: str, request_id: str) -> AuditRow:
        """Open the audit row. Raises Problem if the caller may not make the call."""
        row = AuditRow(
            self.service.writer.deployment,
            self._settings.convex_users_module,
            request_id,
            timeout=self.service.timeouts.audit,
        )
        try:
            await row.begin(call, caller)
        except Problem as problem:
            if row.is_unclear:
                self._start(row.finish(problem))
            raise
        return row

    async def _write(
        self, row: AuditRow, call: Call, done: Done, snapshot: Snapshot, caller: str
    ) -> dict[str, Any]:
        """Write what Clerk returned to Convex. Return fields of the answer that say whether it is there.

        Raises Problem if that was all there was to do.
        """
        try:
            if done.is_concluded and not await self._is_known(call):
                return {"synced": True, "outcome": "unchanged"}
            outcome = await self.service.writer.submit(self._change(row, call, done, snapshot, caller))
        except ClerkConvexError as error:
            problem = Problem(503, "convex_unavailable", _not_synced(error), retry_after=_RETRY_AFTER)
            if isinstance(error, UserError | ChangeRefused):
                self.service.ledger.add(refusal_of(error, "admin"))
                problem = Problem(502, "refused", _not_synced(error))
            if call.action.is_sync:
                raise problem from None
            text = (
                "Clerk has done it, but it is not in Convex yet: the webhook will bring it, or the next"
                f" backfill. {error}"
            )
            return {"synced": False, "message": text}
        return {"synced": True, "outcome": outcome} if call.action.is_sync else {"synced": True}

    async def _is_known(self, call: Call) -> bool:
        """Return whether Convex has anything of the target, so that a mistyped id leaves no tombstone."""
        name = f"{self._settings.convex_users_module}:exportPerson"
        arguments = json.dumps({"clerkId": call.target, "cursor": None}).encode()
        person: Any = await self.service.writer.deployment.send("query", name, arguments)
        return any(person["stored"].values())

    def _change(self, row: AuditRow, call: Call, done: Done, snapshot: Snapshot, caller: str) -> Change:
        """Return the change of the users table after a call. Raises UserError."""
        if call.target is not None and done.is_concluded:  # a later event of the user lifts it
            return Delete(call.target, snapshot.observed_at, "backfill", action_id=row.id)
        if call.target is not None and call.action.name == "delete":
            return Delete(call.target, snapshot.observed_at, "admin", actor=caller, action_id=row.id)
        user = read_user(snapshot.user, self._read_fields, observed_at=snapshot.observed_at)
        return Upsert(
            *(user.clerk_id, user.updated_at, snapshot.observed_at, user.columns, "admin"),
            actor=caller,
            action_id=row.id,
        )

    async def _finish(
        self, row: AuditRow, problem: Problem | None = None, *, done: Done | None = None, wait: bool = True
    ) -> None:
        """Close the audit row. Wait for that a short time only, or not at all; it is completed anyway."""
        recording = self._start(row.finish(problem, done))
        if wait:
            await asyncio.wait({recording}, timeout=self.service.timeouts.audit_wait)

    def _start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)  # the loop has only weak references to its tasks
        task.add_done_callback(self._tasks.discard)
        return task

    def _error_response(self, error: Exception, request_id: str) -> Response:
        problem = self._problem(error, request_id)
        if problem.status >= 500 and self._once_a_minute.should_log(problem.code):
            logger.warning(
                "User management answers %d (%s): %s", problem.status, problem.code, problem.log_text
            )
        return answer({"error": {**problem.error, "request_id": request_id}}, problem.status, problem.headers)

    def _problem(self, error: Exception, request_id: str, *, is_write: bool = False) -> Problem:
        """Return the answer to an error."""
        match error:
            case Problem():
                return error
            case SettingsError():
                # The caller may be anyone. So the log says what is missing, and the answer does not.
                if self._once_a_minute.should_log("not_set_up"):
                    logger.warning("User management answers 503 (not_set_up): %s", error)
                text = "User management is not set up. The log of the service says what is missing."
                return Problem(503, "not_set_up", text, retry_after=60.0)
            case ClerkError():
                return clerk_problem(error, is_write=is_write)
        logger.error("Request %s is answered with 500: unexpected %s.", request_id, describe(error))
        return Problem(500, "internal", "This should not have happened. The log of the service says more.")


def _not_synced(error: ClerkConvexError) -> str:
    return f"The user could not be written to Convex as Clerk has it. {error}"


def _path(request: Request) -> str:
    """Return the request's path below the prefix."""
    # Servers decode %2F. Without this, user_1%2Fban would be read as the ban of user_1.
    if b"%2f" in (request.scope.get("raw_path") or b"").lower():
        return "//"  # no action has this path
    return rest_of_path(request.scope)


def _token(request: Request) -> str:
    values = request.headers.getlist("authorization")
    scheme, _, token = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not token.strip():
        raise TokenError("no_token", "Send Clerk's session token in a header: Authorization: Bearer <token>.")
    return token.strip()


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
    """Return the caller's own request id, "" if it is missing or malformed, and the id that is recorded.

    The recorded id starts with the caller's, so that a search finds it, and is unique: Convex gives equal ids
    equal answers, so a permission must not be repeated because a caller sends an id again.
    """
    given = request.headers.get("x-request-id", "")
    if _REQUEST_ID.fullmatch(given):
        return given, f"{given}.{secrets.token_hex(8)}"
    return "", f"req_{secrets.token_hex(12)}"
