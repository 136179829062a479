"""Invitations to the app: listed, sent and revoked. Their link is not for the service."""

from __future__ import annotations

import json
import logging

import pytest

from clerk_convex.admin.answers import invitation_of
from clerk_convex.local.clerk import Faults
from clerk_convex.service import Timeouts
from tests.admin.test_routes import error
from tests.support.managed import Managed

pytestmark = pytest.mark.anyio

NEW = {"email_address": "new@example.com", "public_metadata": {"role": "editor"}, "expires_in_days": 7}


async def test_an_invitation_is_sent_listed_and_revoked(
    managed: Managed, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither answers nor the log have the link, and neither the audit log nor the log has the address."""
    caplog.set_level(logging.DEBUG)
    rows = managed.functions.rows()
    async with managed.as_admin() as client:
        response = await client.post("/invitations", json=NEW)
        assert response.status_code == 201
        invitation = response.json()["invitation"]
        assert invitation.keys() == {
            *("id", "email_address", "status", "public_metadata"),
            *("created_at", "updated_at", "expires_at"),
        }
        assert (invitation["status"], invitation["public_metadata"]) == ("pending", {"role": "editor"})
        assert invitation["expires_at"] == invitation["created_at"] + 7 * 86_400_000
        found = (await client.get("/invitations")).json()
        assert found == {"invitations": [invitation], "has_more": False, "limit": 20, "offset": 0}
        twice = await client.post("/invitations", json=NEW)
        assert (twice.status_code, error(twice)["code"]) == (400, "duplicate_record")
        assert "Revoke that one first" in error(twice)["message"]
        taken = await client.post("/invitations", json={"email_address": "eve@example.com"})
        assert (taken.status_code, error(taken)["code"]) == (422, "form_identifier_exists")
        body = {"invitation_id": invitation["id"]}
        revoked = await client.post("/invitations/revoke", json=body)
        assert revoked.json()["invitation"]["status"] == "revoked"
        again = await client.post("/invitations/revoke", json=body)
        assert (again.status_code, error(again)["code"]) == (400, "invitation_already_revoked")
        unknown = await client.post("/invitations/revoke", json={"invitation_id": "inv_1"})
        assert (unknown.status_code, error(unknown)["code"]) == (404, "resource_not_found")
        assert (await client.get("/invitations")).json()["invitations"] == []
    assert managed.functions.rows() == rows
    outcomes = [(row["action"], row["outcome"]) for row in managed.attempts()]
    assert outcomes == [
        *(("create_invitation", "done"), ("list_invitations", "done")),
        *([("create_invitation", "failed")] * 2),
        *(("revoke_invitation", "done"), *([("revoke_invitation", "failed")] * 2)),
        ("list_invitations", "done"),
    ]
    objects = [row.get("object") for row in managed.attempts()]
    one = invitation["id"]
    assert objects == [one, None, None, None, one, one, "inv_1", None]
    told = json.dumps(
        [managed.audit(), [it.getMessage() for it in caplog.records if it.name == "clerk_convex"]]
    )
    assert "new@example.com" not in told
    answers = json.dumps([invitation, found, revoked.json()])
    assert invitation_of({"id": "inv_1", "url": "https://clerk.example.com/?ticket=1"}) == {"id": "inv_1"}
    assert "ticket" not in told + answers
    assert "url" not in answers


async def test_invitations_are_listed_by_page_filter_and_order(managed: Managed) -> None:
    async with managed.as_admin() as client:
        made = [
            (await client.post("/invitations", json={"email_address": f"{it}@example.com"})).json()[
                "invitation"
            ]
            for it in "bca"
        ]
        await client.post("/invitations/revoke", json={"invitation_id": made[1]["id"]})

        async def found(**query: str | int) -> tuple[list[str], bool]:
            body = (await client.get("/invitations", params=query)).json()
            return [it["email_address"][0] for it in body["invitations"]], body["has_more"]

        assert await found(order_by="email_address") == (["a", "b"], False)
        assert await found(order_by="-email_address", limit=1) == (["b"], True)
        assert await found(order_by="-email_address", limit=1, offset=1) == (["a"], False)
        assert await found(status="revoked") == (["c"], False)
        assert await found(query="B@") == (["b"], False)
        for name, value in (("status", "lost"), ("order_by", "name"), ("limit", 101), ("email", "x")):
            response = await client.get("/invitations", params={name: value})
            assert (response.status_code, error(response)["errors"][0]["field"]) == (422, name)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "email_address"),
        ({"email_address": "ada"}, "email_address"),
        (NEW | {"expires_in_days": 366}, "expires_in_days"),
        (NEW | {"expires_in_days": "7"}, "expires_in_days"),
        (NEW | {"public_metadata": {"a": "x" * 9000}}, "public_metadata"),
        (NEW | {"redirect_url": "https://evil.example"}, "redirect_url"),
    ],
)
async def test_wrong_invitations(managed: Managed, body: dict[str, object], field: str) -> None:
    async with managed.as_admin() as client:
        response = await client.post("/invitations", json=body)
        assert (response.status_code, error(response)["errors"][0]["field"]) == (422, field)
        response = await client.patch("/invitations", json={})
        assert (response.status_code, response.headers["allow"]) == (405, "GET, POST")


async def test_invitations_have_a_limit_of_their_own(managed: Managed) -> None:
    """For each caller. Other writes go on."""
    app = managed.app(CLERK_CONVEX_INVITATION_LIMIT="2/hour")
    async with managed.as_admin(app) as ada, managed.client(app, managed.token(managed.grace)) as grace:
        sent = [await ada.post("/invitations", json={"email_address": f"{it}@example.com"}) for it in "abc"]
        assert [response.status_code for response in sent] == [201, 201, 429]
        assert int(sent[2].headers["retry-after"]) > 3000
        assert (await grace.post("/invitations", json=NEW)).status_code == 201
        assert (await ada.post(f"/{managed.eve}/unban")).status_code == 200


async def test_clerks_limit_of_invitations_is_passed_on(managed: Managed) -> None:
    """Clerk says when the hour is over. Meanwhile other calls of Clerk do not wait."""
    managed.timeouts = Timeouts(clerk_retries=0.0, clerk_call=5.0)
    async with managed.as_admin() as client:
        assert (await client.get(f"/{managed.eve}")).status_code == 200  # it fetches the keys of tokens
        managed.clerk.faults = Faults(status=429, retry_after=3000, times=1)
        response = await client.post("/invitations", json=NEW)
        assert (response.status_code, error(response)["code"]) == (503, "clerk_too_busy")
        assert (response.headers["retry-after"], error(response)["may_be_done"]) == ("3000", False)
        assert (await client.get(f"/{managed.eve}")).status_code == 200
