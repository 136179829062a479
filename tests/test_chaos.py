"""scripts/chaos: nothing is lost, and the comparison notices what is broken."""

from __future__ import annotations

import pytest

from clerk_convex.local.clerk.svix import Delivery
from tests.chaos.__main__ import main
from tests.chaos.run import Options, run

# The tombstone, the total of those who leave a status, and the entry of an update in the audit log.
BREAKS = (
    ("clerk/order/rules.ts", "if (gone && ", "if (false && gone && "),
    ("clerk/users/stats.ts", "countUser(before, -1);", ""),
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
    """Tombstones that do not last, wrong totals, and changes that the audit log lacks."""
    options = Options(events=120, workers=1, rate=0, before=0, delivery=LATE, broken=BREAKS)
    report = run(options, lambda text: None)
    found = "\n".join(report.differences)
    for what in ("the tombstone is not", "total ", "entries of the audit log"):
        assert what in found, f"{what}: {report}"
    assert f"lost {len(report.differences)}" in str(report)


def test_wrong_options_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--seconds", "0"], ["--events", "0"], ["--workers", "none"]):
        with pytest.raises(SystemExit) as refused:
            main(arguments)
        assert refused.value.code == 2
        assert arguments[0] in capsys.readouterr().err
