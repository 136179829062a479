from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.functions import Functions, running
from tests.managed import Managed, cleared
from tests.stand_in import StandIn

# Not by the clock: the machine may be busy. pytest-timeout ends what hangs.
settings.register_profile("without deadline", deadline=None)
settings.load_profile("without deadline")


@pytest.fixture(scope="session")
def deployment() -> Iterator[Functions]:
    """The functions, and a Clerk whose session tokens they take."""
    with running() as functions:
        yield functions


@pytest.fixture
def functions(deployment: Functions) -> Functions:
    """The functions on empty tables."""
    deployment.clear()
    return deployment


@pytest.fixture
def managed(deployment: Functions) -> Managed:
    """User management, and three users."""
    return cleared(deployment)


@pytest.fixture
def convex() -> Iterator[StandIn]:
    """A Convex that answers as it is told."""
    with StandIn() as server:
        yield server


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
