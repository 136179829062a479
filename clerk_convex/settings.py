"""Settings from the environment or from code: checked for form and strength, secrets masked.

A check says what is wrong with a value and what to do. It never quotes the value, which may be a secret.
"""

from __future__ import annotations

import base64
import binascii
import importlib
import os
import re
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Annotated, Any, NamedTuple, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    SecretStr,
    ValidationError,
    model_validator,
)

from clerk_convex.errors import SettingsError

__all__ = ["AdminSettings", "BackfillSettings", "ConvexSettings", "Settings", "WebhookSettings"]

_QUOTES = frozenset("\"'`\u2018\u2019\u201c\u201d")
_SEPARATOR = re.compile(r"\s*,\s*|\s+")

# The prefixes of values that are often pasted into the wrong setting.
_BELONGS = {
    "sk_": "is Clerk's secret key, which belongs in CLERK_SECRET_KEY",
    "pk_": "is Clerk's publishable key, which is for browsers",
    "whsec_": "is a webhook signing secret, which belongs in CLERK_WEBHOOK_SIGNING_SECRET",
    "ins_": "is the id of a Clerk instance, which belongs in CLERK_INSTANCE_ID",
    "prod:": "is a deploy key of Convex, which belongs in CONVEX_DEPLOY_KEY",
    "dev:": "is a deploy key of Convex, which belongs in CONVEX_DEPLOY_KEY",
}
_COPY_SECRET_KEY = "copy it (sk_…) from Clerk, API keys"  # noqa: S105 - the advice
_COPY_SIGNING_SECRET = "copy it (whsec_…) from Clerk, Webhooks, your endpoint"  # noqa: S105 - the advice
_COPY_DEPLOY_KEY = (
    "copy it (prod:…|…) from Convex, Settings, Deploy Keys, and quote it where a shell reads it"
)
_COPY_INSTANCE_ID = "copy it (ins_…) from the instance_id of a webhook's event"

# Clerk's keys have at least 40 characters. A shorter key was copied in part, or comes from an example.
_SECRET_KEY = re.compile(r"sk_(test|live)_[A-Za-z0-9]{20,}")
_KEY_BYTES = range(24, 65)  # of a signing secret, by the specification of Standard Webhooks
_FEWEST_DISTINCT_BYTES = 8  # 24 random bytes practically always have more; whsec_xxxxxxxx… has three
_SHORTEST_TOKEN = 32  # characters of the metrics' token

_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)"
    r"(?P<path>[^?#]*)(?P<query>\?[^#]*)?(?P<fragment>#.*)?"
)
_AUTHORITY = re.compile(r"((?P<user>.*)@)?(?P<host>\[[^\[\]@]*\]|[^:\[\]@]+)(:(?P<port>[^:@]*))?")
_LABEL = r"(?!-)[a-z0-9_-]{1,63}(?<!-)"  # with underscores: container platforms name hosts after services
_HOST = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*")
_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)*/?")
_USUAL_PORTS = {"http": 80, "https": 443}
# The columns that a team may leave out. The rules of order and of who is an admin need the others.
OMITTABLE = (
    "email",
    "emailVerified",
    "externalId",
    "firstName",
    "imageUrl",
    "lastName",
    "phone",
    "publicMetadata",
    "username",
)
_NEEDED = ("clerkId", "createdAt", "lastSignInAt", "lockedUntil", "role", "status")
# Names that no public DNS resolves (RFC 6761, 6762, 8375; .internal), and services of a Kubernetes cluster.
_PRIVATE_NAMES = (".internal", ".local", ".home.arpa", ".test", ".svc")


def _clean(value: object) -> object:
    """Return the text of a value or secret without blanks around it.

    Raises ValueError if it contains something that no value may contain.
    """
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if not isinstance(value, str):
        return value
    text = value.strip()
    first, last = text[:1], text[-1:]
    if first in _QUOTES or last in _QUOTES:
        raise ValueError("begins or ends with a quotation mark; write the value without quotes")
    if re.search(r"(^|\s)#", text):
        raise ValueError("has a comment (#) in it; put the comment on a line of its own")
    if first in {",", ";"} or last in {",", ";"}:
        raise ValueError("begins or ends with a comma or semicolon; remove it")
    if len(text.splitlines()) > 1:
        raise ValueError("has a line break in it; write the value on one line")
    if re.search(r"\s", text):
        raise ValueError("has a space in it; remove it")
    if not (text.isascii() and text.isprintable()):
        raise ValueError(
            "has a character that is not printable ASCII, perhaps an invisible one; type it again"
        )
    return text


def _clean_entry(value: object) -> object:
    if value == "":
        raise ValueError("is empty; there is a comma too many")
    return _clean(value)


def _split(value: object) -> object:
    """Return the entries of a list. Each one is checked later, so that an error can name its position."""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    return _SEPARATOR.split(value.strip()) if isinstance(value, str) else value


def _must_begin(text: str, prefix: str, remedy: str) -> None:
    if not text.startswith(prefix):
        belongs = next((where for start, where in _BELONGS.items() if text.startswith(start)), None)
        raise ValueError(f"{belongs or f'does not begin with {prefix}'}; {remedy}")


def _secret_key(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    _must_begin(text, "sk_", _COPY_SECRET_KEY)
    if not _SECRET_KEY.fullmatch(text):
        raise ValueError(f"is not a whole secret key, sk_test_… or sk_live_…; {_COPY_SECRET_KEY}")
    return value


def _signing_secret(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    _must_begin(text, "whsec_", _COPY_SIGNING_SECRET)
    encoded = text.removeprefix("whsec_").rstrip("=")
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except binascii.Error:
        raise ValueError(f"is not base64 after whsec_; {_COPY_SIGNING_SECRET}") from None
    if len(key) not in _KEY_BYTES:
        size = "short" if len(key) < _KEY_BYTES.start else "long"
        raise ValueError(f"is too {size}, it must decode to 24 to 64 bytes; {_COPY_SIGNING_SECRET}")
    if len(set(key)) < _FEWEST_DISTINCT_BYTES:
        raise ValueError(f"is an example, not a random secret; {_COPY_SIGNING_SECRET}")
    return SecretStr(f"whsec_{base64.b64encode(key).decode()}")  # svix wants the padding


def _deploy_key(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    name, _, key = text.partition("|")
    if not key and text.startswith(("sk_", "pk_", "whsec_", "ins_")):
        _must_begin(text, "prod:", _COPY_DEPLOY_KEY)
    if not (name and key) or "|" in key:
        raise ValueError(f"is not a whole deploy key, which has one | inside; {_COPY_DEPLOY_KEY}")
    if name.startswith("project:") or (name.startswith("preview:") and name.count(":") > 1):
        raise ValueError(f"is a key that creates deployments, not a deployment's own; {_COPY_DEPLOY_KEY}")
    return value


def _instance_id(text: str) -> str:
    _must_begin(text, "ins_", _COPY_INSTANCE_ID)
    if not re.fullmatch(r"ins_[A-Za-z0-9]+", text):
        raise ValueError(f"is not the id of an instance; {_COPY_INSTANCE_ID}")
    return text


def _module(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_]+(/[A-Za-z0-9_]+)*", text):
        raise ValueError("is not a module of convex/; write users or lib/users, without .ts and without :")
    return text


class _Url(NamedTuple):
    scheme: str
    user: str | None
    host: str
    port: int | None
    path: str
    query: str | None

    @property
    def origin(self) -> str:
        """The origin as browsers and Clerk write it: in lower case, without the usual port."""
        port = "" if self.port in {None, _USUAL_PORTS.get(self.scheme)} else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}"

    @property
    def is_loopback(self) -> bool:
        if self.host == "localhost" or self.host.endswith(".localhost"):
            return True
        try:
            return ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False

    @property
    def is_private(self) -> bool:
        """Whether the host can be reached only on this machine or in a private network."""
        try:
            return not ip_address(self.host.strip("[]")).is_global
        except ValueError:
            return self.is_loopback or "." not in self.host or self.host.endswith(_PRIVATE_NAMES)


def _parse(text: str, form: str) -> _Url:
    """Return the parts of a URL. Raises ValueError, whose text has `form` as an example of a right value."""
    found = _URL.fullmatch(text)
    if found is None:
        raise ValueError(f"is not a URL; write {form}")
    if "://" in text.partition("://")[2]:
        raise ValueError(f"has a second :// in it; write {form}")
    authority = _AUTHORITY.fullmatch(found["authority"])
    if authority is None or not _is_host(host := authority["host"].lower()):
        raise ValueError(f"is not a URL with a valid host name; write {form}")
    port = authority["port"]
    if port is not None and not (port.isdecimal() and 0 < int(port) < 65536):
        raise ValueError(f"has a port that is not a number from 1 to 65535; write {form}")
    if not _PATH.fullmatch(found["path"]):
        raise ValueError(f"has a path that is malformed; write {form}")
    if found["fragment"] is not None:
        raise ValueError(f"has a # in it; write {form}")
    return _Url(
        found["scheme"].lower(),
        authority["user"],
        host,
        None if port is None else int(port),
        found["path"].rstrip("/"),
        found["query"],
    )


def _is_host(host: str) -> bool:
    if host.startswith("[") or host.rpartition(".")[2].isdecimal():
        try:
            ip_address(host.strip("[]"))
        except ValueError:
            return False
        return True
    return _HOST.fullmatch(host) is not None


def _parse_web(text: str, form: str) -> _Url:
    """Return the parts of the URL of a service that gets secrets."""
    url = _parse(text, form)
    if url.scheme not in _USUAL_PORTS:
        raise ValueError(f"is not an https URL; write {form}")
    if url.user is not None:
        raise ValueError(f"has a user name or a password in it; write {form}")
    if url.query is not None:
        raise ValueError(f"has a query (?) in it; write {form}")
    return url


def _api_url(text: str) -> str:
    form = "https://api.clerk.com"
    url = _parse_web(text, form)
    if url.scheme == "http" and not url.is_loopback:
        raise ValueError("is not https; http is for this machine only (127.0.0.1, localhost)")
    return url.origin + url.path


def _issuer(text: str) -> str:
    form = "https://clerk.example.com, the Frontend API URL"
    url = _parse_web(text, form)
    if url.path:
        raise ValueError(f"has a path; write {form}")
    if url.scheme == "http" and not url.is_loopback:
        raise ValueError("is not https; http is for this machine only (127.0.0.1, localhost)")
    return url.origin


def _convex_url(text: str) -> str:
    form = "https://happy-animal-123.convex.cloud, or the address of a self-hosted backend"
    url = _parse_web(text, form)
    if url.host.endswith(".convex.site"):
        raise ValueError("is the address of HTTP actions; use the one that ends in .convex.cloud")
    if url.host.endswith(".convex.dev"):
        raise ValueError("is the address of the dashboard; use the one that ends in .convex.cloud")
    if url.path and url.host.endswith(".convex.cloud"):
        raise ValueError(f"has a path; write {form}")
    if url.scheme == "http" and not url.is_private:
        raise ValueError("is not https; http is for this machine and private networks only")
    return url.origin + url.path


def _origin(text: str) -> str:
    """Return an origin as browsers write it. Apps may have schemes of their own: capacitor://localhost."""
    form = "https://app.example.com, without a path"
    if "://" not in text:
        raise ValueError(f"is not an origin; write {form}")
    url = _parse(text, form)
    if url.user is not None or url.query is not None or text.count("/") > 2:
        raise ValueError(f"is not an origin; write {form}")
    if url.scheme == "http" and not url.is_private:
        raise ValueError("is not https; http is for this machine and private networks only")
    return url.origin


def _audience(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._~:/-]+", text):
        raise ValueError("is not an audience; write convex, or the aud of your token's template")
    return text


def _rate_limit(text: str) -> str:
    if not re.fullmatch(r"[1-9][0-9]{0,5}/(second|minute|hour)", text):
        raise ValueError("is not a limit; write 60/minute (or second, or hour)")
    return text


def _interval(value: object) -> float:
    if not (re.fullmatch(r"[0-9]{1,4}(\.[0-9]+)?", str(value)) and 1.0 <= float(str(value)) <= 3600.0):
        raise ValueError("is not a number of seconds from 1 to 3600; write 60")
    return float(str(value))


def _pace(value: object) -> float:
    if not (re.fullmatch(r"[0-9]{1,4}(\.[0-9]+)?", str(value)) and 0.1 <= float(str(value)) <= 1000.0):
        raise ValueError("is not a number of MiB per second from 0.1 to 1000; write 2")
    return float(str(value))


def _redis_url(value: SecretStr) -> SecretStr:
    text = value.get_secret_value().removeprefix("async+")
    form = "redis://host:6379/0, with %-escapes for special characters in a password"
    url = _parse(text, form)
    if url.scheme not in {"redis", "rediss"}:
        raise ValueError(f"is not a URL of Redis; write {form}")
    if not re.fullmatch(r"(/[0-9]+)?", url.path):
        raise ValueError(f"has a path that is not the number of a database; write {form}")
    return SecretStr(text)


def _metrics_token(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if len(text) < _SHORTEST_TOKEN or len(set(text)) < _FEWEST_DISTINCT_BYTES:
        raise ValueError("is too weak; make one with: openssl rand -hex 32")
    return value


def _column(text: str) -> str:
    if text not in OMITTABLE:
        problem = "is a column that the rules need" if text in _NEEDED else "is no column"
        raise ValueError(f"{problem}; these can be left out: {', '.join(OMITTABLE)}")
    return text


def _function(value: object) -> object:
    if not isinstance(value, str):
        return value
    module, _, name = value.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
    except Exception as error:  # noqa: BLE001 - importing runs the team's own code
        raise ValueError(
            f"cannot be imported ({type(error).__name__}); it is written module:function"
        ) from None
    if not callable(function):
        raise ValueError("does not name a function; it is written module:function")
    return function


_Clean = BeforeValidator(_clean)
_Entry = BeforeValidator(_clean_entry)
_Split = BeforeValidator(_split)
_Origins = Annotated[tuple[Annotated[str, AfterValidator(_origin), _Entry], ...], _Split]
_RateLimit = Annotated[str, AfterValidator(_rate_limit), _Clean]
# pydantic cannot resolve the type of the values in entities.users.Fields.
_Fields = Callable[[Mapping[str, Any]], Mapping[str, Any]]
_Required = TypeVar("_Required", bound="Settings")


class Settings(BaseModel):
    """All settings. `Settings.from_env()` reads them from the environment.

    No setting is required here: each entry point checks what it needs with `require`. An empty value counts
    as not set. Raises SettingsError, which names every setting that is malformed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    clerk_secret_key: Annotated[SecretStr, AfterValidator(_secret_key), _Clean] | None = Field(
        default=None, description="Clerk's Backend API key, sk_…"
    )
    clerk_webhook_signing_secret: Annotated[
        tuple[Annotated[SecretStr, AfterValidator(_signing_secret), _Entry], ...], _Split
    ] = Field(default=(), description="whsec_…; several, separated by comma or space, while one is rotated")
    clerk_api_url: Annotated[str, AfterValidator(_api_url), _Clean] = Field(
        default="https://api.clerk.com", description="where Clerk's Backend API is"
    )
    clerk_jwt_issuer_domain: Annotated[str, AfterValidator(_issuer), _Clean] | None = Field(
        default=None, description="Clerk's Frontend API URL"
    )
    clerk_instance_id: Annotated[str, AfterValidator(_instance_id), _Clean] | None = Field(
        default=None, description="ins_…: refuse the events of other instances"
    )
    clerk_authorized_parties: _Origins = Field(
        default=(), description="the accepted origins (azp) of session tokens; if empty, all are accepted"
    )
    clerk_jwt_audience: Annotated[tuple[Annotated[str, AfterValidator(_audience), _Entry], ...], _Split] = (
        Field(default=("convex",), description="the accepted values of aud, for session tokens that have it")
    )
    convex_url: Annotated[str, AfterValidator(_convex_url), _Clean] | None = Field(
        default=None, description="the deployment, https://….convex.cloud or self-hosted"
    )
    convex_deploy_key: Annotated[SecretStr, AfterValidator(_deploy_key), _Clean] | None = Field(
        default=None, description="a deploy key that may run internal mutations and queries"
    )
    convex_users_module: Annotated[str, AfterValidator(_module), _Clean] = Field(
        default="users", description="the module of the functions in convex/"
    )
    clerk_convex_fields: Annotated[_Fields, BeforeValidator(_function), _Clean] | None = Field(
        default=None, description="module:function that maps a Clerk user to extra columns"
    )
    clerk_convex_omit: Annotated[tuple[Annotated[str, AfterValidator(_column), _Entry], ...], _Split] = Field(
        default=(), description="columns of users that Convex does not keep, separated by comma or space"
    )
    clerk_convex_follow: Annotated[float, BeforeValidator(_interval), _Clean] | None = Field(
        default=None, description="seconds: how often the service asks Clerk what no webhook brought"
    )
    clerk_convex_pace: Annotated[float, BeforeValidator(_pace), _Clean] = Field(
        default=2.0, description="MiB per second that a backfill or another run writes to Convex, at most"
    )
    clerk_convex_cors_origins: _Origins = Field(
        default=(), description="the origins, other than the service's, whose pages may call user management"
    )
    clerk_convex_read_limit: _RateLimit = Field(
        default="300/minute", description="calls of user management that only read, for each caller"
    )
    clerk_convex_write_limit: _RateLimit = Field(
        default="60/minute", description="calls of user management that change something, for each caller"
    )
    clerk_convex_bulk_limit: _RateLimit = Field(
        default="20/minute", description="calls of POST /api/users/bulk, for each caller"
    )
    clerk_convex_invitation_limit: _RateLimit = Field(
        default="100/hour", description="invitations to the app, for each caller; Clerk's own limit for all"
    )
    clerk_convex_me_limit: _RateLimit = Field(
        default="10/minute", description="calls of a user for the own row, POST /api/users/me"
    )
    clerk_convex_address_limit: _RateLimit = Field(
        default="60/minute", description="calls without a valid token, for each address"
    )
    clerk_convex_redis_url: Annotated[SecretStr, AfterValidator(_redis_url), _Clean] | None = Field(
        default=None, description="redis://…: the Redis in which several replicas count calls together"
    )
    clerk_convex_metrics_token: Annotated[SecretStr, AfterValidator(_metrics_token), _Clean] | None = Field(
        default=None, description="turns on metrics; callers of /metrics must send it"
    )

    @property
    def omitted_columns(self) -> frozenset[str]:
        """The columns that are never sent to Convex: without an address nothing is said of it either."""
        omitted = frozenset(self.clerk_convex_omit)
        return omitted | {"emailVerified"} if "email" in omitted else omitted

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Return the settings in `environ` (default: the process's)."""
        environ = os.environ if environ is None else environ
        values: dict[str, Any] = {name: environ.get(name.upper(), "") for name in cls.model_fields}
        return cls(**values)

    def require(self, kind: type[_Required]) -> _Required:
        """Return these settings as a `kind` in which the required ones are not optional.

            settings.require(ConvexSettings).convex_url  # str, not str | None

        Raises SettingsError, which names every required setting that is not set.
        """
        required = [name for name, field in kind.model_fields.items() if field.is_required()]
        if missing := [name.upper() for name in required if not getattr(self, name)]:
            raise SettingsError(
                f"Not set in the environment: {', '.join(missing)}."
                " The settings page of the documentation says where to find each."
            )
        return kind.model_construct(**{name: getattr(self, name) for name in kind.model_fields})

    @model_validator(mode="wrap")
    @classmethod
    def _read(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if isinstance(values, dict):
            values = {name: value for name, value in values.items() if not _is_empty(value)}
        try:
            return handler(values)
        except ValidationError as error:
            raise SettingsError(_sentence(error)) from None


# Each of these declares again, without a default, the settings that an entry point requires.


class ConvexSettings(Settings):
    """Settings with which Convex can be called."""

    convex_url: str
    convex_deploy_key: SecretStr


class WebhookSettings(ConvexSettings):
    """Settings of the webhook route."""

    clerk_webhook_signing_secret: tuple[SecretStr, ...]


class BackfillSettings(ConvexSettings):
    """Settings with which Clerk's Backend API and Convex can be called, as a backfill does."""

    clerk_secret_key: SecretStr


class AdminSettings(BackfillSettings):
    """Settings of user management."""

    clerk_jwt_issuer_domain: str


def _is_empty(value: object) -> bool:
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    return isinstance(text, str) and not text.strip()


def _sentence(error: ValidationError) -> str:
    """Return a sentence for each malformed setting. Of a list it names the first malformed entry."""
    problems: dict[str, str] = {}
    for problem in error.errors(include_input=False, include_url=False):
        name, *entry = map(str, problem["loc"])
        where = " entry ".join([name.upper(), *(str(int(position) + 1) for position in entry)])
        match problem["type"]:
            case "value_error":
                text = f"{where} {problem['ctx']['error']}"
            case "extra_forbidden":
                text = f"{name} is not a setting"
            case _:  # only from code, where mypy says so too
                text = f"{where} is of a wrong type: {problem['msg']}"
        problems.setdefault(name, text)
    return "; ".join(problems[name] for name in sorted(problems)) + "."
