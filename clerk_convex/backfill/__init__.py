"""Imports the users that Clerk had before the webhook, repairs what was missed, and verifies the result.

    python -m clerk_convex.backfill --help

or, in a program:

    report = await backfill()
    assert report.ok and (await verify()).equal
"""

from clerk_convex.backfill.comparison import verify
from clerk_convex.backfill.duplicates import repair_duplicates
from clerk_convex.backfill.reading import find_user
from clerk_convex.backfill.repair import repair_users
from clerk_convex.backfill.report import (
    Failure,
    OnProgress,
    Progress,
    Pruning,
    Repair,
    RepairedUsers,
    Report,
    Verification,
)
from clerk_convex.backfill.run import backfill

__all__ = [
    "Failure",
    "OnProgress",
    "Progress",
    "Pruning",
    "Repair",
    "RepairedUsers",
    "Report",
    "Verification",
    "backfill",
    "find_user",
    "repair_duplicates",
    "repair_users",
    "verify",
]
