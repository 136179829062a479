"""Draw the newest rows of Convex's users table for a terminal."""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from clerk_convex.local.clerk.svix import Stats
from clerk_convex.local.demo.scenario import is_linked

__all__ = ["AFTER", "Table"]

Row = Mapping[str, Any]

FLASH = 2.0  # seconds a changed row stands out

# The table uses no alternate screen and does not hide the cursor, so a killed process leaves the terminal
# usable. It only turns line wrapping off while it draws.
HOME, UNTIL_END, WRAP, NO_WRAP = "\x1b[H", "\x1b[J", "\x1b[?7h", "\x1b[?7l"
EMPTY_LINE, BOLD, PLAIN = "\x1b[2K", "\x1b[1m", "\x1b[0m"
AFTER = f"{PLAIN}{WRAP}\n"  # restores the terminal's modes
# Each heading with the width of its column; 80 cells in all.
HEADINGS = {"Name": 20, "Email": 25, "Status": 6, "Role": 6, "Joined": 9, "Signed in": 9}


class Table:
    """A text table of the newest rows. The rows that changed last are on top.

    clerk: returns the number of Clerk's users, and the counts of its webhooks.
    url: the dashboard's address, or an empty string.
    """

    def __init__(self, clerk: Callable[[], tuple[int, Stats]], url: str) -> None:
        self._clerk = clerk
        self._url = url
        self._rows: dict[str, Row] | None = None
        self._whole = False
        self._changed: dict[str, float] = {}

    def update(self, page: Sequence[Row], *, whole: bool) -> None:
        """Replace the rows by `page`, the newest first. `whole` means that Convex has no other rows."""
        now = time.monotonic()
        before, rows = self._rows, {row["clerkId"]: row for row in page if is_linked(row)}
        self._rows, self._whole = rows, whole
        # The rows of the first update count as unchanged.
        self._changed = {
            clerk_id: self._changed.get(clerk_id, 0.0)
            if before is None or before.get(clerk_id) == row
            else now
            for clerk_id, row in rows.items()
        }

    def summary(self) -> str:
        """Return one line with the numbers of users, rows and deliveries."""
        users, stats = self._clerk()
        if self._rows is None:
            shown = "has not answered yet"
        else:
            shown = f"{len(self._rows)} rows" if self._whole else f"the newest {len(self._rows)} rows"
        failed = f", {stats.failed} failed" if stats.failed else ""
        return (
            f"Clerk {users} users · Convex {shown} · "
            f"webhooks {stats.delivered} delivered, {stats.pending} on their way{failed}"
        )

    def screen(self, columns: int, lines: int) -> str:
        """Return the text and escape codes that draw the table over a terminal of this size."""
        now = time.monotonic()
        where = [_fit(f"Open {self._url}", columns)] if self._url else []
        head = [*where, _fit(self.summary(), columns), ""]
        written = [*head, BOLD + _cells(list(HEADINGS), columns) + PLAIN]
        rows = self._rows or {}
        latest = sorted(rows, key=lambda clerk_id: self._changed[clerk_id], reverse=True)
        for clerk_id in latest[: max(0, lines - len(written) - 2)]:
            style = BOLD if now - self._changed[clerk_id] < FLASH else PLAIN
            written.append(style + _cells(_texts(rows[clerk_id]), columns) + PLAIN)
        written.append(_fit("Ctrl-C to stop", columns))
        body = "".join(f"{EMPTY_LINE}{line}\n" for line in written[: max(1, lines - 1)])
        return NO_WRAP + HOME + body + UNTIL_END + WRAP


def _texts(row: Row) -> list[str]:
    name = " ".join(filter(None, (row.get("firstName"), row.get("lastName")))) or row["sortName"]
    email, status, role = row.get("email", "-"), row["status"], row.get("role", "-")
    return [name, email, status, role, _ago(row["createdAt"]), _ago(row.get("lastSignInAt"))]


def _cells(texts: Sequence[str], columns: int) -> str:
    """Return one line of the table.

    An escape code moves the cursor to each column, because terminals disagree on the width of some letters.
    """
    line, place = "", 1
    for text, width in zip(texts, HEADINGS.values(), strict=True):
        line += f"\x1b[{place}G" + _fit(text, min(width, columns - place + 1))
        place += width + 1
        if place > columns:
            break
    return line


def _fit(text: str, width: int) -> str:
    """Return the start of `text` that fits into `width` cells, without characters that control a terminal."""
    fitted, used = "", 0
    for character in unicodedata.normalize("NFC", " ".join(text.split())):
        if character.isprintable():  # drops control characters and marks of text direction
            used += _width(character)
            if used > width:
                break
            fitted += character
    return fitted


def _width(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _ago(milliseconds: float | None) -> str:
    if milliseconds is None:
        return "never"
    seconds = max(0.0, time.time() - milliseconds / 1000)
    for unit, length in (("y", 31_536_000), ("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= length:
            return f"{int(seconds / length)} {unit} ago"
    return f"{int(seconds)} s ago"
