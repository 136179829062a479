from __future__ import annotations

import re
import time
import unicodedata
from typing import Any

import pytest

from clerk_convex.local.clerk.svix import Stats
from clerk_convex.local.demo import table as table_module
from clerk_convex.local.demo.table import Table


def row(clerk_id: str, **columns: Any) -> dict[str, Any]:
    return {"clerkId": clerk_id, "status": "active", "createdAt": 0, "sortName": clerk_id, **columns}


def table(*rows: dict[str, Any], whole: bool = True, failed: int = 0) -> Table:
    table = Table(lambda: (3, Stats(failed=failed)), "http://127.0.0.1:1")
    table.update(rows, whole=whole)
    return table


SEQUENCES = re.compile(r"\x1b\[(?:H|J|2K|\?7[hl]|[01]m|(\d+)G)")


def places(text: str) -> int:
    """Return the greatest number of terminal cells that a text takes, without combining characters."""
    return sum(
        2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
        if not unicodedata.category(character).startswith("M")
    )


def cells(line: str) -> list[tuple[int, str]]:
    """Return the column at which each piece of a line starts, and the piece."""
    parts = re.split(r"\x1b\[(\d+)G", line)
    starts = [1, *map(int, parts[1::2])]
    return [(start, SEQUENCES.sub("", text)) for start, text in zip(starts, parts[::2], strict=True)]


NASTY = [
    "\x1b[2J\x1b]0;owned\x07\rAda",
    "a\nb\tc\x00\x7f\x9b31m",
    "\u202egnirts\u202c\u200f\u2066x",
    "山田太郎" * 20,
    "👩‍👩‍👧 ❤️ 🇩🇪" * 9,
    "e\u0301\u0302\u0303" * 30,
    "प्रिया",
    "x" * 500,
    "\ud83d",
    "",
]


@pytest.mark.parametrize("columns", [1, 7, 20, 79, 80, 200])
def test_names_cannot_steer_or_misalign_the_terminal(columns: int) -> None:
    """Whatever a row contains, no control character is written, and each cell stays in its place."""
    rows = [row(f"u{n}", firstName=name, email=name, role=name, sortName="?") for n, name in enumerate(NASTY)]
    screen = table(*rows).screen(columns, 40)
    lines = screen.split("\n")
    assert len(lines) == 5 + len(NASTY) + 1
    assert all(character.isprintable() for line in lines for character in SEQUENCES.sub("", line))
    for line in lines:
        pieces = cells(line)
        for (start, text), following in zip(pieces, [*pieces[1:], (columns + 2, "")], strict=True):
            assert start == 1 or places(text) < following[0] - start
            assert places(text) <= columns
    if columns >= 80:
        heads = [start for start, _ in cells(lines[3])]
        assert heads == [1, 1, 22, 48, 55, 62, 72]
        assert all([start for start, _ in cells(line)] == heads for line in lines[4:-2])


@pytest.mark.parametrize("lines", [1, 2, 3, 4, 5, 24])
def test_the_table_is_no_higher_than_the_terminal(lines: int) -> None:
    """With 10,000 rows, and in a terminal of few lines, it never scrolls."""
    screen = table(*(row(f"u{n}") for n in range(10_000)), whole=False).screen(80, lines)
    assert screen.count("\n") == max(1, lines - 1)
    assert "Open http://127.0.0.1:1" in screen
    assert lines < 3 or "Convex the newest 10000 rows" in screen


def test_the_empty_table_has_its_headings() -> None:
    """The table says whether there is no answer yet, or no row."""
    screen = Table(lambda: (0, Stats()), "").screen(80, 24)
    assert "Convex has not answered yet" in screen
    assert "Open" not in screen, "where there is no page to open"
    screen = table().screen(80, 24)
    assert "Convex 0 rows" in screen
    assert "Name" in screen
    assert "Ctrl-C to stop" in screen


def test_rows_that_changed_stand_out_on_top(monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed or new row is bold and on top for a moment. A row that was there from the start is not."""
    shown = table(row("one"), row("two"), row("three"))

    def bold() -> list[str]:
        return re.findall(r"\x1b\[1m\x1b\[1G(\w+)", shown.screen(80, 24))

    assert bold() == ["Name"]
    unlinked = {"name": "Bob"}  # in a loose table
    shown.update([row("new"), unlinked, row("one"), row("two", role="admin")], whole=True)
    assert bold() == ["Name", "new", "two"]
    assert "three" not in shown.screen(80, 24)
    shown.update([row("new"), row("one", role="editor"), row("two", role="admin")], whole=True)
    assert bold() == ["Name", "one", "new", "two"]
    monkeypatch.setattr(table_module, "FLASH", 0.0)
    assert bold() == ["Name"]


def test_failed_webhooks_are_counted() -> None:
    """Messages that were given up are in the summary."""
    assert "failed" not in table().summary()
    assert ", 3 failed" in table(failed=3).summary()


def test_times_are_relative() -> None:
    """Times have the greatest unit that fits. A clock that is ahead makes none negative."""
    now = time.time() * 1000
    hour = 3_600_000
    for milliseconds, text in {
        None: "never",
        now + hour: "0 s ago",
        now - 2_500: "2 s ago",
        now - 61_000: "1 m ago",
        now - 23.5 * hour: "23 h ago",
        now - 24 * 364.5 * hour: "364 d ago",
        now - 24 * 800 * hour: "2 y ago",
    }.items():
        assert table_module._ago(milliseconds) == text
