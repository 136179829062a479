"""A FastAPI service with routes, settings and a lifespan of its own, and the routes of clerk_convex.

uvicorn --factory examples.fastapi.main:create_app
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from clerk_convex import Change, Outcome, user_routes, webhook_route
from examples.fastapi.settings import AppSettings

logger = logging.getLogger("uvicorn.error")  # uvicorn's own log, which has a handler

own = APIRouter()


@own.get("/")
async def about(request: Request) -> dict[str, str]:
    return {"name": request.app.state.settings.app_name}


@own.get("/me")
async def me(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]
) -> dict[str, Any]:
    """Return the caller's row. Convex verifies the session token, and returns what the caller may see."""
    http: httpx.AsyncClient = request.app.state.http
    call = {"path": "users:currentUser", "args": {}, "format": "json"}
    headers = {"Authorization": f"Bearer {credentials.credentials}"}
    try:
        response = await http.post("/api/query", json=call, headers=headers)
    except httpx.HTTPError as error:
        raise HTTPException(503, "Convex cannot be reached. Try again.") from error
    if response.status_code == 401:
        raise HTTPException(401, "Sign in again.")
    answer = response.json()
    if answer.get("status") != "success":
        raise HTTPException(503, "Convex does not answer. Try again.")
    found = answer["value"]
    if found["state"] != "synced":
        raise HTTPException(404, f"Your account is {found['state'].replace('_', ' ')}.")
    user = found["user"]
    return {"id": user["clerkId"], "first_name": user.get("firstName"), "is_admin": found["isAdmin"]}


async def greet(change: Change, outcome: Outcome) -> None:
    """Log a new user. This runs after the answer to Clerk, so it may be lost if the service is stopped."""
    if outcome == "created":
        logger.info("Welcome, %s", change.clerk_id)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open and close what the service itself needs. The routes of clerk_convex need nothing here."""
    async with httpx.AsyncClient(base_url=app.state.settings.convex_url, timeout=5) as app.state.http:
        yield


def create_app() -> FastAPI:
    settings = AppSettings()  # type: ignore[call-arg] # the environment has them
    clerk = settings.for_clerk_convex()
    app = FastAPI(title=settings.app_name, lifespan=lifespan)
    app.state.settings = settings
    app.include_router(own, prefix=settings.api_prefix)
    theirs = APIRouter(routes=[webhook_route(settings=clerk, on_change=greet), user_routes(settings=clerk)])
    app.include_router(theirs, prefix=settings.api_prefix)
    return app
