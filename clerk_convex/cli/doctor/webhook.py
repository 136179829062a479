"""The check of the webhook's public address, with requests that change nothing.

The first request is not signed, the second one is signed wrongly, and the others rightly: an event of a type
that the route ignores. Whether a body arrives as it was sent, its own signature proves.
"""

from __future__ import annotations

import base64
import json
import secrets
from datetime import UTC, datetime
from urllib.parse import urljoin, urlsplit

from standardwebhooks.webhooks import Webhook

from clerk_convex.cli.doctor.exam import Exam
from clerk_convex.cli.doctor.report import Finding, Skip, broken
from clerk_convex.net.pool import Response, Trouble

__all__ = ["webhook"]

# Firewalls look at it. Clerk's webhooks are sent by Svix.
_USER_AGENT = "Svix-Webhooks/1.0 (clerk-convex doctor)"
_TYPE = "clerk_convex.probe"
_PLAIN = json.dumps({"type": _TYPE}).encode()
# As large as the largest users, with what proxies, firewalls and parsers of JSON like to change.
_INTRICATE = (
    f'{{ "type":"{_TYPE}", "data" : {{"text":"<b>\u00e9 \\u00e9 \\/ & 100% \u2028</b>", "number":1.0,'
    f' "padding":"{"x" * 32_768}"}} }}\r\n'
).encode()

_CANNOT = "The signature cannot be checked: "
_WRONG = "The signature is wrong: "
_NOT_SET_UP = "The service is not set up."
_UNCLEAR = "two causes are left"
_LONGEST_QUOTE = 300  # characters of an answer

_PATH = "It is the path of webhook_route(), /webhooks/clerk by default, below the prefix of its mount."
_LET_THROUGH = "Let Clerk's webhooks through: no login, firewall or bot protection for this path."
_UNCHANGED = "Let the proxy and every middleware pass the body on unchanged, byte by byte."


class _Failed(Exception):
    def __init__(self, text: str, remedy: str) -> None:
        super().__init__(text)
        self.finding = broken(text, remedy)


async def webhook(exam: Exam) -> Finding:
    """Check whether our route is at --webhook-url, verifies signatures and gets bodies unchanged."""
    if exam.webhook_url is None:
        raise Skip("name the service's address with --webhook-url")
    try:
        await _try_unsigned(exam, exam.webhook_url)
        await _try_wrongly_signed(exam, exam.webhook_url)
        signing_secrets = exam.settings.clerk_webhook_signing_secret
        for number, secret in enumerate(signing_secrets, 1):
            await _try_signed(exam, exam.webhook_url, secret.get_secret_value(), number)
    except _Failed as failed:
        return failed.finding
    if not signing_secrets:
        return Finding(
            "mounted, and verifies signatures; without CLERK_WEBHOOK_SIGNING_SECRET nothing else was tried"
        )
    return Finding("mounted, verifies signatures, and gets bodies unchanged")


async def _try_unsigned(exam: Exam, url: str) -> None:
    status, error = await _post(exam, url, _PLAIN, {})
    if 200 <= status < 300:
        raise _Failed(
            f"It answers {status} to a request that nobody has signed: this is not the webhook route.", _PATH
        )
    if status != 400 or not error.startswith(_CANNOT):
        raise _Failed(f"It answers {status}, as the webhook route does not.", _PATH)


async def _try_wrongly_signed(exam: Exam, url: str) -> None:
    nobodys = base64.b64encode(secrets.token_bytes(32)).decode()
    status, error = await _post(exam, url, _PLAIN, _signed(nobodys, _PLAIN))
    if 200 <= status < 300:
        raise _Failed(
            "It takes a webhook whose signature is wrong: this is another program, or it verifies none.",
            "Route this path to clerk-convex's webhook_route().",
        )
    if error.startswith(_CANNOT):  # the headers or the time did not arrive
        raise _Failed(
            _quoted(error), "Let the proxy pass on the headers svix-id, svix-timestamp, svix-signature."
        )
    if error.startswith(_NOT_SET_UP):
        raise _Failed(_quoted(error), "Run clerk-convex doctor there, with the settings of the service.")
    if not error.startswith(_WRONG):
        raise _Failed(f"It answers {status} to a signed request: {_quoted(error)}", _LET_THROUGH)
    if _UNCLEAR not in error:
        raise _Failed(_quoted(error), _UNCHANGED)


async def _try_signed(exam: Exam, url: str, secret: str, number: int) -> None:
    for body in (_PLAIN, _INTRICATE):
        status, error = await _post(exam, url, body, _signed(secret, body))
        if status == 200:
            continue
        if error.startswith(_WRONG) and body is _PLAIN:
            raise _Failed(
                f"It does not know the secret of CLERK_WEBHOOK_SIGNING_SECRET (entry {number}).",
                "Set the same secret there, that of this endpoint in Clerk, Webhooks. If it is the same, a"
                " proxy in front changes bodies.",
            )
        if error.startswith(_WRONG):
            raise _Failed(
                "Bodies do not arrive as they are sent: a proxy or middleware changes them.", _UNCHANGED
            )
        raise _Failed(f"It answers {status} to a signed event: {_quoted(error)}", _LET_THROUGH)


async def _post(exam: Exam, url: str, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
    """Send a webhook, and return the status and the error of the answer.

    Raises _Failed if it is not an answer of the route's.
    """
    headers = {"Content-Type": "application/json", "User-Agent": _USER_AGENT, **headers}
    response = await exam.send("POST", url, headers, body)
    if isinstance(response, Trouble):
        raise _Failed(*_trouble(exam, response))
    status = response.status
    if 300 <= status < 400:
        raise _Failed(
            f"It answers {status}, a redirect{_target(url, response)}. Webhooks follow none.",
            "Give Clerk, and --webhook-url, the address behind it.",
        )
    if status == 413:
        raise _Failed(f"It does not take a body of {len(body):,} bytes.", "Let the proxy take 512 KB.")
    error = _error(response)
    if error is None and not 200 <= status < 300:
        raise _Failed(*_stranger(response))
    return status, error or ""


def _trouble(exam: Exam, trouble: Trouble) -> tuple[str, str]:
    if trouble is Trouble.SLOW:
        return (
            f"It does not answer within {exam.call_seconds:g} s.",
            "Is the service up, and the proxy's route right?",
        )
    if trouble is Trouble.UNREACHABLE:
        return (
            "It cannot be reached: no such host, nobody listens there, or the certificate is not valid.",
            "Is this the public address? Is its certificate valid for this name?",
        )
    return "The connection breaks, or the answer is not HTTP.", "Is this the address of the service?"


def _stranger(response: Response) -> tuple[str, str]:
    """Return what is wrong with an answer that is not the route's."""
    status = response.status
    if status in {401, 403, 407}:
        return (
            f"It answers {status}: something in front asks for a login, or takes it for an attack.",
            _LET_THROUGH,
        )
    if status in {404, 405}:
        return f"It answers {status}: there is no webhook route at this path.", _PATH
    if status in {502, 503, 504}:
        return f"It answers {status}: the proxy reaches no service.", "Is the service up?"
    if "html" in response.headers.get("content-type", ""):
        return f"It answers {status} with a page of HTML: another program answers.", _PATH
    return f"It answers {status}, as the webhook route does not.", _PATH


def _error(response: Response) -> str | None:
    """Return the `error` of an answer as the route gives it, None if it is none."""
    try:
        error = json.loads(response.content)["error"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return error if isinstance(error, str) else None


def _target(url: str, response: Response) -> str:
    """Return where a redirect leads, without a password or a query, which may hold anything."""
    try:
        target = urlsplit(urljoin(url, response.headers.get("location", "")))
    except ValueError:
        return ""
    return f" to {target.scheme}://{target.netloc.rpartition('@')[2]}{target.path}"


def _quoted(error: str) -> str:
    """Return the text of an answer as one printable line."""
    return "".join(letter if letter.isprintable() else " " for letter in error)[:_LONGEST_QUOTE]


def _signed(secret: str, body: bytes) -> dict[str, str]:
    """Return the headers of a signed webhook, by Svix's names."""
    message_id, now = f"msg_clerk_convex_probe_{secrets.token_hex(8)}", datetime.now(UTC)
    signature = Webhook(secret).sign(message_id, now, body.decode())
    return {"svix-id": message_id, "svix-timestamp": str(int(now.timestamp())), "svix-signature": signature}
