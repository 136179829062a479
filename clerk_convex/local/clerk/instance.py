"""The state of a Clerk instance: users, sessions and invitations in memory, and signed webhooks.

This module serves no HTTP. `api` and `pages` serve an instance, `server` runs one in a process, and
LocalClerk in `process` starts that process.
"""

import json
import math
import random
import threading
import time
from bisect import bisect_left, bisect_right, insort
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from clerk_convex.entities.json import LARGEST_METADATA
from clerk_convex.errors import LocalError
from clerk_convex.local.clerk.faults import Faults
from clerk_convex.local.clerk.invitations import Invitations
from clerk_convex.local.clerk.lists import InvitationList, UserList
from clerk_convex.local.clerk.objects import (
    IDENTIFIERS,
    ClerkRefusal,
    check_depth,
    check_metadata,
    identifiers,
    merge_metadata,
    new_event,
    new_session,
    new_user,
    not_found,
    to_json,
    user_fields,
)
from clerk_convex.local.clerk.sessions import LIVE, STATUSES, Sessions
from clerk_convex.local.clerk.svix import BASE62, WebhookSender
from clerk_convex.local.clerk.tokens import (
    CONVEX_TEMPLATE,
    RESERVED,
    SESSION_TOKEN,
    TEMPLATE_TOKEN,
    SigningKeys,
    expand,
    new_secret_key,
    session_claims,
    template_claims,
)

__all__ = ["LOCKOUT_SECONDS", "SUBSCRIBED", "ClerkInstance"]

DAY = 86_400_000  # milliseconds

LOCKOUT_SECONDS = 3600.0
"""Clerk's default duration of a lock."""

SUBSCRIBED = frozenset({"user.created", "user.updated", "user.deleted", "session.created"})
"""The types of events that this project needs; the README tells to tick them for the endpoint at Clerk."""


@dataclass(frozen=True, slots=True)
class _Stored:
    """An immutable copy of a user, with its JSON text."""

    user: dict[str, Any]
    text: str
    locked_until: int | None = None
    """Unix milliseconds; None if the lock has no end, or there is no lock."""
    scim: Mapping[str, Any] | None = None
    """The directory that manages the user. Webhooks contain it, the Backend API's answers do not."""

    def text_at(self, now: int) -> str:
        """Return the user's JSON at `now` (Unix milliseconds): a lock counts down and ends by itself."""
        if self.locked_until is None:
            return self.text
        if now >= self.locked_until:
            return to_json(self.user | UNLOCKED)
        return to_json(
            self.user | {"lockout_expires_in_seconds": math.ceil((self.locked_until - now) / 1000)}
        )


# What can be set while the instance runs. `reset` undoes it.
_CHANGEABLE = (
    *("secret_key", "events", "token_lifetime", "lockout_seconds", "session_claims"),
    *("faults", "frontend_faults"),
)

UNLOCKED: dict[str, Any] = {
    "locked": False,
    "lockout_expires_in_seconds": None,
    "verification_attempts_remaining": 100,
}


class ClerkInstance:
    """The state of a local Clerk. Thread-safe.

    Its arguments are those of LocalClerk without `port`, `webhook_url` and `webhook_secret`. LocalClerk
    documents its methods. The server that serves it sets `url`.
    """

    def __init__(
        self,
        *,
        speed: float = 1000.0,
        seed: int = 0,
        secret_key: str | None = None,
        rate_limit: int | None = None,
        token_lifetime: float = 60,
        lockout_seconds: float | None = LOCKOUT_SECONDS,
        session_claims: Mapping[str, Any] | None = None,
        events: Collection[str] | None = SUBSCRIBED,
    ) -> None:
        self.url = ""
        self.secret_key = secret_key or new_secret_key()
        self.webhooks = WebhookSender(speed=speed, seed=seed)
        self.events = events
        self.faults = Faults()
        self.frontend_faults = Faults()
        if rate_limit is None:
            rate_limit = 1000 if self.secret_key.startswith("sk_live_") else 100
        self.rate_limit = rate_limit
        self.token_lifetime = token_lifetime
        self.lockout_seconds = lockout_seconds
        self.session_claims = dict(session_claims or {})
        if taken := sorted(RESERVED & self.session_claims.keys()):
            raise LocalError(
                f"The session claims {', '.join(taken)} are Clerk's own. Give yours other names."
            )
        self._random = random.Random(seed)
        self.instance_id = self._new_id("ins")
        self._users: dict[str, _Stored] = {}
        # (created_at, id) of every user, sorted, so that a page is found by bisection.
        self._order: list[tuple[int, str]] = []
        # The user id for each (kind, value) that must be unique, such as an email address.
        self._owners: dict[tuple[str, str], str] = {}
        self._sessions = Sessions()
        self._invitations = Invitations()
        self._keys = SigningKeys()
        self._latest = 0
        self._at_start = {name: getattr(self, name) for name in _CHANGEABLE}
        self._lock = threading.RLock()

    @property
    def issuer(self) -> str:
        """The `iss` of session tokens: the Frontend API's address, which equals the Backend API's here."""
        return self.url

    def reset(self) -> None:
        self.webhooks.reset()
        with self._lock:
            self._users.clear()
            self._order.clear()
            self._owners.clear()
            self._sessions = Sessions()
            self._invitations = Invitations()
            for name, value in self._at_start.items():
                setattr(self, name, value)

    def take_fault(self, *, frontend: bool = False) -> Faults:
        """Return the faults of one request, and count it."""
        with self._lock:
            if frontend:
                taken, self.frontend_faults = self.frontend_faults.take()
            else:
                taken, self.faults = self.faults.take()
            return taken

    @property
    def count(self) -> int:
        return len(self._users)

    def users(self) -> list[dict[str, Any]]:
        with self._lock:
            now = self._now()
            texts = [self._users[user_id].text_at(now) for _, user_id in self._order]
        return [json.loads(text) for text in texts]

    def get_user(self, user_id: str) -> dict[str, Any]:
        with self._lock:
            return _loaded(self._get(user_id).text_at(self._now()))

    def select(self, question: UserList) -> list[str]:
        """Return the page of users that `question` asks for, each as JSON text."""
        with self._lock:
            now = self._now()
            matching = self._matching(question)
            page = islice(matching, question.offset, question.offset + question.limit)
            return [stored.text_at(now) for stored in page]

    def count_matching(self, question: UserList) -> int:
        """Return how many users match `question`, on all pages."""
        with self._lock:
            return sum(1 for _ in self._matching(question))

    def create_user(self, **fields: Any) -> dict[str, Any]:
        with self._lock:
            now = self._now()
            user = new_user(fields, self._new_id, now)
            stored = self._store(user, _lock_end(user, fields, None, now), fields.get("scim"))
            return self._announce("user.created", stored, now)

    def create_users(self, people: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        return [self.create_user(**fields) for fields in people]

    def update_user(self, user_id: str, **fields: Any) -> dict[str, Any]:
        with self._lock:
            before = self._get(user_id)
            now = max(self._now(), before.user["updated_at"] + 1)
            user = {**before.user, **user_fields(fields, self._new_id, now), "updated_at": now}
            until = _lock_end(user, fields, before.locked_until, now)
            stored = self._store(user, until, fields.get("scim", before.scim))
            changed = self._announce("user.updated", stored, now)
            if changed["banned"] or changed.get("deprovisioned"):
                self._finish_all(user_id, "revoked")
            return changed

    def update_metadata(self, user_id: str, *, merge: bool = True, **metadata: Any) -> dict[str, Any]:
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

    def ban_all(self, user_ids: Iterable[str], *, banned: bool) -> list[dict[str, Any]]:
        """Ban or unban several users. If one of them does not exist, nothing is changed (404)."""
        with self._lock:
            users = [self._get(user_id).user["id"] for user_id in dict.fromkeys(user_ids)]
            return [self.update_user(user_id, banned=banned) for user_id in users]

    def lock(self, user_id: str, *, seconds: float | None = None) -> dict[str, Any]:
        seconds = self.lockout_seconds if seconds is None else seconds
        return self.update_user(
            user_id, locked=True, lockout_expires_in_seconds=seconds, verification_attempts_remaining=0
        )

    def unlock(self, user_id: str) -> dict[str, Any]:
        return self.update_user(user_id, **UNLOCKED)

    def deprovision(self, user_id: str) -> dict[str, Any]:
        with self._lock:
            new_scim = {
                "directory_id": self._new_id("dir"),
                "directory_enabled": True,
                "external_id": None,
            }
            scim = self._get(user_id).scim or new_scim
            return self.update_user(user_id, deprovisioned=True, scim=scim)

    def reprovision(self, user_id: str) -> dict[str, Any]:
        return self.update_user(user_id, deprovisioned=False)

    def is_managed(self, user_id: str) -> bool:
        """Return whether a company's SCIM directory manages the user. Clerk then refuses some changes."""
        with self._lock:
            return self._get(user_id).scim is not None

    def delete_user(self, user_id: str) -> dict[str, Any]:
        with self._lock:
            user = self._get(user_id).user
            self._finish_all(user_id, "ended")
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
        self,
        user_id: str,
        *,
        client_id: str | None = None,
        status: str = "active",
        partial: bool = False,
    ) -> dict[str, Any]:
        with self._lock:
            before = self._get(user_id)
            if before.user.get("deprovisioned"):
                raise ClerkRefusal(
                    *(400, "deprovisioned", "account deprovisioned"),
                    "The target user's account has been deprovisioned according to their external identity "
                    "provider",
                )
            now = max(self._now(), (before.user["last_sign_in_at"] or 0) + 1)
            # Clerk stores the last activity by the day.
            user = {**before.user, "last_sign_in_at": now, "last_active_at": now - now % DAY}
            stored = self._store(user, before.locked_until, before.scim)
            session = new_session(user, self._new_id, now, client_id=client_id, status=status)
            self._sessions.add(session)
            kind = "session.pending" if status == "pending" else "session.created"
            shown = _loaded(stored.text_at(now))
            if partial:
                shown |= {plural: [] for plural in IDENTIFIERS.values()}
            self._emit(kind, {**session, "user": shown}, now)
            return session

    def get_session(self, session_id: str) -> dict[str, Any]:
        with self._lock:
            return self._sessions.get(session_id)

    def sessions(
        self, *, user_id: str | None = None, client_id: str | None = None, status: str | None = None
    ) -> list[dict[str, Any]]:
        with self._lock:
            statuses = STATUSES if status is None else (status,)
            return self._sessions.select(user_id=user_id, client_id=client_id, statuses=statuses)

    def revoke_session(self, session_id: str) -> dict[str, Any]:
        return self._finish(session_id, "revoked")

    def remove_session(self, session_id: str) -> dict[str, Any]:
        return self._finish(session_id, "removed")

    def invite(self, **fields: Any) -> dict[str, Any]:
        """Create an invitation with the fields of POST /invitations. No email is sent."""
        with self._lock:
            owner = ("email_address", fields["email_address"].lower())
            if owner in self._owners and not fields.get("ignore_existing"):
                text = "A user has this email address already."
                raise ClerkRefusal(422, "form_identifier_exists", "is taken", text, "email_address")
            invitation_id, ticket = self._new_id("inv"), self._new_id("ticket")
            link = f"{self.issuer}/v1/tickets/accept?ticket={ticket}"
            return self._invitations.add(invitation_id, link, fields, self._now())

    def invitations(self, question: InvitationList) -> list[dict[str, Any]]:
        """Return all invitations that match, not only those of the page."""
        with self._lock:
            return self._invitations.select(question, self._now())

    def revoke_invitation(self, invitation_id: str) -> dict[str, Any]:
        with self._lock:
            return self._invitations.revoke(invitation_id, self._now())

    def session_token(
        self,
        session_id: str,
        *,
        azp: str | None = None,
        lifetime: float | None = None,
        claims: Mapping[str, Any] | None = None,
        template: str | None = None,
    ) -> str:
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
        return self._keys.jwks()

    def rotate_keys(self, *, keep_old: bool = True) -> None:
        self._keys.rotate(keep_old=keep_old)

    def _new_id(self, prefix: str) -> str:
        return f"{prefix}_{''.join(self._random.choices(BASE62, k=27))}"

    def _now(self) -> int:
        # The machine's clock may be set back; Clerk's times never decrease.
        self._latest = max(self._latest, time.time_ns() // 1_000_000)
        return self._latest

    def _get(self, user_id: str) -> _Stored:
        stored = self._users.get(user_id)
        if stored is None:
            raise not_found()
        if stored.locked_until is not None and self._now() >= stored.locked_until:
            user = stored.user | UNLOCKED
            stored = self._users[user_id] = _Stored(user, to_json(user), None, stored.scim)
        return stored

    def _finish(self, session_id: str, status: str) -> dict[str, Any]:
        with self._lock:
            now = self._now()
            session = self._sessions.finish(session_id, status, now)
            if session is None:
                return self._sessions.get(session_id)
            user = _loaded(self._get(session["user_id"]).text_at(now))
            self._emit(f"session.{status}", {**session, "user": user}, now)
            return session

    def _finish_all(self, user_id: str, status: str) -> None:
        for session in self._sessions.select(user_id=user_id, statuses=LIVE):
            self._finish(session["id"], status)

    def _store(
        self, user: Mapping[str, Any], locked_until: int | None, scim: Mapping[str, Any] | None
    ) -> _Stored:
        """Store a copy of `user`, new or in place of the old one. Raises ClerkRefusal without any change."""
        user = {key: value for key, value in user.items() if key != "scim"}
        check_depth(user)
        stored = _Stored(_loaded(text := to_json(user)), text, locked_until, scim)
        if 4 * len(text) > LARGEST_METADATA:  # else the metadata has less bytes, whatever the characters
            check_metadata(stored.user)
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
        return stored

    def _remove_from_order(self, user: Mapping[str, Any]) -> None:
        del self._order[bisect_left(self._order, (user["created_at"], user["id"]))]

    def _matching(self, question: UserList) -> Iterator[_Stored]:
        """Yield the users that match `question`, in order, after its cursor. The caller holds the lock."""
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
        """Return the part of `keys` that is within the bounds of `created_at` and after the cursor."""
        after, before = question.bounds.get("created_at", (None, None))
        low = 0 if after is None else bisect_left(keys, (after + 1, ""))
        high = len(keys) if before is None else bisect_left(keys, (before, ""))
        if question.starting_after is not None:
            cursor = self._users.get(question.starting_after)
            if cursor is None:
                # Clerk's documentation does not cover this case.
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

    def _announce(self, kind: str, stored: _Stored, now: int) -> dict[str, Any]:
        """Send the event about a user. Return a copy of the user."""
        user = _loaded(stored.text_at(now))
        self._emit(kind, user if stored.scim is None else {**user, "scim": stored.scim}, now)
        return user

    def _emit(self, kind: str, data: Mapping[str, Any], now: int) -> None:
        # The caller holds the lock, so messages are sent in the order of their changes.
        if self.webhooks.has_endpoints and (self.events is None or kind in self.events):
            self.webhooks.send(to_json(new_event(kind, data, self.instance_id, now)))


def _lock_end(user: Mapping[str, Any], fields: Mapping[str, Any], before: int | None, now: int) -> int | None:
    """Return the end of a user's lock after a change by `fields`: Unix milliseconds, or None for no end."""
    if not user["locked"]:
        return None
    if "lockout_expires_in_seconds" not in fields:
        return before
    seconds = fields["lockout_expires_in_seconds"]
    return None if seconds is None else now + int(seconds * 1000)


def _loaded(text: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(text)
    return loaded
