"""A handler that only verifies the signature: the upper limit for a handler in Python."""

import os

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from svix.webhooks import Webhook, WebhookVerificationError

webhook = Webhook(os.environ["CLERK_WEBHOOK_SIGNING_SECRET"])


async def receive(request: Request) -> Response:
    try:
        webhook.verify(await request.body(), dict(request.headers))
    except WebhookVerificationError:
        return Response(status_code=400)
    return Response(status_code=200)


async def healthz(request: Request) -> Response:
    return PlainTextResponse("ok")


app = Starlette(routes=[Route("/webhooks/clerk", receive, methods=["POST"]), Route("/healthz", healthz)])
