"""The command `python -m clerk_convex.local`: run a local set until it is stopped."""

from __future__ import annotations

import argparse
import importlib.util
import io
import logging
import os
import re
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from clerk_convex.errors import ClerkConvexError, LocalError

if TYPE_CHECKING:
    from clerk_convex.local.kept import Kept
    from clerk_convex.local.stack import LocalStack

LOOK_EVERY = 0.5  # seconds
MOST_USERS = 10_000  # the local Convex keeps all rows in memory and is built for this many

DESCRIPTION = """
  python -m clerk_convex.local --users 200 --env-file .env.local

Starts a local Clerk, a local Convex and the service between them, without an account. Functions are loaded
again when they change; data is lost at the end (Ctrl-C). Logs of the functions go to stderr."""

EPILOG = """\
exit status: 0 stopped, or Convex equals Clerk; 1 it does not (--once); 2 usage, or a part could not be
started or has ended; 130 stopped before --once could tell"""


def main(arguments: Sequence[str] | None = None, prog: str = "python -m clerk_convex.local") -> int:
    """Run until stopped, or with --once until the comparison is done. Return the exit status (see --help)."""
    options = _parser(prog).parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # the terminal's encoding may lack letters of a name
    try:
        with _stopped_by_signals(), _logging(live=options.demo and not options.once):
            return _run(options, sys.stdout)
    except KeyboardInterrupt:
        return 130 if options.once else 0
    except BrokenPipeError:
        # The reader of stdout has closed it (`| head`). Python flushes stdout when it exits, and that flush
        # must not fail a second time.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 130 if options.once else 0
    except ClerkConvexError as error:
        _say(str(error))
        return 2


def _run(options: argparse.Namespace, out: TextIO) -> int:
    if importlib.util.find_spec("uvicorn") is None:
        raise LocalError("The local set needs uvicorn. Install it: pip install 'clerk-convex[local]'")
    from clerk_convex.local.demo import begin, once, run_live
    from clerk_convex.local.env_file import EnvFile
    from clerk_convex.local.kept import kept
    from clerk_convex.local.stack import LocalStack

    with (
        nullcontext() if options.env_file is None else EnvFile(options.env_file) as env_file,
        # --once is a proof, and many of them may run at once.
        nullcontext() if options.once else kept(Path.cwd(), _say) as mine,
        LocalStack(
            **_addresses(options, mine),
            functions=options.functions,
            data=options.data,
            watch=not options.once,
            webhook_url=options.webhook_url,
            connected=False,
        ) as stack,
    ):
        now = int(time.time() * 1000)
        user_ids = [] if options.once else begin(stack, options.users, out, now=now)  # once() calls begin()
        if env_file is not None:
            env_file.write(stack.environment())
        if options.webhook_url is not None:
            where = f"--env-file {options.env_file}" if env_file else "the file of --env-file PATH"
            out.write(f"Webhooks  {stack.webhook_url}\n")
            out.write(f"          signed with CLERK_WEBHOOK_SIGNING_SECRET, which is in {where}\n")
            out.flush()
        if options.once:
            return once(stack, options.users, out)
        try:
            if options.demo:
                run_live(stack, user_ids, out)
            else:
                _wait(stack, out)
        except LocalError:
            if stack.ended() is None:
                raise
        raise LocalError(f"{stack.ended()} has ended, and its data with it: start all of it again.")


def _addresses(options: argparse.Namespace, mine: Kept | None) -> dict[str, Any]:
    """Return the ports and keys of the set: `mine`, else new ones. A port that is an option comes first."""
    named = {name: getattr(options, name) for name in ("port", "convex_port", "clerk_port")}
    kept = {} if mine is None else asdict(mine)
    return {**kept, **{name: port or kept.get(name, 0) for name, port in named.items()}}


def _wait(stack: LocalStack, out: TextIO) -> None:
    """Print the addresses of all parts. Return when a part has ended."""
    places = {
        "Dashboard": stack.dashboard_url,
        "Clerk": stack.clerk.url,
        "Service": stack.url,
        "Convex": stack.convex.url,
    }
    out.write("".join(f"{name:<9} {url}\n" for name, url in places.items() if url is not None))
    out.write("Ctrl-C stops all of it; --env-file PATH writes the settings that reach it.\n")
    out.flush()
    while stack.ended() is None:
        time.sleep(LOOK_EVERY)


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Treat SIGTERM, and SIGHUP of a closed terminal, like Ctrl-C, so that all parts are stopped."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job starts without it
    for number in (signal.SIGTERM, signal.SIGHUP):
        if before[number] != signal.SIG_IGN:  # `nohup` makes a command ignore SIGHUP
            # Raise SIGINT, not KeyboardInterrupt: asyncio handles SIGINT between two steps of the loop.
            signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(text: str) -> None:
    """Write a line to stderr."""
    if sys.stderr is not None:  # closed by the caller: `2>&-`
        sys.stderr.write(f"{text}\n")


@contextmanager
def _logging(*, live: bool) -> Iterator[None]:
    """Log the output of Convex's functions to stderr, except where it would break a `live` table."""
    logger = logging.getLogger("clerk_convex.local")
    handler: logging.Handler = logging.StreamHandler(sys.stderr)
    if live and sys.stderr is not None and sys.stderr.isatty():
        handler = logging.NullHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        usage="%(prog)s [options]",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--demo",
        action="store_true",
        help="keep changing users; show the table live",
    )
    add(
        "--once",
        action="store_true",
        help="change users, their events late and doubled; compare; exit",
    )
    add(
        "--users",
        type=_count,
        default=200,
        metavar="N",
        help="users that Clerk starts with (default: 200)",
    )
    add(
        "--env-file",
        type=Path,
        metavar="PATH",
        help="write the settings to this new file while it is up",
    )
    add("--webhook-url", type=_url, metavar="URL", help="send the webhooks to this service of yours")
    add("--functions", type=Path, metavar="DIR", help="folder of the functions (default: ./convex)")
    add(
        "--data",
        type=Path,
        action="append",
        default=[],
        metavar="PATH",
        help="rows to start with: TABLE.jsonl, or an unzipped export",
    )
    add("--port", type=_port, default=0, metavar="N", help="port of the service (default: as last time)")
    add("--convex-port", type=_port, default=0, metavar="N", help="port of the local Convex")
    add("--clerk-port", type=_port, default=0, metavar="N", help="port of the local Clerk")
    return parser


def _url(text: str) -> str:
    if not re.fullmatch(r"https?://[^/\s]+(/\S*)?", text):
        raise argparse.ArgumentTypeError("an address such as http://127.0.0.1:8000/webhooks/clerk")
    return text


def _count(text: str) -> int:
    return _number(text, MOST_USERS)


def _port(text: str) -> int:
    return _number(text, 65_535)


def _number(text: str, greatest: int) -> int:
    if not (text.isdecimal() and int(text) <= greatest):
        raise argparse.ArgumentTypeError(f"a number from 0 to {greatest}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
