"""Of an app whose webhooks are lost now and then, `follow` brings the rest."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from clerk_convex.backfill import verify
from clerk_convex.backfill.follow import Follower
from clerk_convex.backfill.report import OnProgress
from clerk_convex.backfill.session import Session
from clerk_convex.local.clerk.svix import Delivery
from clerk_convex.testing import LocalSet

CHANGES = 60


def test_half_of_the_webhooks_are_lost(clerk_convex: LocalSet) -> None:
    """The webhooks that arrive and the pass of a follower meet in the same rows, and end equal to Clerk."""
    clerk, settings = clerk_convex.clerk, clerk_convex.settings
    dice = random.Random(20)
    ids = [user["id"] for user in clerk.create_users([{"username": f"user{number}"} for number in range(20)])]
    changes: tuple[Callable[[str], object], ...] = (
        lambda user: clerk.update_user(user, first_name=f"Ada {dice.random()}"),
        lambda user: clerk.update_metadata(user, public_metadata={"role": dice.choice(["admin", "editor"])}),
        lambda user: (clerk.ban if dice.random() < 0.5 else clerk.unban)(user),
        lambda user: ids.append(clerk.create_user()["id"]),
    )

    async def passes() -> None:
        opened = Session.open(settings, concurrency=2, dry_run=False, patience=2.0, on_progress=OnProgress())
        async with opened as session:
            follower = Follower(session, every=60.0, on_progress=OnProgress())
            await follower.turn()
            clerk.webhooks.delivery = Delivery(lost=0.5)
            for number in range(CHANGES):
                dice.choice(changes)(dice.choice(ids))
                if number == CHANGES // 2:
                    await follower.turn()
            clerk_convex.settle()
            assert CHANGES / 10 < clerk.webhooks.stats.lost < CHANGES * 9 / 10  # by lot
            assert not (await verify(settings)).equal
            await follower.turn()
            await follower.release()

    clerk_convex.settle()
    asyncio.run(passes())
    assert asyncio.run(verify(settings)).equal
