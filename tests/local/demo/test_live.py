from __future__ import annotations

import io
import itertools
import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from clerk_convex.errors import LocalError
from clerk_convex.local.clerk.instance import ClerkInstance
from clerk_convex.local.demo import live as live_module
from clerk_convex.local.demo import scenario
from clerk_convex.local.demo.live import run_live
from clerk_convex.local.demo.scenario import sign_up
from clerk_convex.local.demo.table import Table
from clerk_convex.local.stack import LocalStack
from clerk_convex.settings import Settings
from tests.support.functions import ROOT


@pytest.fixture
def stack() -> Iterator[LocalStack]:
    with LocalStack(project=ROOT) as stack:
        yield stack


class Terminal(io.StringIO):
    """The output of `live`. `wait_for` returns when a text has appeared."""

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
    """Run `live` until the script is done. Then stop the local Convex, which ends `live`."""
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
    run_live(stack, user_ids, out)
    thread.join()
    if failures:
        raise failures[0]


def test_live_shows_changes_in_a_terminal(stack: LocalStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table appears, follows the changes at Clerk, and ends when Convex has ended."""
    monkeypatch.setattr(live_module, "PAUSE", 0.01)
    ids = sign_up(stack.clerk, 3)
    out = Terminal(tty=True)

    def script() -> None:
        out.wait_for(r"Name\S*Email")
        somebody = stack.clerk.create_user(first_name="Somebody")  # a user that the traffic does not change
        out.wait_for("Somebody")
        stack.clerk.update_user(somebody["id"], last_name="Else")
        out.wait_for("Somebody Else")
        out.wait_for(r"Clerk (\d\d|[4-9]) users")

    show(stack, ids, out, script)


def test_live_elsewhere_writes_lines(stack: LocalStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal there are no control sequences, and no line is repeated."""
    monkeypatch.setattr(live_module, "PAUSE", 60)
    monkeypatch.setattr(live_module, "TICK", 0.01)
    monkeypatch.setattr(live_module, "FRAME", 0.0)
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


def test_live_says_why_convex_refuses(stack: LocalStack) -> None:
    """A subscription that fails is one line, not a traceback."""
    stack.settings = Settings(convex_users_module="nowhere")
    with pytest.raises(LocalError, match=r"refused the subscription .*CONVEX_USERS_MODULE"):
        run_live(stack, [], io.StringIO())


def test_traffic_survives_foreign_deletions(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user whom another program has deleted does not end it. It ends with its block."""
    monkeypatch.setattr(live_module, "PAUSE", 0.001)
    clerk = ClerkInstance()
    with live_module._traffic(clerk, ["user_gone"]):
        deadline = time.monotonic() + 30
        while clerk.count < 5:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    count = clerk.count
    time.sleep(0.05)
    assert clerk.count == count


def test_traffic_has_every_kind_of_change() -> None:
    """Users sign up until there are many. Users in the table, mostly the newest, change and are deleted."""
    clerk = ClerkInstance()
    known = sign_up(clerk, 3)
    live_module._change_someone(clerk, known, 100, Dice(0.1), 2000)
    assert (clerk.count, len(known)) == (4, 4)
    live_module._change_someone(clerk, known, 101, Dice(0.17), 2000)
    assert (clerk.count, len(known)) == (3, 3)
    before = clerk.users()
    live_module._change_someone(clerk, known, 102, Dice(0.5), 2000)
    assert clerk.users() != before
    nobody: list[str] = []
    live_module._change_someone(clerk, nobody, 103, Dice(0.9), 2000)
    assert (clerk.count, len(nobody)) == (4, 1)
    live_module._change_someone(clerk, known, 104, Dice(0.1), 3)  # the limit for sign-ups is three
    assert (clerk.count, len(known)) == (3, 2)
    many = ["user_gone"] * 2 * scenario.PAGE + known
    for chance, newest in ((0.5, live_module.SEEN), (0.9, scenario.PAGE)):
        dice = Dice(chance)
        live_module._change_someone(clerk, many, 105, dice, 2000)
        assert dice.ranges[0] == (len(many) - newest, len(many))


class Dice(random.Random):
    """Dice with given results."""

    def __init__(self, chance: float) -> None:
        super().__init__(0)
        self.chance = chance
        self.ranges: list[tuple[int, int | None]] = []

    def random(self) -> float:
        return self.chance

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
        self.ranges.append((start, stop))
        return (stop or start) - 1
