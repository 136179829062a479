"""Generate users for a local Clerk: ordinary ones, and odd ones as real instances contain them.

The generator is deterministic: a seed and a number give the same user on every machine and in every run.
"""

import random
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["ODDITIES", "ordinary", "people"]

FIRST_NAMES = (
    *(
        "Ada",
        "Grace",
        "Alan",
        "Edsger",
        "Barbara",
        "Margaret",
        "Ken",
        "Radia",
        "Linus",
        "Hedy",
        "Tim",
        "Karen",
    ),
    *("Łukasz", "Zoë", "Jürgen", "Åsa", "Nguyễn", "Íñigo", "太郎", "지민", "Ольга", "محمد", "אסתר", "प्रिया"),
)
LAST_NAMES = (
    *(
        "Lovelace",
        "Hopper",
        "Turing",
        "Dijkstra",
        "Liskov",
        "Hamilton",
        "Thompson",
        "Perlman",
        "Lamarr",
        "Lee",
    ),
    *(
        "O'Brien",
        "Müller-Lüdenscheidt",
        "de la Cruz",
        "Øster",
        "Văn",
        "Ødegård",
        "山田",
        "김",
        "Иванова",
        "الفارسي",
    ),
)
ROLES = ("member", "member", "member", "editor", "admin")
DOMAINS = ("example.com", "example.org", "mail.example.net")

# All sign-ups are between 2023-01-01 and 2026-01-01 (UTC, in Unix milliseconds).
FIRST_DAY, LAST_DAY = 1_672_531_200_000, 1_767_225_600_000
ODD_EVERY = 3  # each third user is odd

UNVERIFIED = {
    "object": "verification_otp",
    "status": "unverified",
    "strategy": "email_code",
    "attempts": 0,
    "expire_at": LAST_DAY,
}

Fields = dict[str, Any]


def people(count: int, seed: int = 0) -> Iterator[Fields]:
    """Yield fields for LocalClerk.create_user, `count` times. Every third user has the next oddity."""
    for number in range(count):
        person = ordinary(number, seed)
        if number % ODD_EVERY == ODD_EVERY - 1:
            ODDITIES[number // ODD_EVERY % len(ODDITIES)](person, number)
        yield person


def ordinary(number: int, seed: int = 0) -> Fields:
    """Return fields for LocalClerk.create_user: names, a verified email address and other usual fields."""
    rng = random.Random(f"{seed}:{number}")
    created_at = rng.randrange(FIRST_DAY, LAST_DAY)
    person: Fields = {
        "first_name": rng.choice(FIRST_NAMES),
        "last_name": rng.choice(LAST_NAMES),
        "email_address": [f"user{number}@{rng.choice(DOMAINS)}"],
        "created_at": created_at,
        "updated_at": rng.randrange(created_at, LAST_DAY),
        "public_metadata": {"role": rng.choice(ROLES)},
    }
    if rng.random() < 0.3:
        person["username"] = f"user_{number}"
    if rng.random() < 0.3:
        person["phone_number"] = [f"+1555{number:07}"]
    if rng.random() < 0.8:
        person["last_sign_in_at"] = rng.randrange(created_at, LAST_DAY)
    if rng.random() < 0.2:
        person["external_id"] = f"legacy-{number}"
    return person


def _no_email(person: Fields, number: int) -> None:
    person |= {"email_address": [], "phone_number": [f"+4930{number:07}"]}


def _only_a_wallet(person: Fields, number: int) -> None:
    person |= {"first_name": None, "last_name": None, "username": None, "public_metadata": {}}
    person |= {"email_address": [], "phone_number": [], "web3_wallet": [f"0x{number:040x}"]}


def _only_a_username(person: Fields, number: int) -> None:
    person |= {"first_name": None, "last_name": None, "email_address": [], "phone_number": []}
    person["username"] = f"nobody_{number}"


def _several_addresses(person: Fields, number: int) -> None:
    person["email_address"] = [
        {"email_address": f"old{number}@example.com", "verification": None},
        {"email_address": f"new{number}@example.com", "verification": UNVERIFIED},
        {"email_address": f"Work.{number}+clerk@Example.COM", "id": f"idn_work{number}"},
    ]
    person["primary_email_address_id"] = f"idn_work{number}"


def _unverified(person: Fields, number: int) -> None:
    person["email_address"] = [{"email_address": f"maybe{number}@example.com", "verification": UNVERIFIED}]


def _no_verification(person: Fields, number: int) -> None:
    person["email_address"] = [{"email_address": f"müller{number}@bücher.example", "verification": None}]


def _primary_not_listed(person: Fields, number: int) -> None:
    person["primary_email_address_id"] = f"idn_gone{number}"


def _keys_that_convex_refuses(person: Fields, number: int) -> None:
    refused = {"$x": 1, "_x": 2, "é": 3, "": 4, "a.b": 5, "nested": {"$in": [{"_id": None}]}}
    person["public_metadata"] |= refused


def _numbers(person: Fields, number: int) -> None:
    person["public_metadata"] |= {"big": 2**53 + 1 + number, "huge": 10**30, "small": -1e-300, "zero": -0.0}


def _deep(person: Fields, number: int) -> None:
    nested: Any = number
    for level in range(70):
        nested = [nested] if level % 2 else {"down": nested}
    person["public_metadata"]["deep"] = nested


def _many_keys(person: Fields, number: int) -> None:
    person["public_metadata"] |= {f"{key:x}": number % 10 for key in range(1_030)}


def _half_a_character(person: Fields, number: int) -> None:
    person["public_metadata"]["cut"] = "\ud83d"  # the first half of an emoji


def _strange_names(person: Fields, number: int) -> None:
    person["first_name"] = "  Zażółć 👩‍👩‍👧 \u202egnirts\u202c  "
    person["last_name"] = "x" * 200 if number % 2 else ""


def _strange_role(person: Fields, number: int) -> None:
    person["public_metadata"] = {"role": ["admin", {"of": number}]}


def _would_be_admin(person: Fields, number: int) -> None:
    person |= {
        "public_metadata": {},
        "unsafe_metadata": {"role": "admin"},
        "private_metadata": {"note": number},
    }


def _banned(person: Fields, number: int) -> None:
    person["banned"] = True


def _locked(person: Fields, number: int) -> None:
    person["locked"] = True


def _deprovisioned(person: Fields, number: int) -> None:
    person |= {"deprovisioned": True, "locked": number % 2 == 0, "scim": {"directory_id": f"dir_{number}"}}


def _banned_and_locked(person: Fields, number: int) -> None:
    person |= {"banned": True, "locked": True}


def _from_the_future(person: Fields, number: int) -> None:
    """Add a field and enum values that Clerk's documentation does not have."""
    person["a_field_of_next_year"] = {"number": number}
    strange = {"object": "verification_telepathy", "status": "believed", "strategy": "trust"}
    person["email_address"] = [{"email_address": f"future{number}@example.com", "verification": strange}]


# Each changes the fields of the user with the given number.
ODDITIES: tuple[Callable[[Fields, int], None], ...] = (
    *(_no_email, _only_a_wallet, _only_a_username, _several_addresses, _unverified, _no_verification),
    *(_primary_not_listed, _keys_that_convex_refuses, _numbers, _deep, _many_keys, _half_a_character),
    *(_strange_names, _strange_role, _would_be_admin, _banned, _locked, _banned_and_locked, _from_the_future),
    _deprovisioned,
)
