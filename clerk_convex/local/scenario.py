"""Users who sign up and change, and one fixed scenario that ends with a comparison of Convex with Clerk."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, TextIO, TypeVar

from convex.values import CoercibleToConvexValue

from clerk_convex.backfill import backfill
from clerk_convex.deployment import Deployment
from clerk_convex.errors import LocalError
from clerk_convex.local.clerk import LocalClerk
from clerk_convex.local.clerk_instance import ClerkInstance
from clerk_convex.local.people import LAST_DAY, ordinary, people
from clerk_convex.local.stack import LocalStack
from clerk_convex.users import Fields, read_user

__all__ = [
    "CHANGES",
    "PAGE",
    "Clerk",
    "Comparison",
    "begin",
    "compare",
    "export_users",
    "once",
    "page_of",
    "sign_up",
]

Clerk = LocalClerk | ClerkInstance
Row = Mapping[str, Any]
Result = TypeVar("Result")

SEED = 0
PAGE = 500  # rows that are read at once
PATIENCE = 15.0  # seconds without any delivery until the scenario gives the rest up
SHOWN = 10  # wrong rows that are named
GROWTH = 60 * 86_400_000  # milliseconds in which an instance grows e-fold


def sign_up(clerk: Clerk, count: int, *, start: int = 0, now: int | None = None) -> list[str]:
    """Creates `count` users of all kinds at the local Clerk, from person `start` on; returns their ids.

    With `now` (Unix milliseconds) it is as if they had come until now, more and more of them, the last one
    newest; without, when the same users come in every run."""
    users: Iterator[dict[str, Any]] = islice(people(start + count), start, None)
    if now is not None:
        dice = random.Random(SEED)
        ages = sorted((int(dice.expovariate(1 / GROWTH)) for _ in range(count)), reverse=True)
        users = (_moved(person, now - age, now) for person, age in zip(users, ages, strict=True))
    return [user["id"] for user in clerk.create_users(users)]


def _moved(person: dict[str, Any], created_at: int, now: int) -> dict[str, Any]:
    """The person as if he had come at `created_at`, and until `now` done what he did."""
    before = person["created_at"]
    scale = (now - created_at) / (LAST_DAY - before)
    names = {"created_at", "updated_at", "last_sign_in_at"} & person.keys()
    return person | {name: created_at + int((person[name] - before) * scale) for name in names}


def begin(stack: LocalStack, count: int, out: TextIO, *, now: int | None = None) -> list[str]:
    """`count` users sign up (`now` as in sign_up), then the webhook is set up, and a backfill brings them in.

    Returns their ids."""
    user_ids = _aside(lambda: sign_up(stack.clerk, count, now=now))
    stack.connect()
    report = _aside(lambda: asyncio.run(backfill(stack.settings)))
    if not report.ok:
        raise LocalError(f"The backfill did not bring in everyone. {report}")
    out.write(f"Backfill  {report.users} users who were there before the webhook\n")
    out.flush()
    return user_ids


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


def _rename(clerk: Clerk, user_id: str, number: int) -> None:
    person = ordinary(number)
    clerk.update_user(user_id, first_name=person["first_name"], last_name=person["last_name"])


def _move(clerk: Clerk, user_id: str, number: int) -> None:
    # No user who signed up has a number as high as this.
    clerk.update_user(user_id, email_address=ordinary(1_000_000 + number)["email_address"])


def _promote(clerk: Clerk, user_id: str, number: int) -> None:
    clerk.update_metadata(user_id, public_metadata=ordinary(number)["public_metadata"])


def _ban(clerk: Clerk, user_id: str, number: int) -> None:
    (clerk.unban if clerk.get_user(user_id)["banned"] else clerk.ban)(user_id)


def _lock(clerk: Clerk, user_id: str, number: int) -> None:
    (clerk.unlock if clerk.get_user(user_id)["locked"] else clerk.lock)(user_id)


def _deprovision(clerk: Clerk, user_id: str, number: int) -> None:
    (clerk.reprovision if clerk.get_user(user_id).get("deprovisioned") else clerk.deprovision)(user_id)


def _sign_in(clerk: Clerk, user_id: str, number: int) -> None:
    # A deprovisioned user has to be taken back first.
    (clerk.reprovision if clerk.get_user(user_id).get("deprovisioned") else clerk.sign_in)(user_id)


CHANGES: Mapping[str, Callable[[Clerk, str, int], None]] = {
    "new names": _rename,
    "new addresses": _move,
    "new roles": _promote,
    "bans": _ban,
    "locks": _lock,
    "deprovisions": _deprovision,
    "sign-ins": _sign_in,
}


def once(stack: LocalStack, count: int, out: TextIO) -> int:
    """Half of the users are there before the webhook; a backfill brings them in. Then the others sign up, and
    users are edited, banned, signed in and deleted; their webhooks come doubled, late, shuffled.

    The same users change in the same way each time. Returns 0 if afterwards every row in Convex equals the
    user Clerk has, and nobody is missing or too many; else 1. What is wrong is written to `out`.
    """
    user_ids = begin(stack, count // 2, out)
    webhooks = stack.clerk.webhooks
    webhooks.delivery = replace(webhooks.delivery, late=0.2, doubled=0.3, shuffled=0.5)
    events = _aside(lambda: _play(stack.clerk, user_ids, count))
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


def _play(clerk: Clerk, user_ids: list[str], count: int) -> Counter[str]:
    """Others sign up until there are `count`, each change happens to about 40 %, and every tenth is deleted.

    Returns how often what happened."""
    dice = random.Random(SEED)
    new_ids = sign_up(clerk, count - len(user_ids), start=len(user_ids))
    user_ids = user_ids + new_ids
    played = Counter(dict.fromkeys(CHANGES, count * 2 // 5) | {"deletions": count // 10})
    scenes = list(played.elements())
    dice.shuffle(scenes)
    for number, scene in enumerate(scenes):
        place = dice.randrange(len(user_ids))
        if scene == "deletions":
            clerk.delete_user(user_ids.pop(place))
        else:
            CHANGES[scene](clerk, user_ids[place], number)
    return Counter({"sign-ups": len(new_ids), **played})


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
        page = await deployment.query(export_users(stack), page_of(cursor, "asc"))
        rows += page["page"]
        cursor = page["continueCursor"]
        if page["isDone"]:
            return rows


def export_users(stack: LocalStack) -> str:
    """The function whose pages are whole rows."""
    return f"{stack.settings.convex_users_module}:exportUsers"


def page_of(cursor: str | None, order: str) -> dict[str, CoercibleToConvexValue]:
    """Its arguments for the page behind `cursor`."""
    options: dict[str, CoercibleToConvexValue] = {"numItems": PAGE, "cursor": cursor}
    return {"paginationOpts": options, "order": order}
