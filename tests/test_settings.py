from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from clerk_convex.errors import SettingsError
from clerk_convex.settings import Settings

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_SECRET = "whsec_plJ3nmyCDGBKInavdOK15jsl"


def columns(user: Mapping[str, Any]) -> Mapping[str, Any]:
    return {}


NOT_CALLABLE = 17


def test_everything_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every setting of the documentation is read from the process's environment by its name there."""
    environ = {
        "CLERK_SECRET_KEY": "sk_test_1",
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
        "CLERK_CONVEX_CORS_ORIGINS": "https://admin.example.com",
        "CLERK_CONVEX_READ_LIMIT": "10/second",
        "CLERK_CONVEX_WRITE_LIMIT": "20/minute",
        "CLERK_CONVEX_ADDRESS_LIMIT": "30/hour",
        "CLERK_CONVEX_REDIS_URL": "async+redis://:s3cret@127.0.0.1:6379/0",
    }
    assert set(environ) == {name.upper() for name in Settings.model_fields}
    for name, value in environ.items():
        monkeypatch.setenv(name, f" {value}\n")
    settings = Settings.from_env()
    assert settings.clerk_secret_key is not None
    assert settings.clerk_secret_key.get_secret_value() == "sk_test_1"
    assert [secret.get_secret_value() for secret in settings.clerk_webhook_signing_secret] == [SECRET]
    assert settings.clerk_api_url == "http://127.0.0.1:9000"
    assert settings.clerk_jwt_issuer_domain == "https://clerk.example"
    assert settings.clerk_instance_id == "ins_1"
    assert settings.convex_url == "https://happy-animal-123.convex.cloud"
    assert settings.convex_deploy_key is not None
    assert settings.convex_deploy_key.get_secret_value() == "prod:happy-animal-123|key"
    assert settings.convex_users_module == "clerk/people"
    assert settings.clerk_convex_fields is columns
    assert settings.clerk_authorized_parties == ("https://app.example.com", "http://localhost:3000")
    assert settings.clerk_jwt_audience == ("convex", "api")
    assert settings.clerk_convex_cors_origins == ("https://admin.example.com",)
    assert settings.clerk_convex_read_limit == "10/second"
    assert settings.clerk_convex_write_limit == "20/minute"
    assert settings.clerk_convex_address_limit == "30/hour"
    assert settings.clerk_convex_redis_url is not None
    assert settings.clerk_convex_redis_url.get_secret_value() == "redis://:s3cret@127.0.0.1:6379/0"
    settings.require(*environ)


def test_defaults() -> None:
    """With nothing set, or all of it empty, there is Clerk's address and the module `users`, and no error."""
    for environ in ({}, dict.fromkeys(map(str.upper, Settings.model_fields), " ")):
        settings = Settings.from_env(environ)
        assert settings.clerk_api_url == "https://api.clerk.com"
        assert settings.convex_users_module == "users"
        assert settings.clerk_webhook_signing_secret == ()
        assert settings.convex_url is None
        assert settings.clerk_authorized_parties == settings.clerk_convex_cors_origins == ()
        assert settings.clerk_jwt_audience == ("convex",)
        assert settings.clerk_convex_redis_url is None
        assert settings.clerk_convex_read_limit == "300/minute"
        assert settings.clerk_convex_write_limit == "60/minute"
        assert settings.clerk_convex_address_limit == "60/minute"


@pytest.mark.parametrize("separator", [",", " ", ", ", "\n"])
def test_several_signing_secrets(separator: str) -> None:
    """Signing secrets are separated by comma or space."""
    settings = Settings.from_env({"CLERK_WEBHOOK_SIGNING_SECRET": f"{SECRET}{separator}{OTHER_SECRET}"})
    assert len(settings.clerk_webhook_signing_secret) == 2


def test_settings_in_code() -> None:
    """Settings can be given in code, as values and functions instead of text; a name misspelt is an error."""
    assert Settings(clerk_convex_fields=columns).clerk_convex_fields is columns
    with pytest.raises(ValueError, match="convex_ulr") as caught:
        Settings(convex_ulr="https://a.convex.cloud")  # type: ignore[call-arg]
    assert "https://a" not in str(caught.value)


def test_what_is_required_and_missing() -> None:
    """One error names everything that is missing, not only the first."""
    settings = Settings.from_env({"CONVEX_URL": "https://a.convex.cloud"})
    with pytest.raises(SettingsError, match=r": CONVEX_DEPLOY_KEY\."):
        settings.require("CONVEX_URL", "CONVEX_DEPLOY_KEY")
    with pytest.raises(SettingsError, match=r": CLERK_SECRET_KEY, CONVEX_DEPLOY_KEY\."):
        settings.require("CLERK_SECRET_KEY", "CONVEX_URL", "CONVEX_DEPLOY_KEY")


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("CONVEX_URL", "happy-animal-123.convex.cloud", "is not a URL; it starts with https://"),
        ("CONVEX_URL", "ftp://a.convex.cloud", "is not a URL"),
        ("CONVEX_URL", "https:///path", "is not a URL"),
        ("CONVEX_URL", "https://a.CONVEX.site/", "use the one that ends in .convex.cloud"),
        ("CLERK_API_URL", "http://[::1", "CLERK_API_URL"),
        ("CLERK_WEBHOOK_SIGNING_SECRET", "sk_live_pasted_by_mistake", "is not a signing secret"),
        ("CLERK_WEBHOOK_SIGNING_SECRET", "whsec_==", "is not a signing secret"),
        ("CLERK_WEBHOOK_SIGNING_SECRET", "whsec_a", "is not a signing secret"),
        ("CLERK_WEBHOOK_SIGNING_SECRET", "whsec_é", "is not a signing secret"),
        ("CONVEX_USERS_MODULE", "users:syncUsers", "CONVEX_USERS_MODULE"),
        ("CLERK_AUTHORIZED_PARTIES", "my-app.test", "has what is no origin; they are written https://"),
        ("CLERK_AUTHORIZED_PARTIES", "https://app.example.com/", "has what is no origin"),
        ("CLERK_CONVEX_CORS_ORIGINS", "*", "has what is no origin"),
        ("CLERK_CONVEX_CORS_ORIGINS", "https://me@app.example.com", "has what is no origin"),
        ("CLERK_CONVEX_READ_LIMIT", "0/hour", "is no limit; they are written 60/minute"),
        ("CLERK_CONVEX_WRITE_LIMIT", "many", "is no limit; they are written 60/minute"),
        ("CLERK_CONVEX_ADDRESS_LIMIT", "1/fortnight", "is no limit; they are written 60/minute"),
        ("CLERK_CONVEX_REDIS_URL", "127.0.0.1:6379", "is not a URL of Redis; it is written redis://"),
        ("CLERK_CONVEX_FIELDS", "no_such_module:columns", "cannot be imported (ModuleNotFoundError)"),
        ("CLERK_CONVEX_FIELDS", "json:no_such_name", "cannot be imported (AttributeError)"),
        ("CLERK_CONVEX_FIELDS", "columns", "cannot be imported"),
        ("CLERK_CONVEX_FIELDS", ":columns", "cannot be imported"),
        ("CLERK_CONVEX_FIELDS", ".a:columns", "cannot be imported"),
        ("CLERK_CONVEX_FIELDS", f"{__name__}:NOT_CALLABLE", "does not name a function"),
    ],
)
def test_malformed(name: str, value: str, problem: str) -> None:
    """What is malformed is named with the remedy, in one line, without the value."""
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({name: value})
    text = str(caught.value)
    assert text.startswith(f"{name} ")
    assert problem in text
    assert "\n" not in text
    assert value not in text
    assert caught.value.__cause__ is None


def test_everything_malformed_is_named() -> None:
    """One error names all that is malformed, once each."""
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({"CONVEX_URL": "x", "CLERK_API_URL": "x", "CLERK_WEBHOOK_SIGNING_SECRET": "x y z"})
    text = str(caught.value)
    assert [text.count(name) for name in ("CLERK_API_URL", "CLERK_WEBHOOK_SIGN", "CONVEX_URL")] == [1, 1, 1]


def test_module_that_fails_when_it_is_imported(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the module of CLERK_CONVEX_FIELDS fails with is a SettingsError, so that a server answers."""
    folder = tmp_path_factory.mktemp("modules")
    (folder / "team_columns_that_fail.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(folder)
    with pytest.raises(SettingsError, match="ZeroDivisionError"):
        Settings.from_env({"CLERK_CONVEX_FIELDS": "team_columns_that_fail:columns"})


def test_secrets_are_masked() -> None:
    """No secret is shown by repr() or str(), nor left in a dump as text."""
    settings = Settings.from_env(
        {
            "CLERK_SECRET_KEY": "sk_live_s3cret",
            "CONVEX_DEPLOY_KEY": "s3cret",
            "CLERK_WEBHOOK_SIGNING_SECRET": SECRET,
        }
    )
    for text in (repr(settings), str(settings), repr(settings.model_dump()), settings.model_dump_json()):
        assert "s3cret" not in text
        assert SECRET[6:] not in text


def test_every_setting_is_described() -> None:
    """Every setting says what it is for."""
    assert all(field.description for field in Settings.model_fields.values())
