"""Run the project's Convex functions, and call them with the deploy key or as a signed-in user."""

import atexit
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

from clerk_convex.entities.changes import Change, Delete, Source, Upsert, encode
from clerk_convex.errors import LocalError
from clerk_convex.local.clerk import LocalClerk
from clerk_convex.local.convex import LocalConvex

ROOT = Path(__file__).parent.parent.parent
TOKEN_LIFETIME = 3600  # seconds
CREATED_AT = 1_700_000_000_000.0

LATER = """
import { v } from "convex/values";
import { internalMutation } from "./_generated/server";
import * as users from "./users";

// Runs a function of users.ts with a clock that is `ms` ahead.
export const run = internalMutation({
  args: { ms: v.number(), name: v.string(), args: v.any() },
  handler: (ctx, { ms, name, args }) => {
    const then = Date.now() + ms;
    globalThis.Date = new Proxy(Date, {
      get: (target, property) => (property === "now" ? () => then : Reflect.get(target, property)),
    });
    return users[name]._handler(ctx, args);
  },
});
"""


def upsert(
    clerk_id: str = "user_1",
    *,
    updated_at: float = 10.0,
    observed_at: float = 100.0,
    source: Source = "webhook",
    event_id: str | None = None,
    actor: str | None = None,
    **columns: Any,
) -> Upsert:
    columns = {"status": "active", "createdAt": CREATED_AT, **columns}
    return Upsert(clerk_id, updated_at, observed_at, columns, source, event_id, actor)


def as_json(change: Change) -> Any:
    return json.loads(encode(change))


def delete(clerk_id: str = "user_1", *, observed_at: float = 200.0, source: Source = "webhook") -> Delete:
    return Delete(clerk_id, observed_at, source)


def eventually(condition: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Poll `condition`, and return whether it became true within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def start_again(convex: LocalConvex) -> None:
    """Start a Convex at the port that it had, as soon as no connection of another program has that port."""

    def is_started() -> bool:
        try:
            convex.start()
        except LocalError as error:
            if "is in use" not in str(error):
                raise
            return False
        return True

    assert eventually(is_started)


class Denied(Exception):
    """A ConvexError that a function raised. `args[0]` is its data."""


class Caller:
    """Call public functions as a browser does, with a session token or without."""

    def __init__(self, convex: LocalConvex, token: str | None) -> None:
        self._url = f"{convex.url}/api/query"
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    def query(self, path: str, arguments: dict[str, Any] | None = None) -> Any:
        """Return the value of a query. Raises Denied for a ConvexError."""
        body = {"path": path, "args": arguments or {}, "format": "json"}
        answer = httpx.post(self._url, json=body, headers=self._headers, trust_env=False).json()
        if "errorData" in answer:
            raise Denied(answer["errorData"])
        assert answer.get("status") == "success", answer
        return answer["value"]

    def pages(self, path: str, num_items: int = 25, **arguments: Any) -> list[list[dict[str, Any]]]:
        """Return all pages of a paginated query, in order."""
        pages: list[list[dict[str, Any]]] = []
        cursor = None
        while True:
            options = {"numItems": num_items, "cursor": cursor}
            page = self.query(path, {**arguments, "paginationOpts": options})
            pages.append(page["page"])
            if page["isDone"]:
                return pages
            cursor = page["continueCursor"]

    def until(self, path: str, end: str, start: str | None = None, **arguments: Any) -> list[Any]:
        """All up to the cursor `end`, where a page is split as usePaginatedQuery splits it."""
        options = {"numItems": 25, "cursor": start, "endCursor": end}
        page = self.query(path, {**arguments, "paginationOpts": options})
        assert len(page["page"]) <= 100
        if page.get("pageStatus") is None:
            return list(page["page"])
        split = page["splitCursor"]
        return self.until(path, split, start, **arguments) + self.until(path, end, split, **arguments)


class Functions:
    """The functions of a local Convex, called with its deploy key.

    clerk: the local Clerk whose session tokens the deployment accepts, if any.
    """

    def __init__(self, convex: LocalConvex, clerk: LocalClerk | None = None) -> None:
        self.convex = convex
        self.clerk = clerk
        headers = {"Authorization": f"Convex {convex.deploy_key}", "Content-Type": "application/json"}
        self.http = httpx.Client(base_url=convex.url, headers=headers, trust_env=False)

    def query(self, path: str, arguments: dict[str, Any]) -> Any:
        return self._call("query", path, arguments)

    def mutation(self, path: str, arguments: dict[str, Any]) -> Any:
        return self._call("mutation", path, arguments)

    def later(self, seconds: float, name: str, arguments: dict[str, Any]) -> Any:
        """Call a mutation of users.ts with a clock `seconds` ahead. The project needs LATER in later.ts."""
        return self.mutation("later:run", {"ms": seconds * 1000, "name": name, "args": arguments})

    def sync(self, changes: Sequence[Change]) -> list[str]:
        changes_json = [as_json(change) for change in changes]
        return self.mutation("users:syncUsers", {"changes": changes_json})  # type: ignore[no-any-return]

    def compare(self, changes: Sequence[Change]) -> list[str]:
        changes_json = [as_json(change) for change in changes]
        return self.query("users:compareUsers", {"changes": changes_json})  # type: ignore[no-any-return]

    def signed_in(self, clerk_id: str, **claims: Any) -> Caller:
        """Return a caller with a valid session token of this Clerk id. `claims` replace the usual ones.

        This needs functions that were started with a Clerk (`running`, `Project.running`).
        """
        assert self.clerk is not None, "There is no Clerk whose tokens this Convex takes."
        session = self.clerk.sign_in(self.clerk.create_user()["id"])
        token = self.clerk.session_token(session["id"], claims={"sub": clerk_id, **claims})
        return Caller(self.convex, token)

    def nobody(self) -> Caller:
        return Caller(self.convex, None)

    def clear(self) -> None:
        self.convex.clear()

    def rows(self) -> dict[str, dict[str, Any]]:
        """Return the rows of users by Clerk id, without Convex's own fields. No user may have two rows."""
        rows: dict[str, dict[str, Any]] = {}
        for row in self.all_rows():
            assert row["clerkId"] not in rows, "two rows of one user"
            rows[row["clerkId"]] = {name: value for name, value in row.items() if name[0] != "_"}
        return rows

    def all_rows(self) -> list[dict[str, Any]]:
        """Return all rows of users as exportUsers returns them, the oldest first."""
        rows: list[dict[str, Any]] = []
        cursor = None
        while True:
            options = {"numItems": 1000, "cursor": cursor}
            page = self.query("users:exportUsers", {"paginationOpts": options})
            rows += page["page"]
            if page["isDone"]:
                return rows
            cursor = page["continueCursor"]

    def _call(self, kind: str, path: str, arguments: dict[str, Any]) -> Any:
        body = {"path": path, "args": arguments, "format": "json"}
        return self._value(self.http.post(f"/api/{kind}", json=body))

    @staticmethod
    def _value(response: httpx.Response) -> Any:
        answer = response.json()
        assert answer.get("status") == "success", answer
        return answer["value"]


@cache
def issuer() -> LocalClerk:
    """Return the Clerk whose session tokens each project accepts. It runs until this process ends."""
    clerk = LocalClerk(token_lifetime=TOKEN_LIFETIME, rate_limit=0)
    clerk.start()
    atexit.register(clerk.close)
    return clerk


@contextmanager
def running(project: Path) -> Iterator[Functions]:
    """Run the functions of a project in a Convex that accepts the session tokens of a local Clerk."""
    environment = {"CLERK_JWT_ISSUER_DOMAIN": issuer().issuer}
    with LocalConvex(project=project, env=environment) as convex:
        functions = Functions(convex, issuer())
        with functions.http:
            yield functions


class Project:
    """A project in `folder` with a copy of convex/ that a test can change."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(ROOT / "convex", folder / "convex")
        (folder / "node_modules").symlink_to(ROOT / "node_modules")

    def write(self, name: str, text: str) -> None:
        (self.folder / "convex" / name).write_text(text)

    def replace(self, name: str, line: str, instead: str) -> None:
        """Replace a text in a file. Fail unless the file contains it exactly once."""
        file = self.folder / "convex" / name
        text = file.read_text()
        if line not in text and "MUTANT" in os.environ:
            pytest.skip("scripts/mutants has changed this line")
        assert text.count(line) == 1, f"{line} is not in {name} once"
        file.write_text(text.replace(line, instead))

    @contextmanager
    def running(self) -> Iterator[Functions]:
        with running(self.folder) as functions:
            yield functions
