"""A Clerk for this machine: users in memory, the Backend API over HTTP, and a signed webhook for each change.

    with LocalClerk(webhook_url="http://127.0.0.1:8000/webhooks/clerk") as clerk:
        user = clerk.create_user(first_name="Ada", email_address=["ada@example.com"])
        clerk.webhooks.drain(timeout=5)

It has what this project uses of Clerk: users, their metadata, sessions with their tokens, and a page to sign
in. No organizations, no plans, no page to sign up. Everything is gone when it closes.
"""

import base64
import json
import random
import secrets
import threading
import time
from bisect import bisect_left, bisect_right, insort
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import Any, Self

import uvicorn

from clerk_convex.errors import LocalError
from clerk_convex.local.clerk_api import Faults
from clerk_convex.local.clerk_list import UserList
from clerk_convex.local.clerk_objects import (
    ClerkRefusal,
    check_depth,
    identifiers,
    merge_metadata,
    new_event,
    new_session,
    new_user,
    not_found,
    to_json,
    user_fields,
)
from clerk_convex.local.clerk_pages import create_app
from clerk_convex.local.clerk_sessions import LIVE, STATUSES, Sessions
from clerk_convex.local.listener import listen
from clerk_convex.local.svix import BASE62, WebhookSender
from clerk_convex.local.tokens import (
    CONVEX_TEMPLATE,
    RESERVED,
    SESSION_TOKEN,
    TEMPLATE_TOKEN,
    SigningKeys,
    expand,
    session_claims,
    template_claims,
)

__all__ = ["SUBSCRIBED", "LocalClerk"]

DAY = 86_400_000

SUBSCRIBED = frozenset({"user.created", "user.updated", "user.deleted", "session.created"})
"""The types of events that this project asks Clerk for, as the README has them ticked."""


@dataclass(frozen=True, slots=True)
class _Stored:
    """A user, never changed nor handed out, and the same as JSON."""

    user: dict[str, Any]
    text: str


class LocalClerk:
    """A Clerk instance. Its methods can be called from any thread, and before `start` too.

    port: of the HTTP API, on 127.0.0.1; 0 is any free one.
    webhook_url: who is told of every change; None is nobody, `webhooks.add_endpoint` adds more.
    speed: Svix's retry schedule is divided by it.
    seed: makes ids and the troubles of deliveries repeatable.
    secret_key, webhook_secret: made up if None.
    rate_limit: requests in 10 seconds; None is what Clerk grants the kind of key (100 for sk_test_, 1000 for
        sk_live_), 0 is no limit; nor is there one on changes of one user then.
    token_lifetime: seconds that a session token is valid.
    session_claims: custom claims of session tokens, with Clerk's shortcodes, such as
        {"metadata": "{{user.public_metadata}}"}. Raises LocalError for a claim that is Clerk's own.
    events: the types of events that are sent, as ticked for an endpoint at Clerk; None is all.
    Users go in and out as Clerk's JSON objects; what is returned is a copy.
    Refusals are ClerkRefusal, with Clerk's status and code, in process as over HTTP.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        webhook_url: str | None = None,
        speed: float = 1000.0,
        seed: int = 0,
        secret_key: str | None = None,
        webhook_secret: str | None = None,
        rate_limit: int | None = None,
        token_lifetime: float = 60,
        session_claims: Mapping[str, Any] | None = None,
        events: Collection[str] | None = SUBSCRIBED,
    ) -> None:
        self.url = ""
        """Where the API is, without `/v1`; empty before `start`."""
        self.secret_key = secret_key or f"sk_test_{secrets.token_hex(20)}"
        self.webhook_secret = webhook_secret or f"whsec_{base64.b64encode(secrets.token_bytes(24)).decode()}"
        self.webhooks = WebhookSender(speed=speed, seed=seed)
        if webhook_url is not None:
            self.webhooks.add_endpoint(webhook_url, self.webhook_secret)
        self.events = events
        self.faults = Faults()
        """Trouble of the Backend API."""
        self.frontend_faults = Faults()
        """Trouble of what needs no secret key: public keys, the page to sign in, the calls of browsers."""
        if rate_limit is None:
            rate_limit = 1000 if self.secret_key.startswith("sk_live_") else 100
        self.rate_limit = rate_limit
        self.token_lifetime = token_lifetime
        self.session_claims = dict(session_claims or {})
        if taken := sorted(RESERVED & self.session_claims.keys()):
            raise LocalError(
                f"The session claims {', '.join(taken)} are Clerk's own. Give yours other names."
            )
        self._port = port
        self._random = random.Random(seed)
        self.instance_id = self._new_id("ins")
        self._users: dict[str, _Stored] = {}
        # (created_at, id) of every user in order: a page is found by bisection, not by sorting.
        self._order: list[tuple[int, str]] = []
        # Who has which email address, user name and so on: no two users share one.
        self._owners: dict[tuple[str, str], str] = {}
        self._sessions = Sessions()
        self._keys = SigningKeys()
        self._latest = 0
        self._lock = threading.RLock()
        self._server: uvicorn.Server | None = None

    @property
    def issuer(self) -> str:
        """The `iss` of session tokens: the Frontend API, which here shares the Backend API's address."""
        return self.url

    def start(self) -> None:
        """Serves the API and starts to deliver webhooks. Raises LocalError if the port is taken."""
        listener = listen(self._port, "The local Clerk")
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(
            create_app(self),
            log_config=None,
            access_log=False,
            date_header=False,  # the API sends its own, exact to the second
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, args=([listener],), name="local-clerk", daemon=True
        )
        self._thread.start()
        while not self._server.started:
            time.sleep(0.005)
        self.webhooks.start()

    def close(self) -> None:
        """Stops serving and delivering within 2 seconds, whatever is under way. Safe to call twice."""
        self.faults = self.frontend_faults = Faults()  # lets delayed answers go
        self.webhooks.close()
        if self._server is not None:
            self._server.should_exit = True
            self._thread.join(2.0)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def count(self) -> int:
        return len(self._users)

    def users(self) -> list[dict[str, Any]]:
        """All users, the oldest first."""
        with self._lock:
            texts = [self._users[user_id].text for _, user_id in self._order]
        return [json.loads(text) for text in texts]

    def get_user(self, user_id: str) -> dict[str, Any]:
        with self._lock:
            return _loaded(self._get(user_id).text)

    def select(self, question: UserList) -> list[str]:
        """The page of users that `question` asks for, each as JSON text."""
        with self._lock:
            matching = self._matching(question)
            page = islice(matching, question.offset, question.offset + question.limit)
            return [stored.text for stored in page]

    def count_matching(self, question: UserList) -> int:
        """How many users `question` is about, on all pages."""
        with self._lock:
            return sum(1 for _ in self._matching(question))

    def create_user(self, **fields: Any) -> dict[str, Any]:
        """Makes a user and sends `user.created`.

        `fields` are those of Clerk's user object, taken as they are, unknown ones too. The lists of addresses
        have a short form, the first one primary: `email_address`, `phone_number` and `web3_wallet` take
        strings (verified), or objects whose own fields replace the usual ones.
        """
        with self._lock:
            now = self._now()
            user = self._store(new_user(fields, self._new_id, now))
            self._emit("user.created", user, now)
            return _loaded(self._users[user["id"]].text)

    def update_user(self, user_id: str, **fields: Any) -> dict[str, Any]:
        """Replaces the given fields (as in create_user; metadata whole) and sends `user.updated`."""
        with self._lock:
            user = self._get(user_id).user
            now = max(self._now(), user["updated_at"] + 1)
            changed = self._store({**user, **user_fields(fields, self._new_id, now), "updated_at": now})
            self._emit("user.updated", changed, now)
            if changed["banned"]:
                self._finish_all(changed, "revoked")
            return _loaded(self._users[user_id].text)

    def update_metadata(self, user_id: str, *, merge: bool = True, **metadata: Any) -> dict[str, Any]:
        """Merges into `public_metadata`, `private_metadata`, `unsafe_metadata`, or replaces those given."""
        with self._lock:
            if merge:
                check_depth(metadata)
                user = self._get(user_id).user
                metadata = {key: merge_metadata(user[key] or {}, value) for key, value in metadata.items()}
            return self.update_user(user_id, **metadata)

    def ban(self, user_id: str) -> dict[str, Any]:
        return self.update_user(user_id, banned=True)

    def unban(self, user_id: str) -> dict[str, Any]:
        return self.update_user(user_id, banned=False)

    def lock(self, user_id: str) -> dict[str, Any]:
        """Locks for ever (`lockout_expires_in_seconds` stays null)."""
        return self.update_user(user_id, locked=True, verification_attempts_remaining=0)

    def unlock(self, user_id: str) -> dict[str, Any]:
        return self.update_user(user_id, locked=False, verification_attempts_remaining=100)

    def delete_user(self, user_id: str) -> dict[str, Any]:
        """Removes the user for good and sends `user.deleted`; returns what Clerk answers to a deletion."""
        with self._lock:
            user = self._get(user_id).user
            self._finish_all(user, "ended")
            for key in identifiers(user):
                self._owners.pop(key, None)
            self._remove_from_order(user)
            del self._users[user_id]
            deleted = {"id": user_id, "object": "user", "deleted": True}
            if user["external_id"] is not None:
                deleted["external_id"] = user["external_id"]
            self._emit("user.deleted", deleted, max(self._now(), user["updated_at"] + 1))
            return deleted

    def sign_in(
        self, user_id: str, *, client_id: str | None = None, status: str = "active"
    ) -> dict[str, Any]:
        """Makes a session, sends `session.created` with the user in it, and returns the session.

        `client_id` is the browser, a new one if None. With status "pending" something is left to do before
        he is signed in, and it is `session.pending` that is sent.
        The user's `last_sign_in_at` moves and his `updated_at` does not, and no `user.updated` is sent: what
        Clerk does there is not documented. Nor is whether its Backend API lets the banned in: this does.
        """
        with self._lock:
            user = self._get(user_id).user
            now = max(self._now(), (user["last_sign_in_at"] or 0) + 1)
            # Clerk knows the last activity by the day only.
            changed = self._store({**user, "last_sign_in_at": now, "last_active_at": now - now % DAY})
            session = new_session(changed, self._new_id, now, client_id=client_id, status=status)
            self._sessions.add(session)
            kind = "session.pending" if status == "pending" else "session.created"
            self._emit(kind, {**session, "user": changed}, now)
            return session

    def get_session(self, session_id: str) -> dict[str, Any]:
        with self._lock:
            return self._sessions.get(session_id)

    def sessions(
        self, *, user_id: str | None = None, client_id: str | None = None, status: str | None = None
    ) -> list[dict[str, Any]]:
        """All that fit, the newest first; ended ones too."""
        with self._lock:
            statuses = STATUSES if status is None else (status,)
            return self._sessions.select(user_id=user_id, client_id=client_id, statuses=statuses)

    def revoke_session(self, session_id: str) -> dict[str, Any]:
        """Ends a session from outside and sends `session.revoked`; one that was over stays as it is."""
        return self._finish(session_id, "revoked")

    def remove_session(self, session_id: str) -> dict[str, Any]:
        """Signs out and sends `session.removed`; a session that was over stays as it is."""
        return self._finish(session_id, "removed")

    def session_token(
        self,
        session_id: str,
        *,
        azp: str | None = None,
        lifetime: float | None = None,
        claims: Mapping[str, Any] | None = None,
        template: str | None = None,
    ) -> str:
        """A JWT of a live session, signed now.

        azp: the origin it is made for.
        lifetime: seconds, `token_lifetime` if None; a negative one has expired.
        claims: replace the usual ones, for tests; None removes one.
        template: the JWT template, of which there is one, "convex". Else it is the session token.
        Raises ClerkRefusal (404) if there is no such session or template, or the session is over.
        """
        with self._lock:
            session = self._sessions.get(session_id)
            if session["status"] not in LIVE:
                raise not_found("active session")
            user = self._get(session["user_id"]).user
            now = self._now()
        if template not in (None, "convex"):
            raise not_found("JWT template")
        make, custom, category = session_claims, self.session_claims, SESSION_TOKEN
        if template is not None:
            make, custom, category = template_claims, dict(CONVEX_TEMPLATE), TEMPLATE_TOKEN
        lifetime = self.token_lifetime if lifetime is None else lifetime
        usual = make(session, expand(custom, user), issuer=self.issuer, azp=azp, now=now, lifetime=lifetime)
        removed = {name for name, value in (claims or {}).items() if value is None}
        made = {**usual, **(claims or {})}
        return self._keys.sign({name: made[name] for name in made if name not in removed}, category)

    def jwks(self) -> dict[str, Any]:
        """The public keys that verify session tokens."""
        return self._keys.jwks()

    def rotate_keys(self, *, keep_old: bool = True) -> None:
        """Signs with a new key from now on. The old ones stay among the public keys, or go at once."""
        self._keys.rotate(keep_old=keep_old)

    def _new_id(self, prefix: str) -> str:
        return f"{prefix}_{''.join(self._random.choices(BASE62, k=27))}"

    def _now(self) -> int:
        # Clerk's clock does not go back, whatever this machine's does.
        self._latest = max(self._latest, time.time_ns() // 1_000_000)
        return self._latest

    def _get(self, user_id: str) -> _Stored:
        stored = self._users.get(user_id)
        if stored is None:
            raise not_found()
        return stored

    def _finish(self, session_id: str, status: str) -> dict[str, Any]:
        with self._lock:
            now = self._now()
            session = self._sessions.finish(session_id, status, now)
            if session is None:
                return self._sessions.get(session_id)
            user = self._get(session["user_id"]).user
            self._emit(f"session.{status}", {**session, "user": user}, now)
            return session

    def _finish_all(self, user: Mapping[str, Any], status: str) -> None:
        for session in self._sessions.select(user_id=user["id"], statuses=LIVE):
            self._finish(session["id"], status)

    def _store(self, user: Mapping[str, Any]) -> dict[str, Any]:
        """Keeps a copy of `user` in place of what there was, or refuses and changes nothing."""
        check_depth(user)
        stored = _Stored(_loaded(text := to_json(user)), text)
        user_id = user["id"]
        wanted = list(identifiers(stored.user))
        for kind, value in wanted:
            if self._owners.get((kind, value), user_id) != user_id:
                raise ClerkRefusal(
                    422, "form_identifier_exists", "is taken", f"Another user has this {kind}.", kind
                )
        before = self._users.get(user_id)
        if before is not None:
            for key in identifiers(before.user):
                self._owners.pop(key, None)
            self._remove_from_order(before.user)
        self._owners.update(dict.fromkeys(wanted, user_id))
        insort(self._order, (stored.user["created_at"], user_id))
        self._users[user_id] = stored
        return stored.user

    def _remove_from_order(self, user: Mapping[str, Any]) -> None:
        del self._order[bisect_left(self._order, (user["created_at"], user["id"]))]

    def _matching(self, question: UserList) -> Iterator[_Stored]:
        """All users that `question` is about, in its order, from its cursor on. The lock is held."""
        keys = self._order
        if question.exact:
            kind, values = next(iter(question.exact.items()))
            ids = values if kind == "user_id" else {self._owners.get((kind, value), "") for value in values}
            keys = sorted((self._users[it].user["created_at"], it) for it in ids if it in self._users)
        stored: Iterator[_Stored]
        if question.order_by == "created_at":
            low, high = self._range(question, keys)
            places = range(high - 1, low - 1, -1) if question.descending else range(low, high)
            stored = (self._users[keys[place][1]] for place in places)
        else:
            everyone = [self._users[user_id] for _, user_id in keys]
            everyone.sort(key=lambda it: question.sort_key(it.user), reverse=question.descending)
            stored = iter(everyone)
        return (it for it in stored if question.matches(it.user))

    def _range(self, question: UserList, keys: list[tuple[int, str]]) -> tuple[int, int]:
        """Which part of `keys` lies within the bounds of `created_at` and behind the cursor."""
        after, before = question.bounds.get("created_at", (None, None))
        low = 0 if after is None else bisect_left(keys, (after + 1, ""))
        high = len(keys) if before is None else bisect_left(keys, (before, ""))
        if question.starting_after is not None:
            cursor = self._users.get(question.starting_after)
            if cursor is None:
                # Not documented by Clerk.
                raise ClerkRefusal(
                    *(422, "form_param_value_invalid", "is invalid"),
                    *("starting_after is no user of this instance.", "starting_after"),
                )
            place = (cursor.user["created_at"], cursor.user["id"])
            if question.descending:
                high = min(high, bisect_left(keys, place))
            else:
                low = max(low, bisect_right(keys, place))
        return low, high

    def _emit(self, kind: str, data: Mapping[str, Any], now: int) -> None:
        # Under the lock, so that messages leave in the order of the changes they tell of.
        if self.webhooks.has_endpoints and (self.events is None or kind in self.events):
            self.webhooks.send(to_json(new_event(kind, data, self.instance_id, now)))


def _loaded(text: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(text)
    return loaded
