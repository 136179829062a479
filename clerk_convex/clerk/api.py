"""A client of Clerk's Backend API with pooled connections, a rate limit, retries and typed errors.

Requests and answers follow Clerk's OpenAPI specification of 2026-05-12 (bapi).
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

from clerk_convex.entities.json import canonical_json, parse_json
from clerk_convex.entities.times import http_date
from clerk_convex.errors import ClerkError, ClerkMisconfigured, ClerkNotFound, ClerkUnavailable
from clerk_convex.net.backoff import Backoff
from clerk_convex.net.observer import Observer
from clerk_convex.net.pool import Pool, Response, Trouble
from clerk_convex.net.rate import Rate

__all__ = ["Clerk", "Filters", "Instance", "OnRetry", "Page", "Snapshot"]

API_VERSION = "2026-05-12"

_MOST_USERS = 500  # on a page; with limit=501 Clerk has been seen to answer 10 users, without an error
MOST_IDS = 100
"""The number of ids that Clerk takes in one filter."""
_MOST_BANNED = 50  # in one call
_LARGEST_RESPONSE = 64 * 1024 * 1024  # bytes; 500 users whose metadata is as large as Clerk allows are 15 MB
_LONGEST_MESSAGE, _LONGEST_TRACE_ID = 1000, 100  # characters kept of texts from Clerk

_RATE_WINDOW = 10.0  # seconds
_RATE_LIVE, _RATE_TEST = 1000, 100  # calls in a window, for keys of production and of development instances
_BACKOFF = Backoff(first=0.5, longest=10.0)  # seconds between attempts
_LONGEST_RETRY_AFTER = 60.0  # seconds; Clerk's windows are of 10
_CLOCK_MARGIN = 1000.0  # milliseconds; the clocks of Clerk's servers may differ

_WHOLE_SECOND = 1000.0  # milliseconds; the `Date` header leaves out less than that

_CODE = re.compile(r"[A-Za-z0-9_]{1,100}")
_SIGNED = {"external_id", "user_id"}  # filters in which "-x" means all but x, and "+x" means x
_INSTANCE_WORD = re.compile(r"[A-Za-z0-9_]{1,100}")
_TRY_AGAIN = {408, 421, 425, 429}  # statuses from 400 to 499 that a retry may cure
_UNREADABLE = "Clerk gave an answer that cannot be read. Is CLERK_API_URL its address?"
_SET_KEY = "Copy the key (sk_…) from Clerk, API keys, and set it again."
_SET_URL = "Set it to https://api.clerk.com, or unset it."
# The remedy for an error, by Clerk's code or by the status.
_REMEDIES: dict[str | int, str] = {
    "form_identifier_exists": "another user has this address, name or id already. Choose another.",
    "resource_locked": "another call is changing the same thing. Try again in a moment.",
    "deprovisioned": "the company's directory has removed this user, and only it can undo that.",
    "user_managed_by_scim": "the company's directory manages this user. Remove the user there.",
    "attribute_managed_by_scim": "the company's directory manages this field. Change it there.",
    "organization_membership_managed_by_scim": "the company's directory manages this. Change it there.",
    "user_quota_exceeded": "the instance has as many users as it may. Its plan in the dashboard says more.",
    "duplicate_record": "this address has an invitation already. Revoke that one first.",
    "invitation_already_accepted": "this invitation was accepted, so there is a user. Look at the user.",
    "invitation_already_revoked": "this invitation was revoked before. Nothing is left to do.",
    402: "the instance's plan does not include this. Change the plan in Clerk's dashboard.",
    403: "the instance may not do this. Its plan or its settings in Clerk's dashboard say why.",
    413: "this is larger than Clerk takes; metadata may have 8 KB. Send less.",
}


class Filters(TypedDict, total=False):
    """Filters of users. A user must match all that are given; None is the same as not given.

    Times are Unix milliseconds. A list has at most 100 values, of which a user must match one. `query` and
    `…_query` match parts of a text.
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
    """Users as JSON objects (see `entities.json.parse_json`), as Clerk saw them at `observed_at`.

    `observed_at` is in Unix milliseconds by Clerk's clock, 0 if Clerk sent no date. It is the earliest
    possible time: a stamp that is too early may lose against a newer one, but never wrongly wins.
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
"""Called before a pause, with the error that will be retried and the seconds since the call began."""


class Clerk:
    """A client for the users, sessions and invitations of the Clerk instance that `secret_key` belongs to.

        clerk = Clerk(settings.clerk_secret_key.get_secret_value())
        page = await clerk.list_users(limit=500)

    timeout: seconds for one attempt, connecting and reading included.
    patience: seconds within which attempts start again after 429, 5xx and network errors; 0 for one attempt.
        A call takes at most `timeout` plus `patience`, the wait for its turn included, for each of `doubts`.
    doubts: pauses in seconds. A refusal is raised only after Clerk has repeated it after each of
        them, because gateways sometimes answer 401 or 403 for a moment. Without any pauses, and for a 404 of
        one user, it is raised after the first answer.
    instance_id: CLERK_INSTANCE_ID. The first call checks that the key belongs to this instance; if not, every
        call raises ClerkMisconfigured, and nothing is read or changed.
    share: the part of Clerk's rate limit that is used, for a caller that leaves the rest to others.
    on_retry: called before each pause.
    observer: told of each failed attempt.

    Calls wait for their turn, in the order they came, so that they stay below Clerk's rate limit: 1000 calls
    in 10 seconds for a production key (sk_live_), else 100. After a 429 all calls wait as long as Clerk asks.
    Calls of other processes with the same key are not counted here; they cause a 429.

    All calls raise ClerkMisconfigured (wrong key or address), ClerkUnavailable (still failing after
    `patience`) and ClerkError (Clerk refuses); those for one user also ClerkNotFound; and ValueError for an
    argument that must not be sent. The errors' texts quote neither the key nor a user.

    All calls are idempotent, and are repeated, except `create_user`, `create_invitation` and
    `revoke_invitation`. These are repeated only if Clerk certainly did not do it.

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
        share: float = 1.0,
        on_retry: OnRetry = lambda error, seconds: None,
        observer: Observer | None = None,
    ) -> None:
        self.url = url.rstrip("/").removesuffix("/v1")  # Clerk's own documents give it with /v1
        self.timeout = timeout
        self.patience = patience
        self.doubts = doubts
        self.on_retry = on_retry
        self.observer = observer or Observer()
        self._awaited_instance = instance_id  # None as soon as Clerk has confirmed it
        self._headers = {
            "Accept": "application/json",
            "Authorization": f"Bearer {secret_key}",
            "Clerk-API-Version": API_VERSION,
        }
        self._pool = Pool(connect_timeout=connect_timeout)
        limit = _RATE_LIVE if secret_key.startswith("sk_live_") else _RATE_TEST
        self._rate = Rate(int(limit * share), _RATE_WINDOW)

    async def instance(self) -> Instance:
        """Return the instance that the secret key belongs to."""
        answer, _ = await self._call("GET", "/instance", dict)
        return _instance(answer)

    async def key_ids(self) -> set[str]:
        """Return the ids of the public keys that verify the instance's session tokens."""
        answer, _ = await self._call("GET", "/jwks", dict)
        keys = answer.get("keys")
        if not isinstance(keys, list):
            raise ClerkUnavailable(_UNREADABLE)
        return {str(key["kid"]) for key in keys if isinstance(key, dict) and "kid" in key}

    async def list_users(
        self,
        *,
        limit: int = 500,
        order_by: str = "+created_at",
        starting_after: str | None = None,
        offset: int | None = None,
        **filters: Unpack[Filters],
    ) -> Page:
        """Return a page of up to `limit` (1 to 500) users.

        `order_by` is a field with + or - before it. `starting_after` is the id of the last user of the page
        before; it needs an order by created_at and the same filters. Clerk does not document what happens if
        that user was deleted. With `offset`, users are missed when others are deleted between two pages.
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
        """Return the number of users. A list made a moment later may differ."""
        answer, _ = await self._call("GET", f"/users/count?{_query(filters)}", dict)
        count = answer.get("total_count")
        if not isinstance(count, int):
            raise ClerkUnavailable(_UNREADABLE)
        return count

    async def existing(self, ids: Sequence[str]) -> set[str]:
        """Return those of at most 100 ids that Clerk lists. Only `get_user` proves that a user is gone."""
        if len(ids) > MOST_IDS:
            raise ValueError(f"At most {MOST_IDS} ids can be looked up in one call.")
        if not ids:
            return set()
        # The default limit is 10, here too.
        page = await self.list_users(limit=MOST_IDS, user_id=ids)
        found = [user.get("id") for user in page.users if isinstance(user, dict)]
        return {user_id for user_id in ids if user_id in found}

    async def get_user(self, user_id: str) -> Snapshot:
        """Return the user."""
        return await self._call_user("GET", user_id)

    async def create_user(self, fields: Mapping[str, Any]) -> Snapshot:
        """Create a user with the fields of POST /users. After ClerkUnavailable look at its `may_be_done`."""
        user, observed_at = await self._call("POST", "/users", dict, body=fields, repeatable=False)
        return Snapshot(user, observed_at)

    async def update_user(self, user_id: str, fields: Mapping[str, Any]) -> Snapshot:
        """Set fields of PATCH /users/{id}. Metadata and addresses are not among them."""
        return await self._call_user("PATCH", user_id, body=fields)

    async def update_metadata(self, user_id: str, public_metadata: Mapping[str, Any]) -> Snapshot:
        """Merge into the public metadata, at every depth; None removes a key."""
        return await self._call_user("PATCH", user_id, "/metadata", body={"public_metadata": public_metadata})

    async def delete_user(self, user_id: str) -> Snapshot:
        """Delete the user and return what Clerk leaves: `id`, `deleted`, perhaps `external_id`."""
        return await self._call_user("DELETE", user_id)

    async def ban(self, user_id: str) -> Snapshot:
        """Ban the user and end all sessions."""
        return await self._call_user("POST", user_id, "/ban")

    async def unban(self, user_id: str) -> Snapshot:
        """Lift the ban of the user."""
        return await self._call_user("POST", user_id, "/unban")

    async def lock(self, user_id: str) -> Snapshot:
        """Lock the user out from signing in, for as long as the instance's settings say."""
        return await self._call_user("POST", user_id, "/lock")

    async def unlock(self, user_id: str) -> Snapshot:
        """Let the user try to sign in again."""
        return await self._call_user("POST", user_id, "/unlock")

    async def ban_users(self, user_ids: Sequence[str]) -> Page:
        """Ban up to 50 users and end all their sessions. Return those that Clerk names.

        Whether one unknown id stops the whole call is not documented.
        """
        return await self._ban_users("ban", user_ids)

    async def unban_users(self, user_ids: Sequence[str]) -> Page:
        """Lift the bans of up to 50 users, as `ban_users` bans them."""
        return await self._ban_users("unban", user_ids)

    async def list_sessions(
        self, user_id: str, *, status: str | None = None, limit: int = 100, offset: int = 0
    ) -> list[dict[str, Any]]:
        """Return a page of up to `limit` (1 to 500) sessions of a user, the newest first.

        Clerk does not keep old sessions. It answers with an empty list for a user that it does not have.
        """
        query = {"user_id": user_id, "status": status, "limit": limit, "offset": offset}
        sessions, _ = await self._call("GET", f"/sessions?{_query(query)}", list)
        return [session for session in sessions if isinstance(session, dict)]

    async def get_session(self, session_id: str) -> dict[str, Any]:
        """Return the session."""
        return await self._call_item("GET", "session", session_id)

    async def revoke_session(self, session_id: str) -> dict[str, Any]:
        """End the session, and return it. Its tokens stay valid until they expire, within a minute."""
        return await self._call_item("POST", "session", session_id, "/revoke")

    async def list_invitations(
        self,
        *,
        status: str | None = None,
        query: str | None = None,
        order_by: str = "-created_at",
        limit: int = 100,
        offset: int = 0,
    ) -> list[dict[str, Any]]:
        """Return a page of up to `limit` (1 to 500) invitations, without revoked ones unless asked for them.

        `query` is a part of an address or id.
        """
        parameters = {
            "status": status,
            "query": query,
            "order_by": order_by,
            "limit": limit,
            "offset": offset,
        }
        invitations, _ = await self._call("GET", f"/invitations?{_query(parameters)}", list)
        return [_without_link(invitation) for invitation in invitations if isinstance(invitation, dict)]

    async def create_invitation(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Send an invitation to the app, with the fields of POST /invitations. Clerk allows 100 an hour.

        After ClerkUnavailable look at its `may_be_done`.
        """
        invitation, _ = await self._call(
            "POST", "/invitations", dict, body=fields, repeatable=False, has_own_limit=True
        )
        return _without_link(invitation)

    async def revoke_invitation(self, invitation_id: str) -> dict[str, Any]:
        """Make the link of an invitation useless. Clerk refuses to do it twice."""
        invitation = await self._call_item("POST", "invitation", invitation_id, "/revoke", repeatable=False)
        return _without_link(invitation)

    async def aclose(self) -> None:
        """Close the connections. The next call opens new ones."""
        await self._pool.aclose()

    async def _call_user(
        self, method: str, user_id: str, action: str = "", *, body: Mapping[str, Any] | None = None
    ) -> Snapshot:
        path = f"/users/{_segment('user', user_id)}{action}"
        user, observed_at = await self._call(method, path, dict, body=body, about="user", item_id=user_id)
        return Snapshot(user, observed_at)

    async def _call_item(
        self, method: str, kind: str, item_id: str, action: str = "", *, repeatable: bool = True
    ) -> dict[str, Any]:
        path = f"/{kind}s/{_segment(kind, item_id)}{action}"
        item, _ = await self._call(method, path, dict, about=kind, item_id=item_id, repeatable=repeatable)
        return dict(item)

    async def _ban_users(self, action: str, user_ids: Sequence[str]) -> Page:
        if not 1 <= len(user_ids) <= _MOST_BANNED:
            raise ValueError(f"1 to {_MOST_BANNED} users can be named in one call.")
        body = {"user_ids": list(user_ids)}
        users, observed_at = await self._call("POST", f"/users/{action}", list, body=body)
        return Page(users, observed_at)

    async def _call(
        self,
        method: str,
        path: str,
        expected: type,
        *,
        body: Mapping[str, Any] | None = None,
        repeatable: bool = True,
        about: str = "",
        item_id: str = "",
        has_own_limit: bool = False,
    ) -> tuple[Any, float]:
        """Return the JSON of the answer, and when Clerk looked (see Page)."""
        request = _Request(method, path, expected, body, repeatable, about, item_id, has_own_limit)
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
                if pause is None or error.status is None:  # without a status it is not an answer of Clerk
                    raise
                self.on_retry(error, 0.0)
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
        """Send the request, and retry it until `patience` is over, counted from `started`."""
        url = f"{self.url}/v1{request.path}"
        headers, content = self._headers, b""
        if request.body is not None:
            headers = {**headers, "Content-Type": "application/json"}
            content = _encoded(request.body)

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
                    answer = self._read(response, request)
                except ClerkNotFound as error:
                    if request.method == "DELETE" and may_be_done:  # an earlier attempt did it
                        deleted = {"id": request.item_id, "object": "user", "deleted": True}
                        return deleted, observed_at
                    error.observed_at, error.gone_by = observed_at, _observed_by(response)
                    raise
                except ClerkUnavailable as error:
                    problem = error
                else:
                    return answer, observed_at
            else:
                problem = self._problem(response)
                self.observer.clerk_failed(problem)
            may_be_done = problem.may_be_done = may_be_done or problem.may_be_done
            pause = self._pause(problem, failures, request)
            if time() + pause > last_start or (may_be_done and not request.repeatable):
                break
            failures += 1
            self.on_retry(problem, time() - started)
            await asyncio.sleep(pause)
        raise problem or self._too_many_calls()

    def _read(self, response: Response, request: _Request) -> Any:
        try:
            return _read(response, request.expected, about=request.about)
        except ClerkError as error:
            self.observer.clerk_failed(error)
            raise

    def _pause(self, problem: ClerkUnavailable, failures: int, request: _Request) -> float:
        """Return the seconds until the next attempt.

        After a 429 make all other calls wait as long, unless the path has a limit of its own: that of
        invitations is for an hour, and is no reason to stop the others.
        """
        asked = min(_LONGEST_RETRY_AFTER, problem.retry_after or 0.0)
        pause = max(asked, _BACKOFF.pause(failures))
        if problem.status == 429 and not request.has_own_limit:
            self._rate.pause(pause)
        return pause

    def _problem(self, trouble: Trouble) -> ClerkUnavailable:
        """Return the error of a request without a response. Raise it if no retry can cure it."""
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
    """A request, and the type its answer must have.

    repeatable: it may be sent twice.
    about: "user", "session" or "invitation" if the request is for the one with `item_id`, else "".
    has_own_limit: Clerk limits its path in addition to the key.
    """

    method: str
    path: str
    expected: type
    body: Mapping[str, Any] | None = None
    repeatable: bool = True
    about: str = ""
    item_id: str = ""
    has_own_limit: bool = False


def _encoded(body: object) -> bytes:
    """Return JSON. A number in metadata keeps all its digits. Raises ValueError for NaN."""
    try:
        return json.dumps(body, allow_nan=False).encode()
    except TypeError:  # a Decimal
        return canonical_json(body).encode()


def _segment(kind: str, item_id: str) -> str:
    """Return an id as a segment of a path. Raises ValueError if the path would be another one."""
    if item_id in {"", ".", ".."}:
        raise ValueError(f"This is not the id of a {kind}.")
    return quote(item_id, safe="")


def _without_link(invitation: Mapping[str, Any]) -> dict[str, Any]:
    """Return an invitation without its link. Everyone who has the link can accept the invitation."""
    return {name: value for name, value in invitation.items() if name != "url"}


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


def _read(response: Response, expected: type, *, about: str) -> Any:
    """Return the JSON of a response. Raise the error that its status stands for."""
    try:
        answer = parse_json(response.content, users=_MOST_USERS if expected is list else 1)
    except ValueError:
        answer = None
    if not 200 <= response.status < 300:
        raise _refusal(response, answer, about=about)
    if not isinstance(answer, expected):
        raise ClerkUnavailable(_UNREADABLE, status=response.status)
    return answer


def _refusal(response: Response, answer: Any, *, about: str) -> ClerkError:
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
    if status == 404 and code == "resource_not_found" and about:
        kind = ClerkNotFound if about == "user" else ClerkError
        return kind(f"{said}: it has no such {about} (any more).", status=status, **own)
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
    """Return `code`, `message` and `trace_id` from the body of an error, None where they are missing."""
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
    """Return the earliest time at which Clerk may have looked: the answer's date less the request's time."""
    date = http_date(response.headers.get("date"))
    if date is None:
        return 0.0
    return max(0.0, (date - response.seconds) * 1000 - _CLOCK_MARGIN)


def _observed_by(response: Response) -> float:
    """Return the latest time at which Clerk may have looked; infinite without a date."""
    date = http_date(response.headers.get("date"))
    return math.inf if date is None else date * 1000 + _WHOLE_SECOND + _CLOCK_MARGIN


def _retry_after(response: Response) -> float | None:
    """Return the seconds of a Retry-After header, which may have a date (RFC 9110, 10.2.3)."""
    text = response.headers.get("retry-after", "")
    if re.fullmatch("[0-9]{1,9}", text):
        return float(text)
    until, now = http_date(text), http_date(response.headers.get("date"))
    if until is None or now is None:
        return None
    return max(0.0, until - now)


def _query(parameters: Mapping[str, object]) -> str:
    """Return a query string without the parameters that are None. Times are rounded to the wider range."""
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
