"""Alarms ring for what is still set, never late, and take one timer for many items."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from clerk_convex.net.alarms import Alarms
from tests.support import virtual_time


def test_what_is_still_set_rings_in_time() -> None:
    """An item rings after its seconds or a 32nd of them earlier, and once; one that was taken back never."""

    async def main() -> None:
        rung: list[tuple[str, float]] = []
        alarms = Alarms[str](10.0, lambda item: rung.append((item, virtual_time.now())))
        alarms.set("first")
        await asyncio.sleep(0.3)
        alarms.set("same moment")
        alarms.set("taken back").discard("taken back")
        await asyncio.sleep(5)
        alarms.set("later")
        await asyncio.sleep(30)
        assert {item for item, _ in rung[:2]} == {"first", "same moment"}
        assert [item for item, _ in rung[2:]] == ["later"]
        assert [time for _, time in rung] == pytest.approx([10.0, 10.0, 15.3])

    virtual_time.run(main())


def test_an_alarm_that_takes_another_one_back() -> None:
    """An item that is taken back while its moment rings may ring all the same, and nothing fails."""

    async def main() -> None:
        rung: list[str] = []

        def ring(item: str) -> None:
            rung.append(item)
            moment.clear()

        alarms = Alarms[str](1.0, ring)
        moment = alarms.set("one")
        alarms.set("two")
        await asyncio.sleep(2)
        assert sorted(rung) == ["one", "two"]

    virtual_time.run(main())


def test_one_timer_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand items of one moment take one timer of the loop."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        timers: list[float] = []

        def call_later(delay: float, *what: Any, later: Any = loop.call_later) -> asyncio.TimerHandle:
            timers.append(delay)
            timer: asyncio.TimerHandle = later(delay, *what)
            return timer

        monkeypatch.setattr(loop, "call_later", call_later)
        alarms = Alarms[int](10.0, lambda item: None)
        for number in range(1000):
            alarms.set(number)
        assert timers == [10.0]

    virtual_time.run(main())
