from __future__ import annotations

import asyncio

import pytest

from clerk_convex.net.rate import Rate
from tests.support.virtual_time import block, now, run

LIMIT, WINDOW = 100, 10.0
AT_ONCE = 25
INTERVAL = WINDOW / 70


async def let_through(rate: Rate, count: int, *, within: float = 1000.0) -> list[float]:
    """Return the times at which `count` concurrent callers get their turns."""

    async def caller() -> float:
        assert await rate.turn(within)
        return now()

    return await asyncio.gather(*(caller() for _ in range(count)))


def test_the_limit_is_never_reached() -> None:
    """No window has more than 95 % of the limit. The first caller does not wait."""

    async def main() -> list[float]:
        rate = Rate(LIMIT, WINDOW)
        times = await let_through(rate, 300)
        await asyncio.sleep(2.5)
        times += await let_through(rate, 100)
        await asyncio.sleep(100)
        return times + await let_through(rate, 100)

    times = run(main())
    assert len(times) == 500
    for first in times:
        assert sum(first <= time < first + WINDOW for time in times) <= 95
    assert times[AT_ONCE - 1] == pytest.approx(0, abs=1e-3)
    assert times[299] == pytest.approx((300 - AT_ONCE) * INTERVAL)


def test_turns_are_fair() -> None:
    """Callers get their turns in the order of arrival, a new caller after all who wait."""

    async def main() -> list[int]:
        rate = Rate(LIMIT, WINDOW)
        order: list[int] = []

        async def caller(number: int) -> None:
            await asyncio.sleep(number * 0.01)
            assert await rate.turn(1000)
            order.append(number)

        await asyncio.gather(*map(caller, range(100)))
        return order

    assert run(main()) == list(range(100))


def test_a_new_caller_does_not_overtake_waiting_ones() -> None:
    """Not even at the moment when a turn is free and not yet taken."""

    async def main() -> list[str]:
        rate = Rate(LIMIT, WINDOW)
        await let_through(rate, AT_ONCE)
        order: list[str] = []

        async def caller(name: str) -> None:
            assert await rate.turn(1000)
            order.append(name)

        waiting = asyncio.create_task(caller("first"))
        await asyncio.sleep(INTERVAL / 2)
        block(INTERVAL)
        await caller("second")
        await waiting
        return order

    assert run(main()) == ["first", "second"]


def test_a_pause_holds_all_callers() -> None:
    """Waiting and new ones, and there is no burst after it."""

    async def main() -> None:
        rate = Rate(LIMIT, WINDOW)
        waiting = asyncio.create_task(let_through(rate, AT_ONCE + 2))
        await asyncio.sleep(INTERVAL / 2)
        rate.pause(20)
        rate.pause(5)  # the longest counts
        over = now() + 20
        coming = asyncio.create_task(let_through(rate, 2))
        times = (await waiting)[AT_ONCE:] + await coming
        assert times == pytest.approx([over + number * INTERVAL for number in range(4)])

    run(main())


def test_a_turn_that_would_be_too_late_is_refused_immediately() -> None:
    """A caller that is refused takes no turn."""

    async def main() -> None:
        rate = Rate(LIMIT, WINDOW)
        assert rate.wait() == 0
        crowd = asyncio.create_task(let_through(rate, AT_ONCE + 70))
        await asyncio.sleep(0.001)
        assert rate.wait() == pytest.approx(WINDOW + INTERVAL, abs=0.01)
        assert not await rate.turn(within=WINDOW)
        assert now() < 0.01
        assert await rate.turn(within=WINDOW + 2 * INTERVAL)
        assert now() == pytest.approx(WINDOW + INTERVAL)
        await crowd

    run(main())


def test_a_turn_that_a_pause_delays_too_far_is_refused() -> None:
    """The time to wait is a total, whatever happens meanwhile."""

    async def main() -> None:
        rate = Rate(LIMIT, WINDOW)
        await let_through(rate, AT_ONCE)
        late = asyncio.create_task(rate.turn(within=3))
        await asyncio.sleep(0)
        rate.pause(20)
        assert not await late
        assert now() == pytest.approx(3)

    run(main())


def test_a_cancelled_caller_gives_its_turn_to_the_next() -> None:
    async def main() -> None:
        rate = Rate(LIMIT, WINDOW)
        await let_through(rate, AT_ONCE)
        first, second = (asyncio.create_task(let_through(rate, 1)) for _ in range(2))
        await asyncio.sleep(0.01)
        first.cancel()
        assert await second == pytest.approx([INTERVAL])
        assert rate.wait() == pytest.approx(INTERVAL)

    run(main())


def test_a_rate_can_be_used_on_another_loop() -> None:
    """Many waiters on one event loop leave no state that breaks the next one."""
    rate = Rate(LIMIT, WINDOW)
    for _ in range(2):
        assert len(run(let_through(rate, AT_ONCE + 5))) == AT_ONCE + 5
