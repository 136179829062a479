"""The results of the checks, as lines for a person and as JSON for a program."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from clerk_convex import __version__

__all__ = ["Finding", "Report", "Skip", "Status", "broken", "doubtful", "span"]


class Status(StrEnum):
    """The result of one check."""

    OK = "ok"
    BROKEN = "broken"
    DOUBTFUL = "doubtful"
    """It may be as it should be, and a person should look. It does not change the exit status."""
    SKIPPED = "skipped"


_MARKS = {Status.OK: "✓", Status.BROKEN: "✗", Status.DOUBTFUL: "!", Status.SKIPPED: "–"}  # noqa: RUF001
_PLAIN_MARKS = {Status.OK: "+", Status.BROKEN: "x", Status.DOUBTFUL: "!", Status.SKIPPED: "-"}


class Skip(Exception):
    """A check that cannot be done. The text says why."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check. `text` may have the remedy in it; else `remedy` says what to do."""

    text: str
    status: Status = Status.OK
    remedy: str = ""


def broken(text: str, remedy: str = "") -> Finding:
    return Finding(text, Status.BROKEN, remedy)


def doubtful(text: str, remedy: str = "") -> Finding:
    return Finding(text, Status.DOUBTFUL, remedy)


@dataclass(frozen=True, slots=True)
class Report:
    """The findings by the names of the checks, in the order of the checks."""

    findings: Sequence[tuple[str, Finding]]

    @property
    def ok(self) -> bool:
        """Check whether nothing is broken."""
        return not self._count(Status.BROKEN)

    def to_json(self) -> dict[str, Any]:
        checks = [
            {"name": name, "status": str(finding.status), "text": finding.text, "remedy": finding.remedy}
            for name, finding in self.findings
        ]
        return {"ok": self.ok, "version": __version__, "checks": checks}

    def __str__(self) -> str:
        marks = _MARKS if _can_write("✓✗–") else _PLAIN_MARKS  # noqa: RUF001
        width = max(len(name) for name, _ in self.findings)
        lines: list[str] = []
        for name, finding in self.findings:
            lines.append(f"{marks[finding.status]} {name:<{width}}  {finding.text}")
            if finding.remedy:
                lines.append(f"  {'':<{width}}  {finding.remedy}")
        return "\n".join([*lines, self._summary()])

    def _summary(self) -> str:
        wrong, unsure = self._count(Status.BROKEN), self._count(Status.DOUBTFUL)
        look = f" {unsure} with a ! may need a look." if unsure else ""
        if not wrong:
            return f"Nothing is broken.{look}"
        return f"{wrong} of {len(self.findings)} checks found something broken.{look}"

    def _count(self, status: Status) -> int:
        return sum(finding.status is status for _, finding in self.findings)


def span(seconds: float) -> str:
    """Return a time span for a person."""
    for unit, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    whole = round(seconds)
    return "1 second" if whole == 1 else f"{whole} seconds"


def _can_write(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True
