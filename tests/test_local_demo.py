from __future__ import annotations

import io
import itertools
import random
import re
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from clerk_convex.errors import LocalError
from clerk_convex.local import demo
from clerk_convex.local.clerk import LocalClerk
from clerk_convex.local.demo import Table, compare, live, once, sign_up
from clerk_convex.local.stack import LocalStack
from clerk_convex.local.svix import Delivery
from clerk_convex.settings import Settings
from clerk_convex.users import read_user
from tests.functions import Functions

ROOT = Path(__file__).parent.parent


@pytest.fixture
def stack() -> Iterator[LocalStack]:
    with LocalStack(project=ROOT) as stack:
        yield stack


class Terminal(io.StringIO):
    """What `live` writes to; `wait_for` returns when a text has appeared."""

    def __init__(self, *, tty: bool) -> None:
        super().__init__()
        self._tty = tty

    def isatty(self) -> bool:
        return self._tty

    def wait_for(self, pattern: str) -> None:
        deadline = time.monotonic() + 30
        while not re.search(pattern, self.getvalue()):
            assert time.monotonic() < deadline, self.getvalue()[-500:]
            time.sleep(0.01)


def show(stack: LocalStack, user_ids: Sequence[str], out: Terminal, script: Callable[[], None]) -> None:
    """Runs `live` until the script has been played; then the local Convex ends, and with it the show."""
    failures: list[BaseException] = []

    def play() -> None:
        try:
            script()
        except BaseException as error:  # noqa: BLE001 - raised below
            failures.append(error)
        finally:
            stack.convex.process.kill()

    thread = threading.Thread(target=play)
    thread.start()
    live(stack, user_ids, out)
    thread.join()
    if failures:
        raise failures[0]


def test_once_ends_equal(stack: LocalStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scenario has every kind of change and trouble, and ends with Convex equal to Clerk."""
    monkeypatch.setattr(demo, "PAGE", 8)  # rows are read page by page
    out = io.StringIO()
    assert once(stack, 20, out) == 0
    clerk, webhooks, convex = out.getvalue().splitlines()
    kinds = "new names, 8 new addresses, 8 new roles, 8 bans, 8 locks, 8 sign-ins, 2 deletions"
    assert clerk == f"Clerk     18 users: 20 sign-ups, 8 {kinds}"
    assert re.fullmatch(
        r"Webhooks  (\d+) messages, [1-9]\d* of them doubled, in \d+ attempts; 0 undelivered", webhooks
    )
    assert convex == "Convex    18 rows: 18 equal, 0 differing, 0 missing, 0 too many"
    trouble = stack.clerk.webhooks.delivery
    assert min(trouble.late, trouble.doubled, trouble.shuffled) > 0
    functions = Functions(stack.convex)
    with functions.http:
        rows = functions.rows()
    assert rows.keys() == {user["id"] for user in stack.clerk.users()}
    assert {row["status"] for row in rows.values()} == {"active", "banned", "locked"}


def test_once_is_the_same_each_time() -> None:
    """The same users change in the same way in every run; only Clerk's clock differs."""

    def played() -> list[dict[str, Any]]:
        clerk = LocalClerk()
        demo._play(clerk, 40)
        return [
            {name: value for name, value in read_user(user).columns.items() if name != "lastSignInAt"}
            | {"id": user["id"], "signed in": user["last_sign_in_at"] is not None}
            for user in clerk.users()
        ]

    first = played()
    assert first == played()
    assert len(first) == 36


def test_once_names_each_wrong_row(stack: LocalStack) -> None:
    """A row that is missing, differs or is too many is named, with its columns but no value, and it is 1."""
    ids = sign_up(LocalClerk(), 20)  # the same ids as in every run
    clerk = LocalClerk()
    demo._play(clerk, 20)
    gone, changed = [user["id"] for user in clerk.users()][:2]
    functions = Functions(stack.convex)
    with functions.http:
        assert functions.mutation("users:deleteUser", {"clerkId": gone}) == "deleted"
        for user_id in (changed, "user_nobody"):
            columns = {"createdAt": 1, "status": "active", "phone": "secret", "externalId": "secret"}
            data = {"updatedAt": 9e15, "observedAt": 0, **columns}
            assert functions.mutation("users:syncUser", {"clerkId": user_id, "userData": data}) == "created"
    assert {gone, changed} <= set(ids)
    out = io.StringIO()
    assert once(stack, 20, out) == 1
    convex, missing, differing, extra = out.getvalue().splitlines()[2:]
    assert convex == "Convex    18 rows: 16 equal, 1 differing, 1 missing, 1 too many"
    assert missing == f"missing: {gone}"
    assert re.fullmatch(rf"differing: {changed} in [A-Za-z, ]*phone[A-Za-z, ]*", differing)
    assert extra == "too many: user_nobody"
    assert "secret" not in out.getvalue()


def test_once_notices_lost_messages(stack: LocalStack) -> None:
    """Messages that are never sent make it 1, and are counted."""
    stack.clerk.webhooks.delivery = Delivery(lost=0.5)
    out = io.StringIO()
    assert once(stack, 20, out) == 1
    assert re.search(r"; [1-9]\d* undelivered\n", out.getvalue())


def test_once_notices_a_wrong_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """If every webhook is refused it gives up after a while, and names some of the missing."""

    class Mistaken(LocalStack):
        def environment(self) -> Mapping[str, str]:
            return {**super().environment(), "CLERK_WEBHOOK_SIGNING_SECRET": "whsec_bWlzdGFrZW4="}

    monkeypatch.setattr(demo, "PATIENCE", 0.2)
    with Mistaken(project=ROOT) as stack:
        out = io.StringIO()
        assert once(stack, 20, out) == 1
    lines = out.getvalue().splitlines()
    assert lines[2] == "Convex    0 rows: 0 equal, 0 differing, 18 missing, 0 too many"
    assert len(lines) == 3 + demo.SHOWN + 1
    assert lines[-1] == "and 8 more"


def test_once_with_nobody(stack: LocalStack) -> None:
    """Zero users are compared too."""
    out = io.StringIO()
    assert once(stack, 0, out) == 0
    assert "Convex    0 rows: 0 equal" in out.getvalue()


def test_deliveries_are_waited_for_while_any_arrives(
    stack: LocalStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow delivery is no failed one."""
    monkeypatch.setattr(demo, "PATIENCE", 0.05)
    answers = iter([(False, 1), (False, 2), (True, 3)])
    delivered = 0

    def drain(timeout: float) -> bool:
        nonlocal delivered
        done, delivered = next(answers)
        stack.clerk.webhooks._stats.delivered = delivered
        return done

    monkeypatch.setattr(stack.clerk.webhooks, "drain", drain)
    demo._wait_for_deliveries(stack)
    assert delivered == 3


def test_compare_counts_second_rows_and_own_columns() -> None:
    """A second row of one user is too many; the columns of CLERK_CONVEX_FIELDS are compared too."""
    clerk = LocalClerk()
    user = clerk.create_user(first_name="Ada")
    row = {"clerkId": user["id"], **read_user(user).columns}
    assert compare([user], [row]).problems() == []
    assert compare([user], [row, row]).problems() == [f"too many: {user['id']}"]
    compared = compare([user], [row], lambda user: {"plan": "free"})
    assert compared.problems() == [f"differing: {user['id']} in plan"]
    assert compared.equal == 0


def test_work_aside_leaves_the_main_thread_free() -> None:
    """Users are made in another thread, so that Ctrl-C meets no lock; what fails there is raised here."""
    threads: list[threading.Thread] = []
    demo._aside(lambda: threads.append(threading.current_thread()))
    assert threads[0] is not threading.current_thread()
    assert threads[0].daemon
    with pytest.raises(ZeroDivisionError):
        demo._aside(lambda: 1 / 0)


def test_live_shows_changes_in_a_terminal(stack: LocalStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table appears, follows what happens at Clerk, and returns when Convex has ended."""
    monkeypatch.setattr(demo, "PAUSE", 0.01)
    ids = sign_up(stack.clerk, 3)
    out = Terminal(tty=True)

    def script() -> None:
        out.wait_for(r"Name\S*Email")
        somebody = stack.clerk.create_user(first_name="Somebody")  # whom the traffic leaves alone
        out.wait_for("Somebody")
        stack.clerk.update_user(somebody["id"], last_name="Else")
        out.wait_for("Somebody Else")
        out.wait_for(r"Clerk (\d\d|[4-9]) users")

    show(stack, ids, out, script)


def test_live_elsewhere_writes_lines(stack: LocalStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal there are no control sequences, and no line is repeated."""
    monkeypatch.setattr(demo, "PAUSE", 60)
    monkeypatch.setattr(demo, "TICK", 0.01)
    monkeypatch.setattr(demo, "FRAME", 0.0)
    out = Terminal(tty=False)
    looks: list[str] = []
    summary = Table.summary

    def look(self: Table) -> str:
        looks.append(summary(self))
        return looks[-1]

    monkeypatch.setattr(Table, "summary", look)

    def script() -> None:
        out.wait_for("Convex 0 rows")
        stack.clerk.create_user(first_name="Ada")
        out.wait_for(r"Convex 1 rows · webhooks 1 delivered")
        repeated = looks[-1:] * 3
        deadline = time.monotonic() + 30
        while looks[-3:] != repeated:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    show(stack, [], out, script)
    assert "\x1b" not in out.getvalue()
    lines = out.getvalue().splitlines()
    assert all(line != following for line, following in itertools.pairwise(lines))


def test_live_watches_a_page_however_many_come(stack: LocalStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of a subscription grows with what is inserted into it; the watched one stays small."""
    monkeypatch.setattr(demo, "PAUSE", 60)
    monkeypatch.setattr(demo, "PAGE", 5)
    out = Terminal(tty=False)

    def script() -> None:
        out.wait_for("Convex 0 rows")
        for number in range(1, 31):
            stack.clerk.create_user(first_name=str(number))
            stack.clerk.webhooks.drain(30)
            if number % 5 == 0:
                out.wait_for(rf"Clerk {number} users .* webhooks {number} delivered")
        out.wait_for("Convex the newest [5-9] rows")

    show(stack, [], out, script)
    assert max(int(number) for number in re.findall(r"(\d+) rows", out.getvalue())) <= 20


def test_live_says_why_convex_refuses(stack: LocalStack) -> None:
    """A subscription that fails is one line, not a traceback."""
    stack.settings = Settings(convex_users_module="nowhere")
    with pytest.raises(LocalError, match=r"refused the subscription .*CONVEX_USERS_MODULE"):
        live(stack, [], io.StringIO())


def test_traffic_survives_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Users whom somebody else has deleted do not end it, and it ends with its block."""
    monkeypatch.setattr(demo, "PAUSE", 0.001)
    clerk = LocalClerk()
    with demo._traffic(clerk, ["user_gone"]):
        deadline = time.monotonic() + 30
        while clerk.count < 5:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    count = clerk.count
    time.sleep(0.05)
    assert clerk.count == count


def test_traffic_has_every_kind_of_change() -> None:
    """Users sign up, change and are deleted; of many, only those in the table change."""
    clerk = LocalClerk()
    known = sign_up(clerk, 3)
    demo._change_someone(clerk, known, 100, Dice(0.1))
    assert (clerk.count, len(known)) == (4, 4)
    demo._change_someone(clerk, known, 101, Dice(0.32))
    assert (clerk.count, len(known)) == (3, 3)
    before = clerk.users()
    demo._change_someone(clerk, known, 102, Dice(0.5))
    assert clerk.users() != before
    nobody: list[str] = []
    demo._change_someone(clerk, nobody, 103, Dice(0.9))
    assert (clerk.count, len(nobody)) == (4, 1)
    dice = Dice(0.5)
    demo._change_someone(clerk, ["user_gone"] * 2 * demo.PAGE + known, 104, dice)
    assert dice.ranges[0][0] >= demo.PAGE


class Dice(random.Random):
    """Falls as it is told."""

    def __init__(self, chance: float) -> None:
        super().__init__(0)
        self.chance = chance
        self.ranges: list[tuple[int, int | None]] = []

    def random(self) -> float:
        return self.chance

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
        self.ranges.append((start, stop))
        return (stop or start) - 1


def row(clerk_id: str, **columns: Any) -> dict[str, Any]:
    return {"clerkId": clerk_id, "status": "active", "createdAt": 0, "sortName": clerk_id, **columns}


def table(*rows: dict[str, Any], whole: bool = True) -> Table:
    table = Table(LocalClerk(), "http://127.0.0.1:1")
    table.update(rows, whole=whole)
    return table


SEQUENCES = re.compile(r"\x1b\[(?:H|J|2K|\?7[hl]|[01]m|(\d+)G)")


def places(text: str) -> int:
    """How many places of a terminal a text takes at most, combining characters aside."""
    return sum(
        2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
        if not unicodedata.category(character).startswith("M")
    )


def cells(line: str) -> list[tuple[int, str]]:
    """The column at which each piece of a line starts, and the piece."""
    parts = re.split(r"\x1b\[(\d+)G", line)
    starts = [1, *map(int, parts[1::2])]
    return [(start, SEQUENCES.sub("", text)) for start, text in zip(starts, parts[::2], strict=True)]


NASTY = [
    "\x1b[2J\x1b]0;owned\x07\rAda",
    "a\nb\tc\x00\x7f\x9b31m",
    "\u202egnirts\u202c\u200f\u2066x",
    "山田太郎" * 20,
    "👩‍👩‍👧 ❤️ 🇩🇪" * 9,
    "e\u0301\u0302\u0303" * 30,
    "प्रिया",
    "x" * 500,
    "\ud83d",
    "",
]


@pytest.mark.parametrize("columns", [1, 7, 20, 79, 80, 200])
def test_names_cannot_steer_or_misalign_the_terminal(columns: int) -> None:
    """Whatever is in a row: no control character gets out, each cell starts in its place and stays in it."""
    rows = [row(f"u{n}", firstName=name, email=name, role=name, sortName="?") for n, name in enumerate(NASTY)]
    screen = table(*rows).screen(columns, 40)
    lines = screen.split("\n")
    assert len(lines) == 4 + len(NASTY) + 1
    assert all(character.isprintable() for line in lines for character in SEQUENCES.sub("", line))
    for line in lines:
        pieces = cells(line)
        for (start, text), following in zip(pieces, [*pieces[1:], (columns + 2, "")], strict=True):
            assert start == 1 or places(text) < following[0] - start
            assert places(text) <= columns
    if columns >= 80:
        heads = [start for start, _ in cells(lines[2])]
        assert heads == [1, 1, 22, 48, 55, 62, 72]
        assert all([start for start, _ in cells(line)] == heads for line in lines[3:-2])


@pytest.mark.parametrize("lines", [1, 2, 3, 4, 5, 24])
def test_the_table_is_no_higher_than_the_terminal(lines: int) -> None:
    """With 10,000 rows, and in a terminal of few lines, it never scrolls."""
    screen = table(*(row(f"u{n}") for n in range(10_000)), whole=False).screen(80, lines)
    assert screen.count("\n") == max(1, lines - 1)
    assert "Convex the newest 10000 rows" in screen


def test_the_empty_table_has_its_headings() -> None:
    """Nobody yet: no answer so far, or no rows, is said."""
    assert "Convex has not answered yet" in Table(LocalClerk(), "").screen(80, 24)
    screen = table().screen(80, 24)
    assert "Convex 0 rows" in screen
    assert "Name" in screen
    assert "Ctrl-C to stop" in screen


def test_rows_that_changed_stand_out_on_top(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that changed or came is bold and on top for a moment; who was there from the start is not."""
    shown = table(row("one"), row("two"), row("three"))

    def bold() -> list[str]:
        return re.findall(r"\x1b\[1m\x1b\[1G(\w+)", shown.screen(80, 24))

    assert bold() == ["Name"]
    shown.update([row("new"), row("one"), row("two", role="admin")], whole=True)
    assert bold() == ["Name", "new", "two"]
    assert "three" not in shown.screen(80, 24)
    shown.update([row("new"), row("one", role="editor"), row("two", role="admin")], whole=True)
    assert bold() == ["Name", "one", "new", "two"]
    monkeypatch.setattr(demo, "FLASH", 0.0)
    assert bold() == ["Name"]


def test_failed_webhooks_are_counted() -> None:
    """Messages that were given up are in the summary, once there are any."""
    shown = table()
    assert "failed" not in shown.summary()
    shown._clerk.webhooks._stats.failed = 3
    assert ", 3 failed" in shown.summary()


def test_times_are_relative() -> None:
    """Times are given in the greatest unit that fits; a clock that runs ahead makes none negative."""
    now = time.time() * 1000
    hour = 3_600_000
    for milliseconds, text in {
        None: "never",
        now + hour: "0 s ago",
        now - 2_500: "2 s ago",
        now - 61_000: "1 m ago",
        now - 23.5 * hour: "23 h ago",
        now - 24 * 364.5 * hour: "364 d ago",
        now - 24 * 800 * hour: "2 y ago",
    }.items():
        assert demo._ago(milliseconds) == text
