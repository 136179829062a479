"""Makes the pictures of the README from a running local set: scripts/picture

The same people come at the same distance from now in every run, so that a new picture shows what has changed
on the page and nothing else.
"""

from __future__ import annotations

import asyncio
import math
import random
import shutil
import time
import unicodedata
from collections.abc import Iterator
from typing import Any

from playwright.sync_api import sync_playwright

from clerk_convex.backfill import backfill
from clerk_convex.local.clerk_pages import ACCOUNTS
from clerk_convex.local.stack import LocalStack
from tests.functions import ROOT

SEED = 52
MINUTE, DAY = 60_000, 86_400_000
DAYS = 400
FIRST_NAMES = (
    *("Amara", "Anders", "Beatriz", "Camille", "Chidi", "Dario", "Elif", "Emeka", "Freya", "Giulia", "Hana"),
    *("Ines", "Jonas", "Kaito", "Leila", "Lucía", "Mateo", "Mei", "Nadia", "Niko", "Noor", "Olivia", "Priya"),
    *("Rafael", "Saoirse", "Sofia", "Tomás", "Yara", "Zoë", "Łukasz"),
)
LAST_NAMES = (
    *("Abara", "Almeida", "Bergström", "Castellano", "Dubois", "Eriksen", "Fernández", "Haddad", "Ibarra"),
    *("Jansen", "Kowalski", "Lindqvist", "Moreau", "Nakamura", "Novak", "Okafor", "Oyelaran", "Petrov"),
    *("Quinn", "Rossi", "Sato", "Silva", "Tanaka", "Varga", "Weiss", "Ümit"),
)
ROLES = ("member", "member", "member", "editor", "editor", "support", None)
HOSTS = ("example.com", "example.org", "mail.example.net")


def ages(dice: random.Random) -> Iterator[int]:
    """Milliseconds since each user came: a service that grows, and rests at the weekend."""
    for day in range(DAYS):
        busy = (0.5 if day % 7 in (2, 3) else 1.2) * dice.uniform(0.7, 1.3)
        for _ in range(round(9 * busy * math.exp(-day / 160))):
            yield 4 * MINUTE + day * DAY + int(DAY * dice.random() * (0.3 if day == 0 else 1))


def people(now: int) -> Iterator[dict[str, Any]]:
    """Fields for LocalClerk.create_user, the newest first."""
    dice = random.Random(SEED)
    names = [f"{first} {last}" for first in FIRST_NAMES for last in LAST_NAMES]
    dice.shuffle(names)
    for number, age in enumerate(sorted(ages(dice))):
        name, again = names[number % len(names)], number // len(names)
        first, last = name.split()
        plain = unicodedata.normalize("NFKD", name.lower().replace("ł", "l"))
        address = plain.encode("ascii", "ignore").decode().replace(" ", ".")
        role = dice.choice(ROLES)
        fields = {
            "first_name": first,
            "last_name": last,
            "email_address": [f"{address}{again + 1 if again else ''}@{dice.choice(HOSTS)}"],
            "public_metadata": {} if role is None else {"role": role},
            "created_at": now - age,
            "updated_at": now - age,
            "banned": dice.random() < 0.05,
            "locked": dice.random() < 0.04,
        }
        if dice.random() < 0.85:
            fields["last_sign_in_at"] = now - int(age * dice.random() ** 2)
        yield fields


def fill(stack: LocalStack) -> None:
    now = int(time.time() * 1000)
    oldest = {"created_at": now - DAYS * DAY, "updated_at": now - DAYS * DAY}
    stack.clerk.create_user(**{**ACCOUNTS["admin"], "last_name": "Lovelace", **oldest})
    for fields in people(now):
        stack.clerk.create_user(**fields)
    asyncio.run(backfill(stack.settings))


def main() -> None:
    with LocalStack(project=ROOT, connected=False) as stack:
        fill(stack)
        with sync_playwright() as playwright:
            flags = ["--no-sandbox", "--disable-gpu", "--font-render-hinting=none"]
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
            page = browser.new_page(
                viewport={"width": 1440, "height": 900}, device_scale_factor=2, locale="en-US"
            )
            page.goto(f"{stack.clerk.url}/sign-in?redirect_url={stack.dashboard_url}")
            page.get_by_role("button", name="Ada Lovelace").click()
            page.locator("[data-clerk-id]").first.wait_for()
            page.get_by_role("status").filter(has_text="Live").wait_for()
            # The place that is kept for a scrollbar, which is not in the picture.
            page.evaluate("document.documentElement.style.scrollbarGutter = 'auto'")
            for scheme, name in (("light", "dashboard"), ("dark", "dashboard-dark")):
                page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
                page.screenshot(path=ROOT / "docs" / f"{name}.png", animations="disabled")
            browser.close()


if __name__ == "__main__":
    main()
