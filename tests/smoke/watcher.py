"""Subscribe to the users page with the official client, and print a line for each result.

    python -m tests.smoke.watcher URL

The session token is read from stdin. A page is `{"rows": N}`; the end of it is `{"refused": reason}`. This is
a program of its own because that client has no timeout.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from convex import ConvexClient, ConvexError


async def main(url: str, token: str) -> None:
    client = ConvexClient(url)
    client.set_auth(token)
    try:
        page: Any
        arguments: Any = {"paginationOpts": {"numItems": 5, "cursor": None}}
        async for page in client.subscribe("users:getUsers", arguments):
            say({"rows": len(page["page"])})
    except ConvexError as error:
        say({"refused": error.data["reason"]})


def say(line: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.stdin.readline().strip()))
