"""clerk_convex/backfill/adoption.py: rows that existed before become the rows of Clerk's users."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from clerk_convex.backfill.adoption import Adoption, By, Leftover, RowCheck, adopt, check_rows
from clerk_convex.backfill.report import OnProgress, Progress
from clerk_convex.backfill.session import Session
from clerk_convex.clerk.api import Clerk, Page
from clerk_convex.local.clerk import LocalClerk
from clerk_convex.settings import Settings
from tests.support.backfill_set import BackfillSet, Then, hasty
from tests.support.functions import Functions, delete, upsert
from tests.support.loose import insert, loose_project, table

EMAIL = By("email", "email")
EXTERNAL = By("column", "externalId")
TOKEN = By("token", "tokenIdentifier")


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Functions]:
    project = loose_project(tmp_path_factory.mktemp("project"))
    # A hook that fails for one user.
    hook = project.folder / "convex/clerk/onUserChange.ts"
    failing = 'if (before?.firstName === "Mallory") throw new Error("no");'
    hook.write_text(hook.read_text().replace("{\n", f"{{\n  {failing}\n", 1))
    with project.running() as functions:
        yield functions


@pytest.fixture(scope="module")
def clerk() -> Iterator[LocalClerk]:
    with LocalClerk(rate_limit=0, secret_key="sk_live_" + "0" * 20) as clerk:
        yield clerk


@pytest.fixture
def local(functions: Functions, clerk: LocalClerk, monkeypatch: pytest.MonkeyPatch) -> BackfillSet:
    hasty(monkeypatch)
    monkeypatch.setattr("clerk_convex.backfill.comparison.AGAIN", 0.0)
    for user in clerk.users():
        clerk.delete_user(user["id"])
    return BackfillSet(clerk, functions)


def run(local: BackfillSet, by: By, settings: Settings | None = None, **options: Any) -> Adoption:
    return asyncio.run(adopt(settings or local.settings(), by=by, **options))


def check(local: BackfillSet, **options: Any) -> RowCheck:
    return asyncio.run(check_rows(local.settings(), **options))


def sign_up(local: BackfillSet, name: str, **fields: Any) -> str:
    user = local.clerk.create_user(first_name=name, email_address=[f"{name.lower()}@example.com"], **fields)
    user_id: str = user["id"]
    return user_id


def links(local: BackfillSet) -> dict[str, str | None]:
    """Return the Clerk id of each row by Convex's id."""
    return {row["_id"]: row.get("clerkId") for row in table(local.functions, "users")}


# ---------------------------------------------------------------- from the first row to the final schema


def test_a_table_with_rows_becomes_equal_to_clerk(local: BackfillSet) -> None:
    """Link by three kinds of match, fill, check. Rows keep their ids and the team's columns."""
    ada, bob, cid, new = (sign_up(local, name) for name in ("Ada", "Bob", "Cid", "New"))
    rows = insert(
        local.functions,
        {"name": "Ada", "plan": "pro", "externalId": ada, "createdAt": "long ago"},
        {"name": "Bob", "tokenIdentifier": f"https://clerk.example.com|{bob}", "role": "admin"},
        {"name": "Cid", "email": "CID@example.com ", "status": "pending"},
    )
    assert not check(local).ok
    for by, left in ((EXTERNAL, 2), (TOKEN, 1), (EMAIL, 0)):
        adoption = run(local, by)
        assert (adoption.rows, adoption.linked, adoption.ok) == (left + 1, 1, left == 0)
        assert sum(adoption.counts.values()) == left
    assert links(local) == dict(zip(rows, [ada, bob, cid], strict=True))

    assert local.verify().missing == 4
    assert local.run(prune=True).counts == {"created": 4}
    assert local.verify().equal
    assert check(local).ok
    assert local.functions.rows().keys() == {ada, bob, cid, new}
    first, second, third, _ = table(local.functions, "users")
    assert (first["_id"], first["name"], first["plan"]) == (rows[0], "Ada", "pro")
    assert (second["name"], second.get("role")) == ("Bob", None)
    assert (third["status"], third["email"]) == ("active", "cid@example.com")
    # Once more changes nothing.
    again = run(local, EMAIL)
    assert (again.rows, again.ok) == (0, True)
    assert str(again) == "No row is without a Clerk id. Next: clerk-convex adopt --check"
    assert local.run().counts == {"unchanged": 4}


def test_rows_that_are_nobodys_are_never_pruned(local: BackfillSet) -> None:
    """They are named, and the comparison fails until they are gone."""
    ada = sign_up(local, "Ada")
    linked, nobody = insert(local.functions, {"externalId": ada}, {"name": "Nobody"})
    adoption = run(local, EXTERNAL)
    assert (adoption.linked, adoption.counts) == (1, {"no value": 1})
    report = local.run(prune=True, yes=True)
    assert report.pruning is not None
    assert (report.pruning.rows, report.pruning.deleted, report.pruning.unlinked) == (1, 0, 1)
    assert links(local) == {linked: ada, nobody: None}
    verification = local.verify()
    assert not verification.equal
    assert (verification.rows, verification.unlinked) == (1, 1)
    assert verification.examples == (("unlinked", nobody),)
    found = check(local)
    assert (found.rows, found.refused, found.unlinked, found.ok) == (2, 1, 1, False)
    assert "remove those that are nobody's" in str(found)


def test_a_dry_run_says_the_same_and_writes_nothing(local: BackfillSet) -> None:
    names = ("Ada", "Bob", "Cid")
    users = [sign_up(local, name) for name in names]
    local.functions.sync([upsert(users[1])])
    insert(local.functions, *({"email": f"{name}@example.com"} for name in ("ada", "bob", "nobody")))
    before = table(local.functions, "users"), table(local.functions, "clerkAudit")
    expected = run(local, EMAIL, dry_run=True)
    assert (table(local.functions, "users"), table(local.functions, "clerkAudit")) == before
    done = run(local, EMAIL)
    assert (expected.linked, expected.merged, expected.counts) == (1, 0, {"no user": 1, "taken": 1})
    assert (done.linked, done.merged, done.counts) == (expected.linked, expected.merged, expected.counts)
    assert expected.leftovers == done.leftovers
    assert "1 would be linked" in str(expected)
    assert str(expected).endswith("Nothing was written. Next: clerk-convex adopt --by-email")
    assert str(done).endswith("by something else for those that are left, or clerk-convex backfill")


def test_many_rows_come_in_pages(local: BackfillSet) -> None:
    """More than a page of Convex, a call of Clerk and a mutation take; also the check."""
    ids = [*local.sign_up(20), *(f"user_{number}" for number in range(600))]
    insert(local.functions, *({"externalId": user_id} for user_id in ids))

    class Steps(OnProgress):
        def __init__(self) -> None:
            self.steps: list[Progress] = []

        def step(self, progress: Progress) -> None:
            self.steps.append(progress)

    steps = Steps()
    adoption = run(local, EXTERNAL, on_progress=steps)
    assert (adoption.rows, adoption.linked, adoption.counts) == (620, 20, {"no user": 600})
    assert len(adoption.leftovers) == 100
    assert "  and 500 more" in str(adoption)
    assert {step.doing for step in steps.steps} == {"matching", "linking"}
    found = check(local, on_progress=steps)
    assert (found.rows, found.refused, found.unlinked, len(found.examples)) == (620, 620, 600, 100)
    assert "  and 520 more" in str(found)
    assert "clerk-convex backfill --prune" in str(found)


def test_an_interrupted_run_continues(local: BackfillSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was linked stays linked, and the next run links the rest."""
    monkeypatch.setattr("clerk_convex.backfill.adoption._CONCURRENCY", 1)
    ids = [sign_up(local, f"U{number}") for number in range(250)]
    insert(local.functions, *({"externalId": user_id} for user_id in ids))

    class AtLinking(Then):
        def step(self, progress: Progress) -> None:
            if progress.doing == "linking":
                super().step(progress)

    with pytest.raises(KeyboardInterrupt):
        run(local, EXTERNAL, on_progress=AtLinking(1, lambda: signal.raise_signal(signal.SIGINT)))
    rest = run(local, EXTERNAL)
    assert 50 <= rest.rows <= 150  # a second call of a hundred may have been under way
    assert (rest.linked, rest.ok) == (rest.rows, True)
    assert sorted(filter(None, links(local).values())) == sorted(ids)


# ---------------------------------------------------------------- which row is whose


def test_only_a_verified_address_matches(local: BackfillSet) -> None:
    """Anyone can type in another person's address."""
    user = local.clerk.create_user(email_address=["ada@example.com"])
    (row,) = insert(local.functions, {"email": "ada@example.com"})
    for status, linked in (("unverified", 0), ("verified", 1)):
        page = {
            **user,
            "email_addresses": [{**user["email_addresses"][0], "verification": {"status": status}}],
        }
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Clerk, "list_users", _answers(page))
            assert run(local, EMAIL).linked == linked
    assert links(local) == {row: user["id"]}


def _answers(*users: object) -> Any:
    async def list_users(self: Clerk, **filters: object) -> Page:
        return Page(list(users), 0.0)

    return list_users


def test_users_that_cannot_be_read_match_nothing(local: BackfillSet, monkeypatch: pytest.MonkeyPatch) -> None:
    insert(local.functions, {"email": "ada@example.com"})
    address = {"email_address": "ada@example.com", "verification": {"status": "verified"}}
    users: tuple[object, ...] = (7, {}, {"email_addresses": ["x"]}, {"email_addresses": [address]})
    monkeypatch.setattr(Clerk, "list_users", _answers(*users))
    assert run(local, EMAIL).counts == {"no user": 1}


def test_what_is_ambiguous_is_named_and_not_linked(
    local: BackfillSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several rows of one user, and several users with one address."""
    ada, bob = sign_up(local, "Ada"), sign_up(local, "Bob")
    addresses = ("ada@example.com", "Ada@Example.com", "bob@example.com")
    one, two, three = insert(local.functions, *({"email": address} for address in addresses))
    adoption = run(local, EMAIL, dry_run=True)
    assert (adoption.linked, adoption.counts) == (1, {"several rows": 2})
    assert list(adoption.leftovers) == [Leftover("several rows", [one, two], [ada])]
    assert f"2 several rows: several rows are of one user.\n  {one} {two} {ada}\n" in str(adoption)
    assert adoption.to_json()["examples"] == [{"kind": "several rows", "rows": [one, two], "clerkIds": [ada]}]

    users = local.clerk.users()
    verified = [{"email_address": "bob@example.com", "verification": {"status": "verified"}}]
    monkeypatch.setattr(
        Clerk, "list_users", _answers(*({**user, "email_addresses": verified} for user in users))
    )
    adoption = run(local, EMAIL)
    assert adoption.counts == {"no user": 2, "several users": 1}
    assert Leftover("several users", [three], sorted([ada, bob])) in adoption.leftovers
    assert set(links(local).values()) == {None}


def test_values_that_name_nobody(local: BackfillSet) -> None:
    """Clerk is not even asked for them: one odd value must not fail the call of its neighbours."""
    ada = sign_up(local, "Ada")
    odd: list[Any] = [None, "", " ", 7, "a b", "x" * 300, "user_1,user_2", {"id": ada}, "\u00e9"]
    insert(local.functions, *({"externalId": value, "email": value, "phone": value} for value in odd))
    for by in (EXTERNAL, EMAIL, By("token", "phone"), By("email", "nowhere")):
        assert run(local, by).counts == {"no value": len(odd)}, by


def test_a_token_identifier_is_of_one_issuer(local: BackfillSet) -> None:
    """With CLERK_JWT_ISSUER_DOMAIN only those of this issuer match."""
    ada, bob, cid = (sign_up(local, name) for name in ("Ada", "Bob", "Cid"))
    tokens = [f"https://clerk.example.com|{ada}", f"https://other.example.com|{bob}", cid, f"|{cid}"]
    rows = insert(local.functions, *({"tokenIdentifier": token} for token in tokens))
    settings = local.settings(clerk_jwt_issuer_domain="https://clerk.example.com")
    adoption = run(local, TOKEN, settings)
    assert (adoption.linked, adoption.counts) == (1, {"no value": 3})
    assert run(local, TOKEN).counts == {"no value": 2}
    assert list(links(local).values()) == [ada, bob, None, None]
    assert list(links(local)) == rows


def test_a_row_of_a_webhook_is_merged_and_other_rows_are_not(local: BackfillSet) -> None:
    ada, bob, cid = (sign_up(local, name) for name in ("Ada", "Bob", "Cid"))
    local.functions.sync([upsert(bob)])
    insert(local.functions, *({"externalId": user_id} for user_id in (ada, bob, cid)))
    local.functions.sync([upsert(ada), delete(cid)])
    adoption = run(local, EXTERNAL)
    assert (adoption.linked, adoption.merged, adoption.counts) == (0, 1, {"taken": 1, "deleted": 1})
    assert "1 linked (1 of them merged with a later row of the user), 2 not" in str(adoption)


def test_a_row_that_is_changed_meanwhile_is_left_alone(
    local: BackfillSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody links one and removes another between the reading and the linking."""
    ada, bob, cid = (sign_up(local, name) for name in ("Ada", "Bob", "Cid"))
    rows = insert(local.functions, *({"externalId": user_id} for user_id in (ada, bob, cid)))
    answers = ["gone", "other", "unchanged"]
    call = Session.call

    async def answer(self: Session, kind: Any, function: str, arguments: dict[str, Any]) -> Any:
        return answers if function == "adoptRows" else await call(self, kind, function, arguments)

    monkeypatch.setattr(Session, "call", answer)
    adoption = run(local, EXTERNAL)
    assert (adoption.rows, adoption.linked, adoption.counts) == (3, 1, {"changed": 2})
    assert [it.rows for it in adoption.leftovers] == [[rows[0]], [rows[1]]]


def test_a_row_that_convex_refuses_does_not_stop_its_neighbours(local: BackfillSet) -> None:
    """A team's own logic fails for one user. The others are linked."""
    users = [sign_up(local, name) for name in ("Ada", "Mallory", "Cid", "Dan", "Eve")]
    rows = insert(local.functions, *({"externalId": user_id} for user_id in users))
    insert(
        local.functions,
        {
            "clerkId": users[1],
            "firstName": "Mallory",
            "status": "active",
            "createdAt": 1.0,
            "sortName": "",
            "searchText": "",
        },
    )
    adoption = run(local, EXTERNAL)
    assert (adoption.linked, adoption.counts) == (4, {"refused": 1})
    assert [it.rows for it in adoption.leftovers] == [[rows[1]]]


def test_the_options_say_how_rows_are_matched() -> None:
    assert EXTERNAL.option == "--by-column externalId"
    assert EMAIL.option == "--by-email"
    assert By("token", "subject").option == "--by-token --column subject"
