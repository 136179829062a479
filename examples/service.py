"""A team's own service, with the route that keeps its `users` table equal to Clerk, and those for its admins.

    uvicorn examples.service:app

Its settings are in the environment. To run it beside a local set, with the settings of that set:

    python -m clerk_convex.local --env-file .env.local
    uvicorn --env-file .env.local examples.service:app

`pip install 'clerk-convex[server]'` brings uvicorn, and python-dotenv, which reads the file.
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
    """A convenience, after the answer. What must not be lost belongs into onUserChange in convex/clerk/."""
    if outcome == "created":
        logger.info("Welcome, %s", change.clerk_id)


app = Starlette(routes=[Route("/", home), webhook_route(on_change=welcome), user_routes()])
