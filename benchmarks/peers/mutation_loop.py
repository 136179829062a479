"""The usual backfill script: read pages, call one mutation for each user. Print the users per second."""

import os
import sys
import time

import httpx
from convex import ConvexClient

count = int(sys.argv[1])
client = ConvexClient(os.environ["CONVEX_URL"])
client.set_admin_auth(os.environ["CONVEX_DEPLOY_KEY"])
headers = {"Authorization": f"Bearer {os.environ['CLERK_SECRET_KEY']}"}
started = time.monotonic()
done = 0
while done < count:
    # benchmarks/clerk.ts has no cursor, so continue at the creation time of the next user.
    after = 1_600_000_000_000 + done * 1000 - 1
    query: dict[str, str | int] = {"limit": 500, "order_by": "+created_at", "created_at_after": after}
    page = httpx.get(f"{os.environ['CLERK_API_URL']}/v1/users", params=query, headers=headers).json()
    for user in page[: count - done]:
        change = {
            "type": "upsert",
            "clerkId": user["id"],
            "updatedAt": float(user["updated_at"]),
            "observedAt": 0.0,
            "source": "backfill",
            "columns": {"status": "active", "createdAt": float(user["created_at"])},
        }
        client.mutation("users:syncUsers", {"changes": [change]})
        done += 1
sys.stdout.write(f"{done / (time.monotonic() - started)}\n")
