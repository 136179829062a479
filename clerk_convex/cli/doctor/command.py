"""The table of the checks, and the command that runs them."""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from clerk_convex.cli.command import DONE, NOT_ALL, Command, Options, is_terminal, say, write_result
from clerk_convex.cli.doctor import clerk, convex, here
from clerk_convex.cli.doctor.exam import Exam
from clerk_convex.cli.doctor.report import Finding, Report, Skip, Status, broken
from clerk_convex.cli.doctor.webhook import webhook
from clerk_convex.errors import ClerkConvexError
from clerk_convex.net.logs import describe

__all__ = ["CHECKS", "main"]

DESCRIPTION = """
  clerk-convex doctor --env-file .env --webhook-url https://users.example.com/webhooks/clerk

Checks the settings, Clerk, Convex, the rows and the webhook's address, and says what to do where something is
wrong. It changes nothing. ✓ is right, ✗ is broken, ! may need a look, – was not checked."""  # noqa: RUF001

EXIT_STATUS = "0 nothing is broken; 1 something is; 2 usage; 130 interrupted."

_SECONDS, _CALL = 25.0, 8.0  # of the whole, and of one call
_SECONDS_FAST, _CALL_FAST = 3.5, 3.0


class Check(NamedTuple):
    """A check: its name in the result, the function, and whether --fast has it."""

    name: str
    function: Callable[[Exam], Awaitable[Finding]]
    is_fast: bool


CHECKS = (
    Check("settings", here.settings, True),
    Check("clock", here.clock, True),
    Check("clerk", clerk.instance, True),
    Check("issuer", clerk.issuer, True),
    Check("convex", convex.reachable, True),
    Check("key", convex.key, False),
    Check("functions", convex.functions, True),
    Check("columns", convex.columns, False),
    Check("rows", convex.rows, False),
    Check("duplicates", convex.duplicates, False),
    Check("refusals", convex.refusals, False),
    Check("webhook", webhook, False),
    Check("events", convex.events, False),
    Check("backfill", convex.backfill, False),
    Check("admin", convex.admin, False),
    Check("redis", here.redis, True),
)


def main(arguments: Sequence[str] | None = None, prog: str = "clerk-convex doctor") -> int:
    """Run the command and return the exit status that --help describes."""
    return COMMAND.main(arguments, prog)


async def _run(options: Options) -> int:
    seconds, call = (_SECONDS_FAST, _CALL_FAST) if options.fast else (_SECONDS, _CALL)
    checks = [check for check in CHECKS if check.is_fast or not options.fast]
    if is_terminal():
        say(f"Checking, for at most {seconds:.0f} s …")
    opened = Exam.open(os.environ, webhook_url=options.webhook_url, seconds=seconds, call=call)
    async with opened as exam:
        findings = await asyncio.gather(*(_find(check, exam) for check in checks))
    report = Report([(check.name, finding) for check, finding in zip(checks, findings, strict=True)])
    write_result(options, report)
    return DONE if report.ok else NOT_ALL


async def _find(check: Check, exam: Exam) -> Finding:
    """Return the finding of a check, whatever becomes of it."""
    try:
        async with asyncio.timeout(exam.seconds):
            return await check.function(exam)
    except Skip as reason:
        return Finding(str(reason), Status.SKIPPED)
    except ClerkConvexError as error:
        return broken(str(error))
    except TimeoutError:
        return broken(f"This took over {exam.seconds:g} s.", "Look at the other checks, and try again.")
    except Exception as error:  # noqa: BLE001 - the other checks must be shown
        return broken(f"The check itself failed: {describe(error)}.", "Please report this.")


def _add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--webhook-url", type=_url, metavar="URL", help="also send requests to the webhook's public address")
    add(
        "--fast",
        action="store_true",
        help="only what takes a call or two, within 5 s: for a container's start",
    )


def _check(parser: argparse.ArgumentParser, options: Options) -> None:
    if options.fast and options.webhook_url is not None:
        parser.error("--fast cannot be combined with --webhook-url")


def _url(text: str) -> str:
    try:
        url = urlsplit(text)
        is_url = url.scheme in {"http", "https"} and bool(url.hostname) and (url.port or 1) > 0
    except ValueError:
        is_url = False
    if not is_url or url.username is not None or url.fragment or not text.isascii():
        raise argparse.ArgumentTypeError("a URL, https://users.example.com/webhooks/clerk")
    return text


COMMAND = Command(
    description=DESCRIPTION,
    exit_status=EXIT_STATUS,
    add_options=_add_options,
    run=_run,
    check=_check,
    when_interrupted=lambda options: "Nothing was changed.",
)
