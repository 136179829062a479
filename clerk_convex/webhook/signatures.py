"""Checks the signature of a webhook, and explains the likely cause of a wrong one.

How Svix signs: https://docs.svix.com/receiving/verifying-payloads/how-manual
The svix package wraps the same check; it is not used here because it loads its API client, too.
The explanation helps no attacker: it depends only on what the sender knows, the request and the time.
"""

from __future__ import annotations

import codecs
import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from clerk_convex.errors import EventError

__all__ = ["SignedHeaders", "verify"]

_NAMES = ("id", "timestamp", "signature")
_TOLERANCE = 300.0  # seconds in either direction; Standard Webhooks has the same
_LATEST = 253_402_300_800.0  # Unix seconds of the year 10000: datetime, by which it is read, ends there
_ID = re.compile(r"[!-~]{1,255}")

# HMAC-SHA256 in base64 has 44 characters. Other entries are dropped: verify() raises for a malformed one,
# even if the next one is right.
_SIGNATURE = re.compile(r"v1,[A-Za-z0-9+/]{43}=")

_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_COMPRESSED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd")  # gzip, zstd


@dataclass(frozen=True, slots=True)
class SignedHeaders:
    """The three headers of a signed webhook. They are well formed and at most five minutes old."""

    event_id: str
    timestamp: str
    signatures: str

    @classmethod
    def read(cls, headers: Mapping[str, str]) -> Self:
        """Return the headers, by Svix's names (svix-id) or by those of Standard Webhooks (webhook-id).

        Raises EventError if one is missing or malformed, or if the time is over five minutes from this
        machine's clock.
        """
        message_id, timestamp, signature = (_header(headers, name) for name in _NAMES)
        if not (message_id and timestamp and signature):
            missing = [f"svix-{name}" for name in _NAMES if not _header(headers, name)]
            raise _uncheckable(
                "missing",
                f"the request has no {' and no '.join(missing)}. Clerk sends such headers with every webhook."
                " Either this request is not Clerk's, or a proxy in front drops them",
            )
        if not _ID.fullmatch(message_id):
            raise _uncheckable(
                "id", "svix-id is malformed: it is up to 255 characters of ASCII, without spaces"
            )
        signatures = " ".join(filter(_SIGNATURE.fullmatch, signature.split()))
        if not signatures:
            raise _uncheckable(
                "signature",
                "svix-signature is malformed: no part of it is written v1,… with 44 characters of base64",
            )
        _check_time(timestamp)
        return cls(message_id, timestamp, signatures)

    def as_standard(self) -> dict[str, str]:
        """Return the headers by the names of Standard Webhooks."""
        return {
            "webhook-id": self.event_id,
            "webhook-timestamp": self.timestamp,
            "webhook-signature": self.signatures,
        }


def verify(
    webhooks: Sequence[Webhook], signed: SignedHeaders, body: bytes, headers: Mapping[str, str]
) -> None:
    """Raise EventError unless one of `webhooks` signed the body. The text names the likely cause."""
    if not any(_is_verified(webhook, body, signed) for webhook in webhooks):
        _check_time(signed.timestamp)  # again: receiving the body took time
        cause, text = _cause(body, headers)
        raise EventError(f"The signature is wrong: {text}.", cause=cause)


def _header(headers: Mapping[str, str], name: str) -> str:
    return headers.get(f"svix-{name}") or headers.get(f"webhook-{name}", "")


def _is_verified(webhook: Webhook, body: bytes, signed: SignedHeaders) -> bool:
    try:
        webhook.verify(body, signed.as_standard(), json_parse=False)
    except (WebhookVerificationError, ValueError):  # ValueError: the body is not UTF-8
        return False
    return True


def _check_time(timestamp: str) -> None:
    try:
        at = float(timestamp)
    except ValueError:
        at = -1.0
    if not 0.0 <= at < _LATEST:  # also false for nan
        raise _uncheckable("timestamp", "svix-timestamp is malformed: it is a time in Unix seconds")
    late = time.time() - at
    if late > _TOLERANCE:
        raise _uncheckable(
            "late",
            f"svix-timestamp is {_span(late)} behind this machine's clock, and 5 minutes are allowed. Is this"
            " machine's clock ahead? Otherwise the webhook was held up, or sent once more, on its way",
        )
    if -late > _TOLERANCE:
        raise _uncheckable(
            "early",
            f"svix-timestamp is {_span(-late)} ahead of this machine's clock, and 5 minutes are allowed. Set"
            " this machine's clock",
        )


def _uncheckable(cause: str, text: str) -> EventError:
    return EventError(f"The signature cannot be checked: {text}.", cause=cause)


def _span(seconds: float) -> str:
    minutes = seconds / 60
    if minutes < 10:
        return f"{math.ceil(minutes * 10) / 10} minutes"  # rounded up: one second over shows as 5.1
    if minutes < 120:
        return f"{minutes:.0f} minutes"
    return f"{minutes / 60:.0f} hours" if minutes < 2880 else f"{minutes / 1440:.0f} days"


def _cause(body: bytes, headers: Mapping[str, str]) -> tuple[str, str]:
    """Return the likely cause of a wrong signature: as one word for the log, and as a sentence."""
    changer = "a proxy or middleware in front"
    length = headers.get("content-length", "")
    if not body:
        return "empty", f"the body is empty. Perhaps {changer} has read it and not passed it on"
    if headers.get("content-encoding", "identity") != "identity" or body.startswith(_COMPRESSED):
        return "compressed", f"the body is compressed, as Clerk never sends it. Perhaps {changer} does that"
    if body.startswith(_MARKS):
        return "mark", f"the body begins with a byte order mark. Clerk sends none; {changer} has added it"
    if not _is_text(body):
        return "encoding", f"the body is not UTF-8. Clerk's always is; {changer} has changed it"
    if length.isdecimal() and length != str(len(body)):
        return "length", f"the body is not as long as Content-Length says: {changer} has changed it"
    return "secret or body", (
        "two causes are left. Either CLERK_WEBHOOK_SIGNING_SECRET is another endpoint's (Clerk shows the"
        f" secret of each under Webhooks), or {changer} has changed the body"
    )


def _is_text(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True
