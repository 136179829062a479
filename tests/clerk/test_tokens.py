"""Session tokens against keys served over HTTP: which tokens are accepted, and when keys are fetched."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from clerk_convex.clerk.tokens import SessionTokens
from clerk_convex.errors import ClerkUnavailable, TokenError
from clerk_convex.local.clerk import LocalClerk
from clerk_convex.net.pool import Trouble

pytestmark = pytest.mark.anyio

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def jwk(key: rsa.RSAPrivateKey = KEY, kid: str = "ins_1", **more: Any) -> dict[str, Any]:
    public = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {**public, "use": "sig", "kid": kid, "alg": "RS256", **more}


@dataclass
class KeyServer:
    """Answers with `body` after `delay` seconds, and counts the requests."""

    body: Any = field(default_factory=lambda: {"keys": [jwk()]})
    status: int = 200
    delay: float = 0.0
    asked: int = 0
    issuer: str = ""


@pytest.fixture
def server() -> Iterator[KeyServer]:
    keys = KeyServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:  # http.server's name
            assert self.path == "/.well-known/jwks.json"
            keys.asked += 1
            time.sleep(keys.delay)
            content = keys.body if isinstance(keys.body, bytes) else json.dumps(keys.body).encode()
            self.send_response(keys.status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # http.server's name
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        keys.issuer = f"http://127.0.0.1:{http.server_port}"
        yield keys
        http.shutdown()
        thread.join()


def claims(server: KeyServer, **more: Any) -> dict[str, Any]:
    """Return the claims of a session token, without those that are given as None."""
    now = time.time()
    usual = {
        "azp": "https://app.example.com",
        "exp": now + 60,
        "iat": now,
        "iss": server.issuer,
        "nbf": now - 10,
        "sid": "sess_1",
        "sts": "active",
        "sub": "user_1",
        "v": 2,
    }
    return {name: value for name, value in {**usual, **more}.items() if value is not None}


def token(
    server: KeyServer, key: Any = KEY, *, kid: str | None = "ins_1", typ: str | None = None, **more: Any
) -> str:
    headers = {} if kid is None else {"kid": kid}
    if typ is not None:
        headers["typ"] = typ
    return jwt.encode(claims(server, **more), key, algorithm="RS256", headers=headers)


def tokens(server: KeyServer, **options: Any) -> SessionTokens:
    return SessionTokens(server.issuer, **options)


async def refusal(verifier: SessionTokens, text: str) -> str:
    with pytest.raises(TokenError) as caught:
        await verifier.verify(text)
    assert caught.value.__cause__ is None
    assert "\n" not in str(caught.value)
    return caught.value.code


# Accepted tokens


async def test_session_of_the_local_clerk() -> None:
    """Session tokens, also by the template "convex", are accepted, whichever key signed them."""
    with LocalClerk() as clerk:
        user = clerk.create_user(first_name="Ada")
        session = clerk.sign_in(user["id"])
        verifier = SessionTokens(clerk.issuer)
        assert await verifier.verify(clerk.session_token(session["id"])) == user["id"]
        assert await verifier.verify(clerk.session_token(session["id"], template="convex")) == user["id"]
        other = SessionTokens(clerk.issuer)
        clerk.rotate_keys()
        assert await other.verify(clerk.session_token(session["id"])) == user["id"]


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"azp": None},
        {"azp": "https://elsewhere.example.com"},
        {"aud": "convex"},
        {"aud": ["other", "convex"]},
        {"aud": "convex", "sid": None},
        {"sts": None},
        {"act": None},
        {"exp": time.time() - 3 + 3600, "nbf": time.time() - 100},
    ],
)
async def test_accepted(server: KeyServer, more: dict[str, Any]) -> None:
    """Without a list every origin is accepted. The audience may be missing, or one of ours."""
    assert await tokens(server).verify(token(server, **more)) == "user_1"


async def test_clocks_may_differ_a_little(server: KeyServer) -> None:
    """By five seconds in both directions, and no more."""
    now, verifier = time.time(), tokens(server)
    assert await verifier.verify(token(server, exp=now - 2)) == "user_1"
    assert await verifier.verify(token(server, nbf=now + 3, iat=now + 3)) == "user_1"
    assert await refusal(verifier, token(server, exp=now - 6)) == "expired_token"
    assert await refusal(verifier, token(server, nbf=now + 30)) == "early_token"
    assert await refusal(verifier, token(server, iat=now + 30)) == "early_token"


async def test_authorized_parties(server: KeyServer) -> None:
    """With a list, other origins and a token without an origin are rejected, as by Clerk's SDKs."""
    verifier = tokens(server, authorized_parties=("https://app.example.com", "http://localhost:3000"))
    assert await verifier.verify(token(server)) == "user_1"
    with pytest.raises(TokenError, match="azp is missing") as caught:
        await verifier.verify(token(server, azp=None))
    assert caught.value.code == "wrong_party"
    for aud in ("convex", None):  # a template may leave azp out, too
        assert await refusal(verifier, token(server, azp=None, aud=aud)) == "wrong_party"
    for azp in (
        "https://evil.example.com",
        "https://app.example.com.evil.com",
        "",
        ["http://localhost:3000"],
    ):
        assert await refusal(verifier, token(server, azp=azp)) == "wrong_party"


async def test_audiences(server: KeyServer) -> None:
    """Other audiences than "convex" can be set."""
    assert await tokens(server, audiences=["api"]).verify(token(server, aud="api")) == "user_1"
    assert await refusal(tokens(server, audiences=["api"]), token(server, aud="convex")) == "wrong_audience"


# Rejected tokens


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"exp": 1}, "expired_token"),
        ({"exp": None}, "invalid_token"),
        ({"nbf": None}, "invalid_token"),
        ({"iat": None}, "invalid_token"),
        ({"sub": None}, "invalid_token"),
        ({"iss": None}, "invalid_token"),
        ({"exp": "soon"}, "invalid_token"),
        ({"sub": 1}, "invalid_token"),
        ({"iss": "https://other.clerk.accounts.dev"}, "wrong_issuer"),
        ({"aud": "other"}, "wrong_audience"),
        ({"aud": []}, "wrong_audience"),
        ({"aud": {"convex": 1}}, "wrong_audience"),
        ({"sid": None}, "invalid_token"),
        ({"sts": "pending"}, "pending_session"),
        ({"sts": "expired"}, "pending_session"),
        ({"act": {"sub": "user_2"}}, "impersonation"),
        ({"typ": "at+jwt"}, "invalid_token"),
        ({"kid": None}, "invalid_token"),
        ({"kid": "ins_2"}, "invalid_token"),
        ({"key": OTHER_KEY}, "invalid_token"),
    ],
)
async def test_refused(server: KeyServer, more: dict[str, Any], code: str) -> None:
    """Each reason has a code of its own."""
    assert await refusal(tokens(server), token(server, **more)) == code


def _part(value: Any) -> str:
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _signed(payload: Any, **header: Any) -> str:
    """As `jwt.encode`, whatever it is."""
    signed = f"{_part({'alg': 'RS256', 'typ': 'JWT', 'kid': 'ins_1', **header})}.{_part(payload)}"
    signature = RSAAlgorithm(RSAAlgorithm.SHA256).sign(signed.encode(), KEY)
    return f"{signed}.{_part(signature)}"


async def test_no_algorithm(server: KeyServer) -> None:
    """ "none" in any spelling, with or without a signature, is refused."""
    for name in ("none", "None", "NONE", ""):
        head = f"{_part({'alg': name, 'typ': 'JWT', 'kid': 'ins_1'})}.{_part(claims(server))}"
        for end in (".", "", ".AA", "." + token(server).rpartition(".")[2]):
            assert await refusal(tokens(server), head + end) == "invalid_token"
    assert server.asked == 0


async def test_public_key_as_a_secret(server: KeyServer) -> None:
    """HS256 with the public key as its secret, in every form the key has, is refused."""
    public = KEY.public_key()
    spki, pkcs1 = serialization.PublicFormat.SubjectPublicKeyInfo, serialization.PublicFormat.PKCS1
    pem, der = serialization.Encoding.PEM, serialization.Encoding.DER
    secrets = [public.public_bytes(encoding, form) for encoding in (pem, der) for form in (spki, pkcs1)]
    secrets += [secrets[0].rstrip(), json.dumps(jwk()).encode(), b""]
    for algorithm in ("HS256", "HS512", "RS256"):
        head = f"{_part({'alg': algorithm, 'typ': 'JWT', 'kid': 'ins_1'})}.{_part(claims(server))}"
        for secret in secrets:
            digest = "sha512" if algorithm == "HS512" else hashlib.sha256
            made = f"{head}.{_part(hmac.digest(secret, head.encode(), digest))}"
            assert await refusal(tokens(server), made) == "invalid_token"


async def test_keys_in_the_token(server: KeyServer) -> None:
    """A key, a certificate or an address of keys in the token's own header is ignored."""
    for header in (
        {"jwk": jwk(OTHER_KEY, "mine")},
        {"kid": "mine", "jwk": jwk(OTHER_KEY, "mine")},
        {"jku": f"{server.issuer}/mine.json", "x5u": f"{server.issuer}/mine.pem", "x5c": ["AA"]},
    ):
        text = jwt.encode(claims(server), OTHER_KEY, algorithm="RS256", headers={"kid": "ins_1", **header})
        assert await refusal(tokens(server), text) == "invalid_token"
    assert await refusal(tokens(server), _signed(claims(server), crit=["exp"])) == "invalid_token"


async def test_other_algorithms_of_the_same_key(server: KeyServer) -> None:
    """Only RS256: not RS512 nor PS256 of the right key."""
    for algorithm in ("RS384", "RS512", "PS256"):
        text = jwt.encode(claims(server), KEY, algorithm=algorithm, headers={"kid": "ins_1"})
        assert await refusal(tokens(server), text) == "invalid_token"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "a.b.c",
        "é.é.é",
        "." * 5,
        "\ud800.a.b",
        _part({"alg": "RS256", "kid": "ins_1"}) + "..",
        _part({"alg": "RS256", "kid": 7}) + ".e30.AA",
        _part(b"[" * 5000) + ".e30.AA",
        _part(b'{"alg":"RS256","kid":"ins_1","x":' + b"[" * 5000 + b"}") + ".e30.AA",
        _part([]) + ".e30.AA",
        "a" * 1_000_000,
    ],
)
async def test_garbage(server: KeyServer, text: str) -> None:
    """Any text is rejected in the same way, and the error does not quote it."""
    assert await refusal(tokens(server), text) == "invalid_token"


async def test_long_tokens(server: KeyServer) -> None:
    """A token of over 16 KB is not read, and no keys are fetched for it."""
    long = token(server, pad="x" * 13_000)
    assert 16_384 < len(long) < 18_500
    assert await refusal(tokens(server), long) == "invalid_token"
    assert server.asked == 0
    short = token(server, pad="x" * 11_700)
    assert 16_000 < len(short) <= 16_384
    assert await tokens(server).verify(short) == "user_1"


async def test_signed_garbage(server: KeyServer) -> None:
    """A signed text that is no set of claims is rejected too."""
    endless = json.dumps(claims(server, exp=float("inf"))).replace("Infinity", "1e999").encode()
    payloads: list[Any] = [[], "x", b"[" * 5000, b"\xff", b"", {"sub": {}}, endless]
    for payload in payloads:
        assert await refusal(tokens(server), _signed(payload)) == "invalid_token"


@given(st.text(max_size=60), st.binary(max_size=60), st.sampled_from(["RS256", "HS256", "none"]))
def test_any_text(text: str, content: bytes, algorithm: str) -> None:
    """Every text that is not valid raises a TokenError and no other error."""

    async def main() -> None:
        verifier = SessionTokens("http://127.0.0.1:9")
        verifier._keys._keys = {"ins_1": KEY.public_key()}
        verifier._keys._asked_at = asyncio.get_running_loop().time()
        head = _part({"alg": algorithm, "kid": "ins_1"})
        for sent in (text, f"{head}.{text}.{text}", f"{head}.{_part(content)}.{_part(content)}"):
            assert await refusal(verifier, sent) == "invalid_token"

    asyncio.run(main())


# The keys


@pytest.mark.parametrize(("size", "is_taken"), [(260_000, True), (265_000, False)])
async def test_size_of_the_keys(server: KeyServer, size: int, is_taken: bool) -> None:
    """An answer of over 256 KiB is not read to its end."""
    server.body = {"keys": [jwk()], "pad": "x" * (size - len(json.dumps({"keys": [jwk()]})))}
    if is_taken:
        assert await tokens(server).verify(token(server)) == "user_1"
    else:
        with pytest.raises(ClerkUnavailable):
            await tokens(server).verify(token(server))


async def test_slow_keys(server: KeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller waits for keys for three seconds at most."""
    verifier, timeouts = tokens(server), []

    async def send(*args: Any, timeout: float, **more: Any) -> Trouble:  # noqa: ASYNC109 - the pool's
        timeouts.append(timeout)
        return Trouble.SLOW

    monkeypatch.setattr(verifier._keys._pool, "send", send)
    with pytest.raises(ClerkUnavailable):
        await verifier.verify(token(server))
    assert timeouts == [3.0]


async def test_keys_are_kept(server: KeyServer) -> None:
    """A thousand concurrent tokens need one fetch, and the next thousand none."""
    verifier = tokens(server)
    server.delay = 0.05
    text = token(server)
    for _ in range(2):
        assert set(await asyncio.gather(*(verifier.verify(text) for _ in range(1000)))) == {"user_1"}
    assert server.asked == 1


class Clock:
    """The event loop's clock, for the keys only."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = 0.0
        loop = asyncio.get_running_loop()
        time_of_loop = loop.time
        monkeypatch.setattr(loop, "time", lambda: time_of_loop() + self.ahead)


async def test_foreign_key_ids(server: KeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many unknown key ids cause one fetch every five seconds. Valid tokens are not affected."""
    clock = Clock(monkeypatch)
    verifier = tokens(server)
    good = token(server)
    assert await verifier.verify(good) == "user_1"
    foreign = [token(server, OTHER_KEY, kid=f"ins_{number}") for number in range(100, 120)]
    for fetches in (1, 2, 3):
        codes = await asyncio.gather(*(refusal(verifier, text) for text in foreign))
        assert set(codes) == {"invalid_token"}
        assert await verifier.verify(good) == "user_1"
        assert server.asked == fetches
        clock.ahead += 5.1


async def test_rotation(server: KeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new key is fetched when a token first names it. A removed key is rejected from then on."""
    clock = Clock(monkeypatch)
    verifier = tokens(server)
    old, new = token(server), token(server, OTHER_KEY, kid="ins_2")
    assert await verifier.verify(old) == "user_1"
    server.body = {"keys": [jwk(), jwk(OTHER_KEY, "ins_2")]}
    clock.ahead = 6.0
    assert await verifier.verify(new) == "user_1"
    assert await verifier.verify(old) == "user_1"
    assert server.asked == 2

    server.body = {"keys": [jwk(OTHER_KEY, "ins_2")]}
    clock.ahead += 3601.0
    server.delay = 0.2
    assert await verifier.verify(new) == "user_1"  # an hour later, and while they are fetched
    assert verifier._keys._fetching is not None
    async with asyncio.timeout(60):
        while "ins_1" in verifier._keys._keys:  # noqa: ASYNC110 - what is waited for happens elsewhere
            await asyncio.sleep(0.01)
    assert server.asked == 3
    clock.ahead += 6.0
    assert await refusal(verifier, old) == "invalid_token"


@pytest.mark.parametrize(("bits", "code"), [(2048, ""), (2040, "invalid_token"), (1024, "invalid_token")])
@pytest.mark.filterwarnings("ignore:The RSA key")
async def test_short_keys(server: KeyServer, bits: int, code: str) -> None:
    """A key of less than 2048 bits is not accepted, even if the instance has it."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    server.body = {"keys": [jwk(), jwk(key, "ins_2")]}
    text = token(server, key, kid="ins_2")
    if code:
        assert await refusal(tokens(server), text) == code
    else:
        assert await tokens(server).verify(text) == "user_1"


@pytest.mark.parametrize(
    ("status", "body"), [(500, b""), (200, b"<html>"), (200, []), (200, {"keys": 1}), (200, {"keys": []})]
)
async def test_keys_down(
    server: KeyServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    status: int,
    body: Any,
) -> None:
    """If keys cannot be fetched, known ones are used and the log says so. Without any, no token is
    accepted."""
    caplog.set_level(logging.WARNING)
    clock = Clock(monkeypatch)
    known, unknown = tokens(server), tokens(server)
    assert await known.verify(token(server)) == "user_1"
    server.status, server.body = status, body
    for ahead in (3700.0, 7400.0):
        clock.ahead = ahead
        assert await known.verify(token(server)) == "user_1"
        assert await refusal(known, token(server, kid="ins_2")) == "invalid_token"
        with pytest.raises(ClerkUnavailable, match="CLERK_JWT_ISSUER_DOMAIN") as caught:
            await unknown.verify(token(server))
        assert caught.value.retry_after == 5.0
    asked = server.asked
    with pytest.raises(ClerkUnavailable):
        await unknown.verify(token(server))
    assert server.asked == asked  # not again within five seconds
    clock.ahead += 6.0
    with pytest.raises(ClerkUnavailable):
        await unknown.verify(token(server))
    assert any(server.issuer in record.getMessage() for record in caplog.records)
    assert len(caplog.records) <= 4

    server.status, server.body = 200, {"keys": [jwk()]}
    clock.ahead += 6.0
    assert await unknown.verify(token(server)) == "user_1"


def test_unreachable_keys(caplog: pytest.LogCaptureFixture) -> None:
    """If nothing listens at the address, it is the same."""

    async def main() -> None:
        verifier = SessionTokens("http://127.0.0.1:9")
        with pytest.raises(ClerkUnavailable):
            await verifier.verify(_signed({}))

    asyncio.run(main())
    assert "unreachable" in caplog.text


async def test_cancelled_caller_does_not_stop_the_fetch(server: KeyServer) -> None:
    """The other callers still get the keys."""
    server.delay = 0.2
    verifier = tokens(server)
    first = asyncio.create_task(verifier.verify(token(server)))
    second = asyncio.create_task(verifier.verify(token(server)))
    await asyncio.sleep(0.05)
    first.cancel()
    assert await second == "user_1"
    assert server.asked == 1


async def test_odd_keys(server: KeyServer) -> None:
    """Keys that cannot sign a session token are left out. The others are used."""
    curve = ec.generate_private_key(ec.SECP256R1())
    short = jwk()
    short["n"] = short["n"][:100]
    private = RSAAlgorithm.to_jwk(KEY, as_dict=True)
    server.body = {
        "keys": [
            *("x", None, {}, {"kty": "RSA", "kid": "a"}, {"kty": "oct", "k": "AA", "kid": "b"}),
            {**ECAlgorithm.to_jwk(curve.public_key(), as_dict=True), "kid": "c"},
            short | {"kid": "d"},
            jwk(kid="e", use="enc"),
            private | {"kid": "f"},
            *({**jwk(), "kid": kid} for kid in (17, [["x"]], None)),
            jwk(),
        ]
    }
    verifier = tokens(server)
    assert await verifier.verify(token(server)) == "user_1"
    for kid in ("17", "[['x']]", "None"):
        assert await refusal(verifier, token(server, kid=kid)) == "invalid_token"
    assert list(verifier._keys._keys) == ["ins_1"]
