"""Pure: times as Clerk writes them, in JSON and in HTTP headers."""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime

from clerk_convex.entities.json import number

__all__ = ["LAST_MILLISECOND", "http_date", "milliseconds"]

LAST_MILLISECOND = 8.64e15
"""The end of JavaScript's Date, in Unix milliseconds."""

_FIRST_MILLISECOND = 1e11  # 1973-03-03; the same number of seconds is the year 5138


def milliseconds(value: object) -> float | None:
    """Return a time of Clerk's JSON in Unix milliseconds, or None if the value is not a time.

    Clerk documents milliseconds, but some of its own examples and fixtures have seconds. A number too small
    for milliseconds since 1973 is taken as seconds.
    """
    if type(value) is int and _FIRST_MILLISECOND <= value <= LAST_MILLISECOND:  # as nearly all are
        return float(value)
    time = number(value)
    if time is None or abs(time) > LAST_MILLISECOND:
        return None
    return time * 1000 if abs(time) < _FIRST_MILLISECOND else time


def http_date(text: str | None) -> float | None:
    """Return an HTTP date (RFC 9110, 5.6.7) in Unix seconds, or None if the text is not one."""
    try:
        moment = parsedate_to_datetime(text or "")
    except (ValueError, OverflowError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
