"""The pytest plugin: a local Clerk, the service and a local Convex as fixtures.

An environment with this package imports this module in each run of pytest. So it imports nothing of the
package before a fixture is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from clerk_convex.local.clerk import LocalClerk
    from clerk_convex.local.convex import LocalConvex
    from clerk_convex.testing import Caller, LocalSet

FUNCTIONS, MODULE, ENV = "clerk_convex_functions", "clerk_convex_module", "clerk_convex_env"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(
        FUNCTIONS,
        "the folder of the functions (default: what convex.json names or convex, if it has a schema.ts, else"
        " the functions that come with clerk-convex)",
    )
    parser.addini(
        MODULE, "the module of the users functions in that folder (default: as clerk/module.ts says)"
    )
    parser.addini(ENV, "environment variables of the functions, one NAME=value a line", type="linelist")


@pytest.fixture(scope="session")
def _clerk_convex_started(pytestconfig: pytest.Config) -> Iterator[LocalSet]:
    from clerk_convex.errors import ClerkConvexError
    from clerk_convex.testing import LocalSet

    problem = None
    try:
        local_set = LocalSet(
            functions=_functions(pytestconfig),
            module=pytestconfig.getini(MODULE) or None,
            env=_environment(pytestconfig),
        )
        local_set.start()
    except ClerkConvexError as error:
        problem = str(error)
    if problem is not None:
        pytest.fail(problem, pytrace=False)  # outside of `except`, so that pytest shows this one line
    yield local_set
    local_set.stop()


@pytest.fixture
def clerk_convex(_clerk_convex_started: LocalSet) -> Iterator[LocalSet]:
    """Give a local Clerk, the service and a local Convex with the project's functions. All of it is empty."""
    # Before the test and not after it, so that a debugger at a failed test finds the data.
    _clerk_convex_started.reset()
    yield _clerk_convex_started
    _clerk_convex_started.sign_out()


@pytest.fixture
def clerk(clerk_convex: LocalSet) -> LocalClerk:
    """Give the local Clerk of the set, without users."""
    return clerk_convex.clerk


@pytest.fixture
def convex(clerk_convex: LocalSet) -> LocalConvex:
    """Give the local Convex of the set, with the project's functions and empty tables."""
    return clerk_convex.convex


@pytest.fixture
def as_user(clerk_convex: LocalSet) -> Callable[..., Caller]:
    """Give a function that signs a user in and returns the caller."""
    return clerk_convex.as_user


@pytest.fixture
def as_admin(clerk_convex: LocalSet) -> Callable[..., Caller]:
    """Give a function that creates an admin, signs the admin in and returns the caller."""
    return clerk_convex.as_admin


def _functions(config: pytest.Config) -> Path | None:
    """Return the folder of the functions, or None for those of the package."""
    from clerk_convex.local.convex import LocalConvex

    named = config.getini(FUNCTIONS)
    if not named:
        found = LocalConvex(project=config.rootpath).functions
        return found if (found / "schema.ts").is_file() else None
    functions: Path = config.rootpath / named
    if not functions.is_dir():
        raise pytest.UsageError(f"{FUNCTIONS} = {named} is no folder: write the path of your functions.")
    return functions


def _environment(config: pytest.Config) -> dict[str, str]:
    environment = {}
    for line in config.getini(ENV):
        name, equals, value = line.partition("=")
        if not equals:
            raise pytest.UsageError(f"{ENV} has a line without =: write NAME=value.")
        environment[name.strip()] = value.strip()
    return environment
