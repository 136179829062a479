"""Settings from the environment, secrets masked."""

from __future__ import annotations

import base64
import binascii
import importlib
import os
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from clerk_convex.errors import SettingsError

__all__ = ["Settings"]

_ORIGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#@]+")


def _url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise ValueError("is not a URL; it starts with https://")
    return value.rstrip("/")


def _convex_url(value: str) -> str:
    host = urlsplit(value).hostname or ""
    if host.endswith(".convex.site"):
        raise ValueError("is the address of HTTP actions; use the one that ends in .convex.cloud")
    return value


def _split(value: object) -> object:
    return value.replace(",", " ").split() if isinstance(value, str) else value


def _origin(value: str) -> str:
    if not _ORIGIN.fullmatch(value):
        raise ValueError("has what is no origin; they are written https://app.example.com, without a path")
    return value.lower()


def _rate_limit(value: str) -> str:
    if not re.fullmatch(r"[1-9][0-9]{0,5}/(second|minute|hour)", value):
        raise ValueError("is no limit; they are written 60/minute (or second, or hour)")
    return value


def _redis_url(value: SecretStr) -> SecretStr:
    url = value.get_secret_value().removeprefix("async+")
    if urlsplit(url).scheme not in {"redis", "rediss"}:
        raise ValueError("is not a URL of Redis; it is written redis://host:6379/0")
    return SecretStr(url)


def _signing_secret(value: SecretStr) -> SecretStr:
    secret = value.get_secret_value().removeprefix("whsec_").rstrip("=")
    try:
        key = base64.b64decode(secret + "=" * (-len(secret) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise ValueError("is not a signing secret; copy it (whsec_…) from Clerk, Webhooks, your endpoint")
    return value


def _function(value: object) -> object:
    if not isinstance(value, str):
        return value
    module, _, name = value.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
    except Exception as error:  # noqa: BLE001 - importing runs what the team wrote
        raise ValueError(
            f"cannot be imported ({type(error).__name__}); it is written module:function"
        ) from None
    if not callable(function):
        raise ValueError("does not name a function; it is written module:function")
    return function


Url = Annotated[str, AfterValidator(_url)]
Origins = Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], BeforeValidator(_split)]
RateLimit = Annotated[str, AfterValidator(_rate_limit)]
_Fields = Callable[
    [Mapping[str, Any]], Mapping[str, Any]
]  # pydantic cannot resolve the values of users.Fields


class Settings(BaseModel):
    """Everything that can be set; `Settings.from_env()` reads it from the environment.

    Nothing is required here: each entry point asks for what it uses with `require`.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, str_strip_whitespace=True
    )

    clerk_secret_key: SecretStr | None = Field(default=None, description="Clerk's Backend API key, sk_…")
    clerk_webhook_signing_secret: Annotated[
        tuple[Annotated[SecretStr, AfterValidator(_signing_secret)], ...], BeforeValidator(_split)
    ] = Field(default=(), description="whsec_…; several, separated by comma or space, while one is rotated")
    clerk_api_url: Url = Field(default="https://api.clerk.com", description="where Clerk's Backend API is")
    clerk_jwt_issuer_domain: Url | None = Field(default=None, description="Clerk's Frontend API URL")
    clerk_instance_id: str | None = Field(
        default=None, description="ins_…: refuse the events of other instances"
    )
    clerk_authorized_parties: Origins = Field(
        default=(), description="the origins that session tokens may be made for (azp); none is any"
    )
    clerk_jwt_audience: Annotated[tuple[str, ...], BeforeValidator(_split)] = Field(
        default=("convex",), description="what the aud of a session token may be, if it has one"
    )
    convex_url: Annotated[Url, AfterValidator(_convex_url)] | None = Field(
        default=None, description="the deployment, https://….convex.cloud or self-hosted"
    )
    convex_deploy_key: SecretStr | None = Field(
        default=None, description="may run internal mutations and queries"
    )
    convex_users_module: str = Field(
        default="users",
        pattern=r"^[A-Za-z0-9_]+(/[A-Za-z0-9_]+)*$",
        description="the module of the functions in convex/",
    )
    clerk_convex_fields: Annotated[_Fields, BeforeValidator(_function)] | None = Field(
        default=None, description="module:function that maps a Clerk user to extra columns"
    )
    clerk_convex_cors_origins: Origins = Field(
        default=(), description="the origins whose pages may call user management from another one"
    )
    clerk_convex_read_limit: RateLimit = Field(
        default="300/minute", description="calls of user management that only read, for each caller"
    )
    clerk_convex_write_limit: RateLimit = Field(
        default="60/minute", description="those that change something, for each caller"
    )
    clerk_convex_address_limit: RateLimit = Field(
        default="60/minute", description="those without a valid token, for each address"
    )
    clerk_convex_redis_url: Annotated[SecretStr, AfterValidator(_redis_url)] | None = Field(
        default=None, description="redis://…: where several replicas count calls together"
    )

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """The settings in `environ` (default: the process's). An empty value counts as not set.

        Raises SettingsError naming every setting that is malformed.
        """
        environ = os.environ if environ is None else environ
        values: dict[str, Any] = {
            name: value for name in cls.model_fields if (value := environ.get(name.upper(), "").strip())
        }
        try:
            return cls(**values)
        except ValidationError as error:
            raise SettingsError(_sentence(error)) from None

    def require(self, *names: str) -> None:
        """Raises SettingsError naming every one of `names` (as in the environment) that is not set."""
        if missing := [name for name in names if not getattr(self, name.lower())]:
            raise SettingsError(
                f"Not set in the environment: {', '.join(missing)}. The README says where to find each."
            )


def _sentence(error: ValidationError) -> str:
    problems = {
        f"{str(problem['loc'][0]).upper()} {problem['msg'].removeprefix('Value error, ')}"
        for problem in error.errors(include_input=False, include_url=False)
    }
    return "; ".join(sorted(problems)) + "."
