"""Follows Clerk inside the service, as CLERK_CONVEX_FOLLOW says."""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial

from clerk_convex.errors import ClerkConvexError
from clerk_convex.net.logs import OnceAMinute, describe
from clerk_convex.service import Service

__all__ = ["follow_in_background"]

logger = logging.getLogger("clerk_convex")


def follow_in_background(service: Service) -> None:
    """Follow until the running event loop ends, if CLERK_CONVEX_FOLLOW is set. A second call does nothing.

    The routes call it with each request of a verified sender, whatever the answer, and with each probe of
    `/readyz`. So it needs no lifespan, which many frameworks do not run for an app that is mounted into
    another one.
    """
    every = service.settings.clerk_convex_follow
    if every is not None:
        service.run_in_background("follow", partial(_follow, service, every))


async def _follow(service: Service, every: float) -> None:
    # Here because a service that does not follow should not load the backfill.
    from clerk_convex.backfill.follow import CONCURRENCY, PATIENCE, SHARE, Follower, Pass
    from clerk_convex.backfill.report import OnProgress
    from clerk_convex.backfill.session import Session

    once_a_minute = OnceAMinute()

    class Notes(OnProgress):
        def note(self, text: str) -> None:
            if once_a_minute.should_log(text):
                logger.info("Following Clerk: %s", text)

    def passed(done: Pass) -> None:
        service.observer.followed(done.counts)
        if done.pruning is not None and done.pruning.refused:
            logger.warning("Following Clerk: %s", done)

    def aged(seconds: float) -> None:
        service.last_follow_at = time.time() - seconds

    settings = service.settings.model_copy(update={"clerk_convex_fields": service.fields})
    while True:
        try:
            opened = Session.open(
                settings,
                concurrency=CONCURRENCY,
                dry_run=False,
                patience=PATIENCE,
                share=SHARE,
                on_progress=Notes(),
            )
            async with opened as session:
                await Follower(session, every=every, on_pass=passed, on_progress=Notes(), on_age=aged).run()
        except ClerkConvexError as error:
            text = str(error)
        except Exception as error:  # noqa: BLE001 - the next attempt may succeed
            text = f"unexpected {describe(error)}"
        if once_a_minute.should_log():
            logger.warning("Following Clerk does not work, and is tried again in %g s: %s", every, text)
        await asyncio.sleep(every)
