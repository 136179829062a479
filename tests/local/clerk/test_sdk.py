"""The local Clerk is Clerk to Clerk's own Python SDK, unchanged: its calls, its models, its errors.

The SDK asks for version 2025-11-10 of the API; the local Clerk answers as 2026-05-12 to everyone.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import httpx
import pytest
from clerk_backend_api import Clerk, models, utils
from clerk_backend_api.security import (
    AuthenticateRequestOptions,
    RequestState,
    TokenVerificationError,
    TokenVerificationErrorReason,
    VerifyTokenOptions,
    authenticate_request,
    authenticaterequest,
    verify_token,
)
from clerk_backend_api.users import Users

from clerk_convex.local.clerk import LocalClerk
from clerk_convex.local.clerk.instance import ClerkInstance
from clerk_convex.local.clerk.objects import to_json
from clerk_convex.local.demo.people import ODDITIES, ordinary

# Every list and count reads all fields of its own request, the deprecated one among them.
pytestmark = pytest.mark.filterwarnings(
    r"ignore:warning. \*\* DEPRECATED \*\*:DeprecationWarning:clerk_backend_api.utils.queryparams"
)

# By default the SDK retries a 5xx for an hour.
ONCE = utils.RetryConfig("none", utils.BackoffStrategy(1, 1, 1.0, 1), retry_connection_errors=False)

BY_NAME = {oddity.__name__: oddity for oddity in ODDITIES}
BEYOND_THE_MODEL = {
    "_half_a_character",  # the SDK's JSON reader refuses halves of surrogate pairs
    "_from_the_future",  # a kind of verification that no version of the SDK knows
}


@contextmanager
def sdk(clerk: LocalClerk, secret_key: str) -> Iterator[Clerk]:
    # The SDK's own clients use the proxies of the environment.
    with httpx.Client(trust_env=False) as client:
        yield Clerk(
            bearer_auth=secret_key,
            server_url=f"{clerk.url}/v1",
            client=client,
            async_client=httpx.AsyncClient(trust_env=False),
            retry_config=ONCE,
            timeout_ms=10_000,
        )


@pytest.fixture(scope="module")
def served() -> Iterator[LocalClerk]:
    with LocalClerk(rate_limit=0) as clerk:
        yield clerk


@pytest.fixture
def clerk(served: LocalClerk) -> Iterator[LocalClerk]:
    """A local Clerk without users."""
    yield served
    for user in served.users():
        served.delete_user(user["id"])


@pytest.fixture
def users(clerk: LocalClerk) -> Iterator[Users]:
    with sdk(clerk, clerk.secret_key) as client:
        yield client.users


def refusal(call: Callable[..., object], **arguments: Any) -> tuple[int, str, object]:
    """Return the status, code and `meta` of the SDK's typed error, which has exactly one error of Clerk."""
    with pytest.raises(models.ClerkErrors) as caught:
        call(**arguments)
    (error,) = caught.value.data.errors
    assert error.message
    assert error.long_message
    return caught.value.status_code, error.code, error.meta


def assert_modelled(user: dict[str, Any]) -> None:
    """Check that the SDK's model has all required fields, converts and loses none, and knows every field."""
    model = models.User.model_validate_json(to_json(user), strict=True)
    known = model.model_dump(mode="json")
    assert {key: known.get(key, "not in the model") for key in user} == user


def test_lists_by_offset(clerk: LocalClerk, users: Users) -> None:
    """The SDK's first page is the ten newest; offsets walk over everyone once."""
    made = [clerk.create_user(created_at=at)["id"] for at in range(12)]
    assert [user.id for user in users.list()] == made[:1:-1]
    assert [user.id for user in users.list(request={"limit": 500})] == made[::-1]
    walked: list[str] = []
    while page := users.list(request={"limit": 5, "offset": len(walked), "order_by": "+created_at"}):
        assert len(page) <= 5
        walked += [user.id for user in page]
    assert walked == made


def test_lists_in_order(clerk: LocalClerk, users: Users) -> None:
    """By any field, bare and + ascending, - descending."""
    for created_at, name in enumerate(("Grace", "Ada", "Barbara")):
        clerk.create_user(first_name=name, created_at=created_at)
    ascending = ["Ada", "Barbara", "Grace"]
    for order_by, expected in (
        ("first_name", ascending),
        ("+first_name", ascending),
        ("-first_name", ascending[::-1]),
        ("+created_at", ["Grace", "Ada", "Barbara"]),
    ):
        assert [user.first_name for user in users.list(request={"order_by": order_by})] == expected


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, ["Alan", "Grace", "Ada"]),
        ({"user_id": ["user_ada", "user_alan", "user_nobody"]}, ["Alan", "Ada"]),
        ({"email_address": ["ADA@example.com", "nobody@example.com"]}, ["Ada"]),
        ({"phone_number": ["+15550001"]}, ["Grace"]),
        ({"web3_wallet": ["0x1"]}, ["Alan"]),
        ({"username": ["grace", "ada"]}, ["Grace", "Ada"]),
        ({"external_id": ["legacy-1"]}, ["Ada"]),
        ({"query": "OVELAC"}, ["Ada"]),
        ({"email_address_query": "@example.com"}, ["Grace", "Ada"]),
        ({"phone_number_query": "5550"}, ["Grace"]),
        ({"username_query": "rac"}, ["Grace"]),
        ({"name_query": "alan t"}, ["Alan"]),
        ({"banned": True}, ["Grace"]),
        ({"banned": False}, ["Alan", "Ada"]),
        ({"banned": False, "email_address_query": "@example.com"}, ["Ada"]),
        ({"created_at_after": 1000, "created_at_before": 3000}, ["Grace"]),
        ({"last_sign_in_at_after": 4000}, ["Grace"]),
        ({"last_sign_in_at_before": 5000}, ["Ada"]),
        ({"last_active_at_after": 4000}, ["Grace"]),
        ({"last_active_at_before": 5000}, ["Ada"]),
    ],
)
def test_filters_and_counts(
    clerk: LocalClerk, users: Users, filters: dict[str, Any], expected: list[str]
) -> None:
    """Each filter finds who it should, and the count is of the same users."""
    clerk.create_user(
        id="user_ada",
        first_name="Ada",
        last_name="Lovelace",
        email_address=["ada@example.com"],
        username="ada",
        external_id="legacy-1",
        created_at=1000,
        last_sign_in_at=3000,
        last_active_at=3000,
    )
    clerk.create_user(
        id="user_grace",
        first_name="Grace",
        email_address=["grace@example.com"],
        phone_number=["+15550001"],
        username="grace",
        banned=True,
        created_at=2000,
        last_sign_in_at=5000,
        last_active_at=5000,
    )
    clerk.create_user(
        id="user_alan", first_name="Alan", last_name="Turing", web3_wallet=["0x1"], created_at=3000
    )
    assert [user.first_name for user in users.list(request=models.GetUserListRequest(**filters))] == expected
    count = users.count(request=models.GetUsersCountRequest(**filters))
    assert (count.object, count.total_count) == (models.TotalCountObject.TOTAL_COUNT, len(expected))


def test_gets(clerk: LocalClerk, users: Users) -> None:
    """It returns the user with that id."""
    clerk.create_user(first_name="Grace")
    made = clerk.create_user(first_name="Ada", email_address=["ada@example.com"])
    user = users.get(user_id=made["id"])
    assert user == models.User(**made)
    assert (user.id, user.first_name, user.last_name) == (made["id"], "Ada", None)
    assert user.email_addresses[0].id == user.primary_email_address_id


def test_creates(clerk: LocalClerk, users: Users) -> None:
    """All fields that the SDK can send and the local Clerk keeps, with verified addresses and the first one
    primary."""
    user = users.create(
        first_name="Ada",
        last_name=None,
        email_address=["ada@example.com", "lovelace@example.com"],
        phone_number=["+15550001"],
        web3_wallet=["0x1"],
        username="ada",
        external_id="legacy-1",
        locale="en-GB",
        password="correct horse",
        skip_password_checks=True,
        skip_password_requirement=True,
        skip_legal_checks=True,
        skip_user_requirement=True,
        public_metadata={"role": "admin"},
        private_metadata={"note": 1},
        unsafe_metadata={"theme": "dark"},
        delete_self_enabled=False,
        create_organization_enabled=False,
        create_organizations_limit=3,
        bypass_client_trust=True,
        created_at="2024-02-29T12:00:00.123Z",
        legal_accepted_at="2024-03-01T00:00:00Z",
        banned=True,
        locked=True,
    )
    (kept,) = clerk.users()
    assert user == models.User(**kept)
    assert (user.first_name, user.last_name, user.username) == ("Ada", None, "ada")
    assert (user.external_id, user.locale, user.password_enabled) == ("legacy-1", "en-GB", True)
    emails = user.email_addresses
    assert [email.email_address for email in emails] == ["ada@example.com", "lovelace@example.com"]
    assert emails[0].id == user.primary_email_address_id
    assert all(email.verification and email.verification.status == "verified" for email in emails)
    assert [phone.phone_number for phone in user.phone_numbers] == ["+15550001"]
    assert [wallet.web3_wallet for wallet in user.web3_wallets] == ["0x1"]
    assert user.public_metadata == {"role": "admin"}
    assert (user.private_metadata, user.unsafe_metadata) == ({"note": 1}, {"theme": "dark"})
    assert (user.delete_self_enabled, user.create_organization_enabled) == (False, False)
    assert (user.create_organizations_limit, user.bypass_client_trust) == (3, True)
    assert (user.created_at, user.legal_accepted_at) == (1_709_208_000_123, 1_709_251_200_000)
    assert (user.banned, user.locked) == (True, True)


def test_updates(clerk: LocalClerk, users: Users) -> None:
    """Given fields change, null and an empty user name remove, other fields stay. `updated_at` grows."""
    made = clerk.create_user(
        first_name="Ada", last_name="Byron", username="ada", email_address=["a@example.com", "b@example.com"]
    )
    primary = made["email_addresses"][1]["id"]
    user = users.update(
        user_id=made["id"],
        last_name="Lovelace",
        username="",
        primary_email_address_id=primary,
        notify_primary_email_address_changed=True,
        sign_out_of_other_sessions=True,
    )
    assert (user.first_name, user.last_name, user.username) == ("Ada", "Lovelace", None)
    assert user.primary_email_address_id == primary
    assert user.updated_at > made["updated_at"]
    assert users.update(user_id=made["id"], first_name=None).first_name is None
    assert (clerk.get_user(made["id"])["first_name"], clerk.count) == (None, 1)


def test_merges_and_replaces_metadata(clerk: LocalClerk, users: Users) -> None:
    """Deeply, and null removes a key. A replacement leaves nothing, and other metadata stays."""
    made = clerk.create_user(public_metadata={"a": {"b": 1, "c": 2}, "d": 3}, private_metadata={"e": 4})
    merged = users.update_metadata(
        user_id=made["id"], public_metadata={"a": {"b": None, "f": 5}}, unsafe_metadata={"g": 6}
    )
    assert merged.public_metadata == {"a": {"c": 2, "f": 5}, "d": 3}
    assert (merged.private_metadata, merged.unsafe_metadata) == ({"e": 4}, {"g": 6})
    replaced = users.replace_metadata(user_id=made["id"], public_metadata={"h": 7})
    assert (replaced.public_metadata, replaced.private_metadata) == ({"h": 7}, {"e": 4})
    assert clerk.get_user(made["id"])["public_metadata"] == {"h": 7}


def test_bans_and_locks(clerk: LocalClerk, users: Users) -> None:
    """Each answers the user in the new state. One does not undo the other."""
    user_id = clerk.create_user()["id"]
    for action, expected in (
        *((users.ban, (True, False)), (users.lock, (True, True))),
        *((users.unban, (False, True)), (users.unlock, (False, False))),
    ):
        user = action(user_id=user_id)
        assert (user.id, user.banned, user.locked) == (user_id, *expected)


def test_bans_several(clerk: LocalClerk, users: Users) -> None:
    """The SDK's bulk calls answer all users in their new state."""
    made = [clerk.create_user()["id"] for _ in range(2)]
    for action, banned in ((users.bulk_ban, True), (users.bulk_unban, False)):
        assert [(user.id, user.banned) for user in action(user_ids=made)] == [(it, banned) for it in made]


def test_deletes(clerk: LocalClerk, users: Users) -> None:
    """The SDK gets Clerk's object of a deleted user, and from then on a 404."""
    stays = clerk.create_user()["id"]
    user_id = clerk.create_user(external_id="legacy-1")["id"]
    expected = models.DeletedObject(object="user", deleted=True, id=user_id, external_id="legacy-1")
    assert users.delete(user_id=user_id) == expected
    assert refusal(users.get, user_id=user_id) == (404, "resource_not_found", None)
    assert [user["id"] for user in clerk.users()] == [stays]


def test_signs_in(clerk: LocalClerk) -> None:
    """The SDK's model accepts the session."""
    user_id = clerk.create_user()["id"]
    with sdk(clerk, clerk.secret_key) as client:
        session = client.sessions.create(request={"user_id": user_id})
    assert session.user_id == user_id
    assert session.created_at == clerk.get_user(user_id)["last_sign_in_at"]


def test_sessions_and_tokens(clerk: LocalClerk) -> None:
    """The SDK's models list, get and revoke sessions, and get tokens of both kinds."""
    user_id = clerk.create_user()["id"]
    made = [clerk.sign_in(user_id)["id"] for _ in range(2)]
    with sdk(clerk, clerk.secret_key) as client:
        assert [it.id for it in client.sessions.list(user_id=user_id)] == made[::-1]
        token = client.sessions.create_token(session_id=made[0])
        assert token.object == models.CreateSessionTokenObject.TOKEN
        assert token.jwt
        assert client.sessions.create_token_from_template(session_id=made[0], template_name="convex").jwt
        revoked = client.sessions.revoke(session_id=made[0])
        assert (revoked.id, revoked.status) == (made[0], models.Status.REVOKED)
        assert client.sessions.get(session_id=made[0]) == revoked
        assert refusal(client.sessions.create_token, session_id=made[0]) == (404, "resource_not_found", None)
        assert refusal(client.sessions.get, session_id="sess_nothing") == (404, "resource_not_found", None)
        keys = client.jwks.get_jwks().keys
    assert [key.model_dump() for key in keys or ()] == [{**key} for key in clerk.jwks()["keys"]]


@pytest.fixture
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK's verifier makes its own HTTP client, which heeds the proxies that the environment names."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.usefixtures("direct")
def test_the_sdk_verifies_tokens(clerk: LocalClerk) -> None:
    """Against the JWKS that it fetches with the secret key, rotated ones too; what is wrong it refuses."""
    session = clerk.sign_in(clerk.create_user()["id"])
    options = VerifyTokenOptions(secret_key=clerk.secret_key, api_url=clerk.url, audience="convex")
    payload = verify_token(clerk.session_token(session["id"]), options)
    assert (payload["sub"], payload["sid"], payload["v"]) == (session["user_id"], session["id"], 2)
    clerk.rotate_keys()
    assert verify_token(clerk.session_token(session["id"]), options)["sid"] == session["id"]
    forged = ClerkInstance()
    forger = forged.sign_in(forged.create_user()["id"])
    for token, reason in (
        (clerk.session_token(session["id"], lifetime=-60), "TOKEN_EXPIRED"),
        (clerk.session_token(session["id"], claims={"aud": "other"}), "TOKEN_INVALID_AUDIENCE"),
        (clerk.session_token(session["id"], claims={"nbf": 10**10}), "TOKEN_NOT_ACTIVE_YET"),
        (forged.session_token(forger["id"]), "JWK_KID_MISMATCH"),
    ):
        with pytest.raises(TokenVerificationError) as caught:
            verify_token(token, options)
        assert caught.value.reason == TokenVerificationErrorReason[reason]


@pytest.mark.usefixtures("direct")
def test_the_sdk_lets_requests_in(clerk: LocalClerk, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a session token as Bearer, from an authorized party; without one, or from another, it does not."""
    # Its options do not say where the API is.
    here = partial(VerifyTokenOptions, api_url=clerk.url)
    monkeypatch.setattr(authenticaterequest, "VerifyTokenOptions", here)
    session = clerk.sign_in(clerk.create_user()["id"])
    options = AuthenticateRequestOptions(
        secret_key=clerk.secret_key, audience="convex", authorized_parties=["http://127.0.0.1:5173"]
    )

    def state(**headers: str) -> RequestState:
        return authenticate_request(httpx.Request("GET", "http://127.0.0.1/", headers=headers), options)

    own = clerk.session_token(session["id"], azp="http://127.0.0.1:5173")
    other = clerk.session_token(session["id"], azp="http://evil.example")
    signed_in = state(authorization=f"Bearer {own}")
    assert signed_in.is_signed_in
    assert signed_in.payload is not None
    assert signed_in.payload["sub"] == session["user_id"]
    assert not state(authorization=f"Bearer {other}").is_signed_in
    assert not state().is_signed_in


def test_unknown_users_are_404(users: Users) -> None:
    """As the SDK's typed error with Clerk's code. For ban and lock the SDK has no type."""
    for call in (users.get, users.update, users.update_metadata, users.replace_metadata, users.delete):
        assert refusal(call, user_id="user_nobody") == (404, "resource_not_found", None)
    for action in (users.ban, users.unban, users.lock, users.unlock):
        with pytest.raises(models.SDKError) as caught:
            action(user_id="user_nobody")
        assert caught.value.status_code == 404
        assert caught.value.raw_response.json()["errors"][0]["code"] == "resource_not_found"


def test_a_wrong_key_is_401(clerk: LocalClerk) -> None:
    """Typed, for a list as for a single user."""
    with sdk(clerk, "sk_test_wrong") as client:
        assert refusal(client.users.list) == (401, "clerk_key_invalid", None)
        assert refusal(client.users.get, user_id="user_1") == (401, "clerk_key_invalid", None)


def test_duplicates_are_422(users: Users) -> None:
    """The error names the identifier that is taken, and no user is created."""
    users.create(email_address=["ada@example.com"], phone_number=["+1"], username="ada", external_id="1")
    for param, arguments in (
        ("email_address", {"email_address": ["Ada@example.com"]}),
        ("phone_number", {"phone_number": ["+1"]}),
        ("username", {"username": "ADA"}),
        ("external_id", {"username": "other", "external_id": "1"}),
    ):
        assert refusal(users.create, **arguments) == (422, "form_identifier_exists", {"param_name": param})
    assert users.count().total_count == 1


def test_wrong_parameters_are_422(users: Users) -> None:
    """The SDK sends any parameter. The answer names the wrong one."""
    for param, value in (
        *(("limit", 501), ("limit", 0), ("offset", -1), ("order_by", "shoe_size")),
        ("user_id", ["user_1"] * 101),
    ):
        status, _, meta = refusal(users.list, request={param: value})
        assert (status, meta) == (422, {"param_name": param})
    assert refusal(users.create, first_name="Ada")[:2] == (422, "form_data_missing")


def test_the_rate_limit_is_429() -> None:
    """With Retry-After, in the SDK's error for statuses without a type. The SDK does not retry."""
    with LocalClerk(rate_limit=2) as clerk, sdk(clerk, clerk.secret_key) as client:
        assert client.users.list() == []
        assert client.users.count().total_count == 0
        with pytest.raises(models.SDKError) as caught:
            client.users.list()
    assert caught.value.status_code == 429
    assert 1 <= int(caught.value.headers["retry-after"]) <= 10
    assert caught.value.raw_response.json()["errors"][0]["code"] == "too_many_requests"


@pytest.mark.parametrize("oddity", [name for name in BY_NAME if name not in BEYOND_THE_MODEL])
def test_odd_users_fit_the_model(clerk: LocalClerk, users: Users, oddity: str) -> None:
    """Read strictly, and listed together with an ordinary user."""
    odd = ordinary(1)
    BY_NAME[oddity](odd, 1)
    for person in (ordinary(0), odd):
        assert_modelled(clerk.create_user(**person))
    listed = users.list(request={"order_by": "+created_at"})
    assert listed == [models.User(**user) for user in clerk.users()]


@pytest.mark.parametrize("oddity", sorted(BEYOND_THE_MODEL))
def test_users_outside_the_model_fail_the_sdks_page(clerk: LocalClerk, users: Users, oddity: str) -> None:
    """On purpose: this project reads such users, while the SDK would lose the other users of the page too."""
    odd = ordinary(1)
    BY_NAME[oddity](odd, 1)
    for person in (ordinary(0), odd):
        clerk.create_user(**person)
    with pytest.raises(models.ResponseValidationError):
        users.list()


def test_changed_users_fit_the_model() -> None:
    """Also after every change that the local Clerk can make."""
    clerk = ClerkInstance()
    user_id = clerk.create_user(email_address=["ada@example.com"], phone_number=["+1"])["id"]
    assert_modelled(clerk.update_user(user_id, first_name="Ada", email_address=[], web3_wallet=["0x1"]))
    assert_modelled(clerk.update_metadata(user_id, private_metadata={"note": 1}))
    for change in (clerk.ban, clerk.lock, clerk.unban, clerk.unlock):
        assert_modelled(change(user_id))
    clerk.sign_in(user_id)
    assert_modelled(clerk.get_user(user_id))
