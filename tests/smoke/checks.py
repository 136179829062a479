"""The checks of scripts/smoke. Each one returns what was found, which is equal wherever all is well.

Numbers that differ from one deployment to another, such as times, go to `Smoke.measured`.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from clerk_convex.convex import CallRefused, Deployment, Writer, WriterLimits
from clerk_convex.entities.changes import Change, Delete, Upsert, encode
from clerk_convex.errors import ChangeRefused, DeploymentError, DeploymentUnavailable
from clerk_convex.local.clerk import LocalClerk
from tests.smoke.project import ROOT, Signer
from tests.smoke.target import Target

__all__ = ["CHECKS", "ONLY_REAL", "Smoke"]

CALL_SECONDS = 60.0
PATIENCE = 60.0  # seconds for what takes time, such as a cron job
CREATED_AT = 1_700_000_000_000.0  # Unix milliseconds, as all times here
PAGES = "users:getUsers"
ONLY_REAL = (
    "npx convex deploy: bundling, types, the schema against what is there, the size of the push",
    "conflicts of mutations under load (OCC), and how often Convex repeats them",
    "the limits of the deployment's class: calls at once (429), bytes written per second, time of a function",
    "the texts of errors, which production deployments hide",
    "keys with single permissions, made in the dashboard",
    "which matches a search ranks first, and how soon a new row is found",
    "cron jobs and scheduled functions at their time, over days",
    "session tokens of a Clerk instance, and its keys when they are rotated",
)
"""What no local deployment shows."""


def upsert(clerk_id: str, *, updated_at: float = 10.0, observed_at: float = 100.0, **columns: Any) -> Upsert:
    columns = {"status": "active", "createdAt": CREATED_AT, **columns}
    return Upsert(clerk_id, updated_at, observed_at, columns, "webhook", None, None)


@dataclass
class Smoke:
    """What the checks share: the deployment with its key, and callers without."""

    target: Target
    service: Deployment
    measured: dict[str, float] = field(default_factory=dict)

    @asynccontextmanager
    async def caller(self, token: str | None) -> AsyncIterator[Deployment]:
        """Open a client without the key: with a session token, or as nobody."""
        client = Deployment(self.target.url, self.target.key, timeout=CALL_SECONDS)
        client.clear_auth()
        if token is not None:
            client.set_auth(token)
        try:
            yield client
        finally:
            await client.aclose()

    def as_user(self, clerk_id: str) -> AbstractAsyncContextManager[Deployment]:
        return self.caller(self.target.signer.token(clerk_id))

    async def sync(self, *changes: Change) -> list[str]:
        return list(await self._changes("mutation", "syncUsers", changes))

    async def compare(self, *changes: Change) -> list[str]:
        return list(await self._changes("query", "compareUsers", changes))

    async def rows(self) -> list[dict[str, Any]]:
        """Return all rows of users, the oldest first."""
        rows: list[dict[str, Any]] = []
        cursor = None
        while True:
            options: Any = {"numItems": 500, "cursor": cursor}
            page: Any = await self.service.query("users:exportUsers", {"paginationOpts": options})
            rows += page["page"]
            if page["isDone"]:
                return rows
            cursor = page["continueCursor"]

    async def occupied(self) -> list[str]:
        """Return the names of the tables that have rows."""
        names: Any = await self.service.query("smoke:occupied", {})
        return list(names)

    async def clear(self) -> None:
        """Delete all rows of all tables."""
        while await self.service.mutation("smoke:clear", {}):
            pass

    @contextmanager
    def stopwatch(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.measured[name] = round((time.monotonic() - started) * 1000, 1)

    async def _changes(self, kind: Any, function: str, changes: Sequence[Change]) -> Any:
        args = b'{"changes":[%b]}' % b",".join(map(encode, changes))
        return await self.service.send(kind, f"users:{function}", args)


async def refusal(call: Awaitable[object]) -> str:
    """Return how a call is refused: the reason in a ConvexError, or the type of the package's error."""
    try:
        await call
    except CallRefused as error:
        if isinstance(error.data, dict):
            return str(error.data["reason"])
        return "wrong arguments" if error.is_validation else "refused"
    except DeploymentError as error:
        return type(error).__name__
    return "allowed"


def first_page(**arguments: Any) -> dict[str, Any]:
    """Return the arguments of a query for its first page of five."""
    return {"paginationOpts": {"numItems": 5, "cursor": None}, **arguments}


async def errors(smoke: Smoke) -> str:
    """The errors of Convex are those that the package tells apart."""
    call = smoke.service
    assert await refusal(call.query("users:noSuchFunction", {})) == "FunctionMissing"
    assert await refusal(call.mutation(PAGES, first_page())) == "DeploymentMisconfigured", "kind"
    # Production deployments hide that the arguments are wrong.
    assert await refusal(call.query("users:exportUsers", {"x": 1})) in {"wrong arguments", "refused"}
    async with smoke.caller(None) as nobody:
        assert await refusal(nobody.query(PAGES, first_page())) == "not_signed_in"
    name, _, key = smoke.target.key.partition("|")
    stranger = Deployment(smoke.target.url, f"{name}|{'0' * len(key)}", timeout=CALL_SECONDS)
    try:
        assert await refusal(stranger.query("users:lastWebhookAt", {})) == "KeyRefused"
    finally:
        await stranger.aclose()
    too_many = [upsert(f"user_smoke{number}") for number in range(8193)]  # Convex's limit of an array is 8192
    assert await refusal(smoke.sync(*too_many)) in {"wrong arguments", "refused"}
    assert await smoke.rows() == []
    return "unknown function, kind, arguments, key and size are told apart"


async def permissions(smoke: Smoke) -> str:
    """Without the key, internal functions are not to be found, and public queries are for admins."""
    await smoke.sync(upsert("user_admin", role="admin"), upsert("user_member"), upsert("user_gone"))
    await smoke.sync(
        upsert("user_banned", role="admin", status="banned"),
        Delete("user_gone", 200.0, "webhook"),
    )
    internal: list[tuple[str, str, dict[str, Any]]] = [
        ("mutation", "users:syncUsers", {"changes": []}),
        ("mutation", "users:deleteUser", {"clerkId": "user_member"}),
        ("query", "users:exportUsers", first_page()),
        ("query", "users:compareUsers", {"changes": []}),
        ("mutation", "smoke:clear", {}),
    ]
    async with smoke.as_user("user_admin") as admin, smoke.caller(None) as nobody:
        for caller in (admin, nobody):
            for kind, function, args in internal:
                answer = await refusal(getattr(caller, kind)(function, args))
                assert answer == "FunctionMissing", f"{function} without the key: {answer}"
        assert (await admin.query("users:currentUser", {}))["isAdmin"] is True
    expected = {
        "user_admin": "allowed",
        "user_member": "not_admin",
        "user_banned": "not_active",
        "user_gone": "deleted",
        "user_stranger": "not_synced",
    }
    public = [(PAGES, first_page()), ("users:auditLog", first_page()), ("users:stats", {})]
    for clerk_id, wanted in expected.items():
        async with smoke.as_user(clerk_id) as caller:
            for function, args in [*public, ("users:getUser", {"clerkId": "user_member"})]:
                answer = await refusal(caller.query(function, args))
                assert answer == wanted, f"{function} as {clerk_id}: {answer}"
    return "internal functions need the key; public queries need an active admin"


async def tokens(smoke: Smoke) -> str:
    """Convex accepts a token of the provider, and no expired, forged or foreign one."""
    await smoke.sync(upsert("user_admin", role="admin"))
    past = time.time() - 3600
    forger = Signer()
    forger.key_id = smoke.target.signer.key_id
    valid = smoke.target.signer.token("user_admin")
    wrong = {
        "expired": smoke.target.signer.token("user_admin", exp=int(past), iat=int(past) - 60),
        "forged": forger.token("user_admin"),
        "another audience": smoke.target.signer.token("user_admin", aud="another"),
        "another issuer": smoke.target.signer.token("user_admin", iss="https://another.invalid"),
        "not a token": "not.a.token",
    }
    async with smoke.caller(valid) as caller:
        me: Any = await caller.query("users:currentUser", {})
        assert (me["state"], me["user"]["clerkId"]) == ("synced", "user_admin")
    for what, token in wrong.items():
        async with smoke.caller(token) as caller:
            answer = await refusal(caller.query("users:currentUser", {}))
            assert answer not in {"allowed", "not_synced"}, f"a token that is {what}: {answer}"
    pending = smoke.target.signer.token("user_admin", sts="pending")
    async with smoke.caller(pending) as caller:
        assert await refusal(caller.query("users:currentUser", {})) == "not_signed_in"
    return f"accepted: the provider's; refused: {', '.join(wrong)}, pending"


async def batches(smoke: Smoke) -> str:
    """Batches of 1, 64 and 500 users are written, found equal, and deleted."""
    metadata = json.dumps({"role": "member", "plan": "free", "teams": ["orchard", "meadow"]})
    for size in (1, 64, 500):
        changes = [
            upsert(
                f"user_batch{size}_{number}",
                firstName=f"Number {number}",
                email=f"number{number}@example.com",
                emailVerified=True,
                publicMetadata=metadata,
            )
            for number in range(size)
        ]
        with smoke.stopwatch(f"create {size} (ms)"):
            assert await smoke.sync(*changes) == ["created"] * size
        with smoke.stopwatch(f"repeat {size} (ms)"):
            assert await smoke.sync(*changes) == ["unchanged"] * size
        assert await smoke.compare(*changes) == ["unchanged"] * size
        assert len(await smoke.rows()) == size
        gone = [Delete(change.clerk_id, 200.0, "webhook") for change in changes]
        with smoke.stopwatch(f"delete {size} (ms)"):
            assert await smoke.sync(*gone) == ["deleted"] * size
        assert await smoke.sync(*changes) == ["tombstoned"] * size
        assert await smoke.rows() == []
    return "1, 64 and 500 users created, unchanged, deleted, tombstoned"


async def writer(smoke: Smoke) -> str:
    """The writer writes 1,000 users with eight mutations at once, and one bad user fails alone."""
    limits = WriterLimits(deadline=CALL_SECONDS)
    client = Deployment(smoke.target.url, smoke.target.key, timeout=CALL_SECONDS)
    group = Writer(client, limits=limits)
    try:
        users = [upsert(f"user_load{number}", firstName="Load") for number in range(1000)]
        with smoke.stopwatch("write 1,000 users at once (ms)"):
            outcomes = await asyncio.gather(*map(group.submit, users))
        assert outcomes == ["created"] * 1000
        huge = upsert(
            "user_huge", publicMetadata="x" * (1100 * 1024)
        )  # Convex's limit of a document is 1 MiB
        mixed = [upsert("user_before"), huge, upsert("user_after")]
        ends = await asyncio.gather(*map(group.submit, mixed), return_exceptions=True)
    finally:
        await group.aclose()
        await client.aclose()
    assert (ends[0], ends[2]) == ("created", "created"), ends
    assert isinstance(ends[1], ChangeRefused), repr(ends[1])
    assert len(await smoke.rows()) == 1002
    return "1,000 users at once; a user that is too large is refused alone"


async def races(smoke: Smoke) -> str:
    """Two admins demote each other at the same time: one is denied, and an admin stays."""
    await smoke.sync(upsert("user_a", role="admin"), upsert("user_b", role="admin"))
    demotion: dict[str, Any] = {"action": "update_metadata", "publicMetadata": '{"role": null}'}
    other = Deployment(smoke.target.url, smoke.target.key, timeout=CALL_SECONDS)
    rounds = 10
    try:
        for _ in range(rounds):
            answers = await asyncio.gather(
                begin(smoke.service, {**demotion, "actor": "user_a", "target": "user_b"}),
                begin(other, {**demotion, "actor": "user_b", "target": "user_a"}),
            )
            allowed = [answer for answer in answers if answer["allowed"]]
            denied = [answer["reason"] for answer in answers if not answer["allowed"]]
            assert (len(allowed), denied) == (1, ["last_admin"]), answers
            # Clerk has refused it, so nobody was demoted, and the next round begins afresh.
            end = {"id": allowed[0]["id"], "outcome": "failed", "status": 400, "code": "smoke"}
            await smoke.service.mutation("users:finishAction", end)
    finally:
        await other.aclose()
    return f"{rounds} rounds: each time one of two was denied"


async def begin(deployment: Deployment, action: dict[str, Any]) -> Any:
    """Call beginAction, and again with the same request id where Convex gives up on a conflict."""
    wanted = {**action, "requestId": secrets.token_hex(8)}
    for _ in range(5):
        try:
            return await deployment.mutation("users:beginAction", wanted)
        except DeploymentUnavailable:
            await asyncio.sleep(0.2)
    return await deployment.mutation("users:beginAction", wanted)


# Names in the scripts that search and sorting must handle, and what finds each of them.
NAMES: dict[str, tuple[str, list[str]]] = {
    "user_latin": ("Zoë Łukasiewicz", ["zoe", "lukasie", "ZOË łuk"]),
    "user_composed": ("José Núñez", ["jose nunez", "núñ"]),
    "user_combining": ("Ame\u0301lie Oe\u0302\u0301tre", ["amelie", "Amélie oetre"]),
    "user_vietnamese": ("Nguyễn Thị Ánh", ["nguyen thi", "ánh"]),
    "user_turkish": ("I\u015f\u0131l \u00c7a\u011flar", ["isil cag"]),
    "user_greek": ("Οδυσσέας Παπάς", ["οδυσσεας", "παπας"]),
    "user_cyrillic": ("Жанна Ёлкина", ["жанна", "елкина", "ЁЛК"]),
    "user_chinese": ("王 小明", ["王", "小明"]),
    "user_japanese": ("がくと 山田", ["がく", "山田"]),
    "user_korean": ("김 민수", ["김", "민수"]),
    "user_arabic": ("مُحَمَّد الفارسي", ["محمد", "الفار"]),
    "user_hebrew": ("שָׁלוֹם כהן", ["שלום", "כהן"]),
    "user_hindi": ("प्रिया शर्मा", ["प्रिया", "शर्"]),
    "user_thai": ("สมชาย ใจดี", ["สมชาย"]),
    "user_emoji": ("🦊 Foxglove", ["🦊", "foxgl"]),
    "user_astral": ("𠮷野 Yoshi", ["𠮷野", "yoshi"]),
}


async def search(smoke: Smoke) -> str:
    """A name is found in its script, by the beginning of a word, without regard to case and diacritics."""
    await smoke.sync(upsert("user_admin", role="admin"), *named())
    queries = 0
    async with smoke.as_user("user_admin") as admin:
        for clerk_id, (_, texts) in NAMES.items():
            for text in texts:
                found = await found_in_time(partial(ids, admin, first_page(search=text)), [clerk_id])
                assert found == [clerk_id], f"{text!r} finds {found} in place of {clerk_id}"
                queries += 1
    return f"{queries} searches in {len(NAMES)} scripts and forms"


async def ids(admin: Deployment, arguments: dict[str, Any]) -> list[str]:
    page: Any = await admin.query(PAGES, arguments)
    return [row["clerkId"] for row in page["page"]]


async def found_in_time(ask: Callable[[], Awaitable[list[str]]], wanted: list[str]) -> list[str]:
    """Ask until the answer is the wanted one, five seconds at most: Convex's search index may lag behind."""
    deadline = time.monotonic() + 5
    while True:
        found = await ask()
        if found == wanted or time.monotonic() > deadline:
            return found
        await asyncio.sleep(0.2)


def named() -> list[Upsert]:
    return [
        upsert(clerk_id, firstName=first, lastName=last, createdAt=CREATED_AT + number)
        for number, (clerk_id, (name, _)) in enumerate(NAMES.items())
        for first, _, last in [name.partition(" ")]
    ]


async def pages(smoke: Smoke) -> str:
    """Pages have each user once, sorted by Unicode's code points, in both directions and across pages."""
    await smoke.sync(upsert("user_admin", role="admin"), *named())
    rows = await smoke.rows()
    keys: dict[str, Callable[[dict[str, Any]], Any]] = {
        "name": lambda row: row["sortName"],
        "email": lambda row: row.get("sortEmail", ""),
        "createdAt": lambda row: row["createdAt"],
    }
    async with smoke.as_user("user_admin") as admin:
        for by, key in keys.items():
            for order in ("asc", "desc"):
                # The rows of a sort key that several have are sorted by the time of their creation.
                in_order = sorted(rows, key=lambda row: (key(row), row["_creationTime"]))
                wanted = [row["clerkId"] for row in (in_order if order == "asc" else reversed(in_order))]
                found = [clerk_id async for clerk_id in walk(admin, {"by": by, "order": order})]
                assert found == wanted, f"by {by}, {order}: {found} in place of {wanted}"
    return f"{len(rows)} users by {', '.join(keys)}, asc and desc, in pages of 3"


async def walk(admin: Deployment, sort: dict[str, str]) -> AsyncIterator[str]:
    cursor = None
    while True:
        arguments: Any = {"paginationOpts": {"numItems": 3, "cursor": cursor}, "sort": sort}
        page: Any = await admin.query(PAGES, arguments)
        for row in page["page"]:
            yield row["clerkId"]
        if page["isDone"]:
            return
        cursor = page["continueCursor"]


async def demotion(smoke: Smoke) -> str:
    """A demotion ends an open page at once, while the token is still valid."""
    await smoke.sync(upsert("user_admin", role="admin"), *named())
    token = smoke.target.signer.token("user_admin")
    watcher = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.smoke.watcher", smoke.target.url),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert watcher.stdin is not None
    try:
        watcher.stdin.write(f"{token}\n".encode())
        assert await said(watcher) == {"rows": 5}
        await smoke.sync(upsert("user_admin", updated_at=20.0, observed_at=200.0, role=None))
        with smoke.stopwatch("from a demotion to the end of the page (ms)"):
            while (line := await said(watcher)) == {"rows": 5}:
                pass
        assert line == {"refused": "not_admin"}, line
    finally:
        watcher.kill()
        await watcher.wait()
    async with smoke.caller(token) as caller:
        assert await refusal(caller.query(PAGES, first_page())) == "not_admin"
    return "the open page and the next query are refused: not_admin"


async def said(watcher: asyncio.subprocess.Process) -> Any:
    assert watcher.stdout is not None
    line = await asyncio.wait_for(watcher.stdout.readline(), PATIENCE)
    assert line, "the official client ended without an answer"
    return json.loads(line)


async def crons(smoke: Smoke) -> str:
    """The cron jobs are registered, and one that is due runs."""
    names: Any = await smoke.service.query("smoke:cronJobs", {})
    assert "prune the Clerk audit log" in names, names
    await smoke.service.mutation("smoke:askForTick", {})
    deadline = time.monotonic() + PATIENCE
    with smoke.stopwatch("until a cron job of each second has run (ms)"):
        while not await smoke.service.query("smoke:ticked", {}):
            assert time.monotonic() < deadline, "no cron job has run"
            await asyncio.sleep(0.1)
    return f"registered: {', '.join(sorted(names))}; run: smoke"


async def killed_backfill(smoke: Smoke) -> str:
    """A backfill that SIGKILL ends is resumed by the next one, and nothing is missing."""
    users = 2000
    with LocalClerk(rate_limit=0) as clerk:
        clerk.create_users(
            [
                {"username": f"user{number}", "first_name": "Back", "last_name": "Fill"}
                for number in range(users)
            ]
        )
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "CLERK_SECRET_KEY": clerk.secret_key,
            "CLERK_API_URL": clerk.url,
            "CONVEX_URL": smoke.target.url,
            "CONVEX_DEPLOY_KEY": smoke.target.key,
        }

        def backfill(*options: str) -> subprocess.Popen[str]:
            command = [sys.executable, "-m", "clerk_convex.backfill", "--json", "--quiet", *options]
            return subprocess.Popen(
                command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )

        async def result(*options: str) -> dict[str, Any]:
            out, err = await asyncio.to_thread(backfill(*options).communicate)
            assert out, f"the backfill failed: {err.strip()}"
            answer: dict[str, Any] = json.loads(out)
            return answer

        # At this pace three seconds pass until a position is saved, and nine more are left to kill the run.
        with backfill("--concurrency", "1", "--pace", "0.3") as process:
            try:
                deadline = time.monotonic() + PATIENCE
                while not await smoke.service.query("smoke:backfillIsHalfway", {}):
                    assert process.poll() is None, process.communicate()[1]
                    assert time.monotonic() < deadline, "the backfill has saved no position"
                    await asyncio.sleep(0.01)
            finally:
                process.send_signal(signal.SIGKILL)
                process.wait()
        written = len(await smoke.rows())
        assert 0 < written < users, f"{written} users were written before the kill"
        await asyncio.sleep(smoke.target.silence + 0.5)
        with smoke.stopwatch("the rest of a killed backfill (ms)"):
            report = await result()
        assert report["resumed"] is True, report
        verification = await result("--verify")
        assert verification["equal"] is True, verification
    return f"{users} users: killed, resumed, equal"


Check = Callable[[Smoke], Awaitable[str]]
CHECKS: tuple[Check, ...] = (
    errors,
    permissions,
    tokens,
    batches,
    writer,
    races,
    search,
    pages,
    demotion,
    crons,
    killed_backfill,
)
"""In this order. Each one begins with empty tables."""
