from __future__ import annotations

import random

import pytest

from clerk_convex.net.backoff import Backoff


def test_pauses_double_up_to_the_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "uniform", lambda low, high: high)
    backoff = Backoff(first=0.5, longest=10.0)
    assert [backoff.pause(failures) for failures in range(6)] == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0]
    assert backoff.pause(10**9) == 10.0


def test_pauses_differ_by_up_to_a_half() -> None:
    """Callers that failed together do not return together."""
    pauses = {Backoff(first=1.0, longest=10.0).pause(0) for _ in range(200)}
    assert len(pauses) > 100
    assert 0.5 <= min(pauses) < 0.6
    assert 0.9 < max(pauses) <= 1.0
