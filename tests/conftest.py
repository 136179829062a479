from collections.abc import Iterator

import pytest

from clerk_convex.local.deployment import LocalConvex
from tests.functions import ROOT, Functions
from tests.stand_in import StandIn


@pytest.fixture(scope="session")
def local_convex() -> Iterator[LocalConvex]:
    with LocalConvex(project=ROOT) as convex:
        yield convex


@pytest.fixture
def functions(local_convex: LocalConvex) -> Iterator[Functions]:
    """The functions on empty tables."""
    local_convex.clear()
    functions = Functions(local_convex)
    with functions.http:
        yield functions


@pytest.fixture
def convex() -> Iterator[StandIn]:
    """A Convex that answers as it is told."""
    with StandIn() as server:
        yield server


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
