"""The parts that all commands share: common options, signals, errors, exit status and output."""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, Protocol, cast

from clerk_convex.cli.env_file import load_env_file
from clerk_convex.entities import USER_ID
from clerk_convex.errors import (
    ClerkConvexError,
    ClerkMisconfigured,
    DeploymentMisconfigured,
    ProjectError,
    SettingsError,
)

__all__ = [
    "DONE",
    "INTERRUPTED",
    "NOT_ALL",
    "WRONG",
    "Command",
    "Options",
    "Result",
    "is_terminal",
    "say",
    "status_of",
    "user_id",
    "write_result",
]

DONE, NOT_ALL, WRONG, INTERRUPTED = 0, 1, 2, 130
"""The exit statuses: done and all is well; something is not; usage, settings or a rejected key; Ctrl-C."""

Options = argparse.Namespace
AddOptions = Callable[[argparse.ArgumentParser], None]


class Result(Protocol):
    """The result of a command: `str()` for a person, `to_json()` for a program."""

    def to_json(self) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Command:
    """A command: its help text, its options and its action.

    `description` leads with an example. `exit_status` is the rest of the sentence after "exit status:".
    `run` gets the parsed options and returns the exit status.
    """

    description: str
    exit_status: str
    add_options: AddOptions
    run: Callable[[Options], Coroutine[Any, Any, int]]
    check: Callable[[argparse.ArgumentParser, Options], None] = lambda parser, options: None
    """Call `parser.error` for options that do not go together."""
    arguments: str = ""
    """The arguments after the options in the usage line."""
    when_interrupted: Callable[[Options], str] = lambda options: ""
    """Return what a person should know after Ctrl-C, as a sentence."""

    def main(self, arguments: Sequence[str] | None, prog: str) -> int:
        """Run the command and return the exit status that --help describes."""
        options = self._parse(arguments, prog)
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")  # the terminal's encoding may lack letters of a name
        if options.debug:
            logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
        else:  # the result says all that the package logs
            logging.getLogger("clerk_convex").addHandler(logging.NullHandler())
        try:
            with _sigterm_as_interrupt():
                if options.env_file is not None:
                    load_env_file(options.env_file)
                return asyncio.run(self.run(options))
        except KeyboardInterrupt:
            say(f"Interrupted. {self.when_interrupted(options)}".rstrip())
            return INTERRUPTED
        except ClerkConvexError as error:
            say(traceback.format_exc() if options.debug else str(error))
            return status_of(error)

    def _parse(self, arguments: Sequence[str] | None, prog: str) -> Options:
        parser = argparse.ArgumentParser(
            prog=prog,
            usage=f"%(prog)s [options] {self.arguments}".rstrip(),
            description=self.description,
            epilog=f"exit status: {self.exit_status}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self.add_options(parser)
        add = parser.add_argument
        add("--env-file", metavar="FILE", help="settings that the environment does not have (dotenv)")
        add("--json", action="store_true", help="the result as JSON")
        add("--debug", action="store_true", help="log what happens; show where an error came from")
        options = parser.parse_args(arguments)
        self.check(parser, options)
        return options


def user_id(text: str) -> str:
    """Return the argument if it is a Clerk id of a user."""
    if not USER_ID.fullmatch(text):
        raise argparse.ArgumentTypeError("a Clerk id, which is written user_…")
    return text


def write_result(options: Options, result: Result) -> None:
    """Write the result to stdout, as --json says."""
    if sys.stdout is None:  # closed by the caller: `>&-`
        return
    try:
        sys.stdout.write(f"{json.dumps(result.to_json()) if options.json else result}\n")
        sys.stdout.flush()
    except OSError as error:
        # The rest of the output must not raise again when Python exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):  # else the reader of the output is gone, as `| head` is
            raise ClerkConvexError(f"The result cannot be written to stdout ({error.strerror}).") from None


def say(text: str) -> None:
    """Write a line to stderr."""
    if sys.stderr is not None:  # closed by the caller: `2>&-`
        sys.stderr.write(f"{text}\n")


def is_terminal() -> bool:
    """Return whether stderr is a terminal, where a person sees progress."""
    return sys.stderr is not None and sys.stderr.isatty()


def status_of(error: ClerkConvexError | None) -> int:
    """Return the exit status for an error: WRONG if only a person can end it."""
    lasting = (SettingsError, ClerkMisconfigured, DeploymentMisconfigured, ProjectError)
    return WRONG if isinstance(error, lasting) else NOT_ALL


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """Handle SIGTERM as Ctrl-C, so that a command ends in order, and a run can be resumed immediately."""
    interrupt, terminate = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, interrupt)
        signal.signal(signal.SIGTERM, terminate)


def _interrupt(number: int, frame: FrameType | None) -> None:
    # Called, not sent: asyncio would see a signal that another one's handler sends only when it wakes up.
    handler = cast("Callable[[int, FrameType | None], None]", signal.getsignal(signal.SIGINT))
    handler(signal.SIGINT, frame)
