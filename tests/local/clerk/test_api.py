"""The API of a local Clerk without a server, called with the right key unless a test says otherwise."""

import asyncio
import email.utils
import json
import socket
import time
from collections.abc import Iterator
from functools import partialmethod
from typing import Any

import httpx
import jwt
import pytest

from clerk_convex.local.clerk import Faults
from clerk_convex.local.clerk.api import MAX_BODY, RateLimit, create_api
from clerk_convex.local.clerk.instance import ClerkInstance
from tests.support.local_clerk import served as served_clerk


class Api:
    """The API of a local Clerk without a server, called with the right key unless told otherwise."""

    def __init__(self, clerk: ClerkInstance) -> None:
        self._transport = httpx.ASGITransport(create_api(clerk))
        self._headers = {"authorization": f"Bearer {clerk.secret_key}"}

    def request(self, method: str, path: str, **rest: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            client = httpx.AsyncClient(
                transport=self._transport, base_url="http://clerk/v1", headers=self._headers
            )
            return await client.request(method, path, **rest)

        return asyncio.run(send())

    get = partialmethod(request, "GET")
    post = partialmethod(request, "POST")
    patch = partialmethod(request, "PATCH")
    put = partialmethod(request, "PUT")
    delete = partialmethod(request, "DELETE")


@pytest.fixture
def clerk() -> ClerkInstance:
    return ClerkInstance(rate_limit=0)


@pytest.fixture
def api(clerk: ClerkInstance) -> Api:
    return Api(clerk)


@pytest.fixture
def served() -> Iterator[tuple[ClerkInstance, httpx.Client]]:
    """The API over HTTP."""
    with served_clerk(rate_limit=0) as clerk:
        headers = {"authorization": f"Bearer {clerk.secret_key}"}
        with httpx.Client(base_url=f"{clerk.url}/v1", headers=headers, trust_env=False) as client:
            yield clerk, client


def assert_refused(answer: httpx.Response, status: int, code: str, param: str | None = None) -> None:
    """Check that the answer has this status and one error of Clerk's form with this code."""
    assert answer.status_code == status
    body = answer.json()
    assert len(body["clerk_trace_id"]) == 32
    (error,) = body["errors"]
    assert error["code"] == code
    assert error["message"]
    assert error["long_message"]
    assert error.get("meta") == (None if param is None else {"param_name": param})


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [user["id"] for user in answer.json()]


def test_the_key_is_required(clerk: ClerkInstance, api: Api) -> None:
    """No key or another scheme is authentication_invalid, a wrong key is clerk_key_invalid."""
    for header in ("", "Bearer", f"Basic {clerk.secret_key}"):
        answer = api.get("/users", headers={"authorization": header})
        assert_refused(answer, 401, "authentication_invalid")
    answer = api.get("/users", headers={b"authorization": b"Bearer sk_test_\xe9"})
    assert_refused(answer, 401, "clerk_key_invalid")
    assert clerk.secret_key not in answer.text


def test_unknown_paths_and_methods(api: Api) -> None:
    """404, 405 and 501 have Clerk's form too, whatever the key. A slash at the end is no redirect."""
    for key in (None, "", "Bearer sk_test_wrong"):
        headers = {} if key is None else {"authorization": key}
        for path in ("/nowhere", "/users/", "/users/user_1/tea"):
            answer = api.get(path, headers=headers)
            assert_refused(answer, 404, "resource_not_found")
            assert "This is the local Clerk" in answer.text
        for method, path in (("GET", "/organizations/org_1"), ("PATCH", "/instance")):
            assert_refused(api.request(method, path, headers=headers), 501, "not_implemented")
    answer = api.put("/users")
    assert_refused(answer, 405, "method_not_allowed")
    assert answer.headers["allow"]


def test_pages_have_ten_users_the_newest_first(clerk: ClerkInstance, api: Api) -> None:
    """A page is an array of `limit` users from `offset` on."""
    made = [clerk.create_user(created_at=at)["id"] for at in range(12)]
    made.reverse()
    assert ids(api.get("/users")) == made[:10]
    assert ids(api.get("/users?limit=500")) == made
    assert ids(api.get("/users?limit=3&offset=10")) == made[10:]
    assert ids(api.get("/users?offset=99")) == []
    assert api.get("/users?limit=1").json() == [clerk.get_user(made[0])]


def test_the_cursor_walks_over_all_users(clerk: ClerkInstance, api: Api) -> None:
    """In both directions, also between users of the same millisecond."""
    for at in range(12):
        clerk.create_user(created_at=at // 4)
    for order_by, expected in (
        ("%2Bcreated_at", [user["id"] for user in clerk.users()]),
        ("created_at", [user["id"] for user in clerk.users()]),
        ("-created_at", [user["id"] for user in reversed(clerk.users())]),
    ):
        seen: list[str] = []
        page = ids(api.get(f"/users?limit=5&order_by={order_by}"))
        while page:
            seen += page
            page = ids(api.get(f"/users?limit=5&order_by={order_by}&starting_after={page[-1]}"))
        assert seen == expected
    assert len(ids(api.get(f"/users?starting_after={expected[4]}&limit=500"))) == 7


def test_the_cursor_respects_filters(clerk: ClerkInstance, api: Api) -> None:
    """The users behind the cursor are filtered like those of the first page."""
    made = [clerk.create_user(created_at=at, banned=bool(at % 2))["id"] for at in range(10)]
    query = "order_by=%2Bcreated_at&limit=500"
    assert ids(api.get(f"/users?{query}&banned=true&starting_after={made[3]}")) == [made[5], made[7], made[9]]
    bounds = "created_at_after=1&created_at_before=8"
    assert ids(api.get(f"/users?{query}&{bounds}&starting_after={made[3]}")) == made[4:8]
    assert ids(api.get(f"/users?{query}&{bounds}&starting_after={made[0]}")) == made[2:8]
    assert ids(api.get(f"/users?{bounds}&limit=500&starting_after={made[9]}")) == made[7:1:-1]
    chosen = f"user_id={made[1]}&user_id={made[6]}&user_id={made[4]}"
    assert ids(api.get(f"/users?{query}&{chosen}&starting_after={made[1]}")) == [made[4], made[6]]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=x", "limit"),
        ("limit=٣", "limit"),
        ("limit=" + "9" * 5000, "limit"),
        ("offset=-1", "offset"),
        ("order_by=shoe_size", "order_by"),
        ("order_by=+created_at", "order_by"),  # a plus that was not escaped is a space
        ("order_by=", "order_by"),
        ("order_by=-%2Bcreated_at", "order_by"),
        ("starting_after={id}&order_by=updated_at", "starting_after"),
        ("starting_after={id}&offset=1", "starting_after"),
        ("starting_after=user_gone", "starting_after"),
        ("banned=maybe", "banned"),
        ("created_at_after=yesterday", "created_at_after"),
        ("&".join(f"user_id={number}" for number in range(101)), "user_id"),
    ],
)
def test_wrong_parameters_are_refused(clerk: ClerkInstance, api: Api, query: str, param: str) -> None:
    """With 422 and the parameter's name, because a mistake without an error would lose users."""
    user = clerk.create_user()
    answer = api.get(f"/users?{query.format(id=user['id'])}")
    assert_refused(answer, 422, "form_param_value_invalid", param)


def test_unknown_parameters_are_refused(api: Api) -> None:
    """Also parameters of Clerk that the local one does not have, and pages in a count."""
    assert_refused(api.get("/users?organization_id=org_1"), 422, "form_param_unknown", "organization_id")
    assert_refused(api.get("/users/count?limit=1"), 422, "form_param_unknown", "limit")


def test_a_zero_offset_is_allowed_with_a_cursor(clerk: ClerkInstance, api: Api) -> None:
    """Any other offset is refused."""
    user = clerk.create_user()
    assert ids(api.get(f"/users?offset=0&starting_after={user['id']}")) == []


def test_filters(clerk: ClerkInstance, api: Api) -> None:
    """Each finds its users, in the list and in the count."""
    ada = clerk.create_user(
        email_address=["Ada@example.com", "countess@example.org"],
        phone_number=["+15550001"],
        web3_wallet=["0xADA"],
        username="Ada",
        external_id="X1",
        first_name="Ada",
        last_name="Lovelace",
        created_at=1_000,
        last_sign_in_at=5_000,
    )["id"]
    bob = clerk.create_user(email_address=["bob@example.com"], banned=True, created_at=2_000)["id"]
    sue = clerk.create_user(first_name="Sue", created_at=3_000, last_active_at=7_000)["id"]
    for query, expected in {
        "": [sue, bob, ada],
        f"user_id={ada}&user_id={sue}&user_id=user_unknown": [sue, ada],
        "email_address=ada@example.com&email_address=BOB@example.com&email_address=x": [bob, ada],
        "email_address=countess@example.org": [ada],
        f"email_address=bob@example.com&user_id={ada}": [],
        f"email_address=ada@example.com&user_id={ada}": [ada],
        "phone_number=%2B15550001": [ada],
        "web3_wallet=0xada": [ada],
        "username=ADA": [ada],
        "external_id=X1": [ada],
        "external_id=x1": [],
        "external_id=%2BX1": [ada],
        "external_id=-X1": [sue, bob],
        "external_id=X1&external_id=-X1": [],
        "external_id=--X1": [sue, bob, ada],
        f"user_id=%2B{ada}&user_id={sue}": [sue, ada],
        f"user_id=-{ada}&user_id=-user_unknown": [sue, bob],
        f"user_id=-{sue}&external_id=-X1": [bob],
        "email_address_query=ADA@EX": [ada],
        "email_address_query=example.com": [bob, ada],
        "phone_number_query=5000": [ada],
        "username_query=d": [ada],
        "name_query=da love": [ada],
        "name_query=s": [sue],
        "query=0xad": [ada],
        "query=sue": [sue],
        "query=X1": [],
        f"query={bob}": [bob],
        "query=example&name_query=ada": [ada],
        "banned=true": [bob],
        "banned=false": [sue, ada],
        "created_at_after=1000": [sue, bob],
        "created_at_before=3000": [bob, ada],
        "created_at_after=1000&created_at_before=3000": [bob],
        "created_at_after=5000&created_at_before=1": [],
        "last_sign_in_at_after=4999": [ada],
        "last_sign_in_at_after=5000": [],
        "last_sign_in_at_before=5001": [ada],
        "last_sign_in_at_before=5000": [],
        "last_active_at_after=1": [sue],
    }.items():
        assert ids(api.get(f"/users?{query}")) == expected, query
        count = api.get(f"/users/count?{query}").json()
        assert count == {"object": "total_count", "total_count": len(expected)}, query


def test_orders(clerk: ClerkInstance, api: Api) -> None:
    """By each field in both directions. The first order_by counts. Users without the field come first in
    ascending order."""
    a = clerk.create_user(
        first_name="Ada", email_address=["z@x"], username="b", web3_wallet=["0x2"], created_at=1, updated_at=9
    )["id"]
    b = clerk.create_user(
        first_name="Bob", email_address=["y@x"], username="a", web3_wallet=["0x1"], created_at=2
    )["id"]
    c = clerk.create_user(created_at=3, updated_at=1)["id"]
    for field, expected in {
        "created_at": [a, b, c],
        "updated_at": [c, a, b],
        "first_name": [c, a, b],
        "email_address": [c, b, a],
        "username": [c, b, a],
        "web3wallet": [c, b, a],
    }.items():
        assert ids(api.get(f"/users?order_by={field}")) == expected, field
        assert ids(api.get(f"/users?order_by=%2B{field}&order_by=last_name")) == expected, field
        assert ids(api.get(f"/users?order_by=-{field}")) == expected[::-1], field
    assert ids(api.get("/users?order_by=-updated_at&limit=1&offset=1")) == [a]


def test_a_user_can_be_created(clerk: ClerkInstance, api: Api) -> None:
    """With lists of addresses, metadata, RFC 3339 times and a password, as at Clerk."""
    answer = api.post(
        "/users",
        content=json.dumps(
            {
                "email_address": ["ada@example.com"],
                "phone_number": ["+1"],
                "first_name": "Ada",
                "last_name": None,
                "locale": "",
                "created_at": "2024-02-29T12:00:00.123Z",
                "legal_accepted_at": None,
                "password": "correct horse",
                "skip_password_checks": True,
                "create_organizations_limit": 3,
                "public_metadata": {"role": "admin", "$x": "\ud83d"},
                "banned": True,
            }
        ),
    )
    assert answer.status_code == 200
    user = answer.json()
    assert clerk.users() == [user]
    assert user["created_at"] == 1_709_208_000_123
    assert (user["password_enabled"], user["banned"], user["create_organizations_limit"]) == (True, True, 3)
    assert user["public_metadata"] == {"role": "admin", "$x": "\ud83d"}
    assert (user["legal_accepted_at"], user["locale"]) == (None, "")
    assert not {"password", "skip_password_checks"} & user.keys()


def test_each_call_takes_its_own_parameters(clerk: ClerkInstance, api: Api) -> None:
    """A parameter of creation only is unknown to an update, and the other way round. Parameters without a
    meaning here are not stored."""
    path = f"/users/{clerk.create_user(username='ada')['id']}"
    for field in ("skip_password_requirement", "skip_user_requirement"):
        assert_refused(api.patch(path, json={field: True}), 422, "form_param_unknown", field)
        made = api.post("/users", json={"username": field, field: True})
        assert (made.status_code, field in made.json()) == (200, False)
    for field in ("sign_out_of_other_sessions", "notify_primary_email_address_changed"):
        body = {"username": "grace", field: True}
        assert_refused(api.post("/users", json=body), 422, "form_param_unknown", field)
        changed = api.patch(path, json={field: True})
        assert (changed.status_code, field in changed.json()) == (200, False)


def test_a_user_needs_an_identifier(api: Api) -> None:
    """Any identifier is enough. A user without one needs an explicit parameter."""
    assert_refused(api.post("/users", json={"first_name": "Ada"}), 422, "form_data_missing", "email_address")
    for body in (
        {"phone_number": ["+1"]},
        {"web3_wallet": ["0x1"]},
        {"username": "ada"},
        {"skip_user_requirement": True},
    ):
        answer = api.post("/users", json=body)
        assert answer.status_code == 200
        assert "skip_user_requirement" not in answer.json()


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"shoe_size": 43}, "form_param_unknown", "shoe_size"),
        ({"first_name": 5}, "form_param_format_invalid", "first_name"),
        ({"username": ["ada"]}, "form_param_format_invalid", "username"),
        ({"email_address": "ada@example.com"}, "form_param_format_invalid", "email_address"),
        ({"email_address": ["ada"]}, "form_param_format_invalid", "email_address"),
        ({"email_address": [None]}, "form_param_format_invalid", "email_address"),
        ({"phone_number": [""]}, "form_param_format_invalid", "phone_number"),
        ({"banned": 1}, "form_param_format_invalid", "banned"),
        ({"create_organizations_limit": True}, "form_param_format_invalid", "create_organizations_limit"),
        ({"create_organizations_limit": "3"}, "form_param_format_invalid", "create_organizations_limit"),
        ({"public_metadata": []}, "form_param_format_invalid", "public_metadata"),
        ({"created_at": 1_709_208_000_123}, "form_param_format_invalid", "created_at"),
        ({"created_at": "yesterday"}, "form_param_format_invalid", "created_at"),
        ({"created_at": "2024-02-29T12:00:00"}, "form_param_format_invalid", "created_at"),
        ({"password": "short"}, "form_password_length_too_short", "password"),
        ({"password": 12345678}, "form_password_length_too_short", "password"),
        ({"email_address": ["taken@example.com"]}, "form_identifier_exists", "email_address"),
    ],
)
def test_wrong_fields_are_refused(
    clerk: ClerkInstance, api: Api, body: dict[str, Any], code: str, param: str
) -> None:
    """With 422 and the parameter's name, and no user is created."""
    clerk.create_user(email_address=["taken@example.com"])
    assert_refused(api.post("/users", json=body), 422, code, param)
    assert clerk.count == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xff\xfe",
        b'{"public_metadata": {"x": NaN}}',
        b'{"public_metadata": {"x": 1e999}}',
        b'{"public_metadata": {"x": ' + b"9" * 5000 + b"}}",
        b'{"public_metadata": {"x": ' + b"[" * 300 + b"]" * 300 + b"}}",
        b'{"public_metadata": {"x": ' + b"[" * 100_000,
    ],
    ids=["empty", "null", "array", "cut", "binary", "NaN", "infinite", "long number", "deep", "deeper"],
)
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_bodies_that_are_no_json_object(clerk: ClerkInstance, api: Api, method: str, body: bytes) -> None:
    """They get 400, and never a server error."""
    user = clerk.create_user(username="ada")
    path = "/users" if method == "POST" else f"/users/{user['id']}/metadata"
    assert_refused(api.request(method, path, content=body), 400, "request_body_invalid")
    assert clerk.users() == [user]


def test_bodies_that_are_too_large(api: Api) -> None:
    """They get 413 as soon as the limit is reached."""
    assert_refused(api.post("/users", content=b" " * (MAX_BODY + 1)), 413, "request_body_too_large")


def test_metadata_may_have_8_kb(clerk: ClerkInstance, api: Api) -> None:
    """In UTF-8, of each kind, after the merge; of a user and of an invitation."""
    full = {"a": "\u4e2d" * 2728}
    user = api.post("/users", json={"username": "ada", "public_metadata": full, "private_metadata": full})
    assert user.status_code == 200
    path = f"/users/{user.json()['id']}/metadata"
    assert api.patch(path, json={"public_metadata": {"a": "x"}}).status_code == 200
    assert api.patch(path, json={"public_metadata": {"a": full["a"]}}).status_code == 200
    before = clerk.users()
    refusal = (413, "request_body_too_large", "public_metadata")
    answer = api.patch(path, json={"public_metadata": {"b": 1}})
    assert_refused(answer, *refusal)
    large = {"public_metadata": full | {"b": 1}}
    assert_refused(api.post("/users", json={"username": "bob", **large}), *refusal)
    invitation = {"email_address": "bob@example.com", **large}
    assert_refused(api.post("/invitations", json=invitation), *refusal)
    assert clerk.users() == before


def test_odd_parameter_names_can_be_refused(api: Api) -> None:
    """Half a surrogate pair in a name is quoted without an error."""
    answer = api.post("/users", content=b'{"\\ud83d": 1}')
    assert_refused(answer, 422, "form_param_unknown", "\ud83d")


def test_a_user_can_be_got_and_changed(clerk: ClerkInstance, api: Api) -> None:
    """GET, PATCH and DELETE of one user, and 404 for an unknown user."""
    user = clerk.create_user(first_name="Ada", last_name="Lovelace", username="ada", external_id="1")
    path = f"/users/{user['id']}"
    assert api.get(path).json() == user
    changed = api.patch(path, json={"first_name": "Grace", "last_name": None, "username": ""}).json()
    assert (changed["first_name"], changed["last_name"], changed["username"]) == ("Grace", None, None)
    assert changed["updated_at"] > user["updated_at"]
    untouched = api.patch(path, json={}).json()
    assert untouched == {**changed, "updated_at": untouched["updated_at"]}
    assert api.delete(path).json() == {
        "id": user["id"],
        "object": "user",
        "deleted": True,
        "external_id": "1",
    }
    for answer in (
        *(api.get(path), api.patch(path, json={}), api.delete(path), api.post(f"{path}/ban")),
        *(api.patch(f"{path}/metadata", json={}), api.post("/sessions", json={"user_id": user["id"]})),
    ):
        assert_refused(answer, 404, "resource_not_found")


def test_the_primary_address_must_be_verified_and_the_users_own(clerk: ClerkInstance, api: Api) -> None:
    """An address of another user, an unverified and an unknown one are refused."""
    clerk.create_user(email_address=[{"email_address": "other@example.com", "id": "idn_other"}])
    user = clerk.create_user(
        email_address=[
            "first@example.com",
            {"email_address": "verified@example.com", "id": "idn_verified"},
            {"email_address": "unverified@example.com", "id": "idn_unverified", "verification": None},
        ]
    )
    path = f"/users/{user['id']}"
    for wrong in ("idn_other", "idn_unverified", "idn_nobody"):
        answer = api.patch(path, json={"primary_email_address_id": wrong})
        assert_refused(answer, 422, "form_param_format_invalid", "primary_email_address_id")
    changed = api.patch(path, json={"primary_email_address_id": "idn_verified"}).json()
    assert changed["primary_email_address_id"] == "idn_verified"


def test_metadata_has_its_own_path(clerk: ClerkInstance, api: Api) -> None:
    """PATCH of the user refuses metadata. PATCH of the metadata merges, PUT replaces the given parts."""
    user = clerk.create_user(public_metadata={"a": {"b": 1}}, unsafe_metadata={"c": 1})
    path = f"/users/{user['id']}"
    assert_refused(
        api.patch(path, json={"public_metadata": {}}), 422, "form_param_unknown", "public_metadata"
    )
    merged = api.patch(f"{path}/metadata", json={"public_metadata": {"a": {"d": 2}}}).json()
    assert merged["public_metadata"] == {"a": {"b": 1, "d": 2}}
    replaced = api.put(
        f"{path}/metadata", json={"public_metadata": {"e": 1}, "private_metadata": {"f": 1}}
    ).json()
    assert replaced["public_metadata"] == {"e": 1}
    assert replaced["private_metadata"] == {"f": 1}
    assert replaced["unsafe_metadata"] == {"c": 1}
    assert_refused(api.put(f"{path}/metadata", json={"role": 1}), 422, "form_param_unknown", "role")


def test_fields_of_a_directory_cannot_be_changed(clerk: ClerkInstance, api: Api) -> None:
    """Names and deletion are refused with Clerk's codes, also after the directory has added the user
    again."""
    user = clerk.create_user(first_name="Dee")
    path = f"/users/{user['id']}"
    assert api.patch(path, json={"last_name": "Prov"}).status_code == 200
    assert clerk.deprovision(user["id"])["deprovisioned"] is True
    for change in (lambda: None, lambda: clerk.reprovision(user["id"])):
        change()
        for key in ("first_name", "last_name", "username"):
            assert_refused(api.patch(path, json={key: "x"}), 409, "attribute_managed_by_scim", key)
        assert_refused(api.delete(path), 409, "user_managed_by_scim")
    assert api.patch(path, json={"external_id": "7"}).status_code == 200
    assert api.patch(f"{path}/metadata", json={"public_metadata": {"a": 1}}).status_code == 200
    assert clerk.get_user(user["id"])["last_name"] == "Prov"
    assert clerk.delete_user(user["id"])["deleted"] is True  # as the directory would
    assert_refused(api.delete(path), 404, "resource_not_found")


def test_the_flag_is_in_the_api_and_the_directory_is_not(clerk: ClerkInstance, api: Api) -> None:
    """A user and a list have `deprovisioned` and not `scim`, and no session can be created."""
    user_id = clerk.create_user(scim={"directory_id": "dir_1", "external_id": "7"})["id"]
    assert "deprovisioned" not in api.get(f"/users/{user_id}").json()
    clerk.deprovision(user_id)
    (listed,) = api.get("/users").json()
    assert listed == api.get(f"/users/{user_id}").json() == clerk.get_user(user_id)
    assert listed["deprovisioned"] is True
    assert "scim" not in listed
    assert_refused(api.post("/sessions", json={"user_id": user_id}), 400, "deprovisioned")
    assert clerk.sessions() == []
    clerk.reprovision(user_id)
    assert api.post("/sessions", json={"user_id": user_id}).status_code == 200


def test_a_lock_counts_down(clerk: ClerkInstance, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the user and in lists, until the lock ends. An hour is Clerk's default."""
    path = f"/users/{clerk.create_user()['id']}"
    locked = api.post(f"{path}/lock").json()
    assert (locked["locked"], locked["lockout_expires_in_seconds"]) == (True, 3600)
    now = time.time_ns()
    for seconds, state in ((600, (True, 3000)), (3599, (True, 1)), (3601, (False, None))):
        monkeypatch.setattr(time, "time_ns", lambda seconds=seconds: now + seconds * 1_000_000_000)
        (listed,) = api.get("/users").json()
        got = api.get(path).json()
        assert listed == got
        assert (got["locked"], got["lockout_expires_in_seconds"]) == state
        assert got["updated_at"] == locked["updated_at"]


def test_ban_and_lock(clerk: ClerkInstance, api: Api) -> None:
    """Each answers the user in the new state, without a body in the request."""
    path = f"/users/{clerk.create_user()['id']}"
    for action, field, value in (
        *(("ban", "banned", True), ("unban", "banned", False)),
        *(("lock", "locked", True), ("unlock", "locked", False)),
    ):
        answer = api.post(f"{path}/{action}")
        assert answer.status_code == 200
        assert answer.json()[field] is value


def test_sign_in(clerk: ClerkInstance, api: Api) -> None:
    """A session is created for the user in the body."""
    user = clerk.create_user()
    session = api.post("/sessions", json={"user_id": user["id"]}).json()
    assert (session["object"], session["user_id"]) == ("session", user["id"])
    assert clerk.get_user(user["id"])["last_sign_in_at"] == session["created_at"]
    for body in ({}, {"user_id": None}):
        assert_refused(api.post("/sessions", json=body), 422, "form_data_missing", "user_id")


def test_bulk_bans(clerk: ClerkInstance, api: Api) -> None:
    """Up to 50 users at once, each in the answer once; with a user that is not there, nobody is banned."""
    made = [clerk.create_user()["id"] for _ in range(3)]
    session = clerk.sign_in(made[0])["id"]
    for action, banned in (("ban", True), ("unban", False)):
        answer = api.post(f"/users/{action}", json={"user_ids": [made[1], made[0], made[1]]})
        assert [(it["id"], it["banned"]) for it in answer.json()] == [(it, banned) for it in made[1::-1]]
    assert clerk.get_session(session)["status"] == "revoked"
    answer = api.post("/users/ban", json={"user_ids": [made[2], "user_nobody"]})
    assert_refused(answer, 404, "resource_not_found")
    assert not any(user["banned"] for user in clerk.users())
    assert len(api.post("/users/ban", json={"user_ids": [made[2]] * 50}).json()) == 1
    for wrong in ([], ["user_1"] * 51, None, "user_1", [1]):
        answer = api.post("/users/ban", json={"user_ids": wrong})
        assert_refused(answer, 422, "form_param_format_invalid", "user_ids")
    assert_refused(api.post("/users/ban", json={}), 422, "form_param_format_invalid", "user_ids")


def test_sessions(clerk: ClerkInstance, api: Api) -> None:
    """They are read, listed with the newest first, and revoked. An unknown session is a 404."""
    ada, bob = clerk.create_user()["id"], clerk.create_user()["id"]
    sessions = [clerk.sign_in(ada) for _ in range(12)]
    ids = [session["id"] for session in reversed(sessions)]
    clerk.sign_in(bob)
    path = f"/sessions/{ids[0]}"
    assert api.get(path).json() == sessions[-1]
    revoked = api.post(f"{path}/revoke").json()
    assert (revoked["id"], revoked["status"]) == (ids[0], "revoked")
    for query, expected in {
        f"user_id={ada}": ids[:10],
        f"user_id={ada}&limit=500": ids,
        f"user_id={ada}&limit=2&offset=10": ids[10:],
        f"user_id={ada}&status=revoked": ids[:1],
        f"user_id={ada}&status=active&limit=1": ids[1:2],
        f"client_id={revoked['client_id']}": ids[:1],
        f"client_id={revoked['client_id']}&user_id={bob}": [],
        "user_id=user_nobody": [],
        f"user_id={ada}&limit=3&paginated=false": ids[:3],
    }.items():
        assert [session["id"] for session in api.get(f"/sessions?{query}").json()] == expected, query
    page = api.get(f"/sessions?user_id={ada}&limit=1&paginated=true").json()
    assert (page["total_count"], [session["id"] for session in page["data"]]) == (12, ids[:1])
    for answer in (
        *(api.get("/sessions/sess_nothing"), api.post("/sessions/sess_nothing/revoke")),
        *(api.post("/sessions/sess_nothing/tokens"), api.post(f"{path}/tokens")),
    ):
        assert_refused(answer, 404, "resource_not_found")


def test_invitations(clerk: ClerkInstance, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address has one pending invitation and no user, unless that is to be ignored. Pending ones have a
    link, and expire."""
    made = [api.post("/invitations", json={"email_address": f"{it}@example.com"}).json() for it in "bca"]
    assert all(it["url"].startswith(f"{clerk.issuer}/v1/tickets/accept?ticket=") for it in made)
    taken = {"email_address": "B@example.com"}
    assert_refused(api.post("/invitations", json=taken), 400, "duplicate_record")
    clerk.create_user(email_address=["ada@example.com"])
    exists = {"email_address": "Ada@example.com"}
    assert_refused(api.post("/invitations", json=exists), 422, "form_identifier_exists", "email_address")
    for again in (taken, exists):
        answer = api.post("/invitations", json={**again, "ignore_existing": True, "expires_in_days": 1})
        assert answer.status_code == 200

    def found(query: str) -> list[str]:
        return [it["email_address"] for it in api.get(f"/invitations?limit=500&{query}").json()]

    assert found("order_by=email_address&query=%40EXAMPLE.com") == [
        *("Ada@example.com", "B@example.com", "a@example.com", "b@example.com", "c@example.com")
    ]
    assert found("query=" + made[0]["id"]) == ["b@example.com"]
    assert found("order_by=-created_at&offset=4") == ["b@example.com"]
    page = api.get("/invitations?limit=1&paginated=true").json()
    assert (len(page["data"]), page["total_count"]) == (1, 5)
    revoked = api.post(f"/invitations/{made[1]['id']}/revoke").json()
    assert (revoked["status"], revoked["revoked"], "url" in revoked) == ("revoked", True, False)
    assert_refused(api.post(f"/invitations/{made[1]['id']}/revoke"), 400, "invitation_already_revoked")
    assert_refused(api.post("/invitations/inv_1/revoke"), 404, "resource_not_found")
    assert "c@example.com" not in found("")
    assert found("status=revoked") == ["c@example.com"]
    assert (
        api.post(
            "/invitations", json={"email_address": "c@example.com", "template_slug": "invitation"}
        ).status_code
        == 200
    )
    later = clerk._now() + 86_400_000
    monkeypatch.setattr(clerk, "_now", lambda: later)
    assert found("status=expired&order_by=email_address") == ["Ada@example.com", "B@example.com"]
    assert not any("url" in it for it in api.get("/invitations?status=expired").json())
    clerk.reset()
    assert found("") == []


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"email_address": None}, "email_address"),
        ({"email_address": "ada"}, "email_address"),
        ({"email_address": "a@b.c", "expires_in_days": 0}, "expires_in_days"),
        ({"email_address": "a@b.c", "expires_in_days": 366}, "expires_in_days"),
        ({"email_address": "a@b.c", "template_slug": "other"}, "template_slug"),
        ({"email_address": "a@b.c", "notify": 1}, "notify"),
        ({"email_address": "a@b.c", "role": "x"}, "role"),
    ],
)
def test_wrong_invitations(api: Api, body: dict[str, Any], param: str) -> None:
    answer = api.post("/invitations", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["meta"]["param_name"] == param
    assert api.get("/invitations").json() == []


@pytest.mark.parametrize("query", ["status=lost", "order_by=name", "paginated=1", "limit=501", "email=x"])
def test_wrong_parameters_of_invitations(api: Api, query: str) -> None:
    answer = api.get(f"/invitations?{query}")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["meta"]["param_name"] == query.partition("=")[0]


def test_a_hundred_invitations_an_hour() -> None:
    """As at Clerk. Other calls go on."""
    api = Api(ClerkInstance(rate_limit=1000))
    invite = [api.post("/invitations", json={"email_address": f"{it}@example.com"}) for it in range(101)]
    assert [answer.status_code for answer in invite[-2:]] == [200, 429]
    assert 3000 < int(invite[-1].headers["retry-after"]) <= 3600
    assert api.get("/invitations").status_code == 200


@pytest.mark.parametrize(
    ("query", "code", "param"),
    [
        ("", "form_param_missing", "user_id"),
        ("status=active", "form_param_missing", "user_id"),
        ("user_id=x&status=asleep", "form_param_value_invalid", "status"),
        ("user_id=x&paginated=maybe", "form_param_value_invalid", "paginated"),
        ("user_id=x&limit=501", "form_param_value_invalid", "limit"),
        ("user_id=x&offset=-1", "form_param_value_invalid", "offset"),
        ("user_id=x&order_by=created_at", "form_param_unknown", "order_by"),
    ],
)
def test_wrong_parameters_of_sessions(api: Api, query: str, code: str, param: str) -> None:
    """422 with the parameter's name. The user is required."""
    assert_refused(api.get(f"/sessions?{query}"), 422, code, param)


def test_tokens(clerk: ClerkInstance, api: Api) -> None:
    """A session token, or a token of the template "convex", with the requested lifetime. No body is
    needed."""
    session = clerk.sign_in(clerk.create_user()["id"])
    path = f"/sessions/{session['id']}/tokens"
    (key,) = api.get("/jwks").json()["keys"]
    for url, rest, lifetime in (
        (path, {}, 60),
        (path, {"json": {}}, 60),
        (path, {"json": {"expires_in_seconds": None}}, 60),
        (path, {"json": {"expires_in_seconds": 600}}, 600),
        (f"{path}/convex", {}, 60),
        (f"{path}/convex", {"json": {"expires_in_seconds": 1}}, 1),
    ):
        answer = api.post(url, **rest)
        assert answer.status_code == 200, answer.text
        assert answer.json()["object"] == "token"
        token = jwt.decode(
            answer.json()["jwt"], jwt.PyJWK(key), algorithms=["RS256"], audience="convex", issuer=clerk.issuer
        )
        assert (token["sub"], token["exp"] - token["iat"]) == (session["user_id"], lifetime)
        assert token.get("sid") == (session["id"] if url == path else None)
    assert_refused(api.post(f"{path}/hasura"), 404, "resource_not_found")
    for wrong in (0, -1, 315_360_001, 1.5, "60", True):
        answer = api.post(path, json={"expires_in_seconds": wrong})
        assert_refused(answer, 422, "form_param_format_invalid", "expires_in_seconds")
    assert_refused(api.post(path, json={"lifetime": 1}), 422, "form_param_unknown", "lifetime")
    assert_refused(api.post(path, content=b"["), 400, "request_body_invalid")


def test_the_rate_is_limited() -> None:
    """100 requests in 10 seconds with a development key, then 429 with Retry-After."""
    clerk = ClerkInstance()
    api = Api(clerk)
    wrong = {"authorization": "Bearer sk_test_wrong"}
    statuses = [api.get("/users/count").status_code for _ in range(100)]
    answer = api.get("/users/count")
    assert api.get("/users/count", headers=wrong).status_code == 401
    assert api.get("/jwks").status_code == 200  # what verifies tokens is not limited
    assert set(statuses) == {200}
    assert_refused(answer, 429, "too_many_requests")
    assert 1 <= int(answer.headers["retry-after"]) <= 10


def test_changes_of_one_user_are_limited() -> None:
    """Ten in ten seconds, of the user and the metadata together. Other users and other calls are not
    affected."""
    clerk = ClerkInstance(rate_limit=1000)
    api = Api(clerk)
    user, other = clerk.create_user(), clerk.create_user()
    path = f"/users/{user['id']}"
    for _ in range(5):
        assert api.patch(path, json={"first_name": "Ada"}).status_code == 200
        assert api.patch(f"{path}/metadata", json={"public_metadata": {}}).status_code == 200
    before = clerk.get_user(user["id"])
    for answer in (api.patch(path, json={"first_name": "B"}), api.patch(f"{path}/metadata", json={})):
        assert_refused(answer, 429, "too_many_requests")
        assert 1 <= int(answer.headers["retry-after"]) <= 10
    assert clerk.get_user(user["id"]) == before
    assert api.put(f"{path}/metadata", json={}).status_code == 200
    assert api.patch(f"/users/{other['id']}", json={}).status_code == 200


def test_changes_of_one_user_are_not_limited_without_a_limit(clerk: ClerkInstance, api: Api) -> None:
    """`rate_limit=0` is no limit."""
    path = f"/users/{clerk.create_user()['id']}"
    assert {api.patch(path, json={}).status_code for _ in range(30)} == {200}


def test_the_rate_limit_slides() -> None:
    """A call is allowed again when the oldest one leaves the window, not before. 0 is no limit."""
    now = 100.0
    rate = RateLimit(2, clock=lambda: now)
    assert rate.wait() == 0.0
    now = 104.0
    assert rate.wait() == 0.0
    assert rate.wait() == 6.0
    now = 110.0
    assert rate.wait() == 0.0
    assert rate.wait() == 4.0
    assert {RateLimit(0).wait() for _ in range(5000)} == {0.0}


def test_faults_on_request(clerk: ClerkInstance, api: Api) -> None:
    """A status for a number of requests, then success again."""
    clerk.faults = Faults(status=503, times=2)
    for _ in range(2):
        assert_refused(api.get("/users"), 503, "internal_clerk_error")
    assert api.get("/users").status_code == 200
    clerk.faults = Faults(status=500)
    assert {api.get("/users").status_code for _ in range(3)} == {500}


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (402, "unsupported_subscription_plan_features"),
        (403, "user_quota_exceeded"),
        (409, "resource_locked"),
        (429, "too_many_requests"),
    ],
)
def test_each_of_clerks_errors_on_request(clerk: ClerkInstance, api: Api, status: int, code: str) -> None:
    """The next call gets the status, code and message, and changes nothing. The call after it succeeds."""
    user = clerk.create_user()
    clerk.faults = Faults(status=status, code=code, message="No, sorry", times=1)
    answer = api.post(f"/users/{user['id']}/ban")
    assert_refused(answer, status, code)
    assert answer.json()["errors"][0]["message"] == "No, sorry"
    assert answer.headers.get("retry-after") == ("1" if status == 429 else None)
    clerk.faults = Faults(status=status, code=code, retry_after=None, times=1)
    assert "retry-after" not in api.post(f"/users/{user['id']}/ban").headers
    assert clerk.get_user(user["id"]) == user
    assert api.post(f"/users/{user['id']}/ban").json()["banned"] is True


def test_answers_can_be_slow(clerk: ClerkInstance, api: Api) -> None:
    """By a number of seconds."""
    clerk.faults = Faults(delay=0.1)
    started = time.monotonic()
    assert api.get("/users").status_code == 200
    assert time.monotonic() - started >= 0.1


def test_connections_can_break(served: tuple[ClerkInstance, httpx.Client]) -> None:
    """In the middle of an answer. The next request succeeds."""
    clerk, client = served
    clerk.faults = Faults(drop=True, times=1)
    with pytest.raises(httpx.RemoteProtocolError):
        client.get("/users")
    assert client.get("/users").status_code == 200


def test_every_answer_is_dated(served: tuple[ClerkInstance, httpx.Client]) -> None:
    """Each has one Date header with the time of the answer, errors too."""
    _, client = served
    for answer in (
        client.get("/users"),
        client.get("/nowhere"),
        client.get("/users", headers={"authorization": ""}),
    ):
        (date,) = answer.headers.get_list("date")
        assert date.endswith("GMT")
        assert abs(email.utils.parsedate_to_datetime(date).timestamp() - time.time()) < 60


def test_texts_are_sent_as_utf8(served: tuple[ClerkInstance, httpx.Client]) -> None:
    """Unchanged, and escaped where UTF-8 cannot encode them."""
    clerk, client = served
    user = clerk.create_user(first_name="Łukasz")
    assert "Łukasz".encode() in client.get(f"/users/{user['id']}").content
    clerk.update_user(user["id"], last_name="\ud83d")
    answer = client.get("/users")
    assert answer.headers["content-type"] == "application/json"
    assert json.loads(answer.content) == clerk.users()


def test_a_client_may_disconnect(
    served: tuple[ClerkInstance, httpx.Client], caplog: pytest.LogCaptureFixture
) -> None:
    """In the middle of a body: no user is created, nothing is logged, and the next request succeeds."""
    clerk, client = served
    clerk.faults = Faults(times=1)  # before the request, which may be taken at any moment after
    with socket.create_connection(("127.0.0.1", int(clerk.url.rpartition(":")[2]))) as half:
        head = f"POST /v1/users HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {clerk.secret_key}\r\n"
        half.sendall(head.encode() + b"content-length: 99\r\n\r\n{")
        while clerk.faults.times:
            time.sleep(0.001)
    assert client.get("/users").json() == []
    assert caplog.records == []
