from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from clerk_convex.errors import SettingsError
from clerk_convex.settings import (
    AdminSettings,
    BackfillSettings,
    ConvexSettings,
    Settings,
    WebhookSettings,
)

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
LONG_SECRET = f"whsec_{base64.b64encode(bytes(range(32))).decode()}"  # 44 characters
SECRET_KEY = "sk_test_Q2xlcmtzT3duU2VjcmV0S2V5"


def columns(user: Mapping[str, Any]) -> Mapping[str, Any]:
    return {}


NOT_CALLABLE = 17


def test_all_settings_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every documented setting is read from the environment by its documented name."""
    environ = {
        "CLERK_SECRET_KEY": SECRET_KEY,
        "CLERK_WEBHOOK_SIGNING_SECRET": SECRET,
        "CLERK_API_URL": "http://127.0.0.1:9000/",
        "CLERK_JWT_ISSUER_DOMAIN": "https://clerk.example",
        "CLERK_INSTANCE_ID": "ins_1",
        "CLERK_AUTHORIZED_PARTIES": "https://app.example.com, HTTP://localhost:3000",
        "CLERK_JWT_AUDIENCE": "convex,api",
        "CONVEX_URL": "https://happy-animal-123.convex.cloud",
        "CONVEX_DEPLOY_KEY": "prod:happy-animal-123|key",
        "CONVEX_USERS_MODULE": "clerk/people",
        "CLERK_CONVEX_FIELDS": f"{__name__}:columns",
        "CLERK_CONVEX_OMIT": "phone, email",
        "CLERK_CONVEX_FOLLOW": "60",
        "CLERK_CONVEX_PACE": "4.5",
        "CLERK_CONVEX_CORS_ORIGINS": "https://admin.example.com",
        "CLERK_CONVEX_READ_LIMIT": "10/second",
        "CLERK_CONVEX_WRITE_LIMIT": "20/minute",
        "CLERK_CONVEX_BULK_LIMIT": "7/minute",
        "CLERK_CONVEX_INVITATION_LIMIT": "50/hour",
        "CLERK_CONVEX_ME_LIMIT": "5/minute",
        "CLERK_CONVEX_ADDRESS_LIMIT": "30/hour",
        "CLERK_CONVEX_REDIS_URL": "async+redis://:s3cret@127.0.0.1:6379/0",
        "CLERK_CONVEX_METRICS_TOKEN": "0123456789abcdef0123456789abcdef",
    }
    assert set(environ) == {name.upper() for name in Settings.model_fields}
    for name, value in environ.items():
        monkeypatch.setenv(name, f" {value}\n")
    settings = Settings.from_env()
    assert settings.clerk_secret_key is not None
    assert settings.clerk_secret_key.get_secret_value() == SECRET_KEY
    assert [secret.get_secret_value() for secret in settings.clerk_webhook_signing_secret] == [SECRET]
    assert settings.clerk_api_url == "http://127.0.0.1:9000"
    assert settings.clerk_jwt_issuer_domain == "https://clerk.example"
    assert settings.clerk_instance_id == "ins_1"
    assert settings.convex_url == "https://happy-animal-123.convex.cloud"
    assert settings.convex_deploy_key is not None
    assert settings.convex_deploy_key.get_secret_value() == "prod:happy-animal-123|key"
    assert settings.convex_users_module == "clerk/people"
    assert settings.clerk_convex_fields is columns
    assert settings.clerk_convex_omit == ("phone", "email")
    assert settings.clerk_convex_pace == 4.5
    assert settings.omitted_columns == {"phone", "email", "emailVerified"}
    assert settings.clerk_authorized_parties == ("https://app.example.com", "http://localhost:3000")
    assert settings.clerk_jwt_audience == ("convex", "api")
    assert settings.clerk_convex_cors_origins == ("https://admin.example.com",)
    assert settings.clerk_convex_read_limit == "10/second"
    assert settings.clerk_convex_write_limit == "20/minute"
    assert settings.clerk_convex_bulk_limit == "7/minute"
    assert settings.clerk_convex_invitation_limit == "50/hour"
    assert settings.clerk_convex_me_limit == "5/minute"
    assert settings.clerk_convex_address_limit == "30/hour"
    assert settings.clerk_convex_redis_url is not None
    assert settings.clerk_convex_redis_url.get_secret_value() == "redis://:s3cret@127.0.0.1:6379/0"
    assert settings.clerk_convex_metrics_token is not None
    assert settings.clerk_convex_metrics_token.get_secret_value() == "0123456789abcdef0123456789abcdef"
    for kind in (AdminSettings, WebhookSettings):
        required = settings.require(kind)
        assert required.model_dump() == settings.model_dump()
        with pytest.raises(ValidationError, match="frozen"):
            required.convex_url = "https://other.convex.cloud"


def test_defaults() -> None:
    """Without settings, or with empty ones, there are the defaults and no error."""
    for environ in ({}, dict.fromkeys(map(str.upper, Settings.model_fields), " ")):
        settings = Settings.from_env(environ)
        assert settings.clerk_api_url == "https://api.clerk.com"
        assert settings.convex_users_module == "users"
        assert settings.clerk_webhook_signing_secret == ()
        assert settings.convex_url is None
        assert settings.clerk_authorized_parties == settings.clerk_convex_cors_origins == ()
        assert settings.clerk_jwt_audience == ("convex",)
        assert settings.clerk_convex_redis_url is None
        assert settings.clerk_convex_metrics_token is None
        assert settings.clerk_convex_read_limit == "300/minute"
        assert settings.clerk_convex_write_limit == "60/minute"
        assert settings.clerk_convex_address_limit == "60/minute"


@pytest.mark.parametrize("separator", [",", " ", ", ", " , ", "\n"])
def test_several_signing_secrets(separator: str) -> None:
    """Signing secrets are separated by comma or space."""
    settings = Settings.from_env({"CLERK_WEBHOOK_SIGNING_SECRET": f"{SECRET}{separator}{OTHER_SECRET}"})
    assert [secret.get_secret_value() for secret in settings.clerk_webhook_signing_secret] == [
        SECRET,
        OTHER_SECRET,
    ]


@pytest.mark.parametrize("length", [24, 25, 26, 63, 64])
def test_signing_secrets_of_every_length(length: int) -> None:
    """24 to 64 bytes are accepted, with and without padding, and svix can read the result."""
    key = bytes(range(100, 100 + length))
    text = f"whsec_{base64.b64encode(key).decode()}"
    for written in (text, text.rstrip("=")):
        settings = Settings.from_env({"CLERK_WEBHOOK_SIGNING_SECRET": written})
        assert [secret.get_secret_value() for secret in settings.clerk_webhook_signing_secret] == [text]


def key_of(length: int) -> str:
    return f"whsec_{base64.b64encode(bytes(range(length))).decode()}"


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        # Text before, between or after the entries of a list must never become a key.
        (f"v1,{LONG_SECRET}", "entry 1 does not begin with whsec_"),
        (f"{SECRET},v1", "entry 2 does not begin with whsec_"),
        (f"{SECRET};{OTHER_SECRET}", "entry 1 is not base64"),
        (f"{LONG_SECRET[:40]}\n{LONG_SECRET[40:]}", "entry 2 does not begin with whsec_"),
        (f"{SECRET}, {OTHER_SECRET[6:]}", "entry 2 does not begin with whsec_"),
        (f"{SECRET},", "entry 2 is empty"),
        (f",{SECRET}", "entry 1 is empty"),
        (f"{SECRET},,{OTHER_SECRET}", "entry 2 is empty"),
        (f"{SECRET} # dev", "entry 2 has a comment"),
        ("whsec_xxx", "entry 1 is too short"),
        ("whsec_MfKQ9r8G", "entry 1 is too short"),
        ("changeme", "entry 1 does not begin with whsec_"),
        ("null", "entry 1 does not begin with whsec_"),
        ("your webhook secret", "entry 1 does not begin with whsec_"),
        (f"'{LONG_SECRET}'", "entry 1 begins or ends with a quotation mark"),
        (f'"{SECRET},{OTHER_SECRET}"', "entry 1 begins or ends with a quotation mark"),
        (f'["{SECRET}"]', "entry 1 does not begin with whsec_"),
        (f"{SECRET},'{OTHER_SECRET}'", "entry 2 begins or ends with a quotation mark"),
        (SECRET.removeprefix("whsec_"), "entry 1 does not begin with whsec_"),
        (SECRET.upper(), "entry 1 does not begin with whsec_"),
        (key_of(23), "entry 1 is too short"),
        (key_of(65), "entry 1 is too long"),
        (f"whsec_{'x' * 32}", "entry 1 is an example, not a random secret"),
        ("whsec_==", "entry 1 is too short"),
        ("whsec_a", "entry 1 is not base64"),
        (f"{SECRET[:-1]}-", "entry 1 is not base64"),
        (f"{SECRET}\u200b", "entry 1 has a character that is not printable ASCII"),
        (
            "sk_live_pastedByMistake0000000",
            "entry 1 is Clerk's secret key, which belongs in CLERK_SECRET_KEY",
        ),
        ("prod:happy-animal-123|a2V5", "entry 1 is a deploy key of Convex"),
    ],
)
def test_weak_signing_secrets(value: str, problem: str) -> None:
    """Every entry must be a whole signing secret of Clerk. The error names a wrong entry by its position."""
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({"CLERK_WEBHOOK_SIGNING_SECRET": value})
    text = str(caught.value)
    assert text.startswith(f"CLERK_WEBHOOK_SIGNING_SECRET {problem}")
    # The value is not quoted, not even in part: only words of the message itself may be in it.
    for part in value.replace(",", " ").split():
        assert len(part) < 6 or part.strip("'\"") not in text


def test_settings_in_code() -> None:
    """Settings in code are values or text, and are checked as those of the environment."""
    assert Settings(clerk_convex_fields=columns).clerk_convex_fields is columns
    with pytest.raises(SettingsError, match=r"^convex_ulr is not a setting") as caught:
        Settings(convex_ulr="https://a.convex.cloud")  # type: ignore[call-arg]
    assert "https://a" not in str(caught.value)
    # Masked and plain secrets are checked, and so is each entry of a tuple.
    for weak in (SecretStr("v1"), SecretStr(f"v1,{SECRET}")):
        with pytest.raises(SettingsError, match="entry 1 does not begin with whsec_"):
            Settings(clerk_webhook_signing_secret=(weak,))
        with pytest.raises(SettingsError, match="entry 1 does not begin with whsec_"):
            Settings(clerk_webhook_signing_secret=weak)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="CLERK_AUTHORIZED_PARTIES entry 2 is not an origin"):
        Settings(clerk_authorized_parties=("https://a.example", "b.example"))
    with pytest.raises(SettingsError, match=r"CONVEX_URL is of a wrong type: .*CONVEX_USERS_MODULE is not a"):
        Settings(convex_url=5, convex_users_module="users.ts")  # type: ignore[arg-type]
    # An empty value counts as not set, as in the environment, and blanks around a value are removed.
    settings = Settings(convex_url=" ", clerk_secret_key=SecretStr(f" {SECRET_KEY}\n"))
    assert settings.convex_url is None
    assert settings.clerk_secret_key == SecretStr(SECRET_KEY)
    assert Settings(clerk_secret_key=SecretStr(" ")).clerk_secret_key is None
    assert Settings.model_validate(settings) is settings


def test_missing_required_settings() -> None:
    """One error names all missing settings, not only the first."""
    settings = Settings.from_env({"CONVEX_URL": "https://a.convex.cloud"})
    with pytest.raises(SettingsError, match=r": CONVEX_DEPLOY_KEY\."):
        settings.require(ConvexSettings)
    with pytest.raises(SettingsError, match=r": CLERK_SECRET_KEY, CONVEX_DEPLOY_KEY\."):
        settings.require(BackfillSettings)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("CONVEX_URL", "quick-fox-1.convex.cloud", "is not a URL; write https://"),
        ("CONVEX_URL", "ftp://a.convex.cloud", "is not an https URL"),
        ("CONVEX_URL", "https:///path", "is not a URL with a valid host name"),
        ("CONVEX_URL", "https://https://happy-animal-123.convex.cloud", "has a second :// in it"),
        ("CONVEX_URL", "https://a b.convex.cloud", "has a space in it"),
        ("CONVEX_URL", "https://happy-animal-123.convex.cloud,", "ends with a comma"),
        ("CONVEX_URL", "https://happy-animal-123.convex.cloud/?x=1", "has a query"),
        ("CONVEX_URL", "https://happy-animal-123.convex.cloud/#x", "has a # in it"),
        ("CONVEX_URL", "https://happy-animal-123.convex.cloud # dev", "has a comment (#) in it"),
        ("CONVEX_URL", "https://happy-animal-123.convex.cloud:99999", "has a port that is not"),
        ("CONVEX_URL", "https://happy-animal-123.convex.cloud:0", "has a port that is not"),
        ("CONVEX_URL", "https://happy-animal-123.convex.cloud:", "has a port that is not"),
        ("CONVEX_URL", "https://happy-animal-123.convex.cloud/api", "has a path"),
        ("CONVEX_URL", "https://convex.example.com//api", "has a path that is malformed"),
        ("CONVEX_URL", "https://me:pw@happy-animal-123.convex.cloud", "has a user name or a password"),
        ("CONVEX_URL", "https://-a.convex.cloud", "is not a URL with a valid host name"),
        ("CONVEX_URL", "https://a..convex.cloud", "is not a URL with a valid host name"),
        ("CONVEX_URL", "https://127.0.0.256", "is not a URL with a valid host name"),
        ("CONVEX_URL", "https://[::1", "is not a URL with a valid host name"),
        ("CONVEX_URL", "http://happy-animal-123.convex.cloud", "is not https"),
        ("CONVEX_URL", "http://8.8.8.8:3210", "is not https"),
        ("CONVEX_URL", "https://a.CONVEX.site/", "use the one that ends in .convex.cloud"),
        ("CONVEX_URL", "https://dashboard.convex.dev/d/happy-animal-123", "is the address of the dashboard"),
        ("CONVEX_URL", "https://happy-animal-123.convex.cloud\\", "is not a URL with a valid host name"),
        ("CONVEX_URL", "https://happy\u2010animal-123.convex.cloud", "is not printable ASCII"),
        ("CONVEX_URL", "https://happy-animal\n-123.convex.cloud", "has a line break in it"),
        ("CONVEX_DEPLOY_KEY", '"prod:happy-animal-123|eyJ2MiI6IjAifQ=="', "quotation mark"),
        ("CONVEX_DEPLOY_KEY", "prod:happy-animal-123", "is not a whole deploy key"),
        ("CONVEX_DEPLOY_KEY", "prod:happy-animal-123|", "is not a whole deploy key"),
        ("CONVEX_DEPLOY_KEY", "|eyJ2MiI6IjAifQ==", "is not a whole deploy key"),
        ("CONVEX_DEPLOY_KEY", "prod:a|b|c", "is not a whole deploy key"),
        ("CONVEX_DEPLOY_KEY", "prod:happy-animal-123|eyJ2 MiI6IjAifQ==", "has a space in it"),
        ("CONVEX_DEPLOY_KEY", "project:team:app|eyJ2MiI6IjAifQ==", "is a key that creates deployments"),
        ("CONVEX_DEPLOY_KEY", "preview:team:app|eyJ2MiI6IjAifQ==", "is a key that creates deployments"),
        ("CONVEX_DEPLOY_KEY", SECRET_KEY, "is Clerk's secret key, which belongs in CLERK_SECRET_KEY"),
        ("CONVEX_DEPLOY_KEY", SECRET, "belongs in CLERK_WEBHOOK_SIGNING_SECRET"),
        ("CLERK_SECRET_KEY", f"'{SECRET_KEY}'", "quotation mark"),
        ("CLERK_SECRET_KEY", "pk_test_Y2xlcmsuZXhhbXBsZS5jb20k", "is Clerk's publishable key"),
        ("CLERK_SECRET_KEY", SECRET, "belongs in CLERK_WEBHOOK_SIGNING_SECRET"),
        ("CLERK_SECRET_KEY", "prod:happy-animal-123|key", "belongs in CONVEX_DEPLOY_KEY"),
        ("CLERK_SECRET_KEY", "changeme", "does not begin with sk_"),
        ("CLERK_SECRET_KEY", "sk_test_xxx", "is not a whole secret key"),
        ("CLERK_SECRET_KEY", "sk_live_your_secret_key_goes_right_here", "is not a whole secret key"),
        ("CLERK_SECRET_KEY", f"{SECRET_KEY}…", "is not printable ASCII"),
        ("CLERK_SECRET_KEY", f"Bearer {SECRET_KEY}", "has a space in it"),
        ("CLERK_INSTANCE_ID", '"ins_1"', "quotation mark"),
        ("CLERK_INSTANCE_ID", "1", "does not begin with ins_"),
        ("CLERK_INSTANCE_ID", "ins_…", "is not printable ASCII"),
        ("CLERK_INSTANCE_ID", "ins_.", "is not the id of an instance"),
        ("CLERK_INSTANCE_ID", "ins_1,ins_2", "is not the id of an instance"),
        ("CLERK_INSTANCE_ID", SECRET_KEY, "belongs in CLERK_SECRET_KEY"),
        ("CLERK_API_URL", "http://[::1", "is not a URL with a valid host name"),
        ("CLERK_API_URL", "http://api.clerk.com", "is not https; http is for this machine only"),
        ("CLERK_API_URL", "http://10.0.0.1", "is not https; http is for this machine only"),
        ("CLERK_API_URL", "https://api.clerk.com/v1?limit=10", "has a query"),
        ("CLERK_JWT_ISSUER_DOMAIN", "clerk.my.app", "is not a URL; write https://clerk.example.com"),
        ("CLERK_JWT_ISSUER_DOMAIN", "http://clerk.example.com", "is not https"),
        ("CLERK_JWT_ISSUER_DOMAIN", "http://127.0.0.1.example.com", "is not https"),
        ("CLERK_JWT_ISSUER_DOMAIN", "http://192.168.0.1", "is not https"),
        ("CLERK_JWT_ISSUER_DOMAIN", "https://clerk.example.com/.well-known/jwks.json", "has a path"),
        ("CLERK_JWT_ISSUER_DOMAIN", "https://me@clerk.example.com", "has a user name"),
        ("CLERK_JWT_ISSUER_DOMAIN", "pk_test_Y2xlcmsuZXhhbXBsZS5jb20k", "is not a URL"),
        ("CLERK_JWT_AUDIENCE", "convex,", "entry 2 is empty"),
        ("CLERK_JWT_AUDIENCE", "[convex]", "entry 1 is not an audience"),
        ("CLERK_JWT_AUDIENCE", "'convex'", "entry 1 begins or ends with a quotation mark"),
        ("CONVEX_USERS_MODULE", "users:syncUsers", "is not a module of convex/"),
        ("CONVEX_USERS_MODULE", "users.ts", "is not a module of convex/"),
        ("CONVEX_USERS_MODULE", "'users'", "quotation mark"),
        ("CLERK_AUTHORIZED_PARTIES", "my-app.test", "entry 1 is not an origin; write https://"),
        ("CLERK_AUTHORIZED_PARTIES", "https://app.example.com/", "entry 1 is not an origin"),
        ("CLERK_AUTHORIZED_PARTIES", "https://a.example, https://b.example:x", "entry 2 has a port"),
        ("CLERK_AUTHORIZED_PARTIES", "https://a.example # dev", "entry 2 has a comment"),
        ("CLERK_AUTHORIZED_PARTIES", "http://app.example.com", "entry 1 is not https"),
        ("CLERK_CONVEX_CORS_ORIGINS", "*", "entry 1 is not an origin"),
        ("CLERK_CONVEX_CORS_ORIGINS", "null", "entry 1 is not an origin"),
        ("CLERK_CONVEX_CORS_ORIGINS", "https://*.example.com", "entry 1 is not a URL with a valid host"),
        ("CLERK_CONVEX_CORS_ORIGINS", "https://me@app.example.com", "entry 1 is not an origin"),
        ("CLERK_CONVEX_CORS_ORIGINS", "https://app.example.com?x", "entry 1 is not an origin"),
        (
            "CLERK_CONVEX_CORS_ORIGINS",
            "https://app.example.com;https://b.example",
            "entry 1 has a second ://",
        ),
        ("CLERK_CONVEX_FOLLOW", "0.99", "is not a number of seconds from 1 to 3600; write 60"),
        ("CLERK_CONVEX_FOLLOW", "3600.5", "is not a number of seconds"),
        ("CLERK_CONVEX_FOLLOW", "1m", "is not a number of seconds"),
        ("CLERK_CONVEX_PACE", "0.09", "is not a number of MiB per second from 0.1 to 1000; write 2"),
        ("CLERK_CONVEX_PACE", "1000.5", "is not a number of MiB"),
        ("CLERK_CONVEX_PACE", "2 MiB", "has a space in it"),
        ("CLERK_CONVEX_READ_LIMIT", "0/hour", "is not a limit; write 60/minute"),
        ("CLERK_CONVEX_READ_LIMIT", "60 / minute", "has a space in it"),
        ("CLERK_CONVEX_WRITE_LIMIT", "many", "is not a limit; write 60/minute"),
        ("CLERK_CONVEX_WRITE_LIMIT", "9999999/second", "is not a limit"),
        ("CLERK_CONVEX_ADDRESS_LIMIT", "1/fortnight", "is not a limit; write 60/minute"),
        ("CLERK_CONVEX_METRICS_TOKEN", "0123456789abcdef0123456789abcde", "is too weak; make one with"),
        ("CLERK_CONVEX_METRICS_TOKEN", "s3cret" * 9, "is too weak; make one with"),
        ("CLERK_CONVEX_REDIS_URL", "127.0.0.1:6379", "is not a URL; write redis://"),
        ("CLERK_CONVEX_REDIS_URL", "http://127.0.0.1:6379", "is not a URL of Redis"),
        ("CLERK_CONVEX_REDIS_URL", "redis://:s3cret@host:port", "has a port that is not"),
        ("CLERK_CONVEX_REDIS_URL", "redis://:s3/cret@host:6379", "is not a URL with a valid host name"),
        ("CLERK_CONVEX_REDIS_URL", "redis://:s3#cret@host:6379", "is not a URL with a valid host name"),
        (
            "CLERK_CONVEX_REDIS_URL",
            "redis://host:6379/zero",
            "has a path that is not the number of a database",
        ),
        (
            "CLERK_CONVEX_OMIT",
            "status",
            "entry 1 is a column that the rules need; these can be left out: email",
        ),
        ("CLERK_CONVEX_OMIT", "phone role", "entry 2 is a column that the rules need"),
        ("CLERK_CONVEX_OMIT", "Phone", "entry 1 is no column; these can be left out: email, emailVerified"),
        ("CLERK_CONVEX_OMIT", "phone,", "entry 2 is empty"),
        ("CLERK_CONVEX_FIELDS", '"json:loads"', "quotation mark"),
        ("CLERK_CONVEX_FIELDS", "no_such_module:columns", "cannot be imported (ModuleNotFoundError)"),
        ("CLERK_CONVEX_FIELDS", "json:no_such_name", "cannot be imported (AttributeError)"),
        ("CLERK_CONVEX_FIELDS", "columns", "cannot be imported"),
        ("CLERK_CONVEX_FIELDS", ":columns", "cannot be imported"),
        ("CLERK_CONVEX_FIELDS", ".a:columns", "cannot be imported"),
        ("CLERK_CONVEX_FIELDS", f"{__name__}:NOT_CALLABLE", "does not name a function"),
    ],
)
def test_malformed(name: str, value: str, problem: str) -> None:
    """The error names the setting and the remedy in one line, without the value."""
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({name: value})
    text = str(caught.value)
    assert text.startswith(f"{name} ")
    assert problem in text
    assert "\n" not in text
    assert value not in text
    assert caught.value.__cause__ is None


def test_all_malformed_settings_are_named() -> None:
    """One error names each malformed setting once."""
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({"CONVEX_URL": "x", "CLERK_API_URL": "x", "CLERK_WEBHOOK_SIGNING_SECRET": "x y z"})
    text = str(caught.value)
    assert [text.count(name) for name in ("CLERK_API_URL", "CLERK_WEBHOOK_SIGN", "CONVEX_URL")] == [1, 1, 1]


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("CONVEX_URL", "https://Happy-Animal-123.convex.cloud:443/", "https://happy-animal-123.convex.cloud"),
        ("CONVEX_URL", "http://127.0.0.1:3210", "http://127.0.0.1:3210"),
        ("CONVEX_URL", "http://[::1]:3210/", "http://[::1]:3210"),
        ("CONVEX_URL", "http://convex_backend:3210", "http://convex_backend:3210"),
        ("CONVEX_URL", "http://10.1.2.3:3210", "http://10.1.2.3:3210"),
        ("CONVEX_URL", "http://convex.default.svc:80", "http://convex.default.svc"),
        ("CONVEX_URL", "http://host.docker.internal:3210", "http://host.docker.internal:3210"),
        ("CONVEX_URL", "https://example.com/convex/", "https://example.com/convex"),
        ("CONVEX_DEPLOY_KEY", "dev:happy-animal-123|eyJ2MiI6IjAifQ==", None),
        ("CONVEX_DEPLOY_KEY", "preview:happy-animal-123|eyJ2MiI6IjAifQ==", None),
        ("CONVEX_DEPLOY_KEY", "happy-animal-123|eyJ2MiI6IjAifQ==", None),
        ("CONVEX_DEPLOY_KEY", "convex-self-hosted|0135d8598650f8f5cb0f30c34ec2e2bb", None),
        ("CLERK_API_URL", "https://api.clerk.com/v1", "https://api.clerk.com/v1"),
        ("CLERK_API_URL", "http://localhost:9000", "http://localhost:9000"),
        ("CLERK_JWT_ISSUER_DOMAIN", "https://Clerk.Example.com/", "https://clerk.example.com"),
        ("CLERK_JWT_ISSUER_DOMAIN", "http://clerk.localhost:9000", "http://clerk.localhost:9000"),
        ("CLERK_JWT_AUDIENCE", "convex https://api.example.com/", ("convex", "https://api.example.com/")),
        ("CLERK_AUTHORIZED_PARTIES", "https://app.example.com:443", ("https://app.example.com",)),
        ("CLERK_AUTHORIZED_PARTIES", "http://192.168.1.7:5173", ("http://192.168.1.7:5173",)),
        ("CLERK_CONVEX_CORS_ORIGINS", "capacitor://localhost", ("capacitor://localhost",)),
        (
            "CLERK_CONVEX_REDIS_URL",
            "rediss://user:p%23w@redis.example.com:6380/1?ssl_cert_reqs=required",
            None,
        ),
    ],
)
def test_well_formed(name: str, value: str, read: object) -> None:
    """Usual values are accepted. URLs are read as browsers and Clerk write them."""
    settings = Settings.from_env({name: value})
    found = getattr(settings, name.lower())
    assert found.get_secret_value() == value if isinstance(found, SecretStr) else found == read


def test_module_that_fails_when_it_is_imported(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any error of the module of CLERK_CONVEX_FIELDS becomes a SettingsError, so that a server still
    answers."""
    folder = tmp_path_factory.mktemp("modules")
    (folder / "team_columns_that_fail.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(folder)
    with pytest.raises(SettingsError, match="ZeroDivisionError"):
        Settings.from_env({"CLERK_CONVEX_FIELDS": "team_columns_that_fail:columns"})


def test_secrets_are_masked() -> None:
    """No secret is shown by repr() or str(), or is text in a dump."""
    settings = Settings.from_env(
        {
            "CLERK_SECRET_KEY": "sk_live_s3cret00000000000000",
            "CONVEX_DEPLOY_KEY": "prod:happy-animal-123|s3cret",
            "CLERK_WEBHOOK_SIGNING_SECRET": SECRET,
        }
    )
    for text in (repr(settings), str(settings), repr(settings.model_dump()), settings.model_dump_json()):
        assert "s3cret" not in text
        assert SECRET[6:] not in text


def test_every_setting_is_described() -> None:
    """Every setting has a description."""
    assert all(field.description for field in Settings.model_fields.values())
