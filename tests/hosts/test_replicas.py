"""Two replicas share nothing but Convex, and one may stop at any time."""

from __future__ import annotations

from contextlib import ExitStack

from clerk_convex.entities.users import read_user
from clerk_convex.local.clerk import LocalClerk
from clerk_convex.local.convex import LocalConvex
from tests.support.functions import ROOT, Functions, eventually
from tests.support.servers import serve

COMMAND = ("uvicorn", "--port=PORT", "--timeout-graceful-shutdown=20", "clerk_convex.app:app")
USERS = 30


def test_two_replicas_get_each_event_and_one_stops() -> None:
    """Each row equals Clerk's user, and no audit row is doubled, though both got each event."""
    with ExitStack() as parts:
        clerk = parts.enter_context(LocalClerk(rate_limit=0))
        environment = {"CLERK_JWT_ISSUER_DOMAIN": clerk.issuer}
        convex = parts.enter_context(LocalConvex(project=ROOT, env=environment))
        functions = Functions(convex, clerk)
        parts.enter_context(functions.http)
        settings = {
            "CONVEX_URL": functions.convex.url,
            "CONVEX_DEPLOY_KEY": functions.convex.deploy_key,
            "CLERK_WEBHOOK_SIGNING_SECRET": clerk.webhook_secret,
        }
        with serve(COMMAND, settings) as first, serve(COMMAND, settings) as second:
            for replica in (first, second):
                clerk.webhooks.add_endpoint(f"{replica.url}/webhooks/clerk", clerk.webhook_secret)
            admin = clerk.create_user(first_name="Ada", public_metadata={"role": "admin"})["id"]
            ids = [clerk.create_user(first_name=f"New {number}")["id"] for number in range(USERS)]
            for user_id in ids:
                clerk.update_user(user_id, first_name="Renamed")
            for user_id in ids[:5]:
                clerk.delete_user(user_id)
            # The events that `first` has not answered are lost there: its endpoint does not come back.
            assert first.stop() < 15
            clerk.update_user(ids[-1], first_name="Last")
            wanted = {user["id"]: read_user(user).columns for user in clerk.users()}

            def is_equal() -> bool:
                rows = functions.rows()
                return rows.keys() == wanted.keys() and all(
                    rows[user_id].get(name) == value
                    for user_id, columns in wanted.items()
                    for name, value in columns.items()
                )

            assert len(wanted) == USERS - 4
            assert eventually(is_equal), functions.rows()
            changes = functions.signed_in(admin).pages("users:auditLog", num_items=100)
            created = [row["clerkId"] for page in changes for row in page if row["outcome"] == "created"]
            assert sorted(created) == sorted({*created})
            assert second.stop() < 15
            for replica in (first, second):
                assert "Traceback" not in replica.output, replica.output
