"""Clerk and Convex in the test's own event loop, without sockets, for tests in virtual time.

Clerk is the API of the local Clerk. Convex is a list of rows: it applies changes without the rules of order,
and compares columns. The tests check how a run reacts to answers, delays and errors.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from clerk_convex.local.clerk.api import create_api
from clerk_convex.local.clerk.instance import ClerkInstance
from clerk_convex.settings import Settings
from tests.support.virtual_time import now

NOON = 1_785_585_600.0  # Unix seconds at the start of the loop's time

Answer = httpx.Response | Exception | None


@dataclass(frozen=True)
class Request:
    """A request: `side` is "Clerk" or "Convex", `what` a path or a function, `at` the loop's time (s)."""

    side: str
    what: str
    at: float
    args: Any = None
    kind: str = ""


class Wire:
    """The transport of both ends.

    answer: returns the answer to a request, an exception to raise, or None for the usual answer.
    latency: returns the seconds before the answer.
    skew: returns the seconds by which the server's clock is ahead; None leaves the Date header out.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clerk = ClerkInstance(rate_limit=0, secret_key="sk_live_" + "0" * 20)
        self.rows: list[dict[str, Any]] = []
        self.deletions: list[dict[str, Any]] = []
        self.runs = 0
        self.progress: Any = None
        self.verified: Any = None
        self.refusals: list[dict[str, Any]] = []
        self.holder, self.leased_until = "", 0.0  # of the lease of followers, by the loop's clock
        self.followed: Any = None
        self.requests: list[Request] = []
        self.answer: Callable[[Request], Answer] = lambda request: None
        self.latency: Callable[[Request], float] = lambda request: 0.0
        self.skew: Callable[[], float | None] = lambda: 0.0
        self.most_removed = 1000
        self.open = self.most_open = 0
        self.connected = 0
        self._api = httpx.ASGITransport(create_api(self.clerk))
        wire = self

        class Transport(httpx.AsyncBaseTransport):
            def __init__(self, **options: object) -> None:
                wire.connected += 1

            async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
                return await wire.handle(request)

            async def aclose(self) -> None:
                wire.connected -= 1

        monkeypatch.setattr(httpx, "AsyncHTTPTransport", Transport)

    @property
    def settings(self) -> Settings:
        return Settings(
            clerk_secret_key=SecretStr(self.clerk.secret_key),
            clerk_api_url="https://clerk.test",
            convex_url="https://convex.test",
            convex_deploy_key=SecretStr("dev:test|x"),
            clerk_convex_pace=1000.0,
        )

    def asked(self, what: str) -> list[Request]:
        """Return the requests for a path or function."""
        return [request for request in self.requests if request.what == what]

    async def handle(self, request: httpx.Request) -> httpx.Response:
        if request.url.host == "clerk.test":
            note = Request("Clerk", request.url.path.removeprefix("/v1"), now(), dict(request.url.params))
        else:
            body = json.loads(request.content)
            kind = request.url.path.removeprefix("/api/")
            note = Request("Convex", body["path"].removeprefix("users:"), now(), body["args"], kind)
        self.requests.append(note)
        self.open += note.side == "Convex"
        self.most_open = max(self.most_open, self.open)
        try:
            await asyncio.sleep(self.latency(note))
            answer = self.answer(note)
            if isinstance(answer, Exception):
                raise answer
            if answer is None:
                answer = await self._api.handle_async_request(request) if note.side == "Clerk" else None
            if answer is None:
                answer = value(getattr(self, f"_{note.what}")(note.args))
            answer.headers.pop("date", None)
            if (skew := self.skew()) is not None:
                answer.headers["date"] = formatdate(int(NOON + now() + skew), usegmt=True)
            return answer
        finally:
            self.open -= note.side == "Convex"

    # The Convex functions, by their names in convex/users.ts.

    def _syncUsers(self, args: Any) -> list[str]:  # noqa: N802 - the name of the Convex function
        outcomes = self._compareUsers(args)
        for change in args["changes"]:
            self.rows = [row for row in self.rows if row["clerkId"] != change["clerkId"]] + (
                [row_of(change)] if change["type"] == "upsert" else []
            )
            self.deletions += [change] if change["type"] == "delete" else []
        return outcomes

    def _compareUsers(self, args: Any) -> list[str]:  # noqa: N802
        rows = {row["clerkId"]: row for row in self.rows}
        outcomes = []
        for change in args["changes"]:
            row = rows.get(change["clerkId"])
            if change["type"] == "delete":
                outcomes.append("unchanged" if row is None else "deleted")
            elif change["type"] == "signIn":
                outcomes.append("ignored")  # sent only to check which functions are deployed
            else:
                changed = "created" if row is None else "updated"
                outcomes.append("unchanged" if row == row_of(change) else changed)
        return outcomes

    def _exportUsers(self, args: Any) -> Any:  # noqa: N802
        options = args["paginationOpts"]
        start, count = int(options["cursor"] or 0), int(options["numItems"])
        end = start + count
        return {
            "page": [dict(row) for row in self.rows[start:end]],
            "isDone": end >= len(self.rows),
            "continueCursor": str(end),
        }

    def _startBackfill(self, args: Any) -> Any:  # noqa: N802
        self.runs += 1
        return {"id": "run", "attempt": float(self.runs), "progress": self.progress, "isBeside": False}

    def _saveBackfill(self, args: Any) -> bool:  # noqa: N802
        self.progress = args["progress"] or self.progress
        return True

    def _finishBackfill(self, args: Any) -> bool:  # noqa: N802
        self.progress = None
        return True

    def _leaseFollow(self, args: Any) -> Any:  # noqa: N802
        is_mine = self.holder == args["holder"]
        held = is_mine or self.leased_until <= now()
        if held:
            self.followed = args["pass"]["followed"] if args["pass"] and is_mine else self.followed
            self.holder, self.leased_until = args["holder"], now() + args["ms"] / 1000
        expires_in = max(0.0, self.leased_until - now()) * 1000
        return {"held": held, "expiresIn": expires_in, "age": None, "followed": self.followed}

    def _countUsers(self, args: Any) -> Any:  # noqa: N802
        return {"total": float(len(self.rows)), "rebuilding": False}

    def _saveVerification(self, args: Any) -> None:  # noqa: N802
        self.verified = args["verified"]

    def _recordRefusals(self, args: Any) -> None:  # noqa: N802
        assert 0 < len(args["refusals"]) <= 500
        self.refusals += args["refusals"]

    def _exportPerson(self, args: Any) -> Any:  # noqa: N802
        rows = [row for row in self.rows if row["clerkId"] == args["clerkId"]]
        stored = {"rows": rows, "version": None, "refusal": None, "backfills": []}
        return {"stored": stored, "entries": [], "cursor": None}

    def _refusedUsers(self, args: Any) -> Any:  # noqa: N802
        """Two on a page."""
        start = int(args["paginationOpts"]["cursor"] or 0)
        page = [refusal["clerkId"] for refusal in self.refusals[start : start + 2]]
        return {"page": page, "isDone": start + 2 >= len(self.refusals), "continueCursor": str(start + 2)}

    def _lastWebhookAt(self, args: Any) -> None:  # noqa: N802
        return None

    def _findDuplicates(self, args: Any) -> Any:  # noqa: N802
        """Look at two rows a page, so that a few rows make several pages."""
        start = int(args["cursor"] or 0)
        ids = [row["clerkId"] for row in self.rows]
        found = [clerk_id for clerk_id in ids[start : start + 2] if ids.count(clerk_id) > 1]
        return {"clerkIds": found, "cursor": str(start + 2) if start + 2 < len(ids) else None}

    def _repairDuplicates(self, args: Any) -> Any:  # noqa: N802
        assert 0 < len(args["clerkIds"]) <= 100
        repaired = []
        for clerk_id in args["clerkIds"]:
            rows = [row for row in self.rows if row["clerkId"] == clerk_id]
            kept = max(1, len(rows) - self.most_removed)
            self.rows = [row for row in self.rows if row["clerkId"] != clerk_id] + rows[:kept]
            repaired.append({"clerkId": clerk_id, "removed": float(len(rows) - kept)})
        return repaired


def row_of(change: Any) -> dict[str, Any]:
    return {"clerkId": change["clerkId"], **change["columns"]}


def value(result: object) -> httpx.Response:
    return httpx.Response(200, json={"status": "success", "value": result, "logLines": []})


def failure(text: str = "Server Error") -> httpx.Response:
    """Return the answer of a function that has failed."""
    return httpx.Response(200, json={"status": "error", "errorMessage": text, "logLines": []})
