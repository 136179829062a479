"""Fixtures of the tests of the backfill. A module that needs another set has fixtures of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.backfill_set import BackfillSet, functions_of, hasty, shared_clerk
from tests.support.functions import Functions


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Functions]:
    with functions_of(tmp_path_factory.mktemp("project")) as functions:
        yield functions


@pytest.fixture
def local(functions: Functions, monkeypatch: pytest.MonkeyPatch) -> BackfillSet:
    """Return the shared local Clerk with a Convex of the module."""
    hasty(monkeypatch)
    return BackfillSet(shared_clerk(), functions)
