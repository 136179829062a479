import hashlib
import json
import threading
import time
from base64 import urlsafe_b64encode
from typing import Any

import jwt
import pytest

from clerk_convex.errors import LocalError
from clerk_convex.local.clerk import tokens
from clerk_convex.local.clerk.instance import ClerkInstance
from clerk_convex.local.clerk.objects import ClerkRefusal
from clerk_convex.local.clerk.tokens import SESSION_TOKEN, TEMPLATE_TOKEN, SigningKeys, expand


@pytest.fixture(scope="module")
def clerk() -> ClerkInstance:
    """One instance for the module, so that its keys are generated once."""
    clerk = ClerkInstance()
    clerk.url = "http://127.0.0.1:4000"
    return clerk


@pytest.fixture
def session(clerk: ClerkInstance) -> dict[str, Any]:
    return clerk.sign_in(clerk.create_user()["id"])


def verified(clerk: ClerkInstance, token: str, audience: str | None = "convex") -> dict[str, Any]:
    """Return the claims of a token, verified with the instance's public keys."""
    kid = jwt.get_unverified_header(token)["kid"]
    (key,) = [key for key in clerk.jwks()["keys"] if key["kid"] == kid]
    claims: dict[str, Any] = jwt.decode(
        token, jwt.PyJWK(key), algorithms=["RS256"], audience=audience, issuer=clerk.issuer
    )
    return claims


def test_a_session_token_has_clerks_claims(clerk: ClerkInstance, session: dict[str, Any]) -> None:
    """The claims of version 2, valid for a minute from a little before now, and a header with the type."""
    before = int(time.time())
    token = clerk.session_token(session["id"], azp="http://127.0.0.1:5173")
    claims = verified(clerk, token)
    assert before <= claims["iat"] <= time.time()
    assert len(claims.pop("jti")) == 20
    assert claims == {
        "aud": "convex",
        "azp": "http://127.0.0.1:5173",
        "exp": claims["iat"] + 60,
        "fva": [0, -1],
        "iat": claims["iat"],
        "iss": clerk.issuer,
        "nbf": claims["iat"] - 10,
        "sid": session["id"],
        "sts": "active",
        "sub": session["user_id"],
        "v": 2,
    }
    header = jwt.get_unverified_header(token)
    assert header == {"alg": "RS256", "typ": "JWT", "cat": SESSION_TOKEN, "kid": header["kid"]}
    assert "azp" not in verified(clerk, clerk.session_token(session["id"]))


def test_every_token_is_different(clerk: ClerkInstance, session: dict[str, Any]) -> None:
    """Also within one second: each has its own `jti`."""
    assert clerk.session_token(session["id"]) != clerk.session_token(session["id"])


def test_the_age_of_the_sign_in_is_in_it(
    clerk: ClerkInstance, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In whole minutes."""
    monkeypatch.setattr(clerk, "_now", lambda: session["created_at"] + 7 * 60_000 + 59_999)
    token = clerk.session_token(session["id"], lifetime=3600)
    assert jwt.decode(token, options={"verify_signature": False})["fva"] == [7, -1]


def test_tokens_can_be_short_expired_and_wrong(clerk: ClerkInstance, session: dict[str, Any]) -> None:
    """A test of a verifier can set any lifetime, and replace or remove any claim."""
    claims = verified(clerk, clerk.session_token(session["id"], lifetime=5))
    assert claims["exp"] == claims["iat"] + 5
    with pytest.raises(jwt.ExpiredSignatureError):
        verified(clerk, clerk.session_token(session["id"], lifetime=-1))
    with pytest.raises(jwt.InvalidAudienceError):
        verified(clerk, clerk.session_token(session["id"], claims={"aud": "other"}))
    claims = verified(
        clerk,
        clerk.session_token(session["id"], claims={"aud": None, "sid": None, "sts": "pending"}),
        audience=None,
    )
    assert not {"aud", "sid"} & claims.keys()
    assert claims["sts"] == "pending"


def test_the_lifetime_can_be_set() -> None:
    """For all tokens of an instance."""
    clerk = ClerkInstance(token_lifetime=2)
    session = clerk.sign_in(clerk.create_user()["id"])
    claims = verified(clerk, clerk.session_token(session["id"]))
    assert claims["exp"] == claims["iat"] + 2


def test_tokens_of_pending_sessions(clerk: ClerkInstance) -> None:
    """A pending session, which is not signed in yet, gets a token that says so."""
    session = clerk.sign_in(clerk.create_user()["id"], status="pending")
    assert verified(clerk, clerk.session_token(session["id"]))["sts"] == "pending"


def test_no_tokens_of_ended_sessions(clerk: ClerkInstance, session: dict[str, Any]) -> None:
    """Nor of unknown sessions."""
    clerk.revoke_session(session["id"])
    for session_id in (session["id"], "sess_nothing"):
        with pytest.raises(ClerkRefusal, match="session") as caught:
            clerk.session_token(session_id)
        assert (caught.value.status, caught.value.error["code"]) == (404, "resource_not_found")


def test_session_tokens_can_have_custom_claims() -> None:
    """With the user's current data. Clerk's own claims stay, except the audience."""
    clerk = ClerkInstance(
        session_claims={
            "metadata": "{{user.public_metadata}}",
            "aud": ["app", "convex"],
            "deep": [{"name": "{{user.first_name}}"}],
            "number": 5,
        }
    )
    user = clerk.create_user(first_name="Ada", public_metadata={"role": "admin"})
    session = clerk.sign_in(user["id"])
    clerk.update_metadata(user["id"], public_metadata={"role": "member"})
    claims = verified(clerk, clerk.session_token(session["id"]))
    assert claims["metadata"] == {"role": "member"}
    assert claims["aud"] == ["app", "convex"]
    assert (claims["deep"], claims["number"]) == ([{"name": "Ada"}], 5)
    assert claims["sub"] == user["id"]


def test_clerks_own_claims_cannot_be_custom() -> None:
    """The error names them. They are not dropped silently."""
    with pytest.raises(LocalError, match="session claims iss, sub are Clerk's own"):
        ClerkInstance(session_claims={"sub": "somebody", "iss": "somewhere", "mine": 1})


def test_the_convex_template(clerk: ClerkInstance) -> None:
    """A token about the user without a session. There is no other template."""
    user = clerk.create_user(
        first_name="Ada",
        last_name="Lovelace",
        username="ada",
        email_address=["ada@example.com"],
        updated_at=1_700_000_000_123,
    )
    session = clerk.sign_in(user["id"])
    token = clerk.session_token(session["id"], template="convex", lifetime=90)
    claims = verified(clerk, token)
    assert claims["exp"] == claims["iat"] + 90
    assert claims.keys() & tokens.RESERVED == {"exp", "iat", "iss", "jti", "nbf", "sub"}
    assert {key: claims[key] for key in claims.keys() - tokens.RESERVED} == {
        "aud": "convex",
        "name": "Ada Lovelace",
        "given_name": "Ada",
        "family_name": "Lovelace",
        "nickname": "ada",
        "picture": "",
        "email": "ada@example.com",
        "email_verified": True,
        "phone_number": None,
        "phone_number_verified": False,
        "updated_at": 1_700_000_000,
    }
    assert jwt.get_unverified_header(token)["cat"] == TEMPLATE_TOKEN
    with pytest.raises(ClerkRefusal, match="JWT template") as caught:
        clerk.session_token(session["id"], template="hasura")
    assert caught.value.status == 404


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{user.id}}", "user_1"),
        ("{{ user.id }}", "user_1"),
        ("{{user.public_metadata}}", {"plan": {"name": "gold"}, "admin": False, "tags": [1, "a"]}),
        ("{{user.public_metadata.plan.name}}", "gold"),
        ("{{user.public_metadata.tags}}", [1, "a"]),
        ("{{user.public_metadata.tags.0}}", None),
        ("{{user.unsafe_metadata.theme}}", "dark"),
        ("{{user.private_metadata}}", None),
        ("{{user.private_metadata.note}}", None),
        ("{{user.full_name}}", "Ada"),
        ("{{user.created_at}}", 1_700_000_000),
        ("{{user.last_sign_in_at}}", None),
        ("{{user.primary_email_address}}", "b@example.com"),
        ("{{user.email_verified}}", False),
        ("{{user.primary_phone_number}}", "+1"),
        ("{{user.phone_number_verified}}", True),
        ("{{user.primary_web3_wallet}}", None),
        ("{{user.i_do_not_exist}}", None),
        ("{{nobody}}", None),
        ("{{}}", None),
        ("{{user.last_name}} {{user.first_name}}", "null Ada"),
        ("{{user.id}}:{{user.public_metadata.tags}}", 'user_1:[1, "a"]'),
        ("{{user.last_name || 'No || Name'}}", "No || Name"),
        ("{{user.first_name || 'Nobody'}}", "Ada"),
        ("{{user.public_metadata.admin || user.public_metadata.age || 30}}", 30),
        ("{{user.public_metadata.age || -1.5}}", -1.5),
        ("{{user.public_metadata.admin || true}}", True),
        ("{{user.public_metadata.age || user.public_metadata.admin}}", False),
        ("plain { text }", "plain { text }"),
        ({"a": ["{{user.id}}", None, 1.5]}, {"a": ["user_1", None, 1.5]}),
    ],
)
def test_shortcodes(template: Any, expected: Any) -> None:
    """Each stands for the value in Clerk's documentation: of any type alone, as text within text, else
    null."""
    user = ClerkInstance().create_user(
        id="user_1",
        first_name="Ada",
        created_at=1_700_000_000_999,
        email_address=[
            "a@example.com",
            {"email_address": "b@example.com", "id": "idn_b", "verification": None},
        ],
        primary_email_address_id="idn_b",
        phone_number=["+1"],
        public_metadata={"plan": {"name": "gold"}, "admin": False, "tags": [1, "a"]},
        unsafe_metadata={"theme": "dark"},
        private_metadata={"note": "secret"},
    )
    assert expand(template, user) == expected


def test_a_full_name_may_have_one_part() -> None:
    """It is null without a first and a last name."""
    clerk = ClerkInstance()
    for names, expected in (
        ({"first_name": "Ada", "last_name": "Lovelace"}, "Ada Lovelace"),
        ({"last_name": "Lovelace"}, "Lovelace"),
        ({}, None),
    ):
        assert expand("{{user.full_name}}", clerk.create_user(**names)) == expected


def test_keys_are_made_when_they_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the first caller, once, from any number of threads. An instance without tokens makes none."""
    made: list[object] = []
    new_key = tokens._new_key

    def slow() -> tokens._Key:
        made.append(object())
        time.sleep(0.05)
        return new_key()

    monkeypatch.setattr(tokens, "_new_key", slow)
    keys = SigningKeys()
    assert made == []
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(keys.jwks())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert found == [keys.jwks()] * 4


def test_a_public_key_is_a_jwk() -> None:
    """RSA of 2048 bits, named by its thumbprint (RFC 7638), and without its private half."""
    (key,) = SigningKeys().jwks()["keys"]
    assert key.keys() == {"use", "kty", "kid", "alg", "n", "e"}
    assert (key["use"], key["kty"], key["alg"]) == ("sig", "RSA", "RS256")
    assert jwt.PyJWK(key).key.key_size == 2048
    required = json.dumps({name: key[name] for name in ("e", "kty", "n")}, separators=(",", ":"))
    digest = hashlib.sha256(required.encode()).digest()
    assert key["kid"] == urlsafe_b64encode(digest).decode().rstrip("=")


def test_keys_can_be_rotated() -> None:
    """A new key signs. Tokens of the old key are valid while that is kept, and no longer."""
    clerk = ClerkInstance()
    session = clerk.sign_in(clerk.create_user()["id"])
    first = clerk.session_token(session["id"])
    clerk.rotate_keys()
    second = clerk.session_token(session["id"])
    assert len({jwt.get_unverified_header(token)["kid"] for token in (first, second)}) == 2
    assert len(clerk.jwks()["keys"]) == 2
    assert verified(clerk, first)["sid"] == verified(clerk, second)["sid"] == session["id"]
    clerk.rotate_keys(keep_old=False)
    (key,) = clerk.jwks()["keys"]
    third = clerk.session_token(session["id"])
    assert jwt.get_unverified_header(third)["kid"] == key["kid"]
    for token in (first, second):
        with pytest.raises(jwt.InvalidSignatureError):
            jwt.decode(token, jwt.PyJWK(key), algorithms=["RS256"], audience="convex")


def test_any_metadata_fits_into_a_token() -> None:
    """Halves of surrogate pairs and huge numbers too."""
    metadata = {"cut": "\ud83d", "huge": 10**40, "$x": {"é": None}}
    clerk = ClerkInstance(session_claims={"metadata": "{{user.public_metadata}}"})
    session = clerk.sign_in(clerk.create_user(public_metadata=metadata)["id"])
    assert verified(clerk, clerk.session_token(session["id"]))["metadata"] == metadata
