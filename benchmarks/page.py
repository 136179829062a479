"""Shared by the benchmarks of the users page: the page itself in Chromium, and the command line."""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Page, sync_playwright

from clerk_convex.local.demo import begin
from clerk_convex.local.stack import LocalStack

__all__ = ["run_command", "users_page"]

FLAGS = ["--no-sandbox", "--disable-gpu"]


@contextmanager
def users_page(users: int) -> Iterator[tuple[LocalStack, Page, list[str]]]:
    """Open the users page of a new local set as an admin, and yield both with the ids of the users."""
    with LocalStack(connected=False) as stack, sync_playwright() as playwright:
        user_ids = begin(stack, users, io.StringIO())
        chromium = shutil.which("chromium") or shutil.which("chromium-headless-shell")
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page()
        page.goto(f"{stack.clerk.url}/sign-in?redirect_url={stack.dashboard_url}")
        page.get_by_role("button", name="Ada Admin").click()
        page.locator("[data-clerk-id]").first.wait_for()
        yield stack, page, user_ids
        browser.close()


def run_command(
    name: str,
    description: str | None,
    measure: Callable[..., Any],
    report: Callable[[Any], str],
    **defaults: float,
) -> int:
    """Call `measure` with the numbers of the command line, and print its result as a report or as JSON.

    `defaults` has the options and their defaults, which are of the options' types.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {name}", description=description)
    for option, default in defaults.items():
        parser.add_argument(f"--{option}", type=type(default), default=default)
    parser.add_argument("--json", action="store_true")
    options = vars(parser.parse_args())
    as_json = options.pop("json")
    run = measure(**options)
    sys.stdout.write((json.dumps(dataclasses.asdict(run)) if as_json else report(run)) + "\n")
    return 0
