from __future__ import annotations

import pytest

from clerk_convex.net.logs import OnceAMinute, describe


def test_each_kind_is_said_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first time at once, then not for a minute, whatever else is said meanwhile."""
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    sayings = OnceAMinute()
    assert [sayings.is_due("one"), sayings.is_due("one"), sayings.is_due("other")] == [True, False, True]
    now += 59.9
    assert not sayings.is_due("one")
    now += 0.1
    assert [sayings.is_due("one"), sayings.is_due("one")] == [True, False]


def fail() -> None:
    raise ValueError("ada@example.com")


def test_error_is_told_without_its_text() -> None:
    """Its type and where it was raised: its text may quote a user."""
    with pytest.raises(ValueError, match="ada") as caught:
        fail()
    told = describe(caught.value)
    assert told.startswith("ValueError in fail, test_logs.py:")
    assert "ada" not in told
