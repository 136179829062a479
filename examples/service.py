"""A service with a page of its own, the webhook route, and the user management routes.

    uvicorn examples.service:app

It reads its settings from the environment. To run it with a local set, use the settings of that set:

    python -m clerk_convex.local --env-file .env.local
    uvicorn --env-file .env.local examples.service:app
"""

import logging

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from clerk_convex import Change, Outcome, user_routes, webhook_route

logger = logging.getLogger("service")


async def home(request: Request) -> PlainTextResponse:
    return PlainTextResponse("The service's own pages are not disturbed.")


async def welcome(change: Change, outcome: Outcome) -> None:
    """Log a new user. This runs after the answer to Clerk, so it may be lost if the service is stopped.

    Put work that must not be lost into onUserChange in convex/clerk/.
    """
    if outcome == "created":
        logger.info("Welcome, %s", change.clerk_id)


app = Starlette(routes=[Route("/", home), webhook_route(on_change=welcome), user_routes()])
