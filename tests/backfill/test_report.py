"""clerk_convex/backfill/report.py: numbers and texts."""

from clerk_convex.backfill.report import Failure, Pruning, Repair, Report, Tally, Verification
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


def test_report_of_no_users() -> None:
    assert str(report()).startswith("0 users read in 0.0 s: none.")


def test_report_of_one_user_is_singular() -> None:
    text = str(report(users=1, seconds=0.5, counts={"created": 1}, resumed=True))
    assert text.startswith("1 user read in 0.5 s (2 a second): 1 created, those of the run before included.")


def test_an_error_is_reported_with_the_next_command() -> None:
    stopped = report(error=ClerkUnavailable("Clerk is down."))
    assert "Stopped before the end: Clerk is down." in str(stopped)
    assert "resumes this run" in str(stopped)
    assert stopped.to_json()["error"] == "Clerk is down."
    assert not stopped.ok


def test_the_next_command_repairs_what_differs() -> None:
    assert str(verification(missing=1)).endswith("Next: python -m clerk_convex.backfill")
    assert str(verification(extra=1)).endswith("Next: python -m clerk_convex.backfill --prune")
    assert str(verification(extra=1, differing=1)).endswith("--prune")
    assert "Next" not in str(verification())


def test_age_of_the_last_webhook() -> None:
    for seconds, text in ((3, "3 seconds"), (200, "3 minutes"), (9000, "2 hours"), (300_000, "3 days")):
        told = verification(last_webhook_at=1e12 - seconds * 1000)
        assert f"The last webhook that changed a row came {text} ago." in str(told)
    assert "No webhook has ever changed a row." in str(verification())


def test_no_write_is_suggested_while_the_instance_is_in_doubt() -> None:
    """Neither a prune nor a backfill is suggested before CLERK_INSTANCE_ID is set."""
    for found in ({"extra": 3}, {"extra": 3, "missing": 2}, {"extra": 3, "duplicate": 1}):
        text = str(verification(**found, doubt="3 of 4 rows are of users of nobody."))
        assert "\nWrite nothing yet: 3 of 4 rows are of users of nobody.\n" in text
        *_, last = text.splitlines()
        assert last.startswith("Next: set CLERK_INSTANCE_ID to ")
        assert last.endswith("then python -m clerk_convex.backfill --verify")
        assert "--prune" not in text


def test_duplicates_are_repaired_first() -> None:
    """Duplicates are in the text and in the JSON only if there are any."""
    text = str(verification(duplicate=2, extra=1, missing=1))
    assert "1 missing, 0 differing, 1 extra, 2 duplicate, 0 not readable." in text
    command = "python -m clerk_convex.backfill"
    assert text.endswith(f"Next: clerk-convex repair --duplicates, then {command} --verify")
    assert "duplicate" not in str(verification(missing=1))
    assert verification(duplicate=2).to_json()["duplicate"] == 2
    assert verification(doubt="why").to_json()["doubt"] == "why"
    for kind in ("missing", "differing", "extra", "duplicate", "unreadable"):
        assert not verification(**{kind: 1}).equal


def test_a_refused_prune_says_how_to_make_sure() -> None:
    text = str(report(pruning=Pruning(rows=20, absent=11, deleted=0, limit=10, refused=True)))
    assert (
        "--prune --yes    (only if CLERK_SECRET_KEY belongs to the instance whose users the rows are" in text
    )
    assert "CLERK_INSTANCE_ID makes sure of it" in text


def test_a_repair_of_many_names_a_hundred() -> None:
    text = str(Repair(dry_run=False, removed={f"user_{number}": 1 for number in range(103)}))
    assert text.startswith("103 users with several rows: 103 rows removed, one of each kept.")
    assert "  and 3 more\n" in text
    assert len(text.splitlines()) == 103
    assert str(Repair(dry_run=False, removed={})) == (
        "No user has several rows. Next: python -m clerk_convex.backfill --verify"
    )
    one = Repair(dry_run=False, removed={"user_a": 1})
    assert str(one).startswith("1 user with several rows: 1 row removed, one of each kept.\n  user_a  1\n")


def test_rows_without_a_clerk_id_are_told() -> None:
    """They make the comparison fail, and come last: what else is wrong is repaired first."""
    unlinked = verification(unlinked=1200, examples=[("unlinked", "k17"), ("extra", "user_1")])
    assert not unlinked.equal
    assert "0 extra, 1,200 without a Clerk id, 0 not readable." in str(unlinked)
    assert str(unlinked).endswith("Next: clerk-convex adopt --check")
    assert unlinked.to_json()["unlinked"] == 1200
    assert unlinked.to_json()["examples"] == [
        {"kind": "unlinked", "row": "k17"},
        {"kind": "extra", "clerkId": "user_1"},
    ]
    for kind in ("missing", "differing", "unreadable"):
        assert str(verification(unlinked=1, **{kind: 1})).endswith("Next: python -m clerk_convex.backfill")
    assert str(verification(unlinked=1, extra=1)).endswith("--prune")


def test_a_prune_tells_which_rows_it_left_alone() -> None:
    for refused in (False, True):
        text = str(report(pruning=Pruning(20, 11, deleted=0, limit=10, refused=refused, unlinked=1)))
        assert "1 row without a Clerk id stayed; see clerk-convex adopt --check." in text
