"""What the local set is shown and checked with: users who change, the table live, and one fixed scenario."""

from __future__ import annotations

import asyncio
import random
import shutil
import threading
import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, TextIO, TypeVar

from convex import ConvexClient
from convex.values import CoercibleToConvexValue

from clerk_convex.deployment import Deployment
from clerk_convex.errors import LocalError
from clerk_convex.local.clerk import LocalClerk
from clerk_convex.local.clerk_objects import ClerkRefusal
from clerk_convex.local.people import ordinary, people
from clerk_convex.local.stack import LocalStack
from clerk_convex.users import Fields, read_user

__all__ = ["Comparison", "compare", "live", "once", "sign_up"]

Row = Mapping[str, Any]
Result = TypeVar("Result")

SEED = 0
PAGE = 500  # rows that are read at once, and that the table watches
PAUSE = 0.25  # seconds between two changes
TICK = 0.5  # seconds after which the table is drawn again, changed or not
FRAME = 0.1  # seconds a table stays at least: many changes at once are drawn once
FLASH = 2.0  # seconds a changed row stands out
PATIENCE = 15.0  # seconds without any delivery until the scenario gives the rest up
SHOWN = 10  # wrong rows that are named

# No screen of its own and no hidden cursor: hardly anything has to be undone, however this ends. Only lines
# that are too long must not wrap while a screen is written.
HOME, UNTIL_END, WRAP, NO_WRAP = "\x1b[H", "\x1b[J", "\x1b[?7h", "\x1b[?7l"
EMPTY_LINE, BOLD, PLAIN = "\x1b[2K", "\x1b[1m", "\x1b[0m"
# With their widths: 80 places in all.
HEADINGS = {"Name": 20, "Email": 25, "Status": 6, "Role": 6, "Joined": 9, "Signed in": 9}


def sign_up(clerk: LocalClerk, count: int) -> list[str]:
    """Creates `count` users of all kinds at the local Clerk, and returns their ids."""
    return _aside(lambda: [clerk.create_user(**person)["id"] for person in people(count)])


def _aside(work: Callable[[], Result]) -> Result:
    """Does it in a thread. Ctrl-C interrupts the wait for it, and leaves no lock taken that others need."""
    done: Future[Result] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            done.set_exception(error)

    threading.Thread(target=run, name="local-demo", daemon=True).start()
    return done.result()


def _rename(clerk: LocalClerk, user_id: str, number: int) -> None:
    person = ordinary(number)
    clerk.update_user(user_id, first_name=person["first_name"], last_name=person["last_name"])


def _move(clerk: LocalClerk, user_id: str, number: int) -> None:
    # No user who signed up has a number as high as this.
    clerk.update_user(user_id, email_address=ordinary(1_000_000 + number)["email_address"])


def _promote(clerk: LocalClerk, user_id: str, number: int) -> None:
    clerk.update_metadata(user_id, public_metadata=ordinary(number)["public_metadata"])


def _ban(clerk: LocalClerk, user_id: str, number: int) -> None:
    (clerk.unban if clerk.get_user(user_id)["banned"] else clerk.ban)(user_id)


def _lock(clerk: LocalClerk, user_id: str, number: int) -> None:
    (clerk.unlock if clerk.get_user(user_id)["locked"] else clerk.lock)(user_id)


def _sign_in(clerk: LocalClerk, user_id: str, number: int) -> None:
    clerk.sign_in(user_id)


CHANGES: Mapping[str, Callable[[LocalClerk, str, int], None]] = {
    "new names": _rename,
    "new addresses": _move,
    "new roles": _promote,
    "bans": _ban,
    "locks": _lock,
    "sign-ins": _sign_in,
}


def once(stack: LocalStack, count: int, out: TextIO) -> int:
    """Users are created, edited, banned, signed in and deleted; their webhooks come doubled, late, shuffled.

    The same users change in the same way each time. Returns 0 if afterwards every row in Convex equals the
    user Clerk has, and nobody is missing or too many; else 1. What is wrong is written to `out`.
    """
    webhooks = stack.clerk.webhooks
    webhooks.delivery = replace(webhooks.delivery, late=0.2, doubled=0.3, shuffled=0.5)
    events = _aside(lambda: _play(stack.clerk, count))
    _aside(lambda: _wait_for_deliveries(stack))

    stats = webhooks.stats
    users = stack.clerk.users()
    rows = _aside(lambda: asyncio.run(_rows(stack)))
    compared = compare(users, rows, stack.settings.clerk_convex_fields)
    told = ", ".join(f"{number} {name}" for name, number in events.items())
    lost = stats.lost + stats.dropped
    doubled = stats.sent + lost - events.total()
    undelivered = stats.pending + stats.failed + lost
    problems = compared.problems()
    more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
    out.write(
        f"Clerk     {len(users)} users: {told}\n"
        f"Webhooks  {stats.sent} messages, {doubled} of them doubled, in {stats.attempts} attempts; "
        f"{undelivered} undelivered\n"
        f"Convex    {len(rows)} rows: {compared.equal} equal, {len(compared.differing)} differing, "
        f"{len(compared.missing)} missing, {len(compared.extra)} too many\n"
    )
    out.write("".join(f"{line}\n" for line in [*problems[:SHOWN], *more]))
    out.flush()
    return 1 if problems else 0


def _play(clerk: LocalClerk, count: int) -> Counter[str]:
    """`count` users sign up, then each change happens to about 40 % of them, and every tenth is deleted."""
    dice = random.Random(SEED)
    user_ids = sign_up(clerk, count)
    played = Counter(dict.fromkeys(CHANGES, count * 2 // 5) | {"deletions": count // 10})
    scenes = list(played.elements())
    dice.shuffle(scenes)
    for number, scene in enumerate(scenes):
        place = dice.randrange(len(user_ids))
        if scene == "deletions":
            clerk.delete_user(user_ids.pop(place))
        else:
            CHANGES[scene](clerk, user_ids[place], number)
    return Counter({"sign-ups": count, **played})


def _wait_for_deliveries(stack: LocalStack) -> None:
    """Until every message has arrived, for as long as any does."""
    webhooks = stack.clerk.webhooks
    delivered = -1
    while not webhooks.drain(PATIENCE) and webhooks.stats.delivered > delivered:
        delivered = webhooks.stats.delivered


@dataclass(frozen=True, slots=True)
class Comparison:
    """Convex beside Clerk, by Clerk ids: who is missing, whose columns differ, which rows are too many."""

    equal: int
    missing: Sequence[str]
    differing: Mapping[str, Sequence[str]]
    extra: Sequence[str]

    def problems(self) -> list[str]:
        """A line for each row that is wrong."""
        return [
            *(f"missing: {clerk_id}" for clerk_id in self.missing),
            *(f"differing: {clerk_id} in {', '.join(names)}" for clerk_id, names in self.differing.items()),
            *(f"too many: {clerk_id}" for clerk_id in self.extra),
        ]


def compare(
    users: Sequence[Mapping[str, Any]], rows: Sequence[Row], fields: Fields | None = None
) -> Comparison:
    """Compares Clerk's users with the rows of Convex's table; `fields` is a team's CLERK_CONVEX_FIELDS."""
    wanted = {user["id"]: read_user(user, fields).columns for user in users}
    found = {row["clerkId"]: row for row in rows}
    both = sorted(wanted.keys() & found.keys())
    names = {
        clerk_id: [name for name, value in wanted[clerk_id].items() if found[clerk_id].get(name) != value]
        for clerk_id in both
    }
    differing = {clerk_id: columns for clerk_id, columns in names.items() if columns}
    return Comparison(
        equal=len(both) - len(differing),
        missing=sorted(wanted.keys() - found.keys()),
        differing=differing,
        # A second row of the same user too.
        extra=sorted((Counter(row["clerkId"] for row in rows) - Counter(wanted.keys())).elements()),
    )


async def _rows(stack: LocalStack) -> list[Row]:
    deployment = Deployment(stack.convex.url, stack.convex.deploy_key)
    rows: list[Row] = []
    cursor: str | None = None
    while True:
        page = await deployment.query(_export(stack), _page(cursor, "asc"))
        rows += page["page"]
        cursor = page["continueCursor"]
        if page["isDone"]:
            return rows


def _export(stack: LocalStack) -> str:
    return f"{stack.settings.convex_users_module}:exportUsers"


def _page(cursor: str | None, order: str) -> dict[str, CoercibleToConvexValue]:
    options: dict[str, CoercibleToConvexValue] = {"numItems": PAGE, "cursor": cursor}
    return {"paginationOpts": options, "order": order}


def live(stack: LocalStack, user_ids: Sequence[str], out: TextIO) -> None:
    """Changes a user four times a second and shows the table as Convex's subscription delivers it.

    `user_ids` are the users who may change, the newest last. On a terminal it is a table; elsewhere a line
    whenever a number in it changes. Returns when the local Convex has ended.
    """
    try:
        with _traffic(stack.clerk, user_ids):
            asyncio.run(_watch(stack, out))
    finally:
        if out.isatty():
            # With Ctrl-C the terminal throws away what it had not shown yet: the end of a screen, perhaps.
            with suppress(OSError):  # it may be gone itself
                out.write(f"{PLAIN}{WRAP}\n")
                out.flush()


@contextmanager
def _traffic(clerk: LocalClerk, user_ids: Sequence[str]) -> Iterator[None]:
    stopped = threading.Event()

    def run() -> None:
        dice = random.Random()
        known = list(user_ids)
        number = len(known)
        while not stopped.wait(PAUSE):
            number += 1
            # Others may create, change and delete users too, over HTTP.
            with suppress(ClerkRefusal):
                _change_someone(clerk, known, number, dice)

    thread = threading.Thread(target=run, name="local-traffic", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def _change_someone(clerk: LocalClerk, known: list[str], number: int, dice: random.Random) -> None:
    chance = dice.random()
    if chance < 0.3 or not known:
        now = int(time.time() * 1000)
        moments = dict.fromkeys(("created_at", "updated_at", "last_sign_in_at"), now)
        known.append(clerk.create_user(**ordinary(number) | moments)["id"])
        return
    place = dice.randrange(max(0, len(known) - PAGE), len(known))  # the others are not in the table
    if chance < 0.35:
        clerk.delete_user(known.pop(place))
    else:
        dice.choice(list(CHANGES.values()))(clerk, known[place], number)


async def _watch(stack: LocalStack, out: TextIO) -> None:
    # A first subscription waits for Convex for ever, and holds the GIL: not even Ctrl-C would end it.
    if stack.convex.process.poll() is not None:
        return
    client = ConvexClient(stack.convex.url)
    client.set_admin_auth(stack.convex.deploy_key)
    subscription = client.subscribe(_export(stack), _page(None, "desc"))
    table = Table(stack.clerk, stack.convex.url)
    said = ""
    news = asyncio.ensure_future(anext(subscription))
    while True:
        await asyncio.wait({news}, timeout=TICK)
        if news.done():
            page = _result(news)
            table.update(page["page"], whole=page["isDone"])
            if len(page["page"]) > 2 * PAGE:  # what is inserted into a reactive page makes it grow
                subscription.unsubscribe()
                subscription = client.subscribe(_export(stack), _page(None, "desc"))
            news = asyncio.ensure_future(anext(subscription))
        elif stack.convex.process.poll() is not None:
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


class Table:
    """The newest rows of Convex's table, for a terminal; those that changed last are on top."""

    def __init__(self, clerk: LocalClerk, convex_url: str) -> None:
        self._clerk = clerk
        self._convex_url = convex_url
        self._rows: dict[str, Row] | None = None
        self._whole = False
        self._changed: dict[str, float] = {}

    def update(self, page: Sequence[Row], *, whole: bool) -> None:
        """Takes the newest rows, the newest first; `whole`: there are no others."""
        now = time.monotonic()
        before, rows = self._rows, {row["clerkId"]: row for row in page}
        self._rows, self._whole = rows, whole
        # Who is there from the start has not changed, as far as anybody has seen.
        self._changed = {
            clerk_id: self._changed.get(clerk_id, 0.0)
            if before is None or before.get(clerk_id) == row
            else now
            for clerk_id, row in rows.items()
        }

    def summary(self) -> str:
        stats = self._clerk.webhooks.stats
        if self._rows is None:
            shown = "has not answered yet"
        else:
            shown = f"{len(self._rows)} rows" if self._whole else f"the newest {len(self._rows)} rows"
        failed = f", {stats.failed} failed" if stats.failed else ""
        return (
            f"Clerk {self._clerk.count} users · Convex {shown} · "
            f"webhooks {stats.delivered} delivered, {stats.pending} on their way{failed} · {self._convex_url}"
        )

    def screen(self, columns: int, lines: int) -> str:
        """What draws the table over whatever the terminal shows, in no more than its size."""
        now = time.monotonic()
        written = [_fit(self.summary(), columns), "", BOLD + _cells(list(HEADINGS), columns) + PLAIN]
        rows = self._rows or {}
        latest = sorted(rows, key=lambda clerk_id: self._changed[clerk_id], reverse=True)
        for clerk_id in latest[: max(0, lines - len(written) - 2)]:
            style = BOLD if now - self._changed[clerk_id] < FLASH else PLAIN
            written.append(style + _cells(_texts(rows[clerk_id]), columns) + PLAIN)
        written.append(_fit("Ctrl-C to stop", columns))
        body = "".join(f"{EMPTY_LINE}{line}\n" for line in written[: max(1, lines - 1)])
        return NO_WRAP + HOME + body + UNTIL_END + WRAP


def _texts(row: Row) -> list[str]:
    name = " ".join(filter(None, (row.get("firstName"), row.get("lastName")))) or row["sortName"]
    email, status, role = row.get("email", "-"), row["status"], row.get("role", "-")
    return [name, email, status, role, _ago(row["createdAt"]), _ago(row.get("lastSignInAt"))]


def _cells(texts: Sequence[str], columns: int) -> str:
    """One line of the table. Each cell is put in its place, however wide the terminal took the one before."""
    line, place = "", 1
    for text, width in zip(texts, HEADINGS.values(), strict=True):
        line += f"\x1b[{place}G" + _fit(text, min(width, columns - place + 1))
        place += width + 1
        if place > columns:
            break
    return line


def _fit(text: str, width: int) -> str:
    """As much of `text` as `width` places of a terminal hold, with nothing in it that steers the terminal."""
    fitted, used = "", 0
    for character in unicodedata.normalize("NFC", " ".join(text.split())):
        if character.isprintable():  # no control characters, no marks of direction
            used += _places(character)
            if used > width:
                break
            fitted += character
    return fitted


def _places(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _ago(milliseconds: float | None) -> str:
    if milliseconds is None:
        return "never"
    seconds = max(0.0, time.time() - milliseconds / 1000)
    for unit, length in (("y", 31_536_000), ("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= length:
            return f"{int(seconds / length)} {unit} ago"
    return f"{int(seconds)} s ago"
