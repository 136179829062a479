"""A Clerk for this machine: users in memory, the Backend API over HTTP, and a signed webhook for each change.

    with LocalClerk(webhook_url="http://127.0.0.1:8000/webhooks/clerk") as clerk:
        user = clerk.create_user(first_name="Ada", email_address=["ada@example.com"])
        clerk.webhooks.drain(timeout=5)

It has what this project uses of Clerk: users, their metadata, sessions with their tokens, and a page to sign
in. No organizations, no plans, no page to sign up. Everything is gone when it closes.

It runs in a process of its own. In the caller's it could not answer while a native client holds the
interpreter's lock, as the official ConvexClient does until Convex has fetched this Clerk's public keys.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Generic, Protocol, Self, TypeVar, cast

import httpx

from clerk_convex.errors import LocalError
from clerk_convex.local.clerk.control import PREFIX, plain
from clerk_convex.local.clerk.http import Faults
from clerk_convex.local.clerk.instance import LOCKOUT_SECONDS, SUBSCRIBED, ClerkInstance
from clerk_convex.local.clerk.objects import ClerkRefusal, check_depth, to_json
from clerk_convex.local.clerk.svix import Attempt, Delivery, Endpoint, Stats, new_secret
from clerk_convex.local.listener import listen

__all__ = ["SUBSCRIBED", "Faults", "LocalClerk", "Webhooks"]

ANSWER_SECONDS = 30.0

T = TypeVar("T")


class _Caller(Protocol):
    def _call(self, name: str, **arguments: Any) -> Any: ...


class _Remote(Generic[T]):
    """An attribute that is kept in the other process. `read` makes its value of JSON."""

    def __init__(self, read: Callable[[Any], T]) -> None:
        self._read = read

    def __set_name__(self, owner: type[object], name: str) -> None:
        self._name = name

    def __get__(self, instance: _Caller, owner: type[object]) -> T:
        return self._read(instance._call(f"get.{self._name}"))

    def __set__(self, instance: _Caller, value: T) -> None:
        instance._call(f"set.{self._name}", value=plain(value))


class LocalClerk:
    """A Clerk instance on 127.0.0.1. Use it as a context manager, or with `start` and `close`.

    Its methods can be called from any thread while it runs. It ends with the process that started it, however
    that one ends. POSIX only.

    port: of the HTTP API; 0 is any free one.
    webhook_url: who is told of every change; None is nobody, `webhooks.add_endpoint` adds more.
    speed: Svix's retry schedule is divided by it.
    seed: makes ids and the troubles of deliveries repeatable.
    secret_key, webhook_secret: made up if None.
    rate_limit: requests in 10 seconds; None is what Clerk grants the kind of key (100 for sk_test_, 1000 for
        sk_live_), 0 is no limit; nor is there one on changes of one user then.
    token_lifetime: seconds that a session token is valid.
    lockout_seconds: how long a lock lasts; None is for ever.
    session_claims: custom claims of session tokens, with Clerk's shortcodes, such as
        {"metadata": "{{user.public_metadata}}"}. Raises LocalError for a claim that is Clerk's own.
    events: the types of events that are sent, as ticked for an endpoint at Clerk; None is all.

    Users go in and out as Clerk's JSON objects. What Clerk would refuse is a ClerkRefusal, with Clerk's
    status and code, as over HTTP.
    """

    process: subprocess.Popen[bytes]
    """The process that it runs in, once started."""

    faults = _Remote(lambda value: Faults(**value))
    """Trouble of the Backend API."""
    frontend_faults = _Remote(lambda value: Faults(**value))
    """Trouble of what needs no secret key: public keys, the page to sign in, the calls of browsers."""
    token_lifetime = _Remote(float)
    lockout_seconds: _Remote[float | None] = _Remote(lambda value: value)
    session_claims: _Remote[Mapping[str, Any]] = _Remote(dict)
    events: _Remote[Collection[str] | None] = _Remote(lambda value: value if value is None else set(value))

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
        lockout_seconds: float | None = LOCKOUT_SECONDS,
        session_claims: Mapping[str, Any] | None = None,
        events: Collection[str] | None = SUBSCRIBED,
    ) -> None:
        self.url = ""
        """Where the API is, without `/v1`; empty before `start`."""
        self._port = port
        self._webhook_url = webhook_url
        self._options = {
            "speed": speed,
            "seed": seed,
            "secret_key": secret_key,
            "rate_limit": rate_limit,
            "token_lifetime": token_lifetime,
            "lockout_seconds": lockout_seconds,
            "session_claims": session_claims,
            "events": plain(events),
        }
        # Made here too, so that what is wrong with the options is said by whom they are given to.
        like = ClerkInstance(**self._options)
        self._options["secret_key"] = self._secret_key = like.secret_key
        self.rate_limit = like.rate_limit
        self.instance_id = like.instance_id
        self.webhook_secret = webhook_secret or new_secret()
        self.webhooks = Webhooks(self)
        self._control_key = secrets.token_hex(24)
        self._client: httpx.Client | None = None

    @property
    def issuer(self) -> str:
        """The `iss` of session tokens: the Frontend API, which here shares the Backend API's address."""
        return self.url

    @property
    def secret_key(self) -> str:
        """The key of the Backend API. Setting another is what a rotation looks like to a program."""
        return self._secret_key

    @secret_key.setter
    def secret_key(self, value: str) -> None:
        self._call("set.secret_key", value=value)
        self._secret_key = value

    def start(self) -> None:
        """Return when it answers. Raises LocalError if it cannot be started, or the port is taken."""
        with listen(self._port, "The local Clerk") as listener:
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            configuration = {
                "options": self._options,
                "descriptor": listener.fileno(),
                "control_key": self._control_key,
                "parent": os.getpid(),
            }
            # The modules come from where this process has them, not from the directory it was started in.
            path = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "clerk_convex.local.clerk.server"],
                bufsize=0,
                stdin=subprocess.PIPE,  # open as long as this process lives: the other one ends with it
                stdout=subprocess.DEVNULL,
                process_group=0,  # Ctrl-C on the terminal is ours to hear: its clients end before it does
                pass_fds=[listener.fileno()],
                env={**os.environ, "PYTHONPATH": path},
            )
        headers = {"authorization": f"Bearer {self._control_key}"}
        self._client = httpx.Client(base_url=self.url + PREFIX, headers=headers, trust_env=False)
        try:
            with suppress(BrokenPipeError):  # it has ended, as the first call finds out
                cast(IO[bytes], self.process.stdin).write(to_json(configuration).encode() + b"\n")
            self._call("get.count")
            if self._webhook_url is not None:
                self.webhooks.add_endpoint(self._webhook_url, self.webhook_secret)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End it at once, whatever is under way. Safe to call twice."""
        if self._client is not None:
            self._client.close()
            self._client = None
            with self.process as process:
                process.kill()  # nothing of it is kept

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def count(self) -> int:
        """How many users there are."""
        return int(self._call("get.count"))

    def users(self) -> list[dict[str, Any]]:
        """All users, the oldest first."""
        return self._objects("users")

    def get_user(self, user_id: str) -> dict[str, Any]:
        return self._object("get_user", user_id=user_id)

    def create_user(self, **fields: Any) -> dict[str, Any]:
        """Make a user and send `user.created`.

        `fields` are those of Clerk's user object, taken as they are, unknown ones too. The lists of addresses
        have a short form, the first one primary: `email_address`, `phone_number` and `web3_wallet` take
        strings (verified), or objects whose own fields replace the usual ones. With `locked`,
        `lockout_expires_in_seconds` is when the lock ends by itself. `scim` is the directory that manages the
        user: webhooks carry it, and the Backend API does not.
        """
        return self._object("create_user", **fields)

    def create_users(self, people: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Make many users in one call, each as create_user does. The ones before a refused one stay."""
        return self._objects("create_users", people=list(people))

    def update_user(self, user_id: str, **fields: Any) -> dict[str, Any]:
        """Replace the given fields (as in create_user; metadata whole) and send `user.updated`."""
        return self._object("update_user", user_id=user_id, **fields)

    def update_metadata(self, user_id: str, *, merge: bool = True, **metadata: Any) -> dict[str, Any]:
        """Merge into `public_metadata`, `private_metadata`, `unsafe_metadata`, or replace those given."""
        return self._object("update_metadata", user_id=user_id, merge=merge, **metadata)

    def ban(self, user_id: str) -> dict[str, Any]:
        """Ban a user, and revoke his sessions."""
        return self._object("ban", user_id=user_id)

    def unban(self, user_id: str) -> dict[str, Any]:
        return self._object("unban", user_id=user_id)

    def lock(self, user_id: str, *, seconds: float | None = None) -> dict[str, Any]:
        """Lock a user for `seconds`, None is `lockout_seconds`. No event tells that the lock has ended."""
        return self._object("lock", user_id=user_id, seconds=seconds)

    def unlock(self, user_id: str) -> dict[str, Any]:
        return self._object("unlock", user_id=user_id)

    def deprovision(self, user_id: str) -> dict[str, Any]:
        """Do as a company's directory that removes a user: revoke his sessions, and let him sign in no more.

        From now on a directory manages the user, and the Backend API refuses to delete him.
        """
        return self._object("deprovision", user_id=user_id)

    def reprovision(self, user_id: str) -> dict[str, Any]:
        """Do as the directory that takes a user back."""
        return self._object("reprovision", user_id=user_id)

    def delete_user(self, user_id: str) -> dict[str, Any]:
        """Remove the user for good and send `user.deleted`; returns what Clerk answers to a deletion."""
        return self._object("delete_user", user_id=user_id)

    def sign_in(
        self,
        user_id: str,
        *,
        client_id: str | None = None,
        status: str = "active",
        partial: bool = False,
    ) -> dict[str, Any]:
        """Make a session, send `session.created` with the user in it, and return the session.

        client_id: the browser, a new one if None.
        status: with "pending" something is left to do before he is signed in, and `session.pending` is sent.
        partial: the event's user has no addresses, only the ids of the primary ones, as in Clerk's example.
        The user's `last_sign_in_at` moves and his `updated_at` does not, and no `user.updated` is sent: what
        Clerk does there is not documented. Nor is whether its Backend API lets the banned in: this does. The
        deprovisioned are refused (400).
        """
        return self._object("sign_in", user_id=user_id, client_id=client_id, status=status, partial=partial)

    def get_session(self, session_id: str) -> dict[str, Any]:
        return self._object("get_session", session_id=session_id)

    def sessions(
        self, *, user_id: str | None = None, client_id: str | None = None, status: str | None = None
    ) -> list[dict[str, Any]]:
        """All that fit, the newest first; ended ones too."""
        return self._objects("sessions", user_id=user_id, client_id=client_id, status=status)

    def revoke_session(self, session_id: str) -> dict[str, Any]:
        """End a session from outside and send `session.revoked`; one that was over stays as it is."""
        return self._object("revoke_session", session_id=session_id)

    def remove_session(self, session_id: str) -> dict[str, Any]:
        """Sign out and send `session.removed`; a session that was over stays as it is."""
        return self._object("remove_session", session_id=session_id)

    def session_token(
        self,
        session_id: str,
        *,
        azp: str | None = None,
        lifetime: float | None = None,
        claims: Mapping[str, Any] | None = None,
        template: str | None = None,
    ) -> str:
        """Return a JWT of a live session, signed now.

        azp: the origin it is made for.
        lifetime: seconds, `token_lifetime` if None; a negative one has expired.
        claims: replace the usual ones, for tests; None removes one.
        template: the JWT template, of which there is one, "convex". Else it is the session token.
        Raises ClerkRefusal (404) if there is no such session or template, or the session is over.
        """
        options = {"azp": azp, "lifetime": lifetime, "claims": claims, "template": template}
        return str(self._call("session_token", session_id=session_id, **options))

    def jwks(self) -> dict[str, Any]:
        """The public keys that verify session tokens."""
        return self._object("jwks")

    def rotate_keys(self, *, keep_old: bool = True) -> None:
        """Sign with a new key from now on. The old ones stay among the public keys, or go at once."""
        self._call("rotate_keys", keep_old=keep_old)

    def _object(self, name: str, **arguments: Any) -> dict[str, Any]:
        result: dict[str, Any] = self._call(name, **arguments)
        return result

    def _objects(self, name: str, **arguments: Any) -> list[dict[str, Any]]:
        result: list[dict[str, Any]] = self._call(name, **arguments)
        return result

    def _call(self, name: str, **arguments: Any) -> Any:
        client = self._client
        if client is None:
            raise LocalError("The local Clerk does not run. Use it in a with statement, or call start().")
        check_depth(arguments)
        # As long as it may wait for deliveries, it is waited for.
        patience = ANSWER_SECONDS + arguments.get("timeout", 0.0)
        try:
            response = client.post(name, content=to_json(arguments), timeout=patience)
        except httpx.HTTPError as error:
            ended = self.process.poll() is not None
            raise LocalError(
                "The local Clerk has ended; what it said is on stderr. Start it again."
                if ended
                else f"The local Clerk did not answer ({type(error).__name__})."
            ) from error
        answer = json.loads(response.content)
        if not response.is_error:
            return answer["value"]
        if "message" in answer:
            raise LocalError(answer["message"])
        (refused,) = answer["errors"]
        parameter = refused.get("meta", {}).get("param_name", "")
        raise ClerkRefusal(
            response.status_code, refused["code"], refused["message"], refused["long_message"], parameter
        )


class Webhooks:
    """How a local Clerk tells of changes: signed, at least once and retried, as Svix does it for Clerk."""

    delivery = _Remote(lambda value: Delivery(**value))
    """What goes wrong on the way."""

    def __init__(self, clerk: LocalClerk) -> None:
        self._clerk = clerk

    def add_endpoint(self, url: str, secret: str | None = None) -> Endpoint:
        """Send every message from now on to `url` too, signed with `secret` (made up if None).

        Clerk's documented rotation of secrets looks like two endpoints with one url to a receiver: each
        message comes twice, with the same id and body, signed differently.
        Raises LocalError if `url` is no http(s) address or `secret` cannot be signed with.
        """
        return Endpoint(**self._call("add_endpoint", url=url, secret=secret))

    @property
    def has_endpoints(self) -> bool:
        return bool(self._call("get.has_endpoints"))

    def send(self, body: str) -> str:
        """Take one message for all endpoints and return its id (`msg_…`); never wait for a receiver."""
        return str(self._call("send", body=body))

    def drain(self, timeout: float) -> bool:
        """Wait until nothing is pending, retries included; False if that took over `timeout` seconds."""
        return bool(self._call("drain", timeout=timeout))

    @property
    def stats(self) -> Stats:
        """The counts at this moment."""
        return Stats(**self._call("get.stats"))

    @property
    def attempts(self) -> list[Attempt]:
        """The latest 1,000 requests to receivers, oldest first."""
        return [Attempt(**attempt) for attempt in self._call("get.attempts")]

    @property
    def failed(self) -> list[str]:
        """The ids of messages that were given up after the last retry, oldest first."""
        return list(self._call("get.failed"))

    def replay(self, message_id: str) -> int:
        """Send a given-up message again, with the same id and body; return how many deliveries that are."""
        return int(self._call("replay", message_id=message_id))

    def replay_failed(self) -> int:
        """Send every given-up message again; return how many deliveries that are."""
        return int(self._call("replay_failed"))

    def _call(self, name: str, **arguments: Any) -> Any:
        return self._clerk._call(f"webhooks.{name}", **arguments)
