"""The refusal of a signature names the cause, and tells the sender nothing that the sender does not know."""

from __future__ import annotations

import gzip
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import webhooks as standardwebhooks
from standardwebhooks.webhooks import Webhook
from starlette.datastructures import Headers

from clerk_convex.errors import EventError
from clerk_convex.webhook import signatures
from clerk_convex.webhook.signatures import SignedHeaders, verify

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_SECRET = "whsec_b3RoZXIgc2VjcmV0IG90aGVyIHNlY3JldCBvdGhlcg=="
BODY = '{"type": "email.created", "name": "Zoé"}'.encode()
NOW = 1_750_000_000


def stop_the_clock(monkeypatch: pytest.MonkeyPatch, seconds: float = NOW) -> None:
    class Stopped(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Stopped:
            return cls.fromtimestamp(seconds, tz)

    monkeypatch.setattr(standardwebhooks, "datetime", Stopped)
    monkeypatch.setattr(signatures, "time", SimpleNamespace(time=lambda: seconds))


def sign(body: bytes = BODY, *, secret: str = SECRET, seconds: float | None = None) -> dict[str, str]:
    at = datetime.fromtimestamp(int(time.time() if seconds is None else seconds), UTC)
    return {
        "svix-id": "msg_1",
        "svix-timestamp": str(int(at.timestamp())),
        "svix-signature": Webhook(secret).sign("msg_1", at, body.decode()),
    }


def refusal(headers: Mapping[str, str], body: bytes | None = BODY, secret: str = SECRET) -> tuple[str, str]:
    """Return the cause and the text, empty if the body is accepted. Without a body only the headers are
    checked."""
    found = Headers(raw=[(name.encode(), value.encode("latin-1")) for name, value in headers.items()])
    try:
        signed = SignedHeaders.read(found)
        if body is not None:
            verify([Webhook(secret)], signed, body, found)
    except EventError as error:
        return error.cause, str(error)
    return "", ""


@pytest.mark.parametrize(
    ("secret", "svix_id", "timestamp", "content", "signature"),
    [
        (
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "1614265330",
            b'{"test": 2432232314}',
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ),
        (
            "whsec_plJ3nmyCDGBKInavdOK15jsl",
            "msg_loFOjxBNrRLzqYUf",
            "1731705121",
            b'{"event_type":"ping","data":{"success":true}}',
            "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=",
        ),
    ],
)
def test_published_vectors(
    monkeypatch: pytest.MonkeyPatch, secret: str, svix_id: str, timestamp: str, content: bytes, signature: str
) -> None:
    """The vectors of Svix's documentation verify, and changed ones do not."""
    stop_the_clock(monkeypatch, int(timestamp))
    headers = {"svix-id": svix_id, "svix-timestamp": timestamp, "svix-signature": signature}
    assert refusal(headers, content, secret) == ("", "")
    assert refusal(headers, content + b" ", secret)[0] == "secret or body"


# Before the body is read


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        (["svix-id"], "no svix-id."),
        (["svix-timestamp"], "no svix-timestamp."),
        (["svix-signature"], "no svix-signature."),
        (["svix-id", "svix-signature"], "no svix-id and no svix-signature."),
        (
            ["svix-id", "svix-timestamp", "svix-signature"],
            "no svix-id and no svix-timestamp and no svix-signature.",
        ),
    ],
)
def test_missing_headers(missing: list[str], told: str) -> None:
    """Each header that is missing or empty is named."""
    headers = sign()
    for without in (
        {name: value for name, value in headers.items() if name not in missing},
        headers | dict.fromkeys(missing, ""),
    ):
        cause, text = refusal(without, None)
        assert cause == "missing"
        assert f"The signature cannot be checked: the request has {told} " in text


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("svix-id", ["msg 1", "msg_\xe9", "x" * 256, "\x7f"]),
        (
            "svix-timestamp",
            [
                "now",
                "nan",
                "inf",
                "-inf",
                "-1",
                "0x10",
                "1e400",
                "9" * 400,
                "\xb2",
                "1750000000000",
                "2025-06-15",
            ],
        ),
        (
            "svix-signature",
            [
                "x",
                "v1",
                "v1,",
                "v1,abc",
                "v2," + "A" * 43 + "=",
                "v1 " + "A" * 43 + "=",
                "v1," + "A" * 44,
                "%",
            ],
        ),
    ],
)
def test_malformed_headers(name: str, values: list[str]) -> None:
    """The header that is malformed is named, not quoted."""
    told = {refusal(sign() | {name: value}, None) for value in values}
    ((cause, text),) = told
    assert f"svix-{cause}" == name
    assert text.startswith(f"The signature cannot be checked: {name} is malformed: ")


@pytest.mark.parametrize(
    ("offset", "told"),
    [
        (-299, ""),
        (299, ""),
        (-300, ""),
        (300, ""),
        (-301, "5.1 minutes behind"),
        (301, "5.1 minutes ahead of"),
        (-12 * 60, "12 minutes behind"),
        (12 * 60, "12 minutes ahead of"),
        (3600, "60 minutes ahead of"),
        (-7200, "2 hours behind"),
        (-3 * 86400, "3 days behind"),
        (NOW, "20255 days ahead of"),
    ],
)
def test_clocks(monkeypatch: pytest.MonkeyPatch, offset: int, told: str) -> None:
    """Five minutes are allowed in both directions, as by svix. Beyond that the text has the difference and
    its direction."""
    stop_the_clock(monkeypatch)
    cause, text = refusal(sign(seconds=NOW + offset))
    assert cause == ("" if not told else "late" if offset < 0 else "early")
    assert (f"svix-timestamp is {told} this machine's clock" in text) is bool(told)


def test_the_time_is_checked_before_the_body(monkeypatch: pytest.MonkeyPatch) -> None:
    """An old webhook gets the same answer whether its signature is right or wrong."""
    stop_the_clock(monkeypatch)
    late = sign(seconds=NOW - 600)
    assert (
        refusal(late)
        == refusal(late, BODY + b" ")
        == refusal(late | {"svix-id": "msg_2"})
        == refusal(late, None)
    )


def test_a_body_that_takes_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """A webhook whose five minutes end while its body arrives is late."""
    stop_the_clock(monkeypatch)
    headers = Headers(sign(seconds=NOW - 295))
    signed = SignedHeaders.read(headers)
    stop_the_clock(monkeypatch, NOW + 9)
    with pytest.raises(EventError, match=r"5\.1 minutes behind") as caught:
        verify([Webhook(SECRET)], signed, BODY, headers)
    assert caught.value.cause == "late"


# After the body is read


@pytest.mark.parametrize(
    ("body", "more", "cause", "told"),
    [
        (b"", {}, "empty", "the body is empty"),
        (gzip.compress(BODY, mtime=0), {}, "compressed", "the body is compressed"),
        (b"\x28\xb5\x2f\xfd" + BODY, {}, "compressed", "the body is compressed"),
        (BODY + b" ", {"content-encoding": "br"}, "compressed", "the body is compressed"),
        (b"\xef\xbb\xbf" + BODY, {}, "mark", "byte order mark"),
        (BODY.decode().encode("utf-16"), {}, "mark", "byte order mark"),
        (BODY.decode().encode("latin-1"), {}, "encoding", "not UTF-8"),
        (BODY[:-1], {"content-length": str(len(BODY))}, "length", "not as long as Content-Length says"),
        (
            BODY + b" ",
            {"content-length": str(len(BODY) + 1)},
            "secret or body",
            "CLERK_WEBHOOK_SIGNING_SECRET",
        ),
        (BODY + b" ", {"content-encoding": "identity"}, "secret or body", "CLERK_WEBHOOK_SIGNING_SECRET"),
    ],
)
def test_bodies_that_were_changed(body: bytes, more: dict[str, str], cause: str, told: str) -> None:
    """The text names the visible change of the body, and the proxy or middleware that may have made it."""
    found, text = refusal(sign() | more, body)
    assert found == cause
    assert text.startswith("The signature is wrong: ")
    assert told in text
    assert "proxy or middleware in front" in text


@pytest.mark.parametrize("body", [b"", b"\xef\xbb\xbf" + BODY])
def test_signed_bodies_are_accepted_as_they_are(body: bytes) -> None:
    """A body with a right signature is not searched for changes."""
    assert refusal(sign(body) | {"content-encoding": "gzip"}, body) == ("", "")


def test_two_causes_are_left() -> None:
    """A secret of another endpoint and a changed body get one text, which names both causes."""
    wrong_secret = refusal(sign(secret=OTHER_SECRET))
    assert wrong_secret == refusal(sign(), BODY.replace(b" ", b""))
    assert wrong_secret[1] == (
        "The signature is wrong: two causes are left. Either CLERK_WEBHOOK_SIGNING_SECRET is another"
        " endpoint's (Clerk shows the secret of each under Webhooks), or a proxy or middleware in front has"
        " changed the body."
    )


words = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]))


@given(words, words | st.floats().map(str), words, st.binary())
def test_any_refusal_is_one_line(message_id: str, timestamp: str, signature: str, body: bytes) -> None:
    """Every refusal is one line with a cause, and does not quote the request."""
    sent = {"svix-id": message_id, "svix-timestamp": timestamp, "svix-signature": signature}
    cause, text = refusal(sent, body)
    assert cause
    assert "\n" not in text
    assert text.endswith(".")
    for value in sent.values():
        assert len(value) < 8 or value not in text
