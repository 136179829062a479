"""Clerk's Backend API: pooled connections, the instance's rate kept, retries, typed errors.

What it sends and takes is Clerk's OpenAPI specification of 2026-05-12 (bapi).
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict, Unpack
from urllib.parse import quote, urlencode

from clerk_convex.entities.json import parse_json
from clerk_convex.entities.times import http_date
from clerk_convex.errors import ClerkError, ClerkMisconfigured, ClerkNotFound, ClerkUnavailable
from clerk_convex.net.backoff import Backoff
from clerk_convex.net.pool import Pool, Response, Trouble
from clerk_convex.net.rate import Rate

__all__ = ["Clerk", "Filters", "Instance", "Page", "Snapshot"]

API_VERSION = "2026-05-12"

_MOST_USERS = 500  # on a page; Clerk has been seen to answer 10 users to limit=501, without a word
_MOST_IDS = 100  # of one filter
_LARGEST_RESPONSE = 64 * 1024 * 1024  # bytes; 500 users whose metadata is as large as Clerk allows are 15 MB
_LONGEST_MESSAGE, _LONGEST_TRACE_ID = 1000, 100  # characters that are kept of what Clerk says

_RATE_WINDOW = 10.0  # seconds
_RATE_LIVE, _RATE_TEST = 1000, 100  # calls in a window, for keys of production and of development instances
_BACKOFF = Backoff(first=0.5, longest=10.0)  # seconds between attempts
_LONGEST_RETRY_AFTER = 60.0  # seconds; Clerk's windows are of 10
_CLOCK_MARGIN = 1000.0  # milliseconds; `Date` has whole seconds, and Clerk has more than one clock

_WHOLE_SECOND = 1000.0  # milliseconds; what `Date` leaves out, at most

_CODE = re.compile(r"[A-Za-z0-9_]{1,100}")
_SIGNED = {"external_id", "user_id"}  # filters of which "-x" means all but x, and "+x" x
_INSTANCE_WORD = re.compile(r"[A-Za-z0-9_]{1,100}")
_TRY_AGAIN = {408, 421, 425, 429}  # of the 4xx; no other gets better by itself
_UNREADABLE = "Clerk gave an answer that cannot be read. Is CLERK_API_URL its address?"
_SET_KEY = "Copy the key (sk_…) from Clerk, API keys, and set it again."
_SET_URL = "Set it to https://api.clerk.com, or unset it."
# What to do about an error, by Clerk's code; else by its status.
_REMEDIES: dict[str | int, str] = {
    "form_identifier_exists": "another user has this address, name or id already. Choose another.",
    "resource_locked": "another call is changing the same thing. Try again in a moment.",
    "deprovisioned": "the company's directory has removed this user, and only it can undo that.",
    "user_managed_by_scim": "the company's directory manages this user. Remove the user there.",
    "attribute_managed_by_scim": "the company's directory manages this field. Change it there.",
    "organization_membership_managed_by_scim": "the company's directory manages this. Change it there.",
    "user_quota_exceeded": "the instance has as many users as it may. Its plan in the dashboard says more.",
    402: "the instance's plan does not include this. Change the plan in Clerk's dashboard.",
    403: "the instance may not do this. Its plan or its settings in Clerk's dashboard say why.",
    413: "this is larger than Clerk takes; metadata may have 8 KB. Send less.",
}


class Filters(TypedDict, total=False):
    """Which users: all that is given must hold, None is not given. Times are Unix milliseconds.

    Of the lists, 100 values at most; a user needs to match one. `query` and `…_query` match parts.
    """

    created_at_after: float | None
    created_at_before: float | None
    last_active_at_after: float | None
    last_active_at_before: float | None
    last_sign_in_at_after: float | None
    last_sign_in_at_before: float | None
    banned: bool | None
    query: str | None
    email_address_query: str | None
    name_query: str | None
    phone_number_query: str | None
    username_query: str | None
    email_address: Sequence[str] | None
    external_id: Sequence[str] | None
    phone_number: Sequence[str] | None
    user_id: Sequence[str] | None
    username: Sequence[str] | None


@dataclass(frozen=True, slots=True)
class Page:
    """Users as JSON objects (see `entities.users.parse_json`), as Clerk saw them at `observed_at`.

    `observed_at` is in Unix milliseconds by Clerk's clock, and rather too early than too late: 0 if Clerk did
    not say. What is observed earlier can only lose against another observation.
    """

    users: list[Any] = field(repr=False)
    observed_at: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One user as a JSON object, or the object Clerk leaves of a deleted one, at `observed_at` (see Page)."""

    user: dict[str, Any] = field(repr=False)
    observed_at: float


@dataclass(frozen=True, slots=True)
class Instance:
    """The Clerk instance of a secret key. `environment_type` is "production" or "development", for one."""

    id: str
    environment_type: str

    def __str__(self) -> str:
        return f"{self.id}, {self.environment_type}"


OnRetry = Callable[[ClerkError, float], None]
"""Takes an error that is waited out, and the seconds since the call began."""


class Clerk:
    """The users of the Clerk instance that `secret_key` belongs to.

        clerk = Clerk(settings.clerk_secret_key.get_secret_value())
        page = await clerk.list_users(limit=500)

    `timeout` is the seconds one attempt takes at most, as a whole, however slowly bytes drip in. `patience`
    is the seconds within which attempts are repeated after 429, 5xx and trouble with the network, 0 for one
    attempt. A call takes no longer than both together, waiting for its turn included, for each of `doubts`.

    `doubts` are the pauses, in seconds, after which a refusal is put to the test: it is believed when Clerk
    has repeated it after each of them. Without any it is believed at once. A 404 of one user is not doubted
    here. `on_retry` is called before each pause.

    With `instance_id` (CLERK_INSTANCE_ID) nothing is asked or changed before Clerk has said that the key
    belongs to this instance: all calls raise ClerkMisconfigured if it belongs to another one.

    Calls wait for their turn, in the order they came, so that the instance's rate is kept: 1000 in 10 seconds
    for a key of production (sk_live_), else 100. After a 429 all calls of this object wait as long as Clerk
    says. Other processes with the same key are not known here; what they take shows as 429.

    All calls raise ClerkMisconfigured (wrong key or address), ClerkUnavailable (the patience is over),
    ClerkError (Clerk refuses), and those about one user ClerkNotFound; and ValueError for what must not be
    sent. Texts quote neither the key nor a user; `message` is Clerk's own, for whoever made the call.

    All calls say how the user shall be, not how to change it, so that once more is as good as once; but for
    `create_user`, which is repeated only if Clerk surely has not done it.

    One Clerk serves one event loop. It connects on first use and closes with the loop, or by `aclose`.
    """

    def __init__(
        self,
        secret_key: str,
        url: str = "https://api.clerk.com",
        *,
        timeout: float = 30.0,
        patience: float = 10.0,
        connect_timeout: float = 5.0,
        doubts: Sequence[float] = (),
        instance_id: str | None = None,
        on_retry: OnRetry = lambda error, seconds: None,
    ) -> None:
        self.url = url.rstrip("/").removesuffix("/v1")  # Clerk's own documents give it with /v1
        self.timeout = timeout
        self.patience = patience
        self.doubts = doubts
        self._on_retry = on_retry
        self._awaited_instance = instance_id  # None as soon as Clerk has confirmed it
        self._headers = {
            "Accept": "application/json",
            "Authorization": f"Bearer {secret_key}",
            "Clerk-API-Version": API_VERSION,
        }
        self._pool = Pool(connect_timeout=connect_timeout)
        self._rate = Rate(_RATE_LIVE if secret_key.startswith("sk_live_") else _RATE_TEST, _RATE_WINDOW)

    async def instance(self) -> Instance:
        """Return the instance that the secret key belongs to."""
        answer, _ = await self._call("GET", "/instance", dict)
        return _instance(answer)

    async def list_users(
        self,
        *,
        limit: int = 500,
        order_by: str = "+created_at",
        starting_after: str | None = None,
        offset: int | None = None,
        **filters: Unpack[Filters],
    ) -> Page:
        """A page of up to `limit` (1 to 500) users.

        `starting_after` is the id of the last user of the page before; it needs an order by created_at, and
        everything else as it was. What Clerk does when that user is deleted is not documented.
        `order_by` is a field with + or - before it. `offset` skips users when others are deleted meanwhile.
        """
        if not 1 <= limit <= _MOST_USERS:
            raise ValueError(f"limit is 1 to {_MOST_USERS}.")
        query = {
            "limit": limit,
            "order_by": order_by,
            "starting_after": starting_after,
            "offset": offset,
            **filters,
        }
        users, observed_at = await self._call("GET", f"/users?{_query(query)}", list)
        return Page(users, observed_at)

    async def count_users(self, **filters: Unpack[Filters]) -> int:
        """How many users there are. A list made a moment later may differ."""
        answer, _ = await self._call("GET", f"/users/count?{_query(filters)}", dict)
        count = answer.get("total_count")
        if not isinstance(count, int):
            raise ClerkUnavailable(_UNREADABLE)
        return count

    async def existing(self, ids: Sequence[str]) -> set[str]:
        """Which of these (100 at most) Clerk has. Only `get_user` proves that one is gone."""
        if len(ids) > _MOST_IDS:
            raise ValueError(f"At most {_MOST_IDS} ids can be asked after at once.")
        if not ids:
            return set()
        # The default limit is 10, here too.
        page = await self.list_users(limit=_MOST_IDS, user_id=ids)
        found = [user.get("id") for user in page.users if isinstance(user, dict)]
        return {user_id for user_id in ids if user_id in found}

    async def get_user(self, user_id: str) -> Snapshot:
        return await self._call_user("GET", user_id)

    async def create_user(self, fields: Mapping[str, Any]) -> Snapshot:
        """`fields` are those of POST /users. After ClerkUnavailable look at its `may_be_done`."""
        user, observed_at = await self._call("POST", "/users", dict, body=fields, repeatable=False)
        return Snapshot(user, observed_at)

    async def update_user(self, user_id: str, fields: Mapping[str, Any]) -> Snapshot:
        """`fields` are those of PATCH /users/{id}: no metadata, no addresses."""
        return await self._call_user("PATCH", user_id, body=fields)

    async def update_metadata(self, user_id: str, public_metadata: Mapping[str, Any]) -> Snapshot:
        """Merges into the public metadata, at every depth; None removes a key."""
        return await self._call_user("PATCH", user_id, "/metadata", body={"public_metadata": public_metadata})

    async def delete_user(self, user_id: str) -> Snapshot:
        """The object that Clerk leaves of the user: `id`, `deleted`, perhaps `external_id`."""
        return await self._call_user("DELETE", user_id)

    async def ban(self, user_id: str) -> Snapshot:
        """Bans the user and ends all sessions."""
        return await self._call_user("POST", user_id, "/ban")

    async def unban(self, user_id: str) -> Snapshot:
        return await self._call_user("POST", user_id, "/unban")

    async def lock(self, user_id: str) -> Snapshot:
        """Locks the user out from signing in, for as long as the instance's settings say."""
        return await self._call_user("POST", user_id, "/lock")

    async def unlock(self, user_id: str) -> Snapshot:
        return await self._call_user("POST", user_id, "/unlock")

    async def aclose(self) -> None:
        """Closes the connections. The next call opens new ones."""
        await self._pool.aclose()

    async def _call_user(
        self, method: str, user_id: str, action: str = "", *, body: Mapping[str, Any] | None = None
    ) -> Snapshot:
        if user_id in {"", ".", ".."}:
            raise ValueError("This is no user's id.")  # and would make another path
        path = f"/users/{quote(user_id, safe='')}{action}"
        user, observed_at = await self._call(method, path, dict, body=body, user_id=user_id)
        return Snapshot(user, observed_at)

    async def _call(
        self,
        method: str,
        path: str,
        expected: type,
        *,
        body: Mapping[str, Any] | None = None,
        repeatable: bool = True,
        user_id: str | None = None,
    ) -> tuple[Any, float]:
        """Return what Clerk answers, and when it observed that."""
        request = _Request(method, path, expected, body, repeatable, user_id)
        doubts = iter(self.doubts if repeatable else ())
        while True:
            started = asyncio.get_running_loop().time()
            try:
                if self._awaited_instance is not None:
                    await self._check_instance(self._awaited_instance, started)
                return await self._attempt(request, started)
            except (ClerkNotFound, ClerkUnavailable):
                raise
            except ClerkError as error:
                pause = next(doubts, None)
                if pause is None or error.status is None:  # without a status it is no answer of Clerk's
                    raise
                self._on_retry(error, 0.0)
            await asyncio.sleep(pause)

    async def _check_instance(self, expected: str, started: float) -> None:
        try:
            answer, _ = await self._attempt(_Request("GET", "/instance", dict), started)
            actual = _instance(answer)
        except ClerkUnavailable as error:
            error.may_be_done = False  # only this check was sent, not the call itself
            raise
        if actual.id != expected:
            raise ClerkMisconfigured(
                f"CLERK_SECRET_KEY belongs to another Clerk instance ({actual}) than CLERK_INSTANCE_ID names:"
                " nothing was done. Set the key of the right instance, or correct CLERK_INSTANCE_ID."
            )
        self._awaited_instance = None

    async def _attempt(self, request: _Request, started: float) -> tuple[Any, float]:
        """Send the request, again and again within the patience, which counts from `started`."""
        url = f"{self.url}/v1{request.path}"
        headers, content = self._headers, b""
        if request.body is not None:
            headers = {**headers, "Content-Type": "application/json"}
            content = json.dumps(request.body, allow_nan=False).encode()

        time = asyncio.get_running_loop().time
        last_start = started + self.patience
        deadline = last_start + self.timeout
        problem: ClerkUnavailable | None = None
        failures = 0
        may_be_done = False
        while await self._rate.turn(within=deadline - time()):
            response = await self._pool.send(
                request.method,
                url,
                headers,
                content,
                timeout=min(self.timeout, deadline - time()),
                largest=_LARGEST_RESPONSE,
                repeatable=request.repeatable,
            )
            if isinstance(response, Response):
                observed_at = _observed_at(response)
                may_be_done = may_be_done or response.repeated
                try:
                    answer = _read(response, request.expected, about_user=request.user_id is not None)
                except ClerkNotFound as error:
                    if request.method == "DELETE" and may_be_done:  # and its answer got lost
                        deleted = {"id": request.user_id, "object": "user", "deleted": True}
                        return deleted, observed_at
                    error.observed_at, error.gone_by = observed_at, _observed_by(response)
                    raise
                except ClerkUnavailable as error:
                    problem = error
                else:
                    return answer, observed_at
            else:
                problem = self._problem(response)
            may_be_done = problem.may_be_done = may_be_done or problem.may_be_done
            pause = self._pause(problem, failures)
            if time() + pause > last_start or (may_be_done and not request.repeatable):
                break
            failures += 1
            self._on_retry(problem, time() - started)
            await asyncio.sleep(pause)
        raise problem or self._too_many_calls()

    def _pause(self, problem: ClerkUnavailable, failures: int) -> float:
        """Seconds to the next attempt. After a 429 all calls wait for so long."""
        asked = min(_LONGEST_RETRY_AFTER, problem.retry_after or 0.0)
        pause = max(asked, _BACKOFF.pause(failures))
        if problem.status == 429:
            self._rate.pause(pause)
        return pause

    def _problem(self, trouble: Trouble) -> ClerkUnavailable:
        """Raises what lasts."""
        match trouble:
            case Trouble.SLOW:
                slow = ClerkUnavailable(f"Clerk did not answer within {self.timeout:g} s. Try again later.")
                slow.too_slow = True
                return slow
            case Trouble.UNREACHABLE:
                return _not_done(
                    "Clerk cannot be reached. Is there a network, and is CLERK_API_URL its address?"
                )
            case Trouble.UNSENDABLE:
                raise ClerkMisconfigured(
                    "CLERK_SECRET_KEY or CLERK_API_URL has characters no request can carry. Set it again."
                )
            case Trouble.UNREADABLE:
                return ClerkUnavailable(_UNREADABLE)
            case _:
                return ClerkUnavailable("The connection to Clerk broke. Try again later.")

    def _too_many_calls(self) -> ClerkUnavailable:
        wait = self._rate.wait()
        return _not_done(
            f"Too many calls wait already for Clerk, which limits their rate. Try again in {wait:.0f} s.",
            retry_after=wait,
        )


@dataclass(frozen=True, slots=True)
class _Request:
    """`user_id` is whom it is about, and `repeatable` whether once more does no harm."""

    method: str
    path: str
    expected: type
    body: Mapping[str, Any] | None = None
    repeatable: bool = True
    user_id: str | None = None


def _instance(answer: dict[str, Any]) -> Instance:
    words = answer.get("id"), answer.get("environment_type")
    instance_id, environment_type = (
        word if isinstance(word, str) and _INSTANCE_WORD.fullmatch(word) else None for word in words
    )
    if instance_id is None:
        raise ClerkUnavailable(_UNREADABLE)
    return Instance(instance_id, environment_type or "of an unknown kind")


def _not_done(text: str, *, retry_after: float | None = None, **more: Any) -> ClerkUnavailable:
    problem = ClerkUnavailable(text, **more)
    problem.retry_after = retry_after
    problem.may_be_done = False
    return problem


def _read(response: Response, expected: type, *, about_user: bool) -> Any:
    """The JSON in a response. Raises what the response means."""
    try:
        answer = parse_json(response.content, users=_MOST_USERS if expected is list else 1)
    except ValueError:
        answer = None
    if not 200 <= response.status < 300:
        raise _refusal(response, answer, about_user=about_user)
    if not isinstance(answer, expected):
        raise ClerkUnavailable(_UNREADABLE, status=response.status)
    return answer


def _refusal(response: Response, answer: Any, *, about_user: bool) -> ClerkError:
    status = response.status
    own = _own_words(answer)
    code = own["code"]
    said = f"Clerk answered {status} ({code})" if code else f"Clerk answered {status}"
    is_clerks = isinstance(answer, dict) and isinstance(answer.get("errors"), list)
    if status == 401 and code != "deprovisioned":
        return ClerkMisconfigured(
            f"Clerk answered 401: CLERK_SECRET_KEY was rejected. {_SET_KEY}", status=status, **own
        )
    if 300 <= status < 400:
        return ClerkMisconfigured(
            f"{said}, a redirect: CLERK_API_URL is wrong. {_SET_URL}", status=status, **own
        )
    if status == 429:
        wait = _retry_after(response)
        when = "later" if wait is None else f"in {wait:.0f} s"
        return _not_done(
            f"{said}: too many calls with this key. Try again {when}.",
            retry_after=wait,
            status=status,
            **own,
        )
    if not 400 <= status < 500 or status in _TRY_AGAIN:
        problem = ClerkUnavailable(
            f"{said}: it has trouble. Try again later; status.clerk.com says more.", status=status, **own
        )
        problem.retry_after = _retry_after(response)
        return problem
    if status == 404 and code == "resource_not_found" and about_user:
        return ClerkNotFound(f"{said}: it has no such user (any more).", status=status, **own)
    remedy = _REMEDIES.get(code or status) or _REMEDIES.get(status)
    if status == 409 and code == "resource_locked":
        return _not_done(f"{said}: {remedy}", retry_after=_retry_after(response), status=status, **own)
    if remedy is None and not is_clerks:
        return ClerkMisconfigured(
            f"{said}: what is at CLERK_API_URL is not Clerk's Backend API. {_SET_URL}", status=status, **own
        )
    return ClerkError(
        f"{said}: {remedy or 'it refuses what was sent. Its own message says why.'}", status=status, **own
    )


def _own_words(answer: Any) -> dict[str, str | None]:
    """What Clerk says in the body of an error: `code`, `message`, `trace_id`."""
    body = answer if isinstance(answer, dict) else {}
    errors = body.get("errors")
    errors = [error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []
    codes = [error.get("code") for error in errors]
    texts = [error.get("long_message") or error.get("message") for error in errors]
    message = " ".join(text for text in texts if isinstance(text, str))
    trace_id = body.get("clerk_trace_id")
    return {
        "code": next((code for code in codes if isinstance(code, str) and _CODE.fullmatch(code)), None),
        "message": message[:_LONGEST_MESSAGE] or None,
        "trace_id": trace_id[:_LONGEST_TRACE_ID] if isinstance(trace_id, str) else None,
    }


def _observed_at(response: Response) -> float:
    """When Clerk looked, at the earliest: before it dated its answer, and after it was asked."""
    date = http_date(response.headers.get("date"))
    if date is None:
        return 0.0
    return max(0.0, (date - response.seconds) * 1000 - _CLOCK_MARGIN)


def _observed_by(response: Response) -> float:
    """When Clerk looked, at the latest; infinite if it did not say."""
    date = http_date(response.headers.get("date"))
    return math.inf if date is None else date * 1000 + _WHOLE_SECOND + _CLOCK_MARGIN


def _retry_after(response: Response) -> float | None:
    """The seconds, or the time, in a Retry-After header (RFC 9110, 10.2.3)."""
    text = response.headers.get("retry-after", "")
    if re.fullmatch("[0-9]{1,9}", text):
        return float(text)
    until, now = http_date(text), http_date(response.headers.get("date"))
    if until is None or now is None:
        return None
    return max(0.0, until - now)


def _query(parameters: Mapping[str, object]) -> str:
    """A query string; None is left out. Times are rounded so that no user is lost between them."""
    pairs: list[tuple[str, object]] = []
    for name, value in parameters.items():
        match value:
            case None:
                continue
            case bool():
                value = "true" if value else "false"
            case float():
                value = math.ceil(value) if name.endswith("_before") else math.floor(value)
            case [*ids] if name in _SIGNED:
                value = [f"+{each}" if str(each).startswith(("+", "-")) else each for each in ids]
        pairs.append((name, value))
    return urlencode(pairs, doseq=True, errors="replace")
