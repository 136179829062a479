"""The client of a Convex deployment: the official one, over pooled connections and with typed errors."""

from __future__ import annotations

import json
import re
from typing import Any, Literal

from convex import convex_to_json, json_to_convex
from convex.http_client import ConvexHttpClient, FunctionArgs
from convex.values import ConvexValue

from clerk_convex.errors import ChangeRefused, DeploymentError, DeploymentMisconfigured, DeploymentUnavailable
from clerk_convex.net.observer import Observer
from clerk_convex.net.pool import Pool, Trouble

__all__ = ["CallRefused", "Conflicted", "Deployment", "FunctionMissing", "KeyRefused", "Kind", "Throttled"]

Kind = Literal["query", "mutation", "action"]

_LARGEST_RESPONSE = 16 * 1024 * 1024  # bytes; Convex's own limit for what a function returns
_FUNCTION_FAILED = 560  # hosted Convex may answer it in place of 200 if the function threw
_TRY_AGAIN = {408, 421, 425, 429}  # statuses from 400 to 499 that a retry may cure
_REFUSED = {400, 413, 422}
# Codes with status 503 (crates/errors, crates/isolate, crates/database).
_CONFLICT = "OptimisticConcurrencyControlFailure"
_CROWDED = {
    "CommitterFullError",
    "ExecuteFullError",
    "ExpiredInQueue",
    "InitialPermitTimeoutError",
    "WorkerOverloaded",
}

_PERMISSIONS = "Make a key in the dashboard that may run internal mutations and internal queries."
_DEPLOY = "Deploy the functions in convex/ (npx convex deploy); CONVEX_USERS_MODULE names their module."
_UNREADABLE = "Convex gave an answer that cannot be read. Is CONVEX_URL its address?"

# The start of an error message. Where Convex hides details from its clients, nothing follows.
_PREAMBLE = re.compile(r"(?:\[Request ID: [^\]\n]*\] )?(?:Server Error\n?)?")
# The starts of messages of Convex (convex-backend, crates/udf/src/validation.rs, crates/roles/src/eval.rs).
_MISCONFIGURED = {
    "Could not find public function": f"there is no such function. {_DEPLOY}",
    "Could not find function": f"there is no such function. {_DEPLOY}",
    "Trying to execute ": f"it is another kind of function. {_DEPLOY}",
    "You do not have permission": f"CONVEX_DEPLOY_KEY lacks a permission. {_PERMISSIONS}",
    "The provided deploy key": f"CONVEX_DEPLOY_KEY was rejected. {_PERMISSIONS}",
    "Cannot run functions while this deployment is paused": (
        "the deployment is paused. Resume it in the dashboard, under Settings."
    ),
    "Cannot run functions while": "the deployment is suspended. The dashboard says why.",
    "You have exceeded": "the deployment is disabled, a limit was exceeded. The dashboard says which one.",
    "This deployment has been disabled": "the deployment is disabled. The dashboard says why.",
}
# Codes of Convex (crates/local_backend, application and database), more precise than their HTTP status.
_CODES = {
    "ClientVersionUnsupported": (
        "it does not accept this version of the package convex any more. Upgrade it: pip install -U convex."
    ),
    "HeaderParseFailure": (
        "it cannot read a header of the call. Set CONVEX_DEPLOY_KEY again; if that does not help, a proxy in"
        " front of Convex changes headers."
    ),
    _CONFLICT: (
        "other mutations changed the same documents at the same time, in each of Convex's own attempts."
        " Nothing was written. Try again later."
    ),
    "TooManyConcurrentRequests": (
        "the deployment's class runs no more functions concurrently, and none ended for this one to begin."
        " Nothing was written. Try again later."
    ),
    "TooManyWrites": (
        "all mutations together write more bytes per second than the deployment's class allows. Nothing was"
        " written. Try again later."
    ),
}
# Answered with 400 to a key that is none, or is of another kind: cut, with a colon too many, a session token.
_KEY_UNREADABLE = {"InvalidAuthHeader"}
_CLASS = re.compile(r"(ArgumentValidationError|ReturnsValidationError)\b")
_CODE = re.compile(r"[A-Za-z]{1,60}")


class CallRefused(ChangeRefused):
    """A function refused its arguments or failed on them.

    data: the data of the ConvexError that the function threw, else None.
    is_validation: the function's validators refused the arguments. Hosted deployments may hide this.
    """

    def __init__(self, text: str, data: ConvexValue = None, *, is_validation: bool = False) -> None:
        super().__init__(text)
        self.data = data
        self.is_validation = is_validation


class KeyRefused(DeploymentMisconfigured):
    """Convex rejects the deploy key, or the key lacks the permission for this call."""


class FunctionMissing(DeploymentMisconfigured):
    """The deployment answers, but it has no such function."""


class Throttled(DeploymentUnavailable):
    """Convex has too many calls to run, or too much was written in too short a time."""


class Conflicted(DeploymentUnavailable):
    """Convex gave up a mutation because others changed the same documents, again and again."""


_KINDS = {
    "Could not find public function": FunctionMissing,
    "Could not find function": FunctionMissing,
    "You do not have permission": KeyRefused,
    "The provided deploy key": KeyRefused,
}


class Deployment(ConvexHttpClient):
    """The official `ConvexHttpClient` for an event loop: `await deployment.query("users:getUsers", {})`.

    Requests and the encoding of values are the official client's. Only its `_request` is overridden, because
    that one blocks the event loop, opens a connection for each call, has no timeout, follows redirects and
    lets a .netrc replace the deploy key.

    timeout: seconds for one call, connecting and reading included. Convex makes a call wait for up to 5 s
        while too many others run, before it answers 429; a caller that gives up sooner never learns why.
    connect_timeout: seconds for opening a connection.
    observer: told of each failed call.

    A call whose connection turns out to be closed is repeated immediately. A function may therefore run
    twice, so its writes must be idempotent. Proxies and .netrc files of the environment are not used.

    One deployment serves one event loop. It connects on first use and closes with the loop, or by `aclose`.

    `query`, `mutation`, `action` and `send` raise CallRefused if the function refuses,
    DeploymentMisconfigured and DeploymentUnavailable. No error quotes Convex's text: it may hold personal
    data.
    """

    def __init__(
        self,
        url: str,
        deploy_key: str,
        *,
        timeout: float = 7.0,
        connect_timeout: float = 2.0,
        observer: Observer | None = None,
    ) -> None:
        super().__init__(url)
        self.set_admin_auth(deploy_key)
        self.timeout = timeout
        self.observer = observer or Observer()
        self._pool = Pool(connect_timeout=connect_timeout)

    async def _request(self, url: str, name: str, args: FunctionArgs) -> ConvexValue:  # type: ignore[override]
        # The official query(), mutation() and action() return the result of this method, so they return an
        # awaitable.
        if args is not None and type(args) is not dict:
            raise TypeError("The arguments of a Convex function are a dict.")
        return await self._call(url, name, json.dumps(convex_to_json(args or {}), allow_nan=False).encode())

    async def send(self, kind: Kind, name: str, args: bytes) -> ConvexValue:
        """Run a function on arguments that are already Convex-encoded JSON, and return its decoded value."""
        return await self._call(f"{self.address}/api/{kind}", name, args)

    async def aclose(self) -> None:
        """Close the connections. The next call opens new ones."""
        await self._pool.aclose()

    async def _call(self, url: str, name: str, args: bytes) -> ConvexValue:
        body = b'{"path":%b,"format":"convex_encoded_json","args":%b}' % (json.dumps(name).encode(), args)
        headers = {**self.headers, "Content-Type": "application/json"}
        if self.auth is not None:
            headers["Authorization"] = self.auth
        response = await self._pool.send(
            "POST", url, headers, body, timeout=self.timeout, largest=_LARGEST_RESPONSE
        )
        try:
            if isinstance(response, Trouble):
                raise _problem(response, self.timeout)
            return _read(name, response.status, response.content)
        except DeploymentError as error:
            self.observer.convex_failed(error)
            raise


def _problem(trouble: Trouble, timeout: float) -> DeploymentError:
    match trouble:
        case Trouble.SLOW:
            return DeploymentUnavailable(f"Convex did not answer within {timeout:g} s. Is it up?")
        case Trouble.UNREACHABLE:
            return DeploymentUnavailable("Convex cannot be reached. Is it up, and is CONVEX_URL its address?")
        case Trouble.UNSENDABLE:
            return DeploymentMisconfigured(
                "CONVEX_URL or CONVEX_DEPLOY_KEY has characters that no request can carry. Set them again."
            )
        case Trouble.UNREADABLE:
            return DeploymentUnavailable(_UNREADABLE)
        case _:
            return DeploymentUnavailable("The connection to Convex broke.")


def _read(name: str, status: int, content: bytes) -> ConvexValue:
    """Return the value in a response. Raise the error that the response stands for."""
    answer = _object(content)
    if status in {200, _FUNCTION_FAILED}:
        if answer.get("status") == "error":
            raise _refusal(name, answer)
        if status == 200 and answer.get("status") == "success" and "value" in answer:
            return _decode(answer["value"])
        raise DeploymentUnavailable(_UNREADABLE)
    problem = _status_problem(name, status, answer)
    problem.status = status
    raise problem


def _status_problem(name: str, status: int, answer: dict[str, Any]) -> DeploymentError:
    code = answer.get("code")
    said = f"Convex answered {status}"
    if isinstance(code, str) and _CODE.fullmatch(code):
        said += f" ({code})"
        if code in _CODES:
            problem = _kind(status, code)(f"{said}: {_CODES[code]}")
            problem.code = code
            return problem
        if code in _CROWDED:
            problem = Throttled(
                f"{said}: it has too many calls to run. Nothing was written. Try again later."
            )
            problem.code = code
            return problem
    if status == 401 or code in _KEY_UNREADABLE:
        return KeyRefused(f"{said}: CONVEX_DEPLOY_KEY was rejected. {_PERMISSIONS}")
    if status == 403:
        return KeyRefused(
            f"{said}: CONVEX_DEPLOY_KEY is another deployment's or lacks a permission. {_PERMISSIONS}"
        )
    if 300 <= status < 400:
        return DeploymentMisconfigured(
            f"{said}, a redirect: CONVEX_URL is wrong. Set the deployment's own address, with https://."
        )
    if status == 404:
        missing = FunctionMissing if code == "FunctionPathNotFound" else DeploymentMisconfigured
        return missing(f"{said}: CONVEX_URL is no Convex deployment's, or it has no {name}. {_DEPLOY}")
    if status == 429:
        return Throttled(f"{said}: too many calls at once.")
    if status in _REFUSED:
        return CallRefused(f"{said}: it refused the call of {name}.")
    if 400 < status < 500 and status not in _TRY_AGAIN:
        return DeploymentMisconfigured(f"{said}: CONVEX_URL is no Convex deployment's. Set it again.")
    return DeploymentUnavailable(f"{said}. It may get better by itself.")


def _kind(status: int, code: str) -> type[DeploymentError]:
    if status == 429:
        return Throttled
    if status == 503 and code == _CONFLICT:
        return Conflicted
    return DeploymentUnavailable if status >= 500 else DeploymentMisconfigured


def _refusal(name: str, answer: dict[str, Any]) -> DeploymentError:
    message = answer.get("errorMessage")
    text = _PREAMBLE.sub("", message, count=1) if isinstance(message, str) else ""
    for opening, what in _MISCONFIGURED.items():
        if text.startswith(opening):
            kind = _KINDS.get(opening, DeploymentMisconfigured)
            return kind(f"Convex did not run {name}: {what}")
    known = _CLASS.match(text)
    reason = f" ({known[1]})" if known else ""
    data = _decode(answer["errorData"]) if "errorData" in answer else None
    return CallRefused(
        f"Convex refused the call of {name}{reason}. Its log (dashboard, Logs) says why.",
        data,
        is_validation=known is not None and known[1] == "ArgumentValidationError",
    )


def _object(content: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _decode(value: Any) -> ConvexValue:
    try:
        return json_to_convex(value)
    except Exception:  # noqa: BLE001 - any failure means that the answer is not from Convex
        problem = DeploymentUnavailable(_UNREADABLE)
    raise problem
