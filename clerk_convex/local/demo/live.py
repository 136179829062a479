"""Change users all the time, and show the live users table that the official Convex client subscribes to."""

from __future__ import annotations

import asyncio
import random
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from convex import ConvexClient

from clerk_convex.errors import LocalError
from clerk_convex.local.demo.people import ordinary
from clerk_convex.local.demo.scenario import CHANGES, PAGE, Clerk, export_users, page_of
from clerk_convex.local.demo.table import AFTER, Table
from clerk_convex.local.stack import LocalStack

__all__ = ["run_live"]

PAUSE = 0.4  # seconds between two changes
SEEN = 20  # most changes happen to this many newest users: a browser's first screen shows them
TICK = 0.5  # seconds after which the table is drawn again without a change
FRAME = 0.1  # seconds between two drawings, so that many changes at once are drawn once


def run_live(stack: LocalStack, user_ids: Sequence[str], out: TextIO) -> None:
    """Change users all the time and show the users table live. Return when a part of the set has ended.

    `user_ids` are the users that may change, the newest last. The first line of the output is the dashboard's
    address. A terminal then shows the table; any other output gets a summary line whenever it changes.

    Raises LocalError if Convex refuses the subscription.
    """
    if stack.dashboard_url is not None:
        out.write(f"Open {stack.dashboard_url}\n")
        out.flush()
    try:
        with _traffic(stack.clerk, user_ids):
            asyncio.run(_watch(stack, out))
    finally:
        if out.isatty():
            # On Ctrl-C the terminal discards unwritten output, perhaps the sequence that restores its modes.
            with suppress(OSError):  # the terminal may be closed
                out.write(AFTER)
                out.flush()


@contextmanager
def _traffic(clerk: Clerk, user_ids: Sequence[str]) -> Iterator[None]:
    """Change a user every PAUSE seconds, in a thread, while the context is open."""
    stopped = threading.Event()

    def run() -> None:
        rng = random.Random()
        known = list(user_ids)
        number = len(known)
        most = number + PAGE  # stop sign-ups when one watched page is full of new users
        while not stopped.wait(PAUSE):
            number += 1
            # A browser or a script may change users at the same time, so a call can be refused.
            with suppress(LocalError):
                _change_someone(clerk, known, number, rng, most)

    thread = threading.Thread(target=run, name="local-traffic", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def _change_someone(clerk: Clerk, known: list[str], number: int, rng: random.Random, most: int) -> None:
    chance = rng.random()
    if not known or (chance < 0.15 and len(known) < most):
        now = int(time.time() * 1000)
        moments = dict.fromkeys(("created_at", "updated_at", "last_sign_in_at"), now)
        known.append(clerk.create_user(**ordinary(number) | moments)["id"])
        return
    newest = SEEN if chance < 0.75 else PAGE  # older users are not in the terminal's table
    place = rng.randrange(max(0, len(known) - newest), len(known))
    if chance < 0.2:
        clerk.delete_user(known.pop(place))
    else:
        rng.choice(list(CHANGES.values()))(clerk, known[place], number)


async def _watch(stack: LocalStack, out: TextIO) -> None:
    # A first subscription waits for Convex without a timeout and holds the GIL, so Ctrl-C could not end it.
    if stack.ended() is not None:
        return
    client = ConvexClient(stack.convex.url)
    client.set_admin_auth(stack.convex.deploy_key)
    subscription = client.subscribe(export_users(stack), page_of(None, "desc"))
    table = Table(lambda: (stack.clerk.count, stack.clerk.webhooks.stats), stack.dashboard_url or "")
    summary = ""
    update = asyncio.ensure_future(anext(subscription))
    while True:
        await asyncio.wait({update}, timeout=TICK)
        if update.done():
            page = _result(update)
            table.update(page["page"], whole=page["isDone"])
            update = asyncio.ensure_future(anext(subscription))
        elif stack.ended() is not None:
            return
        if out.isatty():
            size = shutil.get_terminal_size()
            out.write(table.screen(size.columns, size.lines))
        elif summary != (summary := table.summary()):
            out.write(f"{summary}\n")
        out.flush()
        await asyncio.sleep(FRAME)


def _result(update: asyncio.Future[Any]) -> Any:
    try:
        return update.result()
    except Exception as error:
        raise LocalError(
            f"Convex refused the subscription ({type(error).__name__}). Does convex/ have the functions of "
            "this package? CONVEX_USERS_MODULE names their module."
        ) from error
