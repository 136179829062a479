"""One call of the HTTP client for each event, in a thread, so that the event loop is not blocked."""

import json
import os

from convex.http_client import ConvexHttpClient
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from svix.webhooks import Webhook, WebhookVerificationError

webhook = Webhook(os.environ["CLERK_WEBHOOK_SIGNING_SECRET"])
client = ConvexHttpClient(os.environ["CONVEX_URL"])
client.set_admin_auth(os.environ["CONVEX_DEPLOY_KEY"])


async def receive(request: Request) -> Response:
    body = await request.body()
    try:
        webhook.verify(body, dict(request.headers))
    except WebhookVerificationError:
        return Response(status_code=400)
    await run_in_threadpool(client.mutation, "users:upsertFromClerk", {"data": json.loads(body)["data"]})
    return Response(status_code=200)


async def healthz(request: Request) -> Response:
    return PlainTextResponse("ok")


app = Starlette(routes=[Route("/webhooks/clerk", receive, methods=["POST"]), Route("/healthz", healthz)])
