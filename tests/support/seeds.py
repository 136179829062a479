"""Run a property of Hypothesis with a seed, so that it finds a counterexample soon and in each run."""

from collections.abc import Callable

import pytest
from hypothesis import seed
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants


def seeded(number: int, property_: Callable[[], None]) -> Callable[[], None]:
    """Let a property begin with the examples of a seed.

    Hypothesis also draws constants that it finds in the modules of the project. Without them a seed gives the
    same examples whatever other tests have imported."""
    with_seed = seed(number)(property_)

    def run() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(providers.HypothesisProvider, "_local_constants", Constants())
            patch.setattr(providers, "CONSTANTS_CACHE", type(providers.CONSTANTS_CACHE)(1024))
            with_seed()

    return run
