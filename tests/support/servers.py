"""Run real web servers on free ports of 127.0.0.1, each in a process of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence

import httpx

from benchmarks.ports import free_port
from clerk_convex.local.listener import NO_TLS
from tests.support.functions import ROOT

START, STOP = 60.0, 60.0  # seconds; a machine may be busy
_ENVIRONMENT = {
    name: value for name, value in os.environ.items() if not name.startswith(("CLERK_", "CONVEX_"))
}


class Server:
    """A server process. Its output goes to a file, because a full pipe would block it."""

    def __init__(self, command: Sequence[str], env: dict[str, str], probe: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._output = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the server
        self._process = subprocess.Popen(
            [sys.executable, "-m", *(part.replace("PORT", str(self.port)) for part in command)],
            cwd=ROOT,
            env={**_ENVIRONMENT, **env},
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that `kill` also ends its children
        )
        self._probe = probe

    def wait_until_up(self) -> bool:
        """Wait until the server answers. Return False if it has ended, as it does if the port was taken."""
        deadline = time.monotonic() + START
        # One client for all: to make one costs much time, above all to read the certificates.
        with httpx.Client(timeout=5, trust_env=False, verify=NO_TLS) as client:
            while time.monotonic() < deadline:
                if self._process.poll() is not None:
                    return False
                with contextlib.suppress(httpx.TransportError):
                    if client.get(self.url + self._probe).status_code == 200:
                        return True
                time.sleep(0.05)
        self.kill()
        raise TimeoutError(self.output)

    @property
    def output(self) -> str:
        self._output.seek(0)
        return self._output.read()

    def stop(self) -> float:
        """Send SIGTERM, and return the seconds until the server ended."""
        started = time.monotonic()
        self._process.terminate()
        self._process.wait(STOP)
        return time.monotonic() - started

    def kill(self) -> None:
        """Kill the server and its children, if they run."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(STOP)

    def close(self) -> None:
        self.kill()
        self._output.close()


@contextlib.contextmanager
def serve(command: Sequence[str], env: dict[str, str], probe: str = "/healthz") -> Iterator[Server]:
    """Run `python -m command`, in which PORT stands for a free port, until the context ends."""
    for _ in range(3):
        server = Server(command, env, probe)
        try:
            if server.wait_until_up():
                yield server
                return
            output = server.output
        finally:
            server.close()
    raise AssertionError(output)
