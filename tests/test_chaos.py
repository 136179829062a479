"""scripts/chaos: nothing is lost, and the comparison notices what is broken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from clerk_convex.local.clerk.svix import Delivery
from tests.chaos.__main__ import main
from tests.chaos.run import Options, Report, run

# The tombstone, the totals of those who leave, and the entry of an update in the audit log.
BREAKS = (
    ("clerk/order/rules.ts", "if (gone && ", "if (false && gone && "),
    ("clerk/users/tally.ts", "countUser(before, -1);", ""),
    (
        "clerk/order/sync.ts",
        "if (fields !== undefined && ",
        'if (outcome !== "updated" && fields !== undefined && ',
    ),
)


# Each message comes twice, and seconds late: after the deletion of its user.
LATE = Delivery(late=1.0, doubled=1.0, shuffled=1.0, late_by=1.5, window=1.0)


def test_nothing_is_lost() -> None:
    """While answers are lost, cut and replaced, and a worker and a backfill are killed."""
    report = run(Options(events=120, workers=2, hang=0.2, before=40, rate=0.15), lambda text: None)
    assert report.differences == [], report
    assert (report.events, report.kills["workers"]) == (120, 1)
    assert report.messages >= 120
    assert sum(faults.total() for faults in report.faults.values()) > 0
    assert "lost 0" in str(report)


def test_what_is_broken_is_found() -> None:
    """Users who come back, wrong totals, and changes that the audit log lacks."""
    options = Options(events=120, workers=1, rate=0, before=0, delivery=LATE, broken=BREAKS)
    report = run(options, lambda text: None)
    found = "\n".join(report.differences)
    for what in ("a row too many", "the tombstone is not", "total ", "entries of the audit log"):
        assert what in found, f"{what}: {report}"
    assert f"lost {len(report.differences)}" in str(report)


def test_exit_status(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """1 with the first differences on stdout, 130 on Ctrl-C; 300 seconds unless the options say otherwise.

    Many events come in rounds, whose figures are added.
    """
    chosen: list[Options] = []
    lost: list[str] = []

    def stand_in(options: Options, say: Callable[[str], None]) -> Report:
        chosen.append(options)
        say("50%")
        if options.seed == 13:
            raise KeyboardInterrupt
        report = Report(1.0, options.events or 2, 3, 4, 5, 6, {"front": Counter(lost=7)}, 8, {"workers": 9})
        report.differences = list(lost)
        return report

    monkeypatch.setattr("tests.chaos.run.run", stand_in)
    assert main([]) == 0
    lost = [f"user_{number}: differs" for number in range(25)]
    assert main(["--events", "1000", "--seed", "5", "--workers", "4"]) == 1
    assert main(["--seconds", "2.5", "--seed", "13"]) == 130
    assert main(["--events", "45000", "--seed", "12"]) == 130
    assert [(one.seconds, one.events, one.seed, one.workers) for one in chosen] == [
        (300.0, None, 0, 3),
        (None, 1000, 5, 4),
        (2.5, None, 13, 3),
        (None, 20_000, 12, 3),
        (None, 20_000, 13, 3),
    ]
    out, err = capsys.readouterr()
    assert "7 faults in 8 requests\n  front: 7 lost\nkilled with -9: 9 workers" in out
    assert "lost 0\n" in out
    assert "lost 25\n  user_0: differs\n" in out
    assert out.endswith("user_19: differs\n  and 5 more\n")
    assert "together 1,000 events, lost 25\n" in err
    assert err.count("Interrupted.\n") == 2


def test_rounds_are_added(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The last one has the rest of the events; a difference names its seed."""

    def stand_in(options: Options, say: Callable[[str], None]) -> Report:
        assert options.events is not None
        report = Report(1.0, options.events, 3, 4, 5, 6, {"front": Counter(lost=7)}, 8, {"workers": 9})
        report.differences = ["total: wrong"] if options.seed == 9 else []
        return report

    monkeypatch.setattr("tests.chaos.run.run", stand_in)
    assert main(["--events", "45000", "--seed", "8"]) == 1
    out, err = capsys.readouterr()
    assert out.startswith("45,000 events in 3 s: 15 users, 18 deleted\n9 messages in 12 attempts\n")
    assert "21 faults in 24 requests\n  front: 21 lost\nkilled with -9: 27 workers" in out
    assert out.endswith("lost 1\n  seed 9: total: wrong\n")
    assert "together 40,000 events, lost 1\n" in err


def test_wrong_options_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--seconds", "0"], ["--events", "0"], ["--workers", "none"]):
        with pytest.raises(SystemExit) as refused:
            main(arguments)
        assert refused.value.code == 2
        assert arguments[0] in capsys.readouterr().err
