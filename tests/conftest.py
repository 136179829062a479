import os
import signal
from collections.abc import Iterator
from functools import cache

import httpx._config
import httpx._transports.default
import pytest
from hypothesis import HealthCheck, settings

from clerk_convex.testing import Caller, LocalSet
from tests.support.functions import ROOT, TOKEN_LIFETIME, Functions
from tests.support.managed import Managed
from tests.support.stand_in import StandIn

pytest_plugins = ["clerk_convex.pytest_plugin", "tests.support.wheel"]

# A shell starts its background jobs with SIGINT ignored, and the tests of Ctrl-C need it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Node keeps there what it has compiled of the local Convex, which some hundred tests start.
os.environ.setdefault("NODE_COMPILE_CACHE", str(ROOT / ".venv" / "node"))

# A busy machine would miss Hypothesis's deadlines. pytest-timeout ends tests that hang.
settings.register_profile("without deadline", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("without deadline")

# So does httpx, whose clients wait for five seconds where a test does not say how long.
for _phase in ("connect", "read", "write", "pool"):
    setattr(httpx._config.DEFAULT_TIMEOUT_CONFIG, _phase, 60.0)

# And so do the waits of our own fixtures.
LocalSet.settle.__defaults__ = (60.0,)
Caller.until.__kwdefaults__ = {"timeout": 60.0}

# Each client of httpx reads the machine's certificates, for 20 ms of processor time. Read them once.
_transports = vars(httpx._transports.default)
_transports["create_ssl_context"] = cache(_transports["create_ssl_context"])


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--every-look", action="store_true", help="for test_axe.py: each width in each theme")


@pytest.fixture
def functions(clerk_convex: LocalSet) -> Iterator[Functions]:
    """Return the project's functions with empty tables. No webhook reaches them."""
    clerk_convex.clerk.events = []
    clerk_convex.clerk.token_lifetime = TOKEN_LIFETIME
    functions = Functions(clerk_convex.convex, clerk_convex.clerk)
    with functions.http:
        yield functions


@pytest.fixture
def managed(functions: Functions) -> Managed:
    """Return user management with three users in Clerk and Convex."""
    return Managed(functions)


@pytest.fixture
def confirmed_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every caller count as confirmed by Clerk in the last minute."""

    async def confirm(*_: object) -> None:
        return None

    monkeypatch.setattr("clerk_convex.admin.caller.Callers.refresh", confirm)


@pytest.fixture
def convex() -> Iterator[StandIn]:
    """Run a scripted stand-in for Convex."""
    with StandIn() as server:
        yield server


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
