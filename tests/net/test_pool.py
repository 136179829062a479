from __future__ import annotations

import asyncio
import gc
import logging
import ssl
import subprocess
import sys
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from clerk_convex.net import lifetime
from clerk_convex.net.pool import Pool, Response, Trouble, trusted
from tests.support import stand_in
from tests.support.stand_in import StandIn

SECRET = "ada@example.com"


@pytest.fixture
def server() -> Iterator[StandIn]:
    with StandIn() as server:
        server.behave(then=stand_in.answer(200, {}, "Set-Cookie: a=b"))
        yield server


@pytest.fixture
def pool() -> Pool:
    return Pool(connect_timeout=5)


async def send(pool: Pool, server: StandIn, *, repeatable: bool = True) -> Response | Trouble:
    url = f"{server.url}/users?query={SECRET}"
    return await pool.send(
        "POST", url, {"Authorization": SECRET}, b"{}", timeout=5, largest=1000, repeatable=repeatable
    )


@pytest.mark.anyio
async def test_nothing_of_a_request_is_logged(
    pool: Pool, server: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    """At every level of the logs: addresses hold search texts, and headers hold keys."""
    caplog.set_level(logging.DEBUG)
    assert isinstance(await send(pool, server), Response)
    assert SECRET not in caplog.text


@pytest.mark.anyio
async def test_cookies_are_not_kept(pool: Pool, server: StandIn) -> None:
    """Calls do not share state."""
    await send(pool, server)
    await send(pool, server)
    assert "cookie" not in server.calls[1].headers


@pytest.mark.anyio
async def test_the_environment_is_not_used(
    pool: Pool, server: StandIn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither proxies nor passwords are taken from it."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert isinstance(await send(pool, server), Response)
    assert server.calls[0].headers["authorization"] == SECRET


@pytest.mark.anyio
async def test_a_request_is_repeated_only_if_allowed(pool: Pool, server: StandIn) -> None:
    """The response says that it was repeated."""
    server.behave(stand_in.drop, stand_in.drop, then=stand_in.answer(200, {}))
    assert await send(pool, server, repeatable=False) is Trouble.BROKEN
    response = await send(pool, server)
    assert isinstance(response, Response)
    assert response.repeated
    response = await send(pool, server)
    assert isinstance(response, Response)
    assert not response.repeated
    assert len(server.calls) == 4


@pytest.mark.anyio
async def test_certificates_are_checked(pool: Pool, server: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service must prove its name before it gets a key."""
    contexts: list[ssl.SSLContext] = []

    def transport(make: Any = httpx.AsyncHTTPTransport, **options: Any) -> Any:
        contexts.append(options["verify"])
        return make(**options)

    monkeypatch.setattr(httpx, "AsyncHTTPTransport", transport)
    await send(pool, server)
    (context,) = contexts
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.cert_store_stats()["x509_ca"] > 0


def write_certificate(folder: Path) -> tuple[Path, Path]:
    """Write a certificate for 127.0.0.1 that no authority has signed, and its key. Return both files."""
    key = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Acme")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(minutes=5))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    files = folder / "certificate.pem", folder / "key.pem"
    files[0].write_bytes(certificate.public_bytes(Encoding.PEM))
    files[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return files


@pytest.mark.anyio
async def test_a_private_authority_is_trusted_if_the_environment_names_it(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A self-hosted Convex may be behind one. A file that is not there adds none, and is no error."""
    certificate, key = write_certificate(tmp_path)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.load_cert_chain(certificate, key)
    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=own) as server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        for file, is_trusted in ((None, False), (tmp_path / "none", False), (certificate, True)):
            for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
                monkeypatch.delenv(name, raising=False)
            if file is not None:
                monkeypatch.setenv("SSL_CERT_FILE", str(file))
            monkeypatch.setattr("clerk_convex.net.pool._ssl_context", trusted())
            await pool.aclose()
            response = await pool.send("GET", url, {}, timeout=5, largest=1000)
            assert isinstance(response, Response) == is_trusted, file
    await pool.aclose()


@pytest.mark.anyio
async def test_connections_are_kept_for_half_a_minute(
    pool: Pool, server: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Servers drop connections after a minute. As many as needed are opened, and 32 of them are kept."""
    kept: list[httpx.Limits] = []

    def transport(make: Any = httpx.AsyncHTTPTransport, **options: Any) -> Any:
        kept.append(options["limits"])
        return make(**options)

    monkeypatch.setattr(httpx, "AsyncHTTPTransport", transport)
    await send(pool, server)
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=32, keepalive_expiry=30.0)
    assert kept == [limits]


FIRST_REQUEST = """
import asyncio, ssl, sys
from clerk_convex.net.pool import Pool, Response

async def send():
    return await Pool(connect_timeout=5).send("GET", sys.argv[1], {}, timeout=5, largest=1000)

before = set(sys.modules)
ssl.create_default_context = None
assert isinstance(asyncio.run(send()), Response)
assert set(sys.modules) == before, set(sys.modules) - before
"""


def test_the_first_request_loads_nothing(server: StandIn) -> None:
    """Neither modules nor certificates, because that would block the other requests of the loop."""
    subprocess.run([sys.executable, "-c", FIRST_REQUEST, server.url], check=True, timeout=60)


def test_connections_close_with_the_loop(server: StandIn) -> None:
    """At whatever moment the last reference is dropped. No pool outlives its connections."""
    noticed: list[dict[str, Any]] = []
    before = set(lifetime._lifetimes)

    async def scenario() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: noticed.append(context))
        await send(Pool(connect_timeout=5), server)
        gc.collect()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        asyncio.run(scenario())
        gc.collect()
    assert (noticed, caught, lifetime._lifetimes) == ([], [], before)
