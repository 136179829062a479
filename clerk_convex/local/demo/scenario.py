"""Play sign-ups and changes of users at a local Clerk, and compare Convex with Clerk afterwards."""

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
from clerk_convex.convex.client import Deployment
from clerk_convex.entities.users import Fields, read_user
from clerk_convex.errors import LocalError
from clerk_convex.local.clerk import LocalClerk
from clerk_convex.local.clerk.instance import ClerkInstance
from clerk_convex.local.demo.people import LAST_DAY, ordinary, people
from clerk_convex.local.stack import LocalStack

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
PAGE = 500  # rows in a page of Convex's table
PATIENCE = 15.0  # seconds without a delivery after which the scenario stops waiting for webhooks
SHOWN = 10  # the output lists at most this many wrong rows
GROWTH = 60 * 86_400_000  # milliseconds in which the number of users grows by a factor of e


def sign_up(clerk: Clerk, count: int, *, start: int = 0, now: int | None = None) -> list[str]:
    """Create `count` users of all kinds at the local Clerk, from number `start` on. Return their ids.

    With `now` (Unix milliseconds) the sign-up times grow denser towards `now`, the last user being the
    newest. Without it each user has the same sign-up time in every run.
    """
    users: Iterator[dict[str, Any]] = islice(people(start + count), start, None)
    if now is not None:
        rng = random.Random(SEED)
        ages = sorted((int(rng.expovariate(1 / GROWTH)) for _ in range(count)), reverse=True)
        users = (_moved(person, now - age, now) for person, age in zip(users, ages, strict=True))
    return [user["id"] for user in clerk.create_users(users)]


def _moved(person: dict[str, Any], created_at: int, now: int) -> dict[str, Any]:
    """Return the user with a sign-up at `created_at`, and the later times scaled to end at `now`."""
    before = person["created_at"]
    scale = (now - created_at) / (LAST_DAY - before)
    names = {"created_at", "updated_at", "last_sign_in_at"} & person.keys()
    return person | {name: created_at + int((person[name] - before) * scale) for name in names}


def begin(stack: LocalStack, count: int, out: TextIO, *, now: int | None = None) -> list[str]:
    """Create `count` users, set the webhook up, and run a backfill. Return the users' ids.

    `now` is that of sign_up. Raises LocalError if the backfill did not write all users.
    """
    user_ids = _in_thread(lambda: sign_up(stack.clerk, count, now=now))
    stack.connect()
    report = _in_thread(lambda: asyncio.run(backfill(stack.settings)))
    if not report.ok:
        raise LocalError(f"The backfill did not bring in everyone. {report}")
    out.write(f"Backfill  {report.users} users who were there before the webhook\n")
    out.flush()
    return user_ids


def _in_thread(work: Callable[[], Result]) -> Result:
    """Run `work` in a thread and return its result.

    Ctrl-C then interrupts only the wait here. In the main thread it could interrupt the work itself and leave
    a lock taken.
    """
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
    # Sign-ups have lower numbers, so no other user has this address.
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
    # Clerk refuses the sign-in of a deprovisioned user, so reprovision that one instead.
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
    """Run the fixed scenario. Return 0 if Convex equals Clerk at the end, else 1.

    Half of the users exist before the webhook, and a backfill writes them. Then the others sign up, and users
    are edited, banned, signed in and deleted, while their webhooks arrive twice, late or out of order. Every
    run makes the same changes to the same users. `out` gets a summary and the rows that are wrong.
    """
    user_ids = begin(stack, count // 2, out)
    webhooks = stack.clerk.webhooks
    webhooks.delivery = replace(webhooks.delivery, late=0.2, doubled=0.3, shuffled=0.5)
    events = _in_thread(lambda: _play(stack.clerk, user_ids, count))
    _in_thread(lambda: _wait_for_deliveries(stack))

    stats = webhooks.stats
    users = stack.clerk.users()
    rows = _in_thread(lambda: asyncio.run(_rows(stack)))
    compared = compare(users, rows, stack.settings.clerk_convex_fields)
    happened = ", ".join(f"{number} {name}" for name, number in events.items())
    lost = stats.lost + stats.dropped
    doubled = stats.sent + lost - events.total()
    undelivered = stats.pending + stats.failed + lost
    problems = compared.problems()
    more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
    out.write(
        f"Clerk     {len(users)} users: {happened}\n"
        f"Webhooks  {stats.sent} messages, {doubled} of them doubled, in {stats.attempts} attempts; "
        f"{undelivered} undelivered\n"
        f"Convex    {len(rows)} rows: {compared.equal} equal, {len(compared.differing)} differing, "
        f"{len(compared.missing)} missing, {len(compared.extra)} too many\n"
    )
    out.write("".join(f"{line}\n" for line in [*problems[:SHOWN], *more]))
    out.flush()
    return 1 if problems else 0


def _play(clerk: Clerk, user_ids: list[str], count: int) -> Counter[str]:
    """Sign up users until there are `count`; make each change `count` * 2/5 times; delete one user in ten.

    Return how often each change was made.
    """
    rng = random.Random(SEED)
    new_ids = sign_up(clerk, count - len(user_ids), start=len(user_ids))
    user_ids = user_ids + new_ids
    played = Counter(dict.fromkeys(CHANGES, count * 2 // 5) | {"deletions": count // 10})
    scenes = list(played.elements())
    rng.shuffle(scenes)
    for number, scene in enumerate(scenes):
        place = rng.randrange(len(user_ids))
        if scene == "deletions":
            clerk.delete_user(user_ids.pop(place))
        else:
            CHANGES[scene](clerk, user_ids[place], number)
    return Counter({"sign-ups": len(new_ids), **played})


def _wait_for_deliveries(stack: LocalStack) -> None:
    """Wait until every message is delivered, or none was in the last PATIENCE seconds."""
    webhooks = stack.clerk.webhooks
    delivered = -1
    while not webhooks.drain(PATIENCE) and webhooks.stats.delivered > delivered:
        delivered = webhooks.stats.delivered


@dataclass(frozen=True, slots=True)
class Comparison:
    """The result of a comparison of Convex with Clerk, by Clerk ids.

    equal: the number of rows that equal their user.
    missing: users without a row.
    differing: users whose row differs, with the names of the columns.
    extra: rows without a user, and second rows of a user.
    """

    equal: int
    missing: Sequence[str]
    differing: Mapping[str, Sequence[str]]
    extra: Sequence[str]

    def problems(self) -> list[str]:
        """Return one line for each wrong row."""
        return [
            *(f"missing: {clerk_id}" for clerk_id in self.missing),
            *(f"differing: {clerk_id} in {', '.join(names)}" for clerk_id, names in self.differing.items()),
            *(f"too many: {clerk_id}" for clerk_id in self.extra),
        ]


def compare(
    users: Sequence[Mapping[str, Any]], rows: Sequence[Row], fields: Fields | None = None
) -> Comparison:
    """Compare Clerk's users with the rows of Convex's table. `fields` are those of CLERK_CONVEX_FIELDS."""
    wanted = {user["id"]: read_user(user, fields).columns for user in users}
    linked = [row for row in rows if is_linked(row)]
    found = {row["clerkId"]: row for row in linked}
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
        # A Counter also finds a second row of one user.
        extra=sorted((Counter(row["clerkId"] for row in linked) - Counter(wanted.keys())).elements()),
    )


def is_linked(row: Row) -> bool:
    """Return whether a row has a Clerk id. In a loose table others are there too."""
    return isinstance(row.get("clerkId"), str)


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
    """Return the name of the Convex query that exports rows, in pages."""
    return f"{stack.settings.convex_users_module}:exportUsers"


def page_of(cursor: str | None, order: str) -> dict[str, CoercibleToConvexValue]:
    """Return the arguments of that query for the page after `cursor`. `order` is "asc" or "desc"."""
    options: dict[str, CoercibleToConvexValue] = {"numItems": PAGE, "cursor": cursor}
    return {"paginationOpts": options, "order": order}
