"""The way of Convex's Python quickstart: one mutation of the websocket client for each event.

`ConvexClient.mutation` blocks the event loop of an async handler. A thread would not help, because the call
holds the GIL.
"""

import json
import os

from convex import ConvexClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from svix.webhooks import Webhook, WebhookVerificationError

webhook = Webhook(os.environ["CLERK_WEBHOOK_SIGNING_SECRET"])
client = ConvexClient(os.environ["CONVEX_URL"])
client.set_admin_auth(os.environ["CONVEX_DEPLOY_KEY"])


async def receive(request: Request) -> Response:
    body = await request.body()
    try:
        webhook.verify(body, dict(request.headers))
    except WebhookVerificationError:
        return Response(status_code=400)
    client.mutation("users:upsertFromClerk", {"data": json.loads(body)["data"]})
    return Response(status_code=200)


async def healthz(request: Request) -> Response:
    return PlainTextResponse("ok")


app = Starlette(routes=[Route("/webhooks/clerk", receive, methods=["POST"]), Route("/healthz", healthz)])
