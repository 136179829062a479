from __future__ import annotations

import pytest

from clerk_convex import errors


def test_tree_is_drawn() -> None:
    """The tree in the docstring is the tree in the code, and __all__ names every error in it."""
    drawn: list[str] = []
    ancestors: dict[int, str] = {}
    for line in (errors.__doc__ or "").splitlines():
        name = next((word for word in line.split() if word in vars(errors)), None)
        if name is None:
            continue
        depth = (line.index(name) - 4) // 4
        ancestors[depth] = name
        drawn.append(name)
        bases = [base.__name__ for base in getattr(errors, name).__bases__]
        assert bases == [ancestors[depth - 1] if depth else "Exception"]
    assert sorted(drawn) == errors.__all__


@pytest.mark.parametrize("name", errors.__all__)
def test_errors_have_docstrings(name: str) -> None:
    """The docstring of each error says when it is raised."""
    assert vars(getattr(errors, name))["__doc__"]
