"""The processes that are killed: workers of the service, and backfills."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from collections.abc import Mapping

from tests.support.functions import ROOT
from tests.support.servers import Server

__all__ = ["Backfills", "Workers"]

APP = ("uvicorn", "clerk_convex.app:app", "--port", "PORT", "--log-level", "critical", "--no-access-log")
BACKFILL = ("-m", "clerk_convex.backfill", "--prune", "--yes", "--quiet", "--patience", "20")


class Workers:
    """uvicorn processes of the service. Their addresses are in `urls`, also that of one that is dead."""

    def __init__(self, count: int, env: Mapping[str, str], seed: int) -> None:
        self._env = dict(env)
        self._random = random.Random(f"{seed}:workers")
        self._restarts: list[threading.Thread] = []
        self._servers = [self._new() for _ in range(count)]
        self.kills = 0
        try:
            for place in range(count):
                self._wait(place)
        except BaseException:
            self.close()
            raise
        self.urls = [server.url for server in self._servers]

    def kill(self) -> None:
        """Kill one with -9, and start it again meanwhile."""
        self._join()
        self.kills += 1
        place = self._random.randrange(len(self._servers))
        self._servers[place].kill()
        restart = threading.Thread(target=self._restart, args=(place,))
        restart.start()
        self._restarts.append(restart)

    def close(self) -> None:
        self._join()
        for server in self._servers:
            server.close()

    def _join(self) -> None:
        for restart in self._restarts:
            restart.join()
        self._restarts.clear()

    def _restart(self, place: int) -> None:
        self._servers[place].close()
        self._servers[place] = self._new()
        self._wait(place)
        self.urls[place] = self._servers[place].url

    def _wait(self, place: int) -> None:
        while not self._servers[place].wait_until_up():  # its port was taken meanwhile
            self._servers[place].close()
            self._servers[place] = self._new()

    def _new(self) -> Server:
        return Server(APP, self._env, "/healthz")


class Backfills:
    """Backfills with --prune, one after the other, until one has succeeded after `finish`."""

    def __init__(self, env: Mapping[str, str], *, start: bool = True) -> None:
        self._env = dict(env)
        self._changed = threading.Condition()
        self._process: subprocess.Popen[bytes] | None = None
        self._last, self._stopped = False, False
        self.kills, self.done, self.failed = 0, 0, 0
        self._thread = threading.Thread(target=self._run, name="chaos-backfills")
        if start:
            self._thread.start()

    def kill(self) -> None:
        """Kill the running one with -9."""
        with self._changed:
            if self._process is not None and self._process.poll() is None:
                self._process.kill()
                self.kills += 1

    def finish(self) -> None:
        """Let no further backfill start after the next that succeeds."""
        self._last = True

    def join(self) -> None:
        if self._thread.ident is not None:
            self._thread.join()

    def close(self) -> None:
        self._stopped = True
        with self._changed:
            if self._process is not None:
                self._process.kill()
        self.join()

    def _run(self) -> None:
        while not self._stopped:
            last = self._last
            with self._changed:
                self._process = subprocess.Popen(
                    [sys.executable, *BACKFILL],
                    cwd=ROOT,
                    env=self._env,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    process_group=0,
                )
            status = self._process.wait()
            if status == 0:
                self.done += 1
                if last:
                    return
            elif status > 0:
                self.failed += 1
