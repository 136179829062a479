"""The project's own Convex functions, called over HTTP with the deploy key."""

from collections.abc import Sequence
from typing import Any

import httpx

from clerk_convex.changes import Change, encode
from clerk_convex.local.deployment import LocalConvex


class Functions:
    def __init__(self, convex: LocalConvex) -> None:
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
