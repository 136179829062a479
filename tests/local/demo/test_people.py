import json
from typing import Any

from clerk_convex.local.clerk.instance import ClerkInstance
from clerk_convex.local.demo.people import ODD_EVERY, ODDITIES, people

COUNT = len(ODDITIES) * ODD_EVERY


def test_the_same_people_every_time() -> None:
    """A seed and a number determine a person, whoever comes later in the list."""
    assert list(people(COUNT)) == list(people(2 * COUNT))[:COUNT]
    assert list(people(5, seed=1)) != list(people(5, seed=2))


def test_a_clerk_accepts_all_people() -> None:
    """No two share an identifier, over several rounds of oddities."""
    clerk = ClerkInstance()
    for person in people(3 * COUNT):
        clerk.create_user(**person)
    assert clerk.count == 3 * COUNT


def test_every_oddity_is_among_them() -> None:
    """One round has every oddity of real instances."""
    clerk = ClerkInstance()
    users = [clerk.create_user(**person) for person in people(COUNT)]
    metadata = [user["public_metadata"] for user in users]
    verifications = [item["verification"] for user in users for item in user["email_addresses"]]
    names = [f"{user['first_name']} {user['last_name']}" for user in users]
    assert any(not user["email_addresses"] and user["phone_numbers"] for user in users)
    assert any(
        user["web3_wallets"] and user["first_name"] is None and not user["email_addresses"] for user in users
    )
    assert any(
        user["username"] and not user["email_addresses"] and not user["phone_numbers"] for user in users
    )
    assert any(len(user["email_addresses"]) > 1 for user in users)
    assert any(user["primary_email_address_id"] not in (None, *_email_ids(user)) for user in users)
    assert {it["status"] for it in verifications if it} == {"verified", "unverified", "believed"}
    assert None in verifications
    assert any(not name.isascii() for name in names)
    assert any({"$x", "_x", "é", ""} <= own.keys() for own in metadata)
    assert any(own.get("big", 0) > 2**53 for own in metadata)
    assert any(json.dumps(own).count("[") > 20 for own in metadata)
    assert any(len(own) > 1024 for own in metadata)
    assert any("\\ud83d" in json.dumps(own) for own in metadata)
    assert any(not isinstance(own.get("role", ""), str) for own in metadata)
    assert any("role" in user["unsafe_metadata"] for user in users)
    assert any(user["private_metadata"] for user in users)
    assert any("a_field_of_next_year" in user for user in users)
    assert {(user["banned"], user["locked"]) for user in users} == {
        *((False, False), (True, False), (False, True), (True, True))
    }
    assert all(user["created_at"] <= user["updated_at"] for user in users)


def _email_ids(user: dict[str, Any]) -> list[str]:
    return [item["id"] for item in user["email_addresses"]]
