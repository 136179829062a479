"""Serve the paths that need no secret key: public keys, the sign-in page, and the Frontend API of browsers.

Only pages of this machine may use them: the origin of a page, and the address after signing in, must be a
loopback address.
"""

import json
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from clerk_convex.entities.users import read_user
from clerk_convex.local.clerk.api import create_api
from clerk_convex.local.clerk.http import WithFaults, answer, answer_error, on_http_error, on_refusal, read
from clerk_convex.local.clerk.instance import ClerkInstance
from clerk_convex.local.clerk.lists import read_list
from clerk_convex.local.clerk.objects import ClerkRefusal, not_found
from clerk_convex.local.clerk.sessions import LIVE
from clerk_convex.local.clerk.sign_in import Choice, error_page, sign_in_page

__all__ = ["ACCOUNTS", "create_app"]

PUBLIC = re.compile(r"/sign-in|/v1/client(/.*)?|/\.well-known/.*")
EVERYONE = {"access-control-allow-origin": "*"}

# Strict, because browsers accept more spellings of an address than a parser here would recognize.
LOOPBACK = r"https?://(?:127\.0\.0\.1|localhost)(?::[0-9]{1,5})?"
ORIGIN = re.compile(LOOPBACK)
ADDRESS = re.compile(rf"({LOOPBACK})(?:[/?#][!-\[\]-~]*)?")  # printable ASCII without a backslash

ACCOUNTS: Mapping[str, Mapping[str, Any]] = {
    "admin": {
        "external_id": "local-clerk-admin",
        "first_name": "Ada",
        "last_name": "Admin",
        "email_address": ["ada.admin@example.com"],
        "public_metadata": {"role": "admin"},
    },
    "ordinary": {
        "external_id": "local-clerk-ordinary",
        "first_name": "Otto",
        "last_name": "Ordinary",
        "email_address": ["otto.ordinary@example.com"],
    },
}
"""The users to pick from on the sign-in page: fields for LocalClerk.create_user."""

Handler = Callable[[Request], Awaitable[Response]]


class _Frontend:
    """The handlers, with the client id of each browser by its cookie."""

    def __init__(self, clerk: "ClerkInstance") -> None:
        self._clerk = clerk
        self._clients: dict[str, str] = {}

    def jwks(self, request: Request) -> Response:
        response = answer(self._clerk.jwks())
        response.headers.update(EVERYONE)
        return response

    async def configuration(self, request: Request) -> Response:
        issuer = self._clerk.issuer
        configuration = {
            "issuer": issuer,
            "jwks_uri": f"{issuer}/.well-known/jwks.json",
            # OpenID Connect requires this field; the local Clerk does not serve the path.
            "authorization_endpoint": f"{issuer}/oauth/authorize",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }
        response = answer(configuration)
        response.headers.update(EVERYONE)
        return response

    async def show_sign_in(self, request: Request) -> Response:
        return self._sign_in_page(request, request.query_params.get("redirect_url", ""))

    async def sign_in(self, request: Request) -> Response:
        if not ORIGIN.fullmatch(request.headers.get("origin", "")):
            return error_page(
                403, "Not from there", "The local Clerk signs nobody in from a page of another machine."
            )
        form = parse_qs((await read(request)).decode(errors="replace"))
        redirect_url, account = (form.get(name, [""])[0] for name in ("redirect_url", "account"))
        if account not in ACCOUNTS:
            problem = "There is no user of that name. Pick one of these."
            return self._sign_in_page(request, redirect_url, problem=problem, status=400)
        if redirect_url and not ADDRESS.fullmatch(redirect_url):
            return _foreign_redirect()
        user = self._user(account)
        if refused := _refused(user):
            return self._sign_in_page(request, redirect_url, problem=refused, status=403)
        client_id = self._clients.pop(self._cookie(request), None)
        for session in self._sessions(client_id):
            self._clerk.remove_session(session["id"])
        session = self._clerk.sign_in(user["id"], client_id=client_id)
        cookie = secrets.token_urlsafe(32)
        self._clients[cookie] = session["client_id"]
        response = RedirectResponse(redirect_url or "/sign-in", 303)
        response.set_cookie(self._cookie_name, cookie, httponly=True, samesite="lax")
        return response

    async def client(self, request: Request) -> Response:
        client_id = self._client_id(request)
        sessions = [
            {**session, "user": _public(self._clerk.get_user(session["user_id"]))}
            for session in self._sessions(client_id)
        ]
        latest = sessions[0]["id"] if sessions else None
        return answer(
            {
                "response": {
                    "object": "client",
                    "id": client_id,
                    "sessions": sessions,
                    "last_active_session_id": latest,
                }
            }
        )

    async def create_token(self, request: Request) -> Response:
        session = self._own_session(request)
        origin, template = request.headers["origin"], request.path_params.get("template")
        token = await run_in_threadpool(  # the first call generates the keys, which takes a while
            self._clerk.session_token, session["id"], azp=origin, template=template
        )
        return answer({"object": "token", "jwt": token})

    async def remove_session(self, request: Request) -> Response:
        session = self._own_session(request)
        return answer({"response": self._clerk.remove_session(session["id"])})

    def _sign_in_page(
        self, request: Request, redirect_url: str, *, problem: str = "", status: int = 200
    ) -> Response:
        address = ADDRESS.fullmatch(redirect_url)
        if redirect_url and address is None:
            return _foreign_redirect()
        signed_in = self._sessions(self._client_id(request))
        current = _name(self._clerk.get_user(signed_in[0]["user_id"])) if signed_in else None
        return sign_in_page(
            [_choice(account, self._user(account)) for account in ACCOUNTS],
            redirect_url=redirect_url,
            goes_to=address[1] if address else "",
            current=current,
            problem=problem,
            status=status,
        )

    def _user(self, account: str) -> dict[str, Any]:
        """Return the account's user as it is now, or a new one."""
        fields = ACCOUNTS[account]
        for key, value in (
            ("external_id", fields["external_id"]),
            ("email_address", fields["email_address"][0]),
        ):
            for text in self._clerk.select(read_list([(key, value)])):
                user: dict[str, Any] = json.loads(text)
                return user
        return self._clerk.create_user(**fields)

    @property
    def _cookie_name(self) -> str:
        # Cookies do not depend on the port, so the name must tell two local Clerks apart.
        return f"__client_{self._clerk.url.rpartition(':')[2]}"

    def _cookie(self, request: Request) -> str:
        return request.cookies.get(self._cookie_name, "")

    def _client_id(self, request: Request) -> str | None:
        return self._clients.get(self._cookie(request))

    def _sessions(self, client_id: str | None) -> list[dict[str, Any]]:
        """Return the live sessions of a browser, the newest first."""
        if client_id is None:
            return []
        return [it for it in self._clerk.sessions(client_id=client_id) if it["status"] in LIVE]

    def _own_session(self, request: Request) -> dict[str, Any]:
        client_id = self._client_id(request)
        if client_id is None:
            raise ClerkRefusal(
                401, "authentication_invalid", "Invalid authentication", "This browser is not signed in."
            )
        for session in self._clerk.sessions(client_id=client_id):
            if session["id"] == request.path_params["session_id"]:
                if session["status"] in LIVE:
                    return session
                if _is_deprovisioned(self._clerk, session["user_id"]):
                    raise ClerkRefusal(
                        *(401, "deprovisioned", "account deprovisioned", "Your account is deprovisioned")
                    )
        raise not_found("active session of this browser")


def _for_browsers(handler: Handler) -> Handler:
    """Return a handler that answers only pages of this machine, and lets them send cookies (CORS).

    A request other than GET must have an Origin header.
    """

    async def handle(request: Request) -> Response:
        origin = request.headers.get("origin")
        if not ORIGIN.fullmatch(origin or "") and not (origin is None and request.method == "GET"):
            return answer_error(
                ClerkRefusal(
                    403, "origin_invalid", "Invalid origin", "Only pages of this machine are answered."
                )
            )
        try:
            response = await handler(request)
        except ClerkRefusal as refusal:
            response = answer_error(refusal)
        response.headers.update({"cache-control": "no-store", "vary": "origin"})
        if origin is not None:
            response.headers["access-control-allow-origin"] = origin
            response.headers["access-control-allow-credentials"] = "true"
        return response

    return handle


async def _preflight(request: Request) -> Response:
    headers = {
        "access-control-allow-methods": "GET, POST",
        "access-control-allow-headers": "authorization, content-type",
        "access-control-max-age": "600",
    }
    return Response(status_code=204, headers=headers)


def _public(user: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a user that the user's own browser may see."""
    return {key: value for key, value in user.items() if key != "private_metadata"}


def _choice(account: str, user: Mapping[str, Any]) -> Choice:
    columns = read_user(user).columns
    sees_all = columns["role"] == "admin"
    may = "Sees all users and may change them." if sees_all else "May sign in, but not see the users."
    return Choice(account, _name(user), str(columns["email"] or ""), may, _refused(user))


def _name(user: Mapping[str, Any]) -> str:
    columns = read_user(user).columns
    names = [str(columns[key]) for key in ("firstName", "lastName") if columns[key]]
    return " ".join(names) or str(user["id"])


def _refused(user: Mapping[str, Any]) -> str:
    reasons = (reason for reason in ("banned", "deprovisioned", "locked") if user.get(reason))
    reason = next(reasons, None)
    return "" if reason is None else f"{_name(user)} is {reason} and cannot sign in."


def _is_deprovisioned(clerk: "ClerkInstance", user_id: str) -> bool:
    try:
        return bool(clerk.get_user(user_id).get("deprovisioned"))
    except ClerkRefusal:  # the user was deleted meanwhile
        return False


def _foreign_redirect() -> Response:
    return error_page(
        *(400, "Not that way"),
        "The address to go to after signing in (redirect_url) is not one of this machine. The local Clerk "
        "leads to 127.0.0.1 and localhost only.",
    )


def create_app(clerk: "ClerkInstance") -> ASGIApp:
    """Return the ASGI application of `clerk`: the public paths of this module, else the Backend API."""
    frontend = _Frontend(clerk)
    calls: Mapping[str, tuple[str, Handler]] = {
        "/v1/client": ("GET", frontend.client),
        "/v1/client/sessions/{session_id}/tokens": ("POST", frontend.create_token),
        "/v1/client/sessions/{session_id}/tokens/{template}": ("POST", frontend.create_token),
        "/v1/client/sessions/{session_id}/remove": ("POST", frontend.remove_session),
    }
    public = Starlette(
        routes=[
            Route("/.well-known/jwks.json", frontend.jwks),
            Route("/.well-known/openid-configuration", frontend.configuration),
            Route("/sign-in", frontend.show_sign_in),
            Route("/sign-in", frontend.sign_in, methods=["POST"]),
            *(Route(path, _for_browsers(handler), methods=[it]) for path, (it, handler) in calls.items()),
            *(Route(path, _for_browsers(_preflight), methods=["OPTIONS"]) for path in calls),
        ],
        exception_handlers={ClerkRefusal: on_refusal, HTTPException: on_http_error},
    )
    frontend_api = WithFaults(
        public, lambda: clerk.take_fault(frontend=True), lambda: clerk.frontend_faults.delay
    )
    backend_api = create_api(clerk)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        is_public = PUBLIC.fullmatch(scope["path"])
        await (frontend_api if is_public else backend_api)(scope, receive, send)

    return app
