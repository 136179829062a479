from __future__ import annotations

from decimal import Decimal

import pytest

from clerk_convex.entities.times import http_date, milliseconds


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1_750_000_000_000, 1_750_000_000_000.0),
        (1_750_000_000, 1_750_000_000_000.0),
        (1_750_000_000.5, 1_750_000_000_500.0),
        (Decimal("1750000000000.00000000000000001"), 1_750_000_000_000.0),
        (99_999_999_999, 99_999_999_999_000.0),
        (100_000_000_000, 100_000_000_000.0),
        (0, 0.0),
        (-1_750_000_000, -1_750_000_000_000.0),
        (8.65e15, None),
        (None, None),
        (False, None),
        ("1750000000000", None),
    ],
)
def test_seconds_or_milliseconds(value: object, expected: float | None) -> None:
    """Values under 1e11 are seconds, else milliseconds."""
    assert milliseconds(value) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Wed, 25 Nov 2026 22:00:00 GMT", 1_795_644_000.0),
        ("Wed, 25 Nov 2026 22:00:00", 1_795_644_000.0),
        ("Wed, 25 Nov 2026 23:00:00 +0100", 1_795_644_000.0),
        ("Wed, 25 Nov 99999 22:00:00 GMT", None),
        ("now", None),
        ("", None),
        (None, None),
    ],
)
def test_http_dates(text: str | None, expected: float | None) -> None:
    """An HTTP date is Unix seconds, UTC where it names no zone; anything else is None."""
    assert http_date(text) == expected
