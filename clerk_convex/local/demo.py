"""What the local set is shown and checked with: users who change, the table live, and one fixed scenario."""

from __future__ import annotations

import asyncio
import random
import shutil
import threading
import time
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

from convex import ConvexClient

from clerk_convex.deployment import Deployment
from clerk_convex.local.clerk import LocalClerk
from clerk_convex.local.people import ordinary, people
from clerk_convex.local.stack import LocalStack
from clerk_convex.local.svix import Delivery
from clerk_convex.users import read_user

__all__ = ["compare", "live", "once", "sign_up"]

Row = Mapping[str, Any]

PAUSE = 0.25  # seconds between two changes
NEWEST = 500  # rows that the table watches
FLASH = 2.0  # seconds a changed row stands out

CLEAR, BOLD, DIM, PLAIN = "\x1b[H\x1b[2J", "\x1b[1m", "\x1b[2m", "\x1b[0m"
HEADINGS = {"Name": 28, "Email": 34, "Status": 8, "Role": 10, "Joined": 12, "Last sign-in": 14}


def sign_up(clerk: LocalClerk, count: int) -> None:
    """Creates `count` users of all kinds at the local Clerk."""
    for person in people(count):
        clerk.create_user(**person)


def once(stack: LocalStack, count: int, out: TextIO) -> int:
    """Users are created, edited, banned, signed in, deleted, and their webhooks come doubled, late and shuffled.

    Returns 0 if afterwards each of Clerk's users is in Convex as Clerk has it, and nobody else is; else 1.
    """
    clerk = stack.clerk
    clerk.webhooks.delivery = Delivery(late=0.2, doubled=0.3, shuffled=0.5)
    dice = random.Random(0)
    sign_up(clerk, count)
    for _ in range(2 * count):
        if clerk.count:
            _change_someone(clerk, dice)
    for user in dice.sample(clerk.users(), clerk.count // 10):
        clerk.delete_user(user["id"])
    clerk.webhooks.drain(60)

    stats = clerk.webhooks.stats
    rows = asyncio.run(_rows(stack))
    problems = compare(clerk.users(), rows)
    out.write(
        f"Clerk    {clerk.count} users, after {count} sign-ups, {2 * count} changes and {count - clerk.count} deletions\n"
        f"Webhooks {stats.sent} messages in {stats.attempts} attempts, {stats.failed + stats.pending} undelivered\n"
        f"Convex   {len(rows)} rows, {len(rows) - len(problems['extra']) - len(problems['differing'])} equal, "
        + ", ".join(f"{len(ids)} {name}" for name, ids in problems.items())
        + "\n"
    )
    return 1 if any(problems.values()) else 0


def compare(users: list[dict[str, Any]], rows: list[Row]) -> dict[str, list[str]]:
    """The Clerk ids of users who are missing in Convex, who differ there, and who should not be there."""
    wanted = {user["id"]: read_user(user).columns for user in users}
    found = {row["clerkId"]: row for row in rows}
    return {
        "missing": sorted(wanted.keys() - found.keys()),
        "differing": sorted(
            clerk_id
            for clerk_id in wanted.keys() & found.keys()
            if any(found[clerk_id].get(name) != value for name, value in wanted[clerk_id].items())
        ),
        "extra": sorted(found.keys() - wanted.keys()),
    }


def live(stack: LocalStack, out: TextIO) -> None:
    """Changes a user four times a second and shows the table as Convex's subscription delivers it."""
    with _traffic(stack.clerk):
        asyncio.run(_watch(stack, out))


async def _rows(stack: LocalStack) -> list[Row]:
    deployment = Deployment(stack.convex.url, stack.convex.deploy_key)
    rows: list[Row] = []
    cursor: str | None = None
    while True:
        options = {"paginationOpts": {"numItems": NEWEST, "cursor": cursor}}
        page = await deployment.query("users:exportUsers", options)
        rows += page["page"]
        cursor = page["continueCursor"]
        if page["isDone"]:
            return rows


def _change_someone(clerk: LocalClerk, dice: random.Random) -> None:
    user = dice.choice(clerk.users())
    person = ordinary(dice.randrange(1_000_000))
    match dice.randrange(6):
        case 0:
            clerk.update_user(user["id"], first_name=person["first_name"], last_name=person["last_name"])
        case 1:
            clerk.update_metadata(user["id"], public_metadata=person["public_metadata"])
        case 2:
            (clerk.unban if user["banned"] else clerk.ban)(user["id"])
        case 3:
            (clerk.unlock if user["locked"] else clerk.lock)(user["id"])
        case _:
            clerk.sign_in(user["id"])


@contextmanager
def _traffic(clerk: LocalClerk) -> Iterator[None]:
    stopped = threading.Event()

    def run() -> None:
        dice = random.Random()
        number = clerk.count
        while not stopped.wait(PAUSE):
            if clerk.count == 0 or dice.random() < 0.3:
                now = int(time.time() * 1000)
                moments = dict.fromkeys(("created_at", "updated_at", "last_sign_in_at"), now)
                clerk.create_user(**ordinary(number) | moments)
                number += 1
            elif dice.random() < 0.1:
                clerk.delete_user(dice.choice(clerk.users())["id"])
            else:
                _change_someone(clerk, dice)

    thread = threading.Thread(target=run, name="local-traffic", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


async def _watch(stack: LocalStack, out: TextIO) -> None:
    client = ConvexClient(stack.convex.url)
    client.set_admin_auth(stack.convex.deploy_key)
    arguments = {"paginationOpts": {"numItems": NEWEST, "cursor": None}, "order": "desc"}
    before: dict[str, Row] = {}
    changed: dict[str, float] = {}
    async for answer in client.subscribe("users:exportUsers", arguments):
        rows = {row["clerkId"]: row for row in answer["page"]}
        now = time.monotonic()
        if before:
            changed |= {clerk_id: now for clerk_id, row in rows.items() if before.get(clerk_id) != row}
        before = rows
        if out.isatty():
            out.write(CLEAR + _screen(stack, rows, changed, shutil.get_terminal_size().lines))
        else:
            out.write(_summary(stack, rows) + "\n")
        out.flush()


def _screen(stack: LocalStack, rows: Mapping[str, Row], changed: Mapping[str, float], height: int) -> str:
    """The summary and as many rows as fit, those that changed last on top."""
    now = time.monotonic()
    latest = sorted(rows, key=lambda clerk_id: changed.get(clerk_id, 0.0), reverse=True)
    lines = [_summary(stack, rows), "", BOLD + _line(*HEADINGS) + PLAIN]
    for clerk_id in latest[: max(0, height - len(lines) - 2)]:
        style = BOLD if now - changed.get(clerk_id, 0.0) < FLASH else DIM
        lines.append(style + _cells(rows[clerk_id]) + PLAIN)
    return "\n".join([*lines, "Ctrl-C to stop", ""])


def _summary(stack: LocalStack, rows: Mapping[str, Row]) -> str:
    stats = stack.clerk.webhooks.stats
    shown = f"the newest {NEWEST}" if len(rows) == NEWEST else f"{len(rows)}"
    return (
        f"Clerk {stack.clerk.count} users · Convex {shown} rows · "
        f"webhooks {stats.delivered} delivered, {stats.pending} on their way · {stack.convex.url}"
    )


def _cells(row: Row) -> str:
    name = " ".join(filter(None, (row.get("firstName"), row.get("lastName")))) or row["sortName"]
    email, status, role = row.get("email", "–"), row["status"], row.get("role", "–")
    return _line(name, email, status, role, _ago(row["createdAt"]), _ago(row.get("lastSignInAt")))


def _line(*cells: str) -> str:
    return " ".join(_fit(cell, width) for cell, width in zip(cells, HEADINGS.values(), strict=True))


def _fit(text: str, width: int) -> str:
    """`text` in exactly `width` places of a terminal, with nothing in it that would steer the terminal."""
    fitted, used = "", 0
    for character in text:
        if not character.isprintable():
            continue
        wide = unicodedata.east_asian_width(character) in "WF"
        places = 0 if unicodedata.combining(character) else 2 if wide else 1
        if used + places > width:
            break
        fitted, used = fitted + character, used + places
    return fitted + " " * (width - used)


def _ago(milliseconds: float | None) -> str:
    if milliseconds is None:
        return "never"
    seconds = max(0.0, time.time() - milliseconds / 1000)
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds / length)} {unit} ago"
    return f"{int(seconds)} s ago"
