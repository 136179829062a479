"""The display of a run's progress: a bar on a terminal, elsewhere a plain line now and then."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from typing import TextIO

from clerk_convex.backfill.report import OnProgress, Progress

__all__ = ["Bar", "Lines", "display_on"]

BAR = 24  # places
EMPTY_LINE = "\r\x1b[2K"

Clock = Callable[[], float]


def display_on(out: TextIO | None) -> OnProgress:
    """Return the display for a stream. None: the caller has closed it, and nothing is shown."""
    if out is None:
        return OnProgress()
    return Bar(out) if out.isatty() else Lines(out)


class _Rate:
    """The rate of the current step since its start, as text."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._doing: str | None = None
        self._began = self._done_before = 0.0

    def text(self, progress: Progress) -> str:
        now = self._clock()
        if progress.doing != self._doing:
            self._doing, self._began, self._done_before = progress.doing, now, progress.done
        told = f"{progress.doing} {progress.done:,}"
        if progress.total is not None:
            told += f" of {progress.total:,}"
        if now > self._began and progress.done > self._done_before:
            rate = (progress.done - self._done_before) / (now - self._began)
            told += f" · {rate:,.0f}/s"
            if progress.total is not None and progress.total > progress.done:
                told += f" · {_duration((progress.total - progress.done) / rate)} left"
        return told


class Bar(OnProgress):
    """A line of a terminal that is redrawn at most ten times per second."""

    def __init__(self, out: TextIO, clock: Clock = time.monotonic) -> None:
        self._out = out
        self._clock = clock
        self._rate = _Rate(clock)
        self._next = float("-inf")

    def step(self, progress: Progress) -> None:
        text = self._rate.text(progress)
        if (now := self._clock()) < self._next:
            return
        self._next = now + 0.1
        bar = ""
        if progress.total:
            full = min(BAR, BAR * progress.done // progress.total)
            bar = f"[{'#' * full}{'.' * (BAR - full)}] "
        columns = shutil.get_terminal_size().columns
        self._out.write(EMPTY_LINE + (bar + text)[: columns - 1])
        self._out.flush()

    def note(self, text: str) -> None:
        self._out.write(f"{EMPTY_LINE}{text}\n")

    def end(self) -> None:
        self._out.write(EMPTY_LINE)
        self._out.flush()


class Lines(OnProgress):
    """A line at most every ten seconds, for logs."""

    def __init__(self, out: TextIO, clock: Clock = time.monotonic) -> None:
        self._out = out
        self._clock = clock
        self._rate = _Rate(clock)
        self._next = clock() + 10.0

    def step(self, progress: Progress) -> None:
        text = self._rate.text(progress)
        if (now := self._clock()) < self._next:
            return
        self._next = now + 10.0
        self.note(text)

    def note(self, text: str) -> None:
        self._out.write(f"{text}\n")
        self._out.flush()


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
