"""Every answer of the local Clerk fits the models that Clerk generates from its OpenAPI description.

The raw JSON is read strictly: nothing required is missing, nothing is converted, and no field is unknown.
"""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import clerk_backend_api
import httpx
import pytest
from clerk_backend_api import models
from pydantic import TypeAdapter, ValidationError
from starlette.routing import Route

from clerk_convex.local.clerk.api import create_api
from clerk_convex.local.clerk.http import WithFaults
from clerk_convex.local.clerk.instance import ClerkInstance
from clerk_convex.local.demo.people import ODDITIES, ordinary

USER = TypeAdapter(models.User)
USERS = TypeAdapter(list[models.User])
COUNT = TypeAdapter(models.TotalCount)
DELETED = TypeAdapter(models.DeletedObject)
SESSION = TypeAdapter(models.Session)
SESSIONS = TypeAdapter(list[models.Session])
TOKEN = TypeAdapter(models.CreateSessionTokenResponseBody)
TEMPLATE_TOKEN = TypeAdapter(models.CreateSessionTokenFromTemplateResponseBody)
INSTANCE = TypeAdapter(models.Instance)
JWKS = TypeAdapter(models.Jwks)
INVITATION = TypeAdapter(models.Invitation)
INVITATIONS = TypeAdapter(list[models.Invitation])
REVOKED = TypeAdapter(models.InvitationRevoked)
ERRORS = TypeAdapter(models.ClerkErrorsData)

# The models lack kinds of verification that newer versions of Clerk have, and halves of surrogate pairs.
BEYOND_THE_MODEL = {"_half_a_character", "_from_the_future"}


def assert_fits(model: TypeAdapter[Any], body: Any) -> None:
    known = model.validate_json(json.dumps(body), strict=True)
    assert_known(model.dump_python(known, mode="json"), body)


def assert_known(known: Any, body: Any) -> None:
    """Fail unless `known`, which a model has kept, has each field of `body`. A model adds null for others."""
    if isinstance(body, dict):
        assert body.keys() <= known.keys()
        for key, value in body.items():
            assert_known(known[key], value)
    elif isinstance(body, list):
        assert len(known) == len(body)
        for kept, item in zip(known, body, strict=True):
            assert_known(kept, item)
    else:
        assert known == body


class Checked:
    """The API without a server. Each answer is checked, and the routes that were called are counted."""

    def __init__(self, clerk: ClerkInstance) -> None:
        app = create_api(clerk)
        assert isinstance(app, WithFaults)
        self._transport = httpx.ASGITransport(app)
        self._headers = {"authorization": f"Bearer {clerk.secret_key}"}
        router = app._app._app.router  # type: ignore[attr-defined]  # faults and the gate stand before it
        self.routes = {
            (method, route.path)
            for route in router.routes
            if isinstance(route, Route)
            for method in (route.methods or set()) - {"HEAD"}
        }
        self.answered: set[tuple[str, str]] = set()
        self.refused: set[tuple[int, str]] = set()

    def call(self, model: TypeAdapter[Any], method: str, path: str, body: Any = None, **more: Any) -> Any:
        """Call a path and return the answer, which must fit the model."""
        answer = self._send(method, path, json=body, **more)
        assert answer.status_code == 200, answer.text
        assert_fits(model, answer.json())
        self.answered.add((method, self._route(method, answer.request.url.path)))
        return answer.json()

    def refuse(self, status: int, method: str, path: str, **request: Any) -> None:
        """Call a path that must be refused, with Clerk's errors."""
        answer = self._send(method, path, **request)
        assert answer.status_code == status, answer.text
        body = answer.json()
        assert re.fullmatch("[0-9a-f]{32}", body.pop("clerk_trace_id"))  # in Clerk's description only
        assert_fits(ERRORS, body)
        self.refused.add((status, body["errors"][0]["code"]))

    def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            headers = self._headers | request.pop("headers", {})
            async with httpx.AsyncClient(transport=self._transport, base_url="http://clerk/v1") as client:
                return await client.request(method, path, headers=headers, **request)

        return asyncio.run(send())

    def _route(self, method: str, path: str) -> str:
        """Return the route of a path; one without parameters comes first."""
        found = [it for name, it in self.routes if name == method and fits(it, path)]
        return min(found, key=lambda it: it.count("{"))


def fits(template: str, path: str) -> bool:
    return re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path) is not None


@pytest.fixture
def clerk() -> ClerkInstance:
    return ClerkInstance(rate_limit=0)


def test_every_answer_fits(clerk: ClerkInstance) -> None:
    """Of each route that the local Clerk has."""
    api = Checked(clerk)
    api.call(USERS, "GET", "/users")
    ada = api.call(
        USER,
        "POST",
        "/users",
        {"email_address": ["a@example.com"], "phone_number": ["+1"], "username": "ada"},
    )["id"]
    bob = api.call(USER, "POST", "/users", {"web3_wallet": ["0x1"], "external_id": "7", "banned": True})["id"]
    api.call(USERS, "GET", "/users?limit=500")
    api.call(COUNT, "GET", "/users/count")
    api.call(USER, "PATCH", f"/users/{ada}", {"first_name": "Ada", "password": "correct horse"})
    for method in ("PATCH", "PUT"):
        api.call(USER, method, f"/users/{ada}/metadata", {"public_metadata": {"role": "admin"}})
    for action in ("ban", "unban", "lock", "unlock"):
        api.call(USER, "POST", f"/users/{ada}/{action}")
    for action in ("ban", "unban"):
        api.call(USERS, "POST", f"/users/{action}", {"user_ids": [ada, bob]})
    session = api.call(SESSION, "POST", "/sessions", {"user_id": ada})["id"]
    api.call(USER, "GET", f"/users/{ada}")
    api.call(SESSIONS, "GET", f"/sessions?user_id={ada}")
    api.call(SESSION, "GET", f"/sessions/{session}")
    api.call(TOKEN, "POST", f"/sessions/{session}/tokens")
    api.call(TEMPLATE_TOKEN, "POST", f"/sessions/{session}/tokens/convex")
    api.call(SESSION, "POST", f"/sessions/{session}/revoke")
    invited = {"email_address": "b@example.com", "expires_in_days": 7, "notify": False}
    invitation = api.call(INVITATION, "POST", "/invitations", invited)["id"]
    api.call(INVITATIONS, "GET", "/invitations?status=pending&limit=500")
    api.call(REVOKED, "POST", f"/invitations/{invitation}/revoke")
    api.call(INVITATIONS, "GET", "/invitations?status=revoked")
    clerk.deprovision(ada)
    api.call(USER, "GET", f"/users/{ada}")
    api.call(INSTANCE, "GET", "/instance")
    api.call(JWKS, "GET", "/jwks")
    api.call(DELETED, "DELETE", f"/users/{bob}")
    assert api.answered == api.routes


def test_every_refusal_fits(clerk: ClerkInstance) -> None:
    """Of each status that the local Clerk answers."""
    api = Checked(clerk)
    clerk.create_user(username="ada")
    managed = clerk.create_user()["id"]
    clerk.deprovision(managed)
    api.refuse(400, "POST", "/users", content=b"[")
    api.refuse(400, "POST", "/sessions", json={"user_id": managed})
    api.refuse(401, "GET", "/users", headers={"authorization": "Bearer sk_test_wrong"})
    api.refuse(401, "GET", "/users", headers={"authorization": "Basic x"})
    api.refuse(404, "GET", "/users/user_nobody")
    api.refuse(404, "GET", "/nowhere")
    api.refuse(405, "PUT", "/users")
    api.refuse(409, "DELETE", f"/users/{managed}")
    api.refuse(409, "PATCH", f"/users/{managed}", json={"first_name": "Ada"})
    api.refuse(413, "POST", "/users", content=b" " * 2_000_000)
    api.refuse(422, "POST", "/users", json={})
    api.refuse(422, "POST", "/users", json={"username": "ada"})
    api.refuse(422, "POST", "/users", json={"shoe_size": 7})
    api.refuse(422, "GET", "/users?limit=501")
    api.refuse(422, "GET", "/sessions")
    api.refuse(422, "POST", "/users/ban", json={"user_ids": []})
    api.refuse(422, "POST", "/invitations", json={})
    api.refuse(404, "POST", "/invitations/inv_1/revoke")
    api.refuse(501, "GET", "/organizations")
    limited = Checked(ClerkInstance(rate_limit=1))
    limited.call(USERS, "GET", "/users")
    limited.refuse(429, "GET", "/users")
    statuses = {status for status, _ in api.refused | limited.refused}
    assert statuses == {400, 401, 404, 405, 409, 413, 422, 429, 501}


@pytest.mark.parametrize("oddity", [it for it in ODDITIES if it.__name__ not in BEYOND_THE_MODEL])
def test_odd_users_fit(clerk: ClerkInstance, oddity: Any) -> None:
    """Users of all kinds, whose fields the local Clerk does not make itself."""
    person = ordinary(1)
    oddity(person, 1)
    clerk.create_user(**person)
    Checked(clerk).call(USERS, "GET", "/users")


@pytest.mark.parametrize(
    "change",
    [
        lambda user: user | {"shoe_size": 7},
        lambda user: {key: value for key, value in user.items() if key != "banned"},
        lambda user: user | {"created_at": "1"},
        lambda user: user | {"email_addresses": [user["email_addresses"][0] | {"colour": "red"}]},
    ],
    ids=["unknown", "missing", "converted", "unknown within"],
)
def test_the_check_can_fail(clerk: ClerkInstance, change: Any) -> None:
    """A user that Clerk would not send is noticed."""
    user = clerk.create_user(email_address=["a@example.com"])
    assert_fits(USER, user)
    with pytest.raises((ValidationError, AssertionError)):
        assert_fits(USER, change(user))


def paths_of_clerk() -> Iterator[tuple[str, str]]:
    """Yield method and path of each call that Clerk's own client can make."""
    for file in Path(clerk_backend_api.__file__).parent.glob("*.py"):
        yield from re.findall(r'method="(\w+)",\s+path="([^"]+)"', file.read_text())


def test_each_path_of_clerk_is_served_or_said_to_be_missing(clerk: ClerkInstance) -> None:
    """With a key or without one: 501 for what only Clerk has, and 404 for what not even Clerk has."""
    api = Checked(clerk)
    paths = set(paths_of_clerk())
    assert len(paths) > 200
    served = 0
    for method, template in paths:
        path = re.sub(r"\{\w+\}", "it", template)
        if any(name == method and fits(it, f"/v1{path}") for name, it in api.routes):
            served += 1
        else:
            api.refuse(501, method, path, headers={"authorization": ""})
    assert served == len(api.routes)
    for path in ("/users/user_1/tea", "/instance/tea", "/organizationsx", "/users/user_1/totpx"):
        for headers in ({}, {"authorization": ""}):
            api.refuse(404, "GET", path, headers=headers)
