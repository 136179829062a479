"""The project's own Convex functions, called over HTTP with the deploy key, and changes to call them with."""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from clerk_convex.changes import Change, Delete, Source, Upsert, encode
from clerk_convex.local.deployment import LocalConvex

ROOT = Path(__file__).parent.parent
CREATED_AT = 1_700_000_000_000.0


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


class Functions:
    def __init__(self, convex: LocalConvex) -> None:
        self.convex = convex
        headers = {"Authorization": f"Convex {convex.deploy_key}", "Content-Type": "application/json"}
        self.http = httpx.Client(base_url=convex.url, headers=headers, trust_env=False)

    def query(self, path: str, arguments: dict[str, Any]) -> Any:
        return self._call("query", path, arguments)

    def mutation(self, path: str, arguments: dict[str, Any]) -> Any:
        return self._call("mutation", path, arguments)

    def sync(self, changes: Sequence[Change]) -> list[str]:
        body = b'{"path":"users:syncUsers","format":"json","args":{"changes":[%b]}}'
        answer = self.http.post("/api/mutation", content=body % b",".join(map(encode, changes)))
        return self._value(answer)  # type: ignore[no-any-return]

    def rows(self) -> dict[str, dict[str, Any]]:
        """Every row of users by its Clerk id, with its stamps and without Convex's own fields."""
        rows: dict[str, dict[str, Any]] = {}
        cursor = None
        while True:
            options = {"numItems": 1000, "cursor": cursor}
            page = self.query("users:exportUsers", {"paginationOpts": options})
            for row in page["page"]:
                assert row["clerkId"] not in rows, "two rows of one user"
                rows[row["clerkId"]] = {name: value for name, value in row.items() if name[0] != "_"}
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


class Project:
    """A team's project: a copy of convex/ in `folder`, to be changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(ROOT / "convex", folder / "convex")
        (folder / "node_modules").symlink_to(ROOT / "node_modules")

    def write(self, name: str, text: str) -> None:
        (self.folder / "convex" / name).write_text(text)

    def replace(self, name: str, line: str, instead: str) -> None:
        file = self.folder / "convex" / name
        text = file.read_text()
        assert text.count(line) == 1, f"{line} is not in {name} once"
        file.write_text(text.replace(line, instead))

    @contextmanager
    def running(self) -> Iterator[Functions]:
        with LocalConvex(project=self.folder) as convex:
            functions = Functions(convex)
            with functions.http:
                yield functions
