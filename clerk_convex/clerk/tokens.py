"""Verifies Clerk's session tokens with the public keys of the instance.

The contents of a token: https://clerk.com/docs/guides/sessions/session-tokens (version 2).
Whether the caller is an admin is decided in Convex (`convex/clerk/access.ts`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Collection, Mapping
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from clerk_convex.entities.json import parse_json
from clerk_convex.errors import ClerkUnavailable, TokenError
from clerk_convex.net.logs import OnceAMinute
from clerk_convex.net.pool import Pool, Response

__all__ = ["SessionTokens", "keys_url", "read_keys"]

logger = logging.getLogger("clerk_convex")

_ALGORITHM = "RS256"  # the only one that Clerk signs session tokens with
_LEEWAY = 5.0  # seconds by which the clocks of this machine and of Clerk may differ
_LONGEST_TOKEN = 16 * 1024  # characters; Clerk's own are below 4 KB, the largest cookie of a browser

_KEYS_KEPT = 3600.0  # seconds until keys in use are fetched again
_FETCH_INTERVAL = 5.0  # seconds at least between two fetches, whatever the tokens name
_FETCH_TIMEOUT = 3.0  # seconds
_LARGEST_KEYS = 256 * 1024  # bytes
_SMALLEST_KEY = 2048  # bits

_SIGN_IN = "Sign in again."


class SessionTokens:
    """Verifies session tokens.

        tokens = SessionTokens("https://clerk.example.com")
        clerk_id = await tokens.verify(token)

    issuer: the instance's Frontend API URL, CLERK_JWT_ISSUER_DOMAIN.
    authorized_parties: the origins (`azp`) whose tokens are accepted; empty accepts all. If there are some, a
        token without an origin is rejected, as by Clerk's own SDKs.
    audiences: the accepted values of `aud`, for tokens that have it.

    One object serves one event loop. It connects on first use and closes with the loop.
    """

    def __init__(
        self,
        issuer: str,
        *,
        authorized_parties: Collection[str] = (),
        audiences: Collection[str] = ("convex",),
    ) -> None:
        self.issuer = issuer
        self.authorized_parties = authorized_parties
        self.audiences = audiences
        self._keys = _Keys(issuer)

    async def verify(self, token: str) -> str:
        """Return the Clerk id of the user whose active session the token belongs to.

        Raises TokenError if the token is not valid; ClerkUnavailable if the public keys cannot be fetched.
        """
        key = await self._keys.get(_key_id(token))
        if key is None:
            raise TokenError("invalid_token", f"The session token is signed with an unknown key. {_SIGN_IN}")
        return self._read(_claims(token, key, self.issuer))

    def _read(self, claims: Mapping[str, Any]) -> str:
        audience, party = claims.get("aud"), claims.get("azp")
        is_for_us = False
        if audience is not None:
            named = audience if isinstance(audience, list) else [audience]
            is_for_us = any(name in self.audiences for name in named)
            if not is_for_us:
                raise TokenError("wrong_audience", "The session token is made for another service.")
        # Clerk signs other tokens with the same key: those of machines, and templates for other services.
        if not is_for_us and "sid" not in claims:
            raise TokenError("invalid_token", "This is not a session token: it has no session id.")
        if self.authorized_parties and party is None:
            raise TokenError(
                "wrong_party",
                "The session token names no origin (azp is missing), and CLERK_AUTHORIZED_PARTIES says which"
                " ones are accepted. Sign in at one of them.",
            )
        if self.authorized_parties and party not in self.authorized_parties:
            raise TokenError(
                "wrong_party",
                "The session token is made for an origin that CLERK_AUTHORIZED_PARTIES does not name.",
            )
        if claims.get("sts", "active") != "active":
            raise TokenError("pending_session", "The sign-in is not finished. Finish it and try again.")
        if claims.get("act") is not None:
            raise TokenError(
                "impersonation",
                "Someone else has signed in as this user. Sign in as yourself.",
            )
        user_id: str = claims["sub"]
        return user_id


def _key_id(token: str) -> str:
    """Return the `kid` of a token that may be a session token. The rest of its header is not used."""
    header: Mapping[str, Any] = {}
    if len(token) <= _LONGEST_TOKEN:
        # The token may be anything: deeply nested JSON raises RecursionError, for example.
        with contextlib.suppress(Exception):
            header = jwt.get_unverified_header(token)
    key_id = header.get("kid")
    # "at+jwt" (RFC 9068) is the token of an OAuth application that acts for the user.
    if header.get("alg") != _ALGORITHM or header.get("typ", "JWT") != "JWT" or not isinstance(key_id, str):
        raise TokenError("invalid_token", f"This is not a session token of Clerk. {_SIGN_IN}")
    return key_id


def _claims(token: str, key: RSAPublicKey, issuer: str) -> dict[str, Any]:
    try:
        return jwt.decode(
            token,
            key,
            algorithms=[_ALGORITHM],
            issuer=issuer,
            leeway=_LEEWAY,
            options={"require": ["exp", "iat", "iss", "nbf", "sub"], "verify_aud": False},
        )
    except jwt.ExpiredSignatureError:
        problem = TokenError("expired_token", "The session token has expired. Get a new one and try again.")
    except jwt.ImmatureSignatureError:
        problem = TokenError(
            "early_token", "The session token is not valid yet. Is the clock of this service right?"
        )
    except jwt.InvalidIssuerError:
        problem = TokenError(
            "wrong_issuer",
            "The session token is another Clerk instance's than CLERK_JWT_ISSUER_DOMAIN.",
        )
    except Exception:  # noqa: BLE001 - its text may quote the token
        problem = TokenError("invalid_token", f"The session token is not as Clerk signed it. {_SIGN_IN}")
    raise problem


def keys_url(issuer: str) -> str:
    """Return where the instance at `issuer`, its Frontend API URL, has its public keys."""
    return f"{issuer}/.well-known/jwks.json"


class _Keys:
    """The public keys of an instance, by `kid`.

    They are fetched when a token names an unknown key, and an hour after the last fetch, but at most once in
    five seconds, because anyone can send tokens with unknown keys. If a fetch fails, the old keys stay.
    """

    def __init__(self, issuer: str) -> None:
        self._url = keys_url(issuer)
        self._pool = Pool(connect_timeout=2.0)
        self._keys: Mapping[str, RSAPublicKey] = {}
        self._fetched_at = self._asked_at = float("-inf")
        self._once_a_minute = OnceAMinute()
        self._fetching: asyncio.Task[None] | None = None

    async def get(self, key_id: str) -> RSAPublicKey | None:
        """Return the key, None if the instance has no such key. Raises ClerkUnavailable without any keys."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        is_known = key_id in self._keys
        is_wanted = not is_known or now - self._fetched_at > _KEYS_KEPT
        if (
            is_wanted and now - self._asked_at >= _FETCH_INTERVAL
        ):  # longer than a fetch: there is never more than one
            self._asked_at = now
            self._fetching = loop.create_task(self._fetch())
        if self._fetching is not None and not is_known:
            await asyncio.shield(self._fetching)  # cancelling one caller must not cancel it for the others
        if not self._keys:
            problem = ClerkUnavailable(
                "Clerk's public keys cannot be fetched, so no session token can be verified. Is"
                " CLERK_JWT_ISSUER_DOMAIN the instance's Frontend API URL? Try again in a moment."
            )
            problem.retry_after = _FETCH_INTERVAL
            raise problem
        return self._keys.get(key_id)

    async def _fetch(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            response = await self._pool.send(
                "GET",
                self._url,
                {"Accept": "application/json"},
                timeout=_FETCH_TIMEOUT,
                largest=_LARGEST_KEYS,
            )
            keys = read_keys(response) if isinstance(response, Response) else {}
            if keys:
                self._keys, self._fetched_at = keys, loop.time()
            elif self._once_a_minute.should_log():
                why = (
                    f"answered {response.status}, and no key in it"
                    if isinstance(response, Response)
                    else f"{response.name.lower()}"
                )
                logger.warning("Clerk's public keys could not be fetched from %s: %s.", self._url, why)
        finally:
            self._fetching = None


def read_keys(response: Response) -> dict[str, RSAPublicKey]:
    """Return the keys of a JSON Web Key Set (RFC 7517) that can sign a session token."""
    try:
        found = parse_json(response.content)["keys"] if response.status == 200 else []
        items = [item for item in found if isinstance(item, dict)]
    except (ValueError, TypeError, KeyError):
        return {}
    keys = {}
    for item in items:
        is_signing = item.get("kty") == "RSA" and item.get("use", "sig") == "sig"
        if is_signing and isinstance(item.get("kid"), str):
            try:
                key = jwt.PyJWK(item, _ALGORITHM).key
            except Exception:  # noqa: BLE001, S112 - the other keys may be good
                continue
            if isinstance(key, RSAPublicKey) and key.key_size >= _SMALLEST_KEY:
                keys[item["kid"]] = key
    return keys
