"""CLERK_CONVEX_OMIT: such columns never reach Convex, and the next backfill removes them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from clerk_convex.entities import Upsert, read_user
from clerk_convex.local.clerk import LocalClerk
from clerk_convex.service import Service
from tests.support.backfill_set import BackfillSet, hasty
from tests.support.functions import Functions, upsert

OMIT = ("phone", "email")
PERSON = {"first_name": "Ada", "email_address": ["ada@example.com"], "phone_number": ["+15550100"]}


@pytest.fixture
def local(functions: Functions, monkeypatch: pytest.MonkeyPatch) -> Iterator[BackfillSet]:
    hasty(monkeypatch)
    monkeypatch.setattr("clerk_convex.backfill.comparison.AGAIN", 0.0)
    with LocalClerk(rate_limit=0) as clerk:
        yield BackfillSet(clerk, functions)


def write_all(local: BackfillSet) -> None:
    """Write every column of each user, as a webhook would have done a while ago."""
    read = [read_user(user) for user in local.clerk.users()]
    changes = [Upsert(user.clerk_id, user.updated_at, 1.0, user.columns, "webhook") for user in read]
    assert local.functions.sync(changes) == ["created"] * len(changes)


def is_anywhere(local: BackfillSet, text: str) -> bool:
    return text in str(local.dump())


def test_the_next_backfill_removes_them(local: BackfillSet) -> None:
    """Also from the row of a user who has not changed, and from what search and sorting derive of them."""
    (user_id,) = local.sign_up(1, **PERSON)
    write_all(local)
    row = local.functions.rows()[user_id]
    assert (row["phone"], row["sortEmail"], row["emailVerified"]) == ("+15550100", "ada@example.com", True)
    settings = local.settings(clerk_convex_omit=OMIT)
    assert local.run(settings).counts == {"updated": 1}
    after = local.functions.rows()[user_id]
    gone = {"phone", "email", "emailVerified", "sortEmail"}
    assert row.keys() - after.keys() == gone
    assert "example" not in after["searchText"]
    assert not any(is_anywhere(local, text) for text in ("+15550100", "ada@example.com"))
    # A second one has nothing to do.
    assert local.run(settings).counts == {"unchanged": 1}


def test_verify_compares_without_them(local: BackfillSet) -> None:
    """A row that still has one of them differs, so that the comparison proves that none is left."""
    for number in range(3):
        local.clerk.create_user(phone_number=[f"+1555010{number}"])
    settings = local.settings(clerk_convex_omit=OMIT)
    write_all(local)
    assert local.verify(settings).differing == 3
    local.run(settings)
    assert local.verify(settings).equal
    assert local.verify().differing == 3


def test_no_way_into_convex_sends_them(local: BackfillSet) -> None:
    """The webhook route and user management write with the writer of their service."""

    async def write() -> None:
        service = Service(local.settings(clerk_convex_omit=OMIT))
        for source in ("webhook", "admin"):
            change = upsert(f"user_{source}", source=source, phone="+15550100", email="ada@example.com")
            assert await service.writer.submit(change) == "created"
        await service.writer.aclose()

    asyncio.run(write())
    assert not any(is_anywhere(local, text) for text in ("+15550100", "ada@example.com"))
    assert local.functions.rows()["user_admin"]["sortName"] == "user_admin"
