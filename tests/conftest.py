from collections.abc import Iterator
from functools import cache

import httpx._transports.default
import pytest
from hypothesis import settings

from tests.support.functions import Functions, running
from tests.support.managed import Managed, cleared
from tests.support.stand_in import StandIn

pytest_plugins = ["clerk_convex.pytest_plugin"]

# A busy machine would miss Hypothesis's deadlines. pytest-timeout ends tests that hang.
settings.register_profile("without deadline", deadline=None)
settings.load_profile("without deadline")

# Each client of httpx reads the machine's certificates, for 20 ms of processor time. Read them once.
_transports = vars(httpx._transports.default)
_transports["create_ssl_context"] = cache(_transports["create_ssl_context"])


@pytest.fixture(scope="session")
def deployment() -> Iterator[Functions]:
    """Run the project's functions in a local Convex that accepts the session tokens of a local Clerk."""
    with running() as functions:
        yield functions


@pytest.fixture
def functions(deployment: Functions) -> Functions:
    """Return the shared functions with empty tables."""
    deployment.clear()
    return deployment


@pytest.fixture
def managed(deployment: Functions) -> Managed:
    """Return user management with three users in Clerk and Convex."""
    return cleared(deployment)


@pytest.fixture
def convex() -> Iterator[StandIn]:
    """Run a scripted stand-in for Convex."""
    with StandIn() as server:
        yield server


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
