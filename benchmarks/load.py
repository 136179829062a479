"""Generate load: send signed events to a server over persistent connections, as fast as it answers.

`benchmarks.webhook` runs this in a process of its own. Each connection sends one event, waits for the answer,
and sends the next. The requests are built before the start, and one regular expression reads the answers, so
that the load takes little CPU time from the server. The program prints "ready" when it begins, and its
measurements as JSON at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import gc
import hashlib
import hmac
import json
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle
from typing import cast

from clerk_convex.local.clerk.objects import new_event, new_user

EVENTS = 16_384  # distinct events; more than a server holds at once, so that no event is in it twice
ANSWER = re.compile(rb"HTTP/1\.1 (\d+) .*?\r\ncontent-length: (\d+).*?\r\n\r\n", re.IGNORECASE | re.DOTALL)
LONGEST_WAIT = 20.0  # seconds for answers that are outstanding at the end


def events(secret: str, port: int) -> list[bytes]:
    """Return HTTP requests as Svix sends them: a `user.updated` of Clerk's size for each of EVENTS users."""
    now = int(time.time())
    user = new_user(
        {
            "email_address": ["someone@users.example", "someone@work.example"],
            "phone_number": ["+12025550123"],
            "username": "someone",
            "first_name": "Some",
            "last_name": "One",
            "public_metadata": {"role": "member", "plan": "free", "teams": ["orchard", "meadow"]},
            "private_metadata": {"customer": "cus_123456789"},
            "last_sign_in_at": now * 1000,
        },
        lambda prefix: f"{prefix}_{'0' * 27}",
        now * 1000,
    )
    body = json.dumps(new_event("user.updated", user, "ins_benchmark", now * 1000)).encode()
    key = base64.b64decode(secret.removeprefix("whsec_"))
    requests = []
    for number in range(EVENTS):
        own = body.replace(b"user_" + b"0" * 27, b"user_%027d" % number)
        message_id = b"msg_%027d" % number
        signed = hmac.digest(key, b"%s.%d.%s" % (message_id, now, own), hashlib.sha256)
        requests.append(
            b"POST /webhooks/clerk HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n"
            b"User-Agent: Svix-Webhooks/1\r\nSvix-Id: %s\r\nSvix-Timestamp: %d\r\nSvix-Signature: v1,%s\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (port, message_id, now, base64.b64encode(signed), len(own), own)
        )
    return requests


@dataclass
class Run:
    """The state that all connections share: the requests, the measured period (s), and the results."""

    requests: Iterator[bytes]
    open: int
    begin: float = 0.0
    end: float = 0.0
    rate: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def answered(self, status: int, sent: float, now: float) -> None:
        self.statuses[status] += 1
        if sent >= self.begin:
            self.latencies.append(now - sent)
        if status == 200 and self.begin <= now < self.end:
            self.rate += 1

    def closed(self) -> None:
        self.open -= 1
        if not self.open:
            self.over.set()


class Connection(asyncio.Protocol):
    """A connection that sends the next request as soon as the last one is answered."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.received = b""
        self.sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def send(self) -> None:
        self.sent = time.perf_counter()
        self.transport.write(next(self.run.requests))

    def data_received(self, data: bytes) -> None:
        self.received += data
        head = ANSWER.match(self.received)
        if head is None or len(self.received) < head.end() + int(head[2]):
            return
        self.received = b""
        now = time.perf_counter()
        self.run.answered(int(head[1]), self.sent, now)
        if now < self.run.end or not self.run.latencies:  # at least one is measured
            self.send()
        else:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.run.closed()


async def run(port: int, connections: int, warm_up: float, seconds: float, requests: list[bytes]) -> Run:
    loop = asyncio.get_running_loop()
    result = Run(cycle(requests), connections)
    made = [
        (await loop.create_connection(lambda: Connection(result), "127.0.0.1", port))[1]
        for _ in range(connections)
    ]
    result.begin = time.perf_counter() + warm_up
    result.end = result.begin + seconds
    for connection in made:
        connection.send()
    with suppress(TimeoutError):
        await asyncio.wait_for(result.over.wait(), warm_up + seconds + LONGEST_WAIT)
    return result


def milliseconds(latencies: list[float], part: float) -> float | None:
    return latencies[min(int(len(latencies) * part), len(latencies) - 1)] * 1000 if latencies else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--warm-up", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    options = parser.parse_args()

    requests = events(os.environ["CLERK_WEBHOOK_SIGNING_SECRET"], options.port)
    gc.disable()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    before = time.process_time()
    result = asyncio.run(run(**vars(options), requests=requests))
    latencies = sorted(result.latencies)
    answer = {
        "statuses": result.statuses,
        "unanswered": result.open,
        "events_per_second": result.rate / options.seconds,
        "p50_ms": milliseconds(latencies, 0.5),
        "p99_ms": milliseconds(latencies, 0.99),
        "load_cpu_seconds": time.process_time() - before,
    }
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
