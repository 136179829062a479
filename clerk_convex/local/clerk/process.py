"""LocalClerk: start a Clerk instance in a child process and control it from this one.

    with LocalClerk(webhook_url="http://127.0.0.1:8000/webhooks/clerk") as clerk:
        user = clerk.create_user(first_name="Ada", email_address=["ada@example.com"])
        clerk.webhooks.drain(timeout=5)

The instance has the parts of Clerk that this project uses: users, metadata, sessions, session tokens,
invitations, and a page to sign in. It has no organizations, no plans and no page to sign up. Its data is
lost when it closes.

It needs a process of its own because the official ConvexClient holds the GIL until Convex has fetched this
Clerk's public keys. In the same process the two would wait for each other.
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
from clerk_convex.local.clerk.faults import Faults
from clerk_convex.local.clerk.instance import LOCKOUT_SECONDS, SUBSCRIBED, ClerkInstance
from clerk_convex.local.clerk.objects import ClerkRefusal, check_depth, to_json
from clerk_convex.local.clerk.svix import Attempt, Delivery, Endpoint, Stats, new_secret
from clerk_convex.local.listener import NO_TLS, listen

__all__ = ["SUBSCRIBED", "Faults", "LocalClerk", "Webhooks"]

ANSWER_SECONDS = 30.0  # for a call
_END_SECONDS = 0.2  # for the process to end after its connections broke

T = TypeVar("T")


class _Caller(Protocol):
    def _call(self, name: str, **arguments: Any) -> Any: ...


class _Remote(Generic[T]):
    """An attribute whose value is in the child process. `read` converts the value from JSON."""

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

    Its methods can be called from any thread while it runs. Its process ends with the process that started
    it, even if that one is killed. POSIX only.

    port: the port of the HTTP API; 0 takes a free port.
    webhook_url: the first endpoint of its webhooks, if any. `webhooks.add_endpoint` adds more.
    speed: divides Svix's retry schedule.
    seed: makes ids and the faults of deliveries repeatable.
    secret_key, webhook_secret: None makes new ones.
    rate_limit: requests within 10 seconds. None is Clerk's limit for the kind of key (100 for sk_test_, 1000
        for sk_live_). 0 turns it off, and also the limit on changes of one user.
    token_lifetime: seconds that a session token is valid.
    lockout_seconds: the duration of a lock; None is without end.
    session_claims: custom claims of session tokens, with Clerk's shortcodes, such as
        {"metadata": "{{user.public_metadata}}"}. Raises LocalError for a claim that is Clerk's own.
    events: the types of events to send, as ticked for an endpoint at Clerk; None sends all.

    Methods take and return users as Clerk's JSON objects. They raise ClerkRefusal, with Clerk's status and
    code, for a call that Clerk refuses.
    """

    process: subprocess.Popen[bytes]
    """The child process. Set by `start`."""

    faults = _Remote(lambda value: Faults(**value))
    """Trouble of the Backend API."""
    frontend_faults = _Remote(lambda value: Faults(**value))
    """Faults of the paths without a secret key: public keys, the sign-in page, the Frontend API."""
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
        """The API's address without `/v1`; empty before `start`."""
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
        # An instance in this process raises errors about the options here, and tells the values of defaults.
        instance = ClerkInstance(**self._options)
        self._options["secret_key"] = self._secret_key = instance.secret_key
        self.rate_limit = instance.rate_limit
        self.instance_id = instance.instance_id
        self.webhook_secret = webhook_secret or new_secret()
        self.webhooks = Webhooks(self)
        self._control_key = secrets.token_hex(24)
        self._client: httpx.Client | None = None

    @property
    def issuer(self) -> str:
        """The `iss` of session tokens: the Frontend API's address, which equals the Backend API's here."""
        return self.url

    @property
    def secret_key(self) -> str:
        """The key of the Backend API. Set another key to rotate it: the old key is refused from then on."""
        return self._secret_key

    @secret_key.setter
    def secret_key(self, value: str) -> None:
        self._call("set.secret_key", value=value)
        self._secret_key = value

    def start(self) -> None:
        """Start the process, and return when it answers.

        Raises LocalError if the process cannot be started or the port is in use.
        """
        with listen(self._port, "The local Clerk") as listener:
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            configuration = {
                "options": self._options,
                "descriptor": listener.fileno(),
                "control_key": self._control_key,
                "parent": os.getpid(),
            }
            # The child must load the same modules as this process, and none from the current directory (-P).
            path = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "clerk_convex.local.clerk.server"],
                bufsize=0,
                stdin=subprocess.PIPE,  # the child ends when this process closes the pipe
                stdout=subprocess.DEVNULL,
                process_group=0,  # Ctrl-C reaches only this process, which stops the clients first
                pass_fds=[listener.fileno()],
                env={**os.environ, "PYTHONPATH": path},
            )
        headers = {"authorization": f"Bearer {self._control_key}"}
        self._client = httpx.Client(
            base_url=self.url + PREFIX, headers=headers, verify=NO_TLS, trust_env=False
        )
        try:
            with suppress(BrokenPipeError):  # the child has ended: the call below raises LocalError
                cast(IO[bytes], self.process.stdin).write(to_json(configuration).encode() + b"\n")
            self._call("get.count")
            self._add_first_endpoint()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Kill the process, also while requests are in progress. A second call does nothing."""
        if self._client is not None:
            self._client.close()
            self._client = None
            with self.process as process:
                process.kill()  # it has nothing to save

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def count(self) -> int:
        """The number of users."""
        return int(self._call("get.count"))

    def users(self) -> list[dict[str, Any]]:
        """All users, the oldest first."""
        return self._objects("users")

    def get_user(self, user_id: str) -> dict[str, Any]:
        return self._object("get_user", user_id=user_id)

    def create_user(self, **fields: Any) -> dict[str, Any]:
        """Create a user and send `user.created`.

        `fields` are those of Clerk's user object; unknown fields are stored too. `email_address`,
        `phone_number` and `web3_wallet` are short forms of the lists of addresses, the first one primary.
        They take strings (verified addresses), or objects whose fields replace the defaults. With `locked`,
        `lockout_expires_in_seconds` is the time until the lock ends. `scim` is the directory that manages the
        user; webhooks contain it, the Backend API's answers do not.
        """
        return self._object("create_user", **fields)

    def create_users(self, people: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Create many users in one call, each as create_user does. Users before a refused one are kept."""
        return self._objects("create_users", people=list(people))

    def update_user(self, user_id: str, **fields: Any) -> dict[str, Any]:
        """Replace the given fields (see create_user; metadata is not merged) and send `user.updated`."""
        return self._object("update_user", user_id=user_id, **fields)

    def update_metadata(self, user_id: str, *, merge: bool = True, **metadata: Any) -> dict[str, Any]:
        """Merge or replace the given `public_metadata`, `private_metadata` and `unsafe_metadata`."""
        return self._object("update_metadata", user_id=user_id, merge=merge, **metadata)

    def ban(self, user_id: str) -> dict[str, Any]:
        """Ban a user and revoke the user's sessions."""
        return self._object("ban", user_id=user_id)

    def unban(self, user_id: str) -> dict[str, Any]:
        return self._object("unban", user_id=user_id)

    def lock(self, user_id: str, *, seconds: float | None = None) -> dict[str, Any]:
        """Lock a user for `seconds`; None is `lockout_seconds`. No event is sent when the lock ends."""
        return self._object("lock", user_id=user_id, seconds=seconds)

    def unlock(self, user_id: str) -> dict[str, Any]:
        return self._object("unlock", user_id=user_id)

    def deprovision(self, user_id: str) -> dict[str, Any]:
        """Deprovision a user, as a company's SCIM directory does: revoke all sessions and refuse sign-ins.

        From then on a directory manages the user, and the Backend API refuses to delete the user.
        """
        return self._object("deprovision", user_id=user_id)

    def reprovision(self, user_id: str) -> dict[str, Any]:
        """Undo `deprovision`, as a directory does."""
        return self._object("reprovision", user_id=user_id)

    def delete_user(self, user_id: str) -> dict[str, Any]:
        """Delete a user and send `user.deleted`. Return Clerk's answer to a deletion."""
        return self._object("delete_user", user_id=user_id)

    def sign_in(
        self,
        user_id: str,
        *,
        client_id: str | None = None,
        status: str = "active",
        partial: bool = False,
    ) -> dict[str, Any]:
        """Create a session, send `session.created` with the user in it, and return the session.

        client_id: the browser; None is a new one.
        status: "pending" is a session with open tasks; `session.pending` is sent instead.
        partial: leave the addresses out of the event's user, as Clerk's example does, but not their ids.

        It changes the user's `last_sign_in_at`, not `updated_at`, and sends no `user.updated`; Clerk does not
        document this. It lets a banned user sign in, which Clerk does not document either. It raises
        ClerkRefusal (400) for a deprovisioned user.
        """
        return self._object("sign_in", user_id=user_id, client_id=client_id, status=status, partial=partial)

    def get_session(self, session_id: str) -> dict[str, Any]:
        return self._object("get_session", session_id=session_id)

    def sessions(
        self, *, user_id: str | None = None, client_id: str | None = None, status: str | None = None
    ) -> list[dict[str, Any]]:
        """Return the sessions that match all filters, ended ones too, the newest first."""
        return self._objects("sessions", user_id=user_id, client_id=client_id, status=status)

    def revoke_session(self, session_id: str) -> dict[str, Any]:
        """Revoke a session and send `session.revoked`. A session that has ended stays as it is."""
        return self._object("revoke_session", session_id=session_id)

    def remove_session(self, session_id: str) -> dict[str, Any]:
        """Sign out and send `session.removed`. A session that has ended stays as it is."""
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
        """Return a new JWT of a live session.

        azp: the `azp` claim, the origin of the page that the token is for.
        lifetime: seconds; None is `token_lifetime`. A negative lifetime makes an expired token.
        claims: claims that replace the usual ones, for tests. A value of None removes the claim.
        template: the JWT template "convex"; None makes a session token.

        Raises ClerkRefusal (404) if the session or template does not exist, or the session has ended.
        """
        options = {"azp": azp, "lifetime": lifetime, "claims": claims, "template": template}
        return str(self._call("session_token", session_id=session_id, **options))

    def jwks(self) -> dict[str, Any]:
        """Return the public keys of session tokens, as a JSON Web Key Set."""
        return self._object("jwks")

    def rotate_keys(self, *, keep_old: bool = True) -> None:
        """Sign with a new key from now on. Without `keep_old`, tokens of the old keys become invalid."""
        self._call("rotate_keys", keep_old=keep_old)

    def reset(self) -> None:
        """Return to the state after the start, within milliseconds, so that tests can share a Clerk.

        Users, sessions, undelivered messages, faults and counts are gone, and what was set since the start.
        Webhooks go only to the `webhook_url` of the start. Signing keys and the instance's id stay, and no id
        is given a second time. It waits for requests to receivers that are in progress.
        """
        self._call("reset")
        self._secret_key = str(self._options["secret_key"])
        self._add_first_endpoint()

    def _add_first_endpoint(self) -> None:
        if self._webhook_url is not None:
            self.webhooks.add_endpoint(self._webhook_url, self.webhook_secret)

    def _has_ended(self) -> bool:
        # The connections of a process break a moment before it can be waited for.
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(_END_SECONDS)
        return self.process.returncode is not None

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
        # `drain` waits in the child process for its own timeout first.
        timeout = ANSWER_SECONDS + arguments.get("timeout", 0.0)
        try:
            response = client.post(name, content=to_json(arguments), timeout=timeout)
        except httpx.HTTPError as error:
            raise LocalError(
                "The local Clerk has ended; what it said is on stderr. Start it again."
                if self._has_ended()
                else f"The local Clerk did not answer ({type(error).__name__})."
            ) from error
        answer = json.loads(response.content)
        if not response.is_error:
            return answer["value"]
        if "message" in answer:
            raise LocalError(answer["message"])
        (refusal,) = answer["errors"]
        parameter = refusal.get("meta", {}).get("param_name", "")
        raise ClerkRefusal(
            response.status_code, refusal["code"], refusal["message"], refusal["long_message"], parameter
        )


class Webhooks:
    """The webhooks of a local Clerk: signed, delivered at least once and retried, as Svix does for Clerk."""

    delivery = _Remote(lambda value: Delivery(**value))
    """Faults of deliveries: late, doubled, shuffled and lost messages."""

    def __init__(self, clerk: LocalClerk) -> None:
        self._clerk = clerk

    def add_endpoint(self, url: str, secret: str | None = None) -> Endpoint:
        """Send all later messages to `url` too, signed with `secret`. None makes a new secret.

        To a receiver, Clerk's documented rotation of secrets is like two endpoints with one url: each message
        arrives twice, with the same id and body, signed with different secrets.

        Raises LocalError if `url` is no http(s) address or `secret` is malformed.
        """
        return Endpoint(**self._call("add_endpoint", url=url, secret=secret))

    @property
    def has_endpoints(self) -> bool:
        return bool(self._call("get.has_endpoints"))

    def send(self, body: str) -> str:
        """Queue a message for all endpoints and return its id (`msg_…`), without waiting for delivery."""
        return str(self._call("send", body=body))

    def drain(self, timeout: float) -> bool:
        """Wait until no message is pending, retries included. Return False after `timeout` seconds."""
        return bool(self._call("drain", timeout=timeout))

    @property
    def stats(self) -> Stats:
        """The current counts."""
        return Stats(**self._call("get.stats"))

    @property
    def attempts(self) -> list[Attempt]:
        """The latest 1,000 requests to receivers, oldest first."""
        return [Attempt(**attempt) for attempt in self._call("get.attempts")]

    @property
    def failed(self) -> list[str]:
        """The ids of the messages that failed for good after the last retry, oldest first."""
        return list(self._call("get.failed"))

    def replay(self, message_id: str) -> int:
        """Send a failed message again, with the same id and body. Return the number of deliveries."""
        return int(self._call("replay", message_id=message_id))

    def replay_failed(self) -> int:
        """Send all failed messages again. Return the number of deliveries."""
        return int(self._call("replay_failed"))

    def _call(self, name: str, **arguments: Any) -> Any:
        return self._clerk._call(f"webhooks.{name}", **arguments)
