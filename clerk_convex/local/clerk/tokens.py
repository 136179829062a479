"""Make session tokens like Clerk's: signing keys, claims, and the shortcodes of custom claims.

Sources: https://clerk.com/docs/guides/sessions/session-tokens (version 2) and …/sessions/jwt-templates.
"""

import base64
import hashlib
import json
import re
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from jwt.algorithms import RSAAlgorithm

__all__ = [
    "CONVEX_TEMPLATE",
    "RESERVED",
    "SESSION_TOKEN",
    "TEMPLATE_TOKEN",
    "SigningKeys",
    "expand",
    "new_secret_key",
    "session_claims",
    "template_claims",
]

# Values of `cat` in the header, by which Clerk's SDKs tell the kinds of token apart.
SESSION_TOKEN, TEMPLATE_TOKEN = "cl_B7d4PD111AAA", "cl_B7d4PD222AAA"
CLOCK_SKEW = 10  # seconds that a verifier's clock may be slow

RESERVED = frozenset(
    {"azp", "exp", "fea", "fva", "iat", "iss", "jti", "nbf", "o", "pla", "sid", "sts", "sub", "v"}
)
"""Clerk's own claims. Custom claims cannot replace them."""

CONVEX_TEMPLATE: Mapping[str, Any] = {
    "aud": "convex",
    "name": "{{user.full_name}}",
    "given_name": "{{user.first_name}}",
    "family_name": "{{user.last_name}}",
    "nickname": "{{user.username}}",
    "picture": "{{user.image_url}}",
    "email": "{{user.primary_email_address}}",
    "email_verified": "{{user.email_verified}}",
    "phone_number": "{{user.primary_phone_number}}",
    "phone_number_verified": "{{user.phone_number_verified}}",
    "updated_at": "{{user.updated_at}}",
}
"""The claims of Clerk's predefined JWT template "convex"."""

Claims = dict[str, Any]


def new_secret_key() -> str:
    """Return a new secret key of a development instance."""
    return f"sk_test_{secrets.token_hex(20)}"


@dataclass(frozen=True, slots=True)
class _Key:
    private: RSAPrivateKey
    jwk: Mapping[str, str]


class SigningKeys:
    """The signing keys of an instance, the newest first. Thread-safe. The first use generates a key."""

    def __init__(self) -> None:
        self._keys: list[_Key] = []
        self._lock = threading.Lock()

    def sign(self, claims: Mapping[str, Any], category: str) -> str:
        """Return a JWT with these claims, signed with the newest key (RS256), and its `cat` header."""
        key = self._known()[0]
        headers = {"kid": key.jwk["kid"], "cat": category}
        return jwt.encode(dict(claims), key.private, algorithm="RS256", headers=headers)

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """Return the public keys as a JSON Web Key Set."""
        return {"keys": [dict(key.jwk) for key in self._known()]}

    def rotate(self, *, keep_old: bool = True) -> None:
        """Sign with a new key from now on. Without `keep_old`, tokens of the old keys become invalid."""
        with self._lock:
            self._keys = [_new_key(), *(self._keys if keep_old else ())]

    def _known(self) -> list[_Key]:
        with self._lock:
            if not self._keys:
                self._keys = [_new_key()]
            return self._keys


def _new_key() -> _Key:
    private = generate_private_key(public_exponent=65537, key_size=2048)
    public = RSAAlgorithm.to_jwk(private.public_key(), as_dict=True)
    # RFC 7638: the hash of the key's required members, sorted by name.
    required = {name: public[name] for name in ("e", "kty", "n")}
    digest = hashlib.sha256(json.dumps(required, separators=(",", ":")).encode()).digest()
    kid = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return _Key(private, {"use": "sig", "kid": kid, "alg": "RS256", **required})


def session_claims(
    session: Mapping[str, Any], custom: Claims, *, issuer: str, azp: str | None, now: int, lifetime: float
) -> Claims:
    """Return the claims of a session token made at `now` (Unix milliseconds), valid `lifetime` seconds."""
    since_sign_in = (now - session["created_at"]) // 60_000
    return {
        "aud": "convex",
        **custom,
        **_registered(session, issuer, azp, now, lifetime),
        "fva": [since_sign_in, -1],  # minutes since each factor was verified; -1: no second factor
        "sid": session["id"],
        "sts": session["status"],
        "v": 2,
    }


def template_claims(
    session: Mapping[str, Any], custom: Claims, *, issuer: str, azp: str | None, now: int, lifetime: float
) -> Claims:
    """Return the claims of a token of a JWT template. It has no claims about the session."""
    return {**custom, **_registered(session, issuer, azp, now, lifetime)}


def _registered(
    session: Mapping[str, Any], issuer: str, azp: str | None, now: int, lifetime: float
) -> Claims:
    seconds = now // 1000
    claims = {
        "exp": int(seconds + lifetime),
        "iat": seconds,
        "iss": issuer,
        "jti": secrets.token_hex(10),
        "nbf": seconds - CLOCK_SKEW,
        "sub": session["user_id"],
    }
    return claims if azp is None else {"azp": azp, **claims}


_SHORTCODE = re.compile(r"\{\{([^{}]*)\}\}")
_OPERAND = re.compile(r"'[^']*'|[^|'\s]+")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")


def expand(template: Any, user: Mapping[str, Any]) -> Any:
    """Return custom claims with Clerk's shortcodes replaced by their values.

    A string that is only a shortcode, such as `{{user.public_metadata.plan}}`, becomes a value of any type,
    or null if the user has no such field. In a longer string the value is inserted as text.
    `{{user.full_name || 'Nobody'}}` is the first operand that is not null or false.
    """
    if isinstance(template, dict):
        return {key: expand(value, user) for key, value in template.items()}
    if isinstance(template, list):
        return [expand(value, user) for value in template]
    if not isinstance(template, str):
        return template
    sources = {"user": _readable(user)}
    if whole := _SHORTCODE.fullmatch(template):
        return _evaluate(whole[1], sources)
    return _SHORTCODE.sub(lambda found: _as_text(_evaluate(found[1], sources)), template)


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _evaluate(expression: str, sources: Mapping[str, Any]) -> Any:
    value = None
    for operand in _OPERAND.findall(expression):
        value = _operand(operand, sources)
        if value is not None and value is not False:
            break
    return value


def _operand(text: str, sources: Mapping[str, Any]) -> Any:
    if text.startswith("'"):
        return text[1:-1]
    if text in ("true", "false") or _NUMBER.fullmatch(text):
        return json.loads(text)
    value: Any = sources
    for name in text.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _readable(user: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a user that shortcodes can read, times in Unix seconds. No private metadata."""
    email = _primary(user, "email_addresses", "primary_email_address_id")
    phone = _primary(user, "phone_numbers", "primary_phone_number_id")
    wallet = _primary(user, "web3_wallets", "primary_web3_wallet_id")
    names = [user[name] for name in ("first_name", "last_name") if user[name]]
    plain = ("id", "external_id", "username", "first_name", "last_name", "image_url", "has_image")
    times = ("created_at", "updated_at", "last_sign_in_at")
    return {
        **{key: user[key] for key in (*plain, "two_factor_enabled", "public_metadata", "unsafe_metadata")},
        **{key: None if user[key] is None else user[key] // 1000 for key in times},
        "full_name": " ".join(names) or None,
        "primary_email_address": email.get("email_address"),
        "email_verified": _is_verified(email),
        "primary_phone_number": phone.get("phone_number"),
        "phone_number_verified": _is_verified(phone),
        "primary_web3_wallet": wallet.get("web3_wallet"),
    }


def _primary(user: Mapping[str, Any], plural: str, pointer: str) -> Mapping[str, Any]:
    return next((item for item in user[plural] if item["id"] == user[pointer]), {})


def _is_verified(item: Mapping[str, Any]) -> bool:
    return (item.get("verification") or {}).get("status") == "verified"
