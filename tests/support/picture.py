"""Make the pictures of the README and the documentation from a running local set: scripts/picture

The same users join at the same distance from now in every run, so a new picture shows what has changed on the
page and nothing else.

    docs/images/live.webp, live-dark.webp            a loop: a sign-up, a ban, the details of a user
    docs/images/users.png, users-dark.png            the users page at rest
    docs/images/audit.png, audit-dark.png            the audit log, with a denied action
"""

from __future__ import annotations

import asyncio
import html
import io
import math
import random
import shutil
import subprocess
import sys
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

import httpx
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from clerk_convex.backfill import backfill
from clerk_convex.local.clerk.pages import ACCOUNTS
from clerk_convex.local.stack import LocalStack
from tests.support.functions import ROOT

IMAGES = ROOT / "docs" / "images"
LARGEST_LOOP = 1_000_000  # bytes: it is the first thing that a visitor loads
SEED = 52
ROWS = 6  # of the audit log: all of them
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

Scheme = Literal["light", "dark"]
SUFFIXES: dict[Scheme, str] = {"light": "", "dark": "-dark"}

# Elements over the page: a caption with the latest event at Clerk, and a mouse pointer.
CAPTION = """
<div id="caption" style="position: fixed; inset: auto auto 22px 50%; margin: 0; translate: -50% 0;
  padding: 10px 18px; border-radius: 999px; background: #1c1d22; color: #fff; white-space: nowrap;
  font: 500 17px/1.4 Inter, sans-serif; box-shadow: 0 6px 24px rgb(0 0 0 / 0.35);
  border: 1px solid rgb(255 255 255 / 0.16)" popover="manual"></div>
<div id="mouse" style="position: fixed; inset: 0 auto auto 0; width: 22px; height: 28px; margin: 0;
  padding: 0; border: 0; background: none; overflow: visible; pointer-events: none" popover="manual">
  <svg viewBox="0 0 22 28" width="22" height="28"><path d="M1 1v21l5.6-5 3.6 8.4 4-1.7-3.6-8.3H18z"
  fill="#111" stroke="#fff" stroke-width="1.6" stroke-linejoin="round"/></svg></div>
"""


def ages(dice: random.Random) -> Iterator[int]:
    """Yield the age of each account in milliseconds: more sign-ups towards now, fewer at weekends."""
    for day in range(DAYS):
        busy = (0.5 if day % 7 in (2, 3) else 1.2) * dice.uniform(0.7, 1.3)
        for _ in range(round(9 * busy * math.exp(-day / 160))):
            yield 4 * MINUTE + day * DAY + int(DAY * dice.random() * (0.3 if day == 0 else 1))


def people(now: int) -> Iterator[dict[str, Any]]:
    """Yield fields for LocalClerk.create_user, the newest user first."""
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
            "deprovisioned": number % 80 == 20,
        }
        if dice.random() < 0.85:
            fields["last_sign_in_at"] = now - int(age * dice.random() ** 2)
        yield fields


@contextmanager
def filled_set() -> Iterator[LocalStack]:
    """Start a local set with the users of `people`, an admin and an ordinary user."""
    with LocalStack(project=ROOT, connected=False) as stack:
        now = int(time.time() * 1000)
        oldest = {"created_at": now - DAYS * DAY, "updated_at": now - DAYS * DAY}
        stack.clerk.create_user(**{**ACCOUNTS["admin"], "last_name": "Lovelace", **oldest})
        stack.clerk.create_user(**{**ACCOUNTS["ordinary"], **oldest})
        stack.clerk.create_users(people(now))
        asyncio.run(backfill(stack.settings))
        stack.connect()
        yield stack


def open_page(
    browser: Browser, stack: LocalStack, scheme: Scheme, size: tuple[int, int], scale: float
) -> Page:
    """Open the users page, signed in as the admin."""
    page = browser.new_page(
        viewport={"width": size[0], "height": size[1]},
        device_scale_factor=scale,
        locale="en-US",
        color_scheme=scheme,
        bypass_csp=True,  # the caption has a style of its own
    )
    page.goto(f"{stack.clerk.url}/sign-in?redirect_url={stack.dashboard_url}")
    page.get_by_role("button", name="Ada Lovelace").click()
    page.locator("[data-clerk-id]").first.wait_for()
    page.get_by_role("status").filter(has_text="Live").wait_for()
    # A screenshot has no scrollbar, so remove the space that is reserved for it.
    page.evaluate("document.documentElement.style.scrollbarGutter = 'auto'")
    return page


class Film:
    """Record the frames of a page, each with its duration in milliseconds."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._frames: list[Image.Image] = []
        self._durations: list[int] = []
        self._last = b""
        page.evaluate("html => document.body.insertAdjacentHTML('beforeend', html)", CAPTION)

    def caption(self, kind: str, text: str) -> None:
        """Show the type of an event and a sentence about it. An empty `kind` hides the caption."""
        code = "font-family: ui-monospace, monospace; font-size: 15px; color: #b9b4ff; margin-right: 12px"
        content = f'<span style="{code}">{html.escape(kind)}</span>{html.escape(text)}'
        # A popover that is opened again is drawn above an open dialog.
        show = """([content, isShown]) => {
            for (const id of ["caption", "mouse"]) {
                const it = document.getElementById(id);
                if (it.matches(":popover-open")) it.hidePopover();
                if (id === "caption") it.innerHTML = content;
                if (id === "mouse" ? it.dataset.on : isShown) it.showPopover();
            }
        }"""
        self._page.evaluate(show, [content, bool(kind)])

    def move_mouse(self, start: tuple[float, float], end: tuple[float, float], seconds: float) -> None:
        """Move the mouse from `start` to `end`, and record it."""
        steps = max(2, round(seconds * 20))
        for step in range(1, steps + 1):
            part = (1 - math.cos(math.pi * step / steps)) / 2
            x, y = (a + (b - a) * part for a, b in zip(start, end, strict=True))
            self._page.mouse.move(x, y)
            place = """([x, y]) => {
                const it = document.getElementById("mouse");
                it.style.transform = `translate(${x}px, ${y}px)`;
                it.dataset.on = "1";
                if (!it.matches(":popover-open")) it.showPopover();
            }"""
            self._page.evaluate(place, [x, y])
            self._shoot(50)

    def hide_mouse(self) -> None:
        hide = """() => {
            const it = document.getElementById("mouse");
            delete it.dataset.on;
            it.hidePopover();
        }"""
        self._page.evaluate(hide)
        self._page.mouse.move(0, 0)

    def roll(self, seconds: float, step: float = 0.05) -> None:
        """Record for `seconds`. The page's animations advance by `step` seconds with each frame."""
        for _ in range(round(seconds / step)):
            self._shoot(round(step * 1000))

    def save(self, name: str) -> None:
        path = IMAGES / name
        first, *others = self._frames
        options: dict[str, Any] = {"lossless": True, "quality": 90, "method": 4, "minimize_size": True}
        first.save(path, save_all=True, append_images=others, duration=self._durations, loop=0, **options)
        size = path.stat().st_size
        seconds = sum(self._durations) / 1000
        sys.stdout.write(f"{name}: {len(self._frames)} frames, {seconds:.1f} s, {size:,} bytes\n")
        assert size < LARGEST_LOOP, f"{name} has {size:,} bytes"

    def _shoot(self, milliseconds: int) -> None:
        # A screenshot takes longer than a frame, so pause animations and advance them by the frame's time.
        move = """milliseconds => {
            for (const it of document.getAnimations()) {
                if (it.playState === "running") it.pause();
                const end = it.effect.getComputedTiming().endTime;
                const next = (it.currentTime ?? 0) + milliseconds;
                if (Number.isFinite(end) && next >= end) it.finish(); else it.currentTime = next;
            }
        }"""
        self._page.evaluate(move, milliseconds)
        picture = self._page.screenshot()
        if picture == self._last:
            self._durations[-1] += milliseconds
            return
        self._last = picture
        self._frames.append(Image.open(io.BytesIO(picture)).convert("RGB"))
        self._durations.append(milliseconds)


def record_loop(browser: Browser, stack: LocalStack, scheme: Scheme) -> None:
    """Record a sign-up, a ban and a change in a user's details. Undo the changes afterwards."""
    page = open_page(browser, stack, scheme, (1080, 675), 1.5)
    film = Film(page)
    ids = "rows => rows.map(row => row.dataset.clerkId)"
    rows: list[str] = page.locator("[data-clerk-id]").evaluate_all(ids)
    users = {user_id: stack.clerk.get_user(user_id) for user_id in rows}
    active = [user_id for user_id, user in users.items() if not user["banned"] and not user["locked"]]
    banned, watched = active[1], active[2]

    film.roll(1.0)
    now = int(time.time() * 1000)
    film.caption("user.created", "Grace Hopper signs up")
    grace = stack.clerk.create_user(
        first_name="Grace",
        last_name="Hopper",
        email_address=["grace.hopper@example.com"],
        public_metadata={"role": "member"},
        **dict.fromkeys(("created_at", "updated_at", "last_sign_in_at"), now),
    )["id"]
    page.locator(f'[data-clerk-id="{grace}"]').wait_for()
    film.roll(2.2)

    user = stack.clerk.get_user(banned)
    film.caption("user.updated", f"{user['first_name']} {user['last_name']} is banned")
    stack.clerk.ban(banned)
    page.locator(f'[data-clerk-id="{banned}"]').get_by_text("Banned").wait_for()
    film.roll(2.2)

    film.caption("", "")
    place = page.locator(f'[data-clerk-id="{watched}"]').bounding_box()
    assert place is not None
    target = (place["x"] + 150, place["y"] + place["height"] * 0.55)
    film.move_mouse((target[0] + 330, 640), target, 0.7)
    film.roll(0.1)
    page.mouse.click(*target)
    page.locator("dialog[open]").wait_for()
    film.hide_mouse()
    film.roll(0.9)
    user = stack.clerk.get_user(watched)
    film.caption("user.updated", f"{user['first_name']} {user['last_name']} becomes an admin")
    stack.clerk.update_metadata(watched, public_metadata={"role": "admin"})
    page.locator("dialog[open]").get_by_text("admin", exact=True).first.wait_for()
    film.roll(2.4)
    film.save(f"live{SUFFIXES[scheme]}.webp")
    page.close()

    stack.clerk.delete_user(grace)
    stack.clerk.unban(banned)
    stack.clerk.update_metadata(watched, merge=False, public_metadata=user["public_metadata"])
    assert stack.clerk.webhooks.drain(30)


def take_users(browser: Browser, stack: LocalStack, scheme: Scheme) -> None:
    page = open_page(browser, stack, scheme, (1440, 900), 2)
    page.emulate_media(reduced_motion="reduce")
    page.screenshot(path=IMAGES / f"users{SUFFIXES[scheme]}.png", animations="disabled")
    page.close()


def act(stack: LocalStack) -> None:
    """Fill the audit log with actions of an admin and a denied action of another user."""
    clerk = stack.clerk
    users = clerk.users()
    ada = next(user["id"] for user in users if user["last_name"] == "Lovelace")
    newest = sorted(users, key=lambda user: -user["created_at"])
    active = [user for user in newest if not user["banned"] and not user["locked"]]
    support = next(user for user in active if user["public_metadata"].get("role") == "support")
    some = [user["id"] for user in active[40:44]]  # the loop does not show these users

    def call(caller: str, method: str, path: str, body: object = None) -> None:
        token = clerk.session_token(clerk.sign_in(caller)["id"])
        headers = {"Authorization": f"Bearer {token}"}
        httpx.request(
            method, f"{stack.url}/api/users/{path}", json=body, headers=headers, trust_env=False, timeout=30
        )
        assert clerk.webhooks.drain(30)
        time.sleep(0.05)

    clerk.update_user(some[2], first_name="Marta")
    assert clerk.webhooks.drain(30)
    # Delay webhooks, because in production the webhook of an action arrives after its answer.
    clerk.webhooks.delivery = replace(clerk.webhooks.delivery, late=1.0, late_by=0.4)
    call(ada, "PATCH", f"{some[0]}/metadata", {"public_metadata": {"role": "billing"}})
    call(ada, "POST", f"{some[1]}/ban")
    call(support["id"], "DELETE", some[3])
    call(ada, "POST", f"{ada}/ban")
    clerk.webhooks.delivery = replace(clerk.webhooks.delivery, late=0.0)


def take_audit(browser: Browser, stack: LocalStack, scheme: Scheme) -> None:
    page = open_page(browser, stack, scheme, (1080, 675), 2)
    page.emulate_media(reduced_motion="reduce")
    page.get_by_role("link", name="Audit log").click()
    rows = page.locator("tbody tr")
    rows.nth(ROWS - 1).wait_for()
    assert rows.count() == ROWS
    foot = page.get_by_text("entries, newest first").bounding_box()
    assert foot is not None
    whole = {"x": 0.0, "y": 0.0, "width": 1080.0, "height": foot["y"] + foot["height"] + 36}
    path = IMAGES / f"audit{SUFFIXES[scheme]}.png"
    page.screenshot(path=path, clip=whole, animations="disabled")  # type: ignore[arg-type]
    page.close()


def check_tools() -> None:
    """Raise SystemExit if chromium or the page's font is missing."""
    chromium, fc_match = shutil.which("chromium"), shutil.which("fc-match")
    fonts = "" if fc_match is None else subprocess.check_output([fc_match, "Inter"], text=True)
    if chromium is None or "Inter" not in fonts:
        raise SystemExit(
            "The pictures need chromium and the page's font: apt-get install chromium fonts-inter"
        )


def main() -> None:
    check_tools()
    IMAGES.mkdir(exist_ok=True)
    with filled_set() as stack, sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--font-render-hinting=none"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        for scheme in SUFFIXES:
            take_users(browser, stack, scheme)
        act(stack)
        for scheme in SUFFIXES:
            take_audit(browser, stack, scheme)
        for scheme in SUFFIXES:
            record_loop(browser, stack, scheme)
        browser.close()


if __name__ == "__main__":
    main()
