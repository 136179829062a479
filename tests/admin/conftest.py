from typing import Any

import pytest


@pytest.fixture(autouse=True)
def confirmed_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every caller count as confirmed by Clerk, but in test_caller.py: other tests break other calls."""

    async def confirm(*_: Any) -> None:
        return None

    monkeypatch.setattr("clerk_convex.admin.caller.Callers.refresh", confirm)
