from __future__ import annotations

import pytest

from clerk_convex.net.logs import OnceAMinute, describe


def test_each_kind_is_logged_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kind of message is logged the first time, then not for a minute, whatever else is logged."""
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    once_a_minute = OnceAMinute()
    assert [once_a_minute.should_log(kind) for kind in ("one", "one", "other")] == [True, False, True]
    now += 59.9
    assert not once_a_minute.should_log("one")
    now += 0.1
    assert [once_a_minute.should_log("one"), once_a_minute.should_log("one")] == [True, False]


def fail() -> None:
    raise ValueError("ada@example.com")


def test_error_is_described_without_its_text() -> None:
    """It has the type and the place, because the text may quote a user."""
    with pytest.raises(ValueError, match="ada") as caught:
        fail()
    told = describe(caught.value)
    assert told.startswith("ValueError in fail, test_logs.py:")
    assert "ada" not in told
