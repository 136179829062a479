"""Measure the memory that unsigned bodies take, and whether signed events are answered meanwhile.

    python -m benchmarks.bodies [--senders 2000] [--bytes 511000] [--seconds 6] [--unsigned]

All senders at once begin a webhook of `--bytes` bytes and hold back the last byte. Their headers look like
those of a signed event, because anyone can write such headers; with --unsigned they send none. Meanwhile
small signed events are sent, one after the other.

The server is one plain uvicorn worker in its own process. `memory_mb` is its peak resident memory, less the
peak before the attack. `kept_out` counts the signed events that were not answered with 200.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import resource
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from svix.webhooks import Webhook

from benchmarks.ports import free_port

SECRET = "whsec_YmVuY2htYXJrIGJlbmNobWFyayBiZW5jaA=="  # noqa: S105 - used only in this benchmark
PATH = "/webhooks/clerk"
FORGED = "v1," + "A" * 43 + "="
PATIENCE = 30  # seconds for the answers that do not wait for the last byte, on a slow machine
EVENT = json.dumps({"type": "email.created", "data": {"body": "x" * 6000}})  # the route ignores this type


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--senders", type=int, default=2000)
    parser.add_argument("--bytes", type=int, default=511_000)
    parser.add_argument(
        "--seconds", type=float, default=6.0, help="how long; the route waits 10 s for a body"
    )
    parser.add_argument("--unsigned", action="store_true", help="send no headers of a signature")
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    measured = measure(options.senders, options.bytes, options.seconds, unsigned=options.unsigned)
    print(json.dumps(measured, indent=2))  # noqa: T201 - the result
    return 0


def measure(senders: int, size: int, seconds: float, *, unsigned: bool = False) -> dict[str, Any]:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "--port", str(port), "--log-level", "critical"]
    command += ["--loop", "asyncio", "--http", "h11", "clerk_convex.app:app"]
    settings = {
        "CLERK_WEBHOOK_SIGNING_SECRET": SECRET,
        "CONVEX_URL": "http://127.0.0.1:9",
        "CONVEX_DEPLOY_KEY": "prod:benchmark|c2VjcmV0",
    }
    server = subprocess.Popen(command, env={**os.environ, **settings})  # noqa: S603 - a fixed command
    try:
        wait_until_up(f"http://127.0.0.1:{port}/healthz")
        before = memory_mb(server.pid)
        answers, kept_out, sent = asyncio.run(attack(port, senders, size, seconds, unsigned))
        return {
            "senders": senders,
            "bytes_each": size,
            "memory_mb": round(memory_mb(server.pid) - before, 1),
            "answers_to_senders": answers,
            "events": sent,
            "kept_out": kept_out,
        }
    finally:
        server.kill()
        server.wait()


def wait_until_up(url: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            httpx.get(url, timeout=5)
            return
        time.sleep(0.05)
    raise TimeoutError(url)


def memory_mb(process: int) -> float:
    """Return the peak resident memory of a process so far, in MB."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


async def attack(
    port: int, senders: int, size: int, seconds: float, unsigned: bool
) -> tuple[dict[str, int], int, int]:
    answers: Counter[str] = Counter()
    is_over = asyncio.Event()
    held = [asyncio.create_task(hold(port, size, unsigned, answers, is_over)) for _ in range(senders)]
    kept_out = sent = 0
    async with httpx.AsyncClient(timeout=60, trust_env=False) as client:
        started = time.monotonic()

        def is_answered() -> bool:
            return answers.total() == senders if unsigned else answers["503"] > 0

        while (took := time.monotonic() - started) < seconds or (took < PATIENCE and not is_answered()):
            sent += 1
            kept_out += await is_kept_out(client, port)
            await asyncio.sleep(0.1)
    is_over.set()
    await asyncio.gather(*held)
    return dict(answers), kept_out, sent


async def hold(port: int, size: int, unsigned: bool, answers: Counter[str], is_over: asyncio.Event) -> None:
    """Send all but the last byte of a body, and count the status of an early answer."""
    signature = f"svix-id: msg_1\r\nsvix-timestamp: {time.time():.0f}\r\nsvix-signature: {FORGED}\r\n"
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {size + 1}\r\n"
    writer = None
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write((head + ("" if unsigned else signature) + "\r\n").encode() + b" " * size)
        over, line = asyncio.create_task(is_over.wait()), asyncio.create_task(reader.readline())
        await asyncio.wait({over, line}, return_when=asyncio.FIRST_COMPLETED)
        over.cancel()
        answered = line.result().split() if line.done() else [b"", b"none"]
        line.cancel()
        answers[answered[1].decode() if len(answered) > 1 else "closed"] += 1
    except OSError:
        answers["closed"] += 1
    finally:
        if writer is not None:
            writer.transport.abort()


async def is_kept_out(client: httpx.AsyncClient, port: int) -> bool:
    now = datetime.now(UTC)
    headers = {
        "svix-id": "msg_2",
        "svix-timestamp": str(int(now.timestamp())),
        "svix-signature": Webhook(SECRET).sign("msg_2", now, EVENT),
    }
    try:
        answer = await client.post(f"http://127.0.0.1:{port}{PATH}", content=EVENT, headers=headers)
    except httpx.TransportError:
        return True
    return answer.status_code != 200


if __name__ == "__main__":
    sys.exit(main())
