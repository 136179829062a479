"""clerk_convex/backfill/report.py: numbers and texts."""

from clerk_convex.backfill.report import Failure, Report, Tally, Verification
from clerk_convex.errors import ClerkUnavailable


def report(**changes: object) -> Report:
    values: dict[str, object] = {
        "dry_run": False,
        "resumed": False,
        "users": 0,
        "seconds": 0.0,
        "counts": {},
        "failures": (),
        "pruning": None,
        "error": None,
    }
    return Report(**(values | changes))  # type: ignore[arg-type]


def verification(**changes: object) -> Verification:
    values: dict[str, object] = {
        **dict.fromkeys(("users", "rows", "missing", "differing", "extra", "duplicate", "unreadable"), 0),
        "examples": (),
        "last_webhook_at": None,
        "now": 1e12,
        "seconds": 0.0,
    }
    return Verification(**(values | changes))  # type: ignore[arg-type]


def test_a_hundred_failures_are_named_and_the_rest_counted() -> None:
    tally = Tally()
    for number in range(30):
        tally.add({"created": 1}, [Failure(f"user_{number}_{index}", "why") for index in range(7)])
    assert tally.counts == {"created": 30, "failed": 210}
    assert len(tally.failures) == 100
    text = str(report(counts=tally.counts, failures=tally.failures))
    assert "and 110 more" in text
    assert "user_0_0  why" in text


def test_nobody_is_said_too() -> None:
    assert str(report()).startswith("0 users read in 0.0 s: none.")


def test_one_is_one() -> None:
    text = str(report(users=1, seconds=0.5, counts={"created": 1}, resumed=True))
    assert text.startswith("1 user read in 0.5 s (2 a second): 1 created, those of the run before included.")


def test_an_error_is_told_with_the_next_command() -> None:
    stopped = report(error=ClerkUnavailable("Clerk is down."))
    assert "Stopped before the end: Clerk is down." in str(stopped)
    assert "goes on where this one stopped" in str(stopped)
    assert stopped.to_json()["error"] == "Clerk is down."
    assert not stopped.ok


def test_the_next_command_repairs_what_differs() -> None:
    assert str(verification(missing=1)).endswith("Next: python -m clerk_convex.backfill")
    assert str(verification(extra=1)).endswith("Next: python -m clerk_convex.backfill --prune")
    assert str(verification(extra=1, differing=1)).endswith("--prune")
    assert "Next" not in str(verification())


def test_how_long_ago_the_last_webhook_came() -> None:
    for seconds, text in ((3, "3 seconds"), (200, "3 minutes"), (9000, "2 hours"), (300_000, "3 days")):
        told = verification(last_webhook_at=1e12 - seconds * 1000)
        assert f"The last webhook that changed a row came {text} ago." in str(told)
    assert "No webhook has ever changed a row." in str(verification())
