"""The whole thing on this machine: python -m clerk_convex.local"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from clerk_convex.errors import LocalError
from clerk_convex.local import demo
from clerk_convex.local.stack import LocalStack


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs until interrupted. Returns the exit status: 0 done, 1 not equal, 2 a part could not be started."""
    options = _parser().parse_args(arguments)
    stack = LocalStack(port=options.port, convex_port=options.convex_port, clerk_port=options.clerk_port)
    # SIGTERM ends it as Ctrl-C does: everything that was started is stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with stack:
            if options.once:
                return demo.once(stack, options.users, sys.stdout)
            demo.sign_up(stack.clerk, options.users)
            if options.env_file is not None:
                _write_env_file(options.env_file, stack)
            if options.demo:
                demo.live(stack, sys.stdout)
            else:
                _wait(stack)
    except LocalError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except KeyboardInterrupt:
        pass
    finally:
        if options.env_file is not None:
            options.env_file.unlink(missing_ok=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m clerk_convex.local",
        description="Starts a local Clerk, a local Convex and the service between them. No account is needed, "
        "and nothing is kept.",
        epilog="example: python -m clerk_convex.local --users 200 --env-file .env.local",
    )
    parser.add_argument(
        "--users", type=_count, default=200, metavar="N", help="users Clerk starts with (default: 200)"
    )
    parser.add_argument(
        "--env-file",
        type=Path,
        metavar="PATH",
        help="write the settings that reach this set there, once it is up",
    )
    parser.add_argument(
        "--port", type=_port, default=0, metavar="N", help="of the service (default: a free one)"
    )
    parser.add_argument("--convex-port", type=_port, default=0, metavar="N", help="of the local Convex")
    parser.add_argument("--clerk-port", type=_port, default=0, metavar="N", help="of the local Clerk")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--demo", action="store_true", help="keep changing users and show the table live")
    mode.add_argument(
        "--once",
        action="store_true",
        help="change users with events doubled, late and shuffled, compare Convex with Clerk, and exit",
    )
    return parser


def _count(text: str) -> int:
    if not 0 <= (count := int(text)) <= 100_000:
        raise argparse.ArgumentTypeError("from 0 to 100000")
    return count


def _port(text: str) -> int:
    if not 0 <= (port := int(text)) <= 65_535:
        raise argparse.ArgumentTypeError("from 0 to 65535")
    return port


def _wait(stack: LocalStack) -> None:
    sys.stdout.write(
        "".join(
            f"{name:<8} {url}\n"
            for name, url in [
                ("Convex", stack.convex.url),
                ("Clerk", stack.clerk.url),
                ("Service", stack.url),
            ]
        )
        + "Ctrl-C stops all of it; --env-file PATH writes the settings that reach it.\n"
    )
    sys.stdout.flush()
    threading.Event().wait()


if __name__ == "__main__":
    sys.exit(main())
