"""The table live in the terminal, as the official client's subscription delivers it, while users change."""

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
from clerk_convex.local.people import ordinary
from clerk_convex.local.scenario import CHANGES, PAGE, Clerk, export_users, page_of
from clerk_convex.local.stack import LocalStack
from clerk_convex.local.table import AFTER, Table

__all__ = ["live"]

PAUSE = 0.4  # seconds between two changes
SEEN = 20  # the newest users, to whom most of it happens: they are on a browser's first screen
TICK = 0.5  # seconds after which the table is drawn again, changed or not
FRAME = 0.1  # seconds a table stays at least: many changes at once are drawn once


def live(stack: LocalStack, user_ids: Sequence[str], out: TextIO) -> None:
    """Changes users all the time and shows the table as Convex's subscription delivers it.

    `user_ids` are the users who may change, the newest last. It says where a browser sees them; then, on a
    terminal, it is a table, and elsewhere a line whenever a number in it changes. Returns when a part has
    ended.
    """
    if stack.dashboard_url is not None:
        out.write(f"Open {stack.dashboard_url}\n")
        out.flush()
    try:
        with _traffic(stack.clerk, user_ids):
            asyncio.run(_watch(stack, out))
    finally:
        if out.isatty():
            # With Ctrl-C the terminal throws away what it had not shown yet: the end of a screen, perhaps.
            with suppress(OSError):  # it may be gone itself
                out.write(AFTER)
                out.flush()


@contextmanager
def _traffic(clerk: Clerk, user_ids: Sequence[str]) -> Iterator[None]:
    stopped = threading.Event()

    def run() -> None:
        dice = random.Random()
        known = list(user_ids)
        number = len(known)
        most = number + PAGE  # the watched page grows with every user who signs up
        while not stopped.wait(PAUSE):
            number += 1
            # Others may create, change and delete users too, over HTTP.
            with suppress(LocalError):
                _change_someone(clerk, known, number, dice, most)

    thread = threading.Thread(target=run, name="local-traffic", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def _change_someone(clerk: Clerk, known: list[str], number: int, dice: random.Random, most: int) -> None:
    chance = dice.random()
    if not known or (chance < 0.15 and len(known) < most):
        now = int(time.time() * 1000)
        moments = dict.fromkeys(("created_at", "updated_at", "last_sign_in_at"), now)
        known.append(clerk.create_user(**ordinary(number) | moments)["id"])
        return
    newest = SEEN if chance < 0.75 else PAGE  # the others are not in the terminal's table
    place = dice.randrange(max(0, len(known) - newest), len(known))
    if chance < 0.2:
        clerk.delete_user(known.pop(place))
    else:
        dice.choice(list(CHANGES.values()))(clerk, known[place], number)


async def _watch(stack: LocalStack, out: TextIO) -> None:
    # A first subscription waits for Convex for ever, and holds the GIL: not even Ctrl-C would end it.
    if stack.ended() is not None:
        return
    client = ConvexClient(stack.convex.url)
    client.set_admin_auth(stack.convex.deploy_key)
    subscription = client.subscribe(export_users(stack), page_of(None, "desc"))
    table = Table(lambda: (stack.clerk.count, stack.clerk.webhooks.stats), stack.dashboard_url or "")
    said = ""
    news = asyncio.ensure_future(anext(subscription))
    while True:
        await asyncio.wait({news}, timeout=TICK)
        if news.done():
            page = _result(news)
            table.update(page["page"], whole=page["isDone"])
            news = asyncio.ensure_future(anext(subscription))
        elif stack.ended() is not None:
            return
        if out.isatty():
            size = shutil.get_terminal_size()
            out.write(table.screen(size.columns, size.lines))
        elif said != (said := table.summary()):
            out.write(f"{said}\n")
        out.flush()
        await asyncio.sleep(FRAME)


def _result(news: asyncio.Future[Any]) -> Any:
    try:
        return news.result()
    except Exception as error:
        raise LocalError(
            f"Convex refused the subscription ({type(error).__name__}). Does convex/ have the functions of "
            "this package? CONVEX_USERS_MODULE names their module."
        ) from error
