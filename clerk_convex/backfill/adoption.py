"""Links the rows of a table that existed before to Clerk's users, and says when the final schema takes them.

A run reads the rows without a Clerk id, asks Clerk for the user of each, and links those with exactly one.
Convex decides for each row once more, and never replaces a link. So a run can be stopped and repeated at any
time.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from clerk_convex.backfill.reading import together
from clerk_convex.backfill.report import NAMED, OnProgress, Progress
from clerk_convex.backfill.session import PATIENCE, Session
from clerk_convex.convex import CallRefused
from clerk_convex.entities import is_verified, read_id
from clerk_convex.errors import UserError
from clerk_convex.settings import Settings

__all__ = ["COLUMNS", "Adoption", "By", "Kind", "Leftover", "RefusedRow", "RowCheck", "adopt", "check_rows"]

COMMAND = "clerk-convex adopt"

_CONCURRENCY = 4  # calls of Clerk, and then of Convex, at once
_AT_ONCE = 100  # values that Clerk takes in one call, and rows that Convex links in one
_ADDRESS = re.compile(r"[^\s@,]{1,64}@[^\s@,]{1,255}")
_ID = re.compile(r"[A-Za-z0-9_-]{1,255}")

Kind = Literal["column", "token", "email"]
COLUMNS: Mapping[Kind, str] = {"column": "", "token": "tokenIdentifier", "email": "email"}
"""The column that each kind of match reads if none is named."""


@dataclass(frozen=True, slots=True)
class By:
    """How a row is matched: by a `column` that has the Clerk id, Convex's token identifier, or an address."""

    kind: Kind
    column: str

    @property
    def option(self) -> str:
        """The options of the command that match so."""
        if self.kind == "column":
            return f"--by-column {self.column}"
        is_usual = self.column == COLUMNS[self.kind]
        return f"--by-{self.kind}" if is_usual else f"--by-{self.kind} --column {self.column}"


_WHY = {
    "no value": "the column has nothing that could name a user",
    "no user": "Clerk has no such user, or has not verified the address",
    "several users": "several users have the address",
    "several rows": "several rows are of one user",
    "taken": "another row is linked to the user",
    "deleted": "the user was deleted",
    "changed": "somebody else linked or removed the row meanwhile",
    "refused": "Convex refused it; its log (dashboard, Logs) says why",
}
_KINDS = {"taken": "taken", "deleted": "deleted", "other": "changed", "gone": "changed", "refused": "refused"}


@dataclass(frozen=True, slots=True)
class Leftover:
    """Rows that were not linked, by Convex's ids, and why; and the users that they may belong to."""

    kind: str
    rows: Sequence[str]
    clerk_ids: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Adoption:
    """The result of a run: of `rows` without a Clerk id, `linked` and `merged` have one now.

    merged: the linked rows that took over a later row of the same user, which a webhook had created.
    counts: the other rows by the reason why they have none, named in `leftovers`, the first 100 of each.
    """

    by: By
    dry_run: bool
    rows: int
    linked: int
    merged: int
    counts: Mapping[str, int]
    leftovers: Sequence[Leftover]
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether no row is left without a Clerk id."""
        return not any(self.counts.values())

    def to_json(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "dryRun": self.dry_run,
            "by": self.by.kind,
            "column": self.by.column,
            "rows": self.rows,
            "linked": self.linked,
            "merged": self.merged,
            "notLinked": dict(self.counts),
            "examples": [
                {"kind": it.kind, "rows": list(it.rows), "clerkIds": list(it.clerk_ids)}
                for it in self.leftovers
            ],
            "seconds": round(self.seconds, 3),
        }

    def __str__(self) -> str:
        """Return the result, the rows that are left, and the next command to run, as text."""
        would = "would be " if self.dry_run else ""
        if not self.rows:
            return f"No row is without a Clerk id. Next: {COMMAND} --check"
        merged = f" ({self.merged:,} of them merged with a later row of the user)" if self.merged else ""
        told = f"{self.linked + self.merged:,} {would}linked{merged}, {sum(self.counts.values()):,} not"
        lines = [f"{_count(self.rows, 'row')} without a Clerk id: {told}, in {self.seconds:.1f} s."]
        for kind, count in self.counts.items():
            lines.append(f"{count:,} {kind}: {_WHY[kind]}.")
            named = [it for it in self.leftovers if it.kind == kind]
            lines += ["  " + " ".join([*it.rows, *it.clerk_ids]) for it in named]
            if (unnamed := count - sum(len(it.rows) for it in named)) > 0:
                lines.append(f"  and {unnamed:,} more")
        return "\n".join([*lines, self._next()])

    def _next(self) -> str:
        if self.dry_run:
            return f"Nothing was written. Next: {COMMAND} {self.by.option}"
        if self.ok:
            return f"Next: clerk-convex backfill, then {COMMAND} --check"
        return f"Next: {COMMAND} by something else for those that are left, or clerk-convex backfill"


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that the final schema would refuse: Convex's id, the Clerk id if it has one, and why."""

    row: str
    clerk_id: str | None
    problems: Sequence[str]


@dataclass(frozen=True, slots=True)
class RowCheck:
    """Whether the final schema takes all `rows`.

    It would refuse `refused` of them, of which `unlinked` have no Clerk id. `examples` names the first 100.
    """

    rows: int
    refused: int
    unlinked: int
    examples: Sequence[RefusedRow]

    @property
    def ok(self) -> bool:
        return not self.refused

    def to_json(self) -> dict[str, Any]:
        return {
            "ready": self.ok,
            "rows": self.rows,
            "refused": self.refused,
            "unlinked": self.unlinked,
            "examples": [
                {"row": it.row, "clerkId": it.clerk_id, "problems": list(it.problems)} for it in self.examples
            ],
        }

    def __str__(self) -> str:
        """Return the result, the rows concerned, and what to do next, as text."""
        if self.ok:
            return (
                f"Ready: the final schema takes all of {_count(self.rows, 'row')}."
                " Next: replace looseClerkTables by clerkTables in convex/schema.ts, and deploy"
            )
        lines = [f"Not yet: the final schema would refuse {self.refused:,} of {_count(self.rows, 'row')}."]
        for it in self.examples:
            name = f"{it.row} {it.clerk_id}" if it.clerk_id is not None else it.row
            lines.append(f"  {name}  {', '.join(it.problems)}")
        if (unnamed := self.refused - len(self.examples)) > 0:
            lines.append(f"  and {unnamed:,} more")
        steps = []
        if self.unlinked:
            steps.append(
                f"link the {_count(self.unlinked, 'row')} without a Clerk id ({COMMAND} --help), or remove"
                " those that are nobody's"
            )
        if self.refused > self.unlinked:
            steps.append("run clerk-convex backfill --prune, which fills the linked rows")
        return "\n".join([*lines, f"Next: {'; '.join(steps)}"])


async def adopt(
    settings: Settings | None = None,
    *,
    by: By,
    dry_run: bool = False,
    patience: float = PATIENCE,
    on_progress: OnProgress | None = None,
) -> Adoption:
    """Link each row without a Clerk id to the one user of Clerk that it matches.

    Without `settings` they are read from the environment. `dry_run` writes nothing. `patience` is the seconds
    for which failing calls of Clerk and Convex are retried.

    Raises SettingsError, ClerkError or DeploymentError; rows that were linked before stay linked.
    """
    settings = Settings.from_env() if settings is None else settings
    on_progress = on_progress or OnProgress()
    started = time.monotonic()
    opened = Session.open(
        settings, concurrency=_CONCURRENCY, dry_run=dry_run, patience=patience, on_progress=on_progress
    )
    async with opened as session:
        await session.preflight()
        run = _Run(session, by, settings.clerk_jwt_issuer_domain, dry_run, on_progress)
        await run.match()
        await run.link()
    return Adoption(
        by=by,
        dry_run=dry_run,
        rows=run.rows,
        linked=run.outcomes["linked"] + run.outcomes["unchanged"],
        merged=run.outcomes["merged"],
        counts={kind: run.counts[kind] for kind in _WHY if run.counts[kind]},
        leftovers=tuple(run.leftovers),
        seconds=time.monotonic() - started,
    )


async def check_rows(
    settings: Settings | None = None, *, patience: float = PATIENCE, on_progress: OnProgress | None = None
) -> RowCheck:
    """Return whether the final schema takes every row. Raises SettingsError or DeploymentError."""
    settings = Settings.from_env() if settings is None else settings
    on_progress = on_progress or OnProgress()
    rows = refused = unlinked = 0
    examples: list[RefusedRow] = []
    opened = Session.open(settings, concurrency=1, dry_run=True, patience=patience, on_progress=on_progress)
    async with opened as session:
        async for page in _pages(session, "checkRows", {}):
            rows += int(page["rows"])
            refused += len(page["refused"])
            unlinked += sum(row["clerkId"] is None for row in page["refused"])
            room = NAMED - len(examples)
            examples += [RefusedRow(it["id"], it["clerkId"], it["problems"]) for it in page["refused"][:room]]
            on_progress.step(Progress("checking", rows, None))
    return RowCheck(rows, refused, unlinked, tuple(examples))


class _Run:
    def __init__(
        self, session: Session, by: By, issuer: str | None, dry_run: bool, on_progress: OnProgress
    ) -> None:
        self.rows = 0
        self.outcomes: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.leftovers: list[Leftover] = []
        self._session = session
        self._by = by
        self._issuer = issuer
        self._dry_run = dry_run
        self._on_progress = on_progress
        self._rows_of: dict[str, list[str]] = {}  # by Clerk id; a hundred thousand rows take some 40 MB

    async def match(self) -> None:
        """Read all rows without a Clerk id, and find the user of each."""
        parts: asyncio.Queue[dict[str, str] | None] = asyncio.Queue(_CONCURRENCY)

        async def read() -> None:
            async for page in _pages(self._session, "looseRows", {"column": self._by.column}):
                self.rows += len(page["rows"])
                usable: dict[str, str] = {}
                for row in page["rows"]:
                    value = self._usable(row["value"])
                    if value is None:
                        self._left("no value", [row["id"]])
                    else:
                        usable[row["id"]] = value
                for part in _parts(list(usable.items())):
                    await parts.put(dict(part))
                self._on_progress.step(Progress("matching", self.rows, None))
            for _ in range(_CONCURRENCY):
                await parts.put(None)

        async def look() -> None:
            while (values := await parts.get()) is not None:
                users = await self._users(sorted(set(values.values())))
                for row_id, value in values.items():
                    self._matched(row_id, sorted(users.get(value, ())))

        await together(read(), *(look() for _ in range(_CONCURRENCY)))

    async def link(self) -> None:
        """Link the rows that are the only one of their user."""
        links: list[tuple[str, str]] = []
        for clerk_id, row_ids in self._rows_of.items():
            if len(row_ids) == 1:
                links.append((row_ids[0], clerk_id))
            else:
                self._left("several rows", row_ids, [clerk_id])
        waiting = iter(_parts(links))

        async def work() -> None:
            for part in waiting:
                for (row_id, clerk_id), outcome in zip(part, await self._send(part), strict=True):
                    self.outcomes[outcome] += 1
                    if outcome in _KINDS:
                        self._left(_KINDS[outcome], [row_id], [clerk_id])
                self._on_progress.step(Progress("linking", self.outcomes.total(), len(links)))

        await together(*(work() for _ in range(_CONCURRENCY)))

    def _usable(self, value: str | None) -> str | None:
        """Return what Clerk is asked for: a Clerk id or an address, or None."""
        text = (value or "").strip()
        if self._by.kind == "email":
            return text.lower() if _ADDRESS.fullmatch(text) else None
        if self._by.kind == "token":
            issuer, _, text = text.rpartition("|")
            if not issuer or (self._issuer is not None and issuer.rstrip("/") != self._issuer):
                return None
        return text if _ID.fullmatch(text) else None

    async def _users(self, values: Sequence[str]) -> dict[str, set[str]]:
        """Return the Clerk ids of the users that each value names."""
        if self._by.kind != "email":
            return {value: {value} for value in await self._session.clerk.existing(values)}
        page = await self._session.clerk.list_users(email_address=values)
        found: dict[str, set[str]] = {}
        for user in page.users:
            with suppress(UserError):  # a user without an id is nobody whom a row could be linked to
                for address in _verified(user):
                    found.setdefault(address, set()).add(read_id(user))
        return found

    def _matched(self, row_id: str, clerk_ids: Sequence[str]) -> None:
        if not clerk_ids:
            self._left("no user", [row_id])
        elif len(clerk_ids) > 1:
            self._left("several users", [row_id], clerk_ids)
        else:
            self._rows_of.setdefault(clerk_ids[0], []).append(row_id)

    async def _send(self, links: Sequence[tuple[str, str]]) -> list[str]:
        """Link rows, and return what became of each. A row that Convex refuses fails alone."""
        arguments = {"links": [{"id": row_id, "clerkId": clerk_id} for row_id, clerk_id in links]}
        try:
            answer: list[str] = (
                await self._session.call("query", "compareAdoption", arguments)
                if self._dry_run
                else await self._session.write("adoptRows", arguments, len(links))
            )
        except CallRefused:
            if len(links) == 1:
                return ["refused"]
            half = len(links) // 2
            return [*await self._send(links[:half]), *await self._send(links[half:])]
        return answer

    def _left(self, kind: str, row_ids: Sequence[str], clerk_ids: Sequence[str] = ()) -> None:
        if self.counts[kind] < NAMED:
            self.leftovers.append(Leftover(kind, row_ids, clerk_ids))
        self.counts[kind] += len(row_ids)


async def _pages(session: Session, function: str, arguments: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    cursor: str | None = None
    while True:
        page = await session.call("query", function, {**arguments, "cursor": cursor})
        yield page
        cursor = page["cursor"]
        if cursor is None:
            return


def _parts(items: Sequence[tuple[str, str]]) -> Iterator[Sequence[tuple[str, str]]]:
    for start in range(0, len(items), _AT_ONCE):
        yield items[start : start + _AT_ONCE]


def _verified(user: object) -> list[str]:
    """Return the addresses of a user that Clerk has verified, in lower case."""
    if not isinstance(user, dict) or not isinstance(addresses := user.get("email_addresses"), list):
        return []
    return [
        str(address.get("email_address")).lower()
        for address in addresses
        if isinstance(address, dict) and is_verified(address)
    ]


def _count(number: int, noun: str) -> str:
    return f"1 {noun}" if number == 1 else f"{number:,} {noun}s"
