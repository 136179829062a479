"""convex/clerk/version.ts: the functions say which version they are and which columns they take."""

from __future__ import annotations

import clerk_convex
from tests.support.functions import Functions


def test_the_functions_have_the_version_of_the_package(functions: Functions) -> None:
    """`clerk-convex init --upgrade`, the service and scripts/release rely on it."""
    assert functions.query("users:about", {})["version"] == clerk_convex.__version__


def test_the_functions_name_the_columns_that_a_change_may_have(functions: Functions) -> None:
    columns = functions.query("users:about", {})["columns"]
    assert {"email", "firstName", "status", "createdAt", "lastSignInAt"} <= set(columns)
    assert not {"clerkId", "sortName", "searchText", "updatedAt"} & set(columns)
    assert columns == sorted(columns)
