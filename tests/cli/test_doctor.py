"""clerk_convex/cli/doctor: each check finds what is right and what is broken, and none stops the others."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import clerk_convex
from clerk_convex import Settings, webhook_route
from clerk_convex.cli import main
from clerk_convex.cli.doctor import command, convex, exam
from clerk_convex.cli.doctor.exam import Exam
from clerk_convex.cli.doctor.report import Finding, Report, Status, broken, doubtful, span
from clerk_convex.local.clerk import Faults
from clerk_convex.local.listener import listen, serving
from tests.net.test_limits import RedisServer, redis_server
from tests.support import stand_in
from tests.support.functions import Functions, upsert
from tests.support.managed import Managed
from tests.support.stand_in import DEPLOY_KEY, Behaviour, Call, StandIn, answer, failure, value
from tests.webhook.test_route import OTHER_SECRET, SECRET

KEY = "sk_test_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOWHERE = "http://127.0.0.1:9"
MISSING = failure("Could not find public function for 'users:x'. Did you forget to run `npx convex dev`?")
FORBIDDEN = failure("You do not have permission to perform this operation.")
CHECKS = {check.name: check for check in command.CHECKS}


def examine(
    *names: str, webhook_url: str | None = None, seconds: float = 60.0, call: float = 20.0, **environ: Any
) -> list[Finding]:
    """Run some checks as the command does, and return their findings."""

    async def run() -> list[Finding]:
        opened = Exam.open(environ, webhook_url=webhook_url, seconds=seconds, call=call)
        async with opened as open_exam:
            return await asyncio.gather(*(command._find(CHECKS[name], open_exam) for name in names))

    findings = asyncio.run(run())
    secrets = [environ.get(name, "") for name in ("CLERK_SECRET_KEY", "CONVEX_DEPLOY_KEY")]
    for finding in findings:
        assert not any(secret and secret in f"{finding.text}{finding.remedy}" for secret in secrets)
        assert "\n" not in f"{finding.text}{finding.remedy}"
    return findings


def found(name: str, **options: Any) -> Finding:
    (finding,) = examine(name, **options)
    return finding


def at(convex: StandIn, **more: str) -> dict[str, Any]:
    """The environment for a stand-in of Convex."""
    return {"CONVEX_URL": convex.url, "CONVEX_DEPLOY_KEY": DEPLOY_KEY, **more}


def briefly(behaviour: Behaviour) -> float:
    """Return the seconds of a call: few where nothing answers, and else more than an answer takes."""
    return 0.3 if behaviour is stand_in.hang else 20.0


def by_function(**answers: Behaviour) -> Behaviour:
    """Answer as a deployment whose functions are these."""

    async def behaviour(call: Call, writer: asyncio.StreamWriter) -> None:
        function = "version" if call.body is None else call.path.partition(":")[2]
        await answers.get(function, MISSING)(call, writer)

    return behaviour


def healthy(**answers: Behaviour) -> Behaviour:
    usual = {"compareUsers": value([]), "syncUsers": value([])}
    return by_function(**(usual | answers))


def status_of(**changes: Any) -> Behaviour:
    """Answer users:status."""
    now = time.time() * 1000
    status = {
        "now": now,
        "hasActiveAdmin": True,
        "lastWebhookAt": now,
        "lastFinishedBackfillAt": now,
        "refusals": {"count": 0.0, "isMore": False, "latest": []},
    }
    return healthy(status=value(status | changes))


def environment(managed: Managed, **more: str) -> dict[str, Any]:
    return {
        "CLERK_SECRET_KEY": managed.clerk.secret_key,
        "CLERK_API_URL": managed.clerk.url,
        "CLERK_JWT_ISSUER_DOMAIN": managed.clerk.issuer,
        "CLERK_WEBHOOK_SIGNING_SECRET": SECRET,
        "CONVEX_URL": managed.convex.url,
        "CONVEX_DEPLOY_KEY": managed.convex.deploy_key,
        **more,
    }


@pytest.fixture
def set_environment(monkeypatch: pytest.MonkeyPatch) -> Callable[[Mapping[str, str]], None]:
    """Return a function that replaces the settings in the environment of this process."""

    def replace(environ: Mapping[str, str]) -> None:
        for name in list(os.environ):
            if name.startswith(("CLERK_", "CONVEX_")):
                monkeypatch.delenv(name)
        for name, text in environ.items():
            monkeypatch.setenv(name, text)

    return replace


@contextmanager
def served(app: ASGIApp) -> Iterator[str]:
    """Serve an application at an address."""
    with listen(0, "The service") as listener, serving(app, listener, "The service", lifespan="off"):
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def our_app(**more: str) -> Starlette:
    environ = {
        "CONVEX_URL": NOWHERE,
        "CONVEX_DEPLOY_KEY": DEPLOY_KEY,
        "CLERK_WEBHOOK_SIGNING_SECRET": SECRET,
    }
    return Starlette(routes=[webhook_route(settings=Settings.from_env(environ | more))])


# The command


def test_all_is_well(
    managed: Managed,
    set_environment: Callable[[Mapping[str, str]], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In a set that works nothing is broken, each check has a line, and the exit status is 0."""
    with served(our_app()) as url:
        set_environment(environment(managed))
        assert main(["doctor", "--webhook-url", f"{url}/webhooks/clerk"]) == 0
    out, err = capsys.readouterr()
    *lines, summary = out.splitlines()
    assert summary.startswith("Nothing is broken.")
    assert {line[2:].split(" ")[0] for line in lines} - {""} == CHECKS.keys()
    marks = {line[2:].split(" ")[0]: line[0] for line in lines if line[0] != " "}  # without the remedies
    assert marks == {
        **dict.fromkeys(CHECKS, "✓"),
        **dict.fromkeys(("columns", "redis"), "–"),  # noqa: RUF001
        "backfill": "!",
    }
    assert err == ""


def test_broken_is_1_and_json_is_for_programs(
    managed: Managed,
    set_environment: Callable[[Mapping[str, str]], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """--fast has the checks that take a moment. One that is broken does not keep the others from running."""
    set_environment(environment(managed, CLERK_SECRET_KEY=KEY))
    assert main(["doctor", "--fast", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["ok"], told["version"]) == (False, clerk_convex.__version__)
    statuses = {check["name"]: check["status"] for check in told["checks"]}
    assert statuses == {
        "settings": "ok",
        "clock": "ok",
        "clerk": "broken",
        "issuer": "ok",
        "convex": "ok",
        "functions": "ok",
        "redis": "skipped",
    }
    (clerk,) = (check for check in told["checks"] if check["name"] == "clerk")
    assert clerk["text"].startswith(
        "Clerk answered 401 (clerk_key_invalid): CLERK_SECRET_KEY was rejected."
    ) or (clerk["text"].startswith("Clerk answered 401: CLERK_SECRET_KEY was rejected."))


def test_all_hang(
    convex: StandIn,
    set_environment: Callable[[Mapping[str, str]], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where nothing answers, --fast ends within 5 seconds, and each check says so."""
    assert command._CALL_FAST < command._SECONDS_FAST < 4
    monkeypatch.setattr(command, "_CALL_FAST", 1.0)
    monkeypatch.setattr(command, "_SECONDS_FAST", 20.0)
    convex.behave(then=stand_in.hang)
    places = at(
        convex,
        CLERK_API_URL=convex.url,
        CLERK_SECRET_KEY=KEY,
        CLERK_JWT_ISSUER_DOMAIN=convex.url,
        CLERK_CONVEX_REDIS_URL=convex.url.replace("http", "redis"),
    )
    set_environment(places)
    started = time.monotonic()
    assert main(["doctor", "--fast"]) == 1
    assert time.monotonic() - started < 30
    out = capsys.readouterr().out
    for line in ("✗ clerk ", "✗ issuer ", "✗ convex ", "– clock ", "– functions "):  # noqa: RUF001
        assert line in out
    assert "✗ redis      Calls cannot be counted in Redis (TimeoutError)." in out


def test_the_whole_ends_when_a_check_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that takes too long, or fails itself, is broken; nothing of its error's text is shown."""

    async def hang(exam: Exam) -> Finding:
        await asyncio.Event().wait()
        raise AssertionError

    async def fail(exam: Exam) -> Finding:
        raise KeyError("secret")

    for name, function in (("rows", hang), ("admin", fail)):
        monkeypatch.setitem(CHECKS, name, command.Check(name, function, False))
    slow, failing, settings = examine("rows", "admin", "settings", seconds=0.1)
    assert (slow.status, slow.text) == (Status.BROKEN, "This took over 0.1 s.")
    assert failing.status is Status.BROKEN
    assert failing.text.startswith("The check itself failed: KeyError in fail")
    assert "secret" not in failing.text
    assert settings.status is Status.BROKEN


@pytest.mark.parametrize(
    "arguments",
    [
        ["--webhook-url", "users.example.com"],
        ["--webhook-url", "https://user:password@example.com/"],
        ["--webhook-url", "https://example.com:port/"],
        ["--webhook-url", "https://[example.com/"],
        ["--fast", "--webhook-url", "https://users.example.com/webhooks/clerk"],
    ],
)
def test_usage_is_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["doctor", *arguments])
    assert ended.value.code == 2
    assert "password" not in capsys.readouterr().err.replace("--webhook-url", "")


def test_progress_is_for_terminals(
    set_environment: Callable[[Mapping[str, str]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    set_environment({"CLERK_API_URL": NOWHERE})
    monkeypatch.setattr(sys, "stderr", terminal)
    assert main(["doctor", "--fast"]) == 1
    assert terminal.getvalue() == "Checking, for at most 4 s …\n"


def test_a_module_of_the_current_folder(tmp_path: Path) -> None:
    """The installed command finds CLERK_CONVEX_FIELDS where it is started, as `python -m` does."""
    (tmp_path / "team.py").write_text("def fields(user): return {}\n")
    script = Path(sys.executable).with_name("clerk-convex")
    ran = subprocess.run(
        [script, "doctor", "--fast", "--json"],
        cwd=tmp_path,
        env={"CLERK_CONVEX_FIELDS": "team:fields", "CLERK_API_URL": NOWHERE},
        capture_output=True,
        text=True,
        check=False,
    )
    settings = json.loads(ran.stdout)["checks"][0]
    assert "CLERK_CONVEX_FIELDS" not in settings["text"]


# The report


def test_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """The remedy is below its finding. A terminal without ✓ and ✗ gets other signs."""
    findings = [
        ("one", Finding("fine")),
        ("other", broken("It is broken.", "Mend it.")),
        ("a", doubtful("It is odd.")),
        ("b", Finding("no key", Status.SKIPPED)),
    ]
    text = str(Report(findings))
    assert text == (
        "✓ one    fine\n✗ other  It is broken.\n         Mend it.\n! a      It is odd.\n– b      no key\n"  # noqa: RUF001
        "1 of 4 checks found something broken. 1 with a ! may need a look."
    )
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="latin-1"))
    assert str(Report(findings[:2])).startswith("+ one    fine\nx other  It is broken.")
    assert str(Report([findings[0]])).endswith("Nothing is broken.")


def test_span() -> None:
    assert [span(seconds) for seconds in (1.2, 3, 119, 120, 7200, 172_800)] == [
        *("1 second", "3 seconds", "119 seconds", "2 minutes", "2 hours", "2 days")
    ]


# This machine


def test_settings() -> None:
    """Each feature is on or off, with what it lacks."""
    environ = {"CONVEX_URL": NOWHERE, "CONVEX_DEPLOY_KEY": DEPLOY_KEY, "CLERK_SECRET_KEY": KEY}
    finding = found("settings", **environ)
    assert finding == Finding(
        "on: backfill; off: webhook (needs CLERK_WEBHOOK_SIGNING_SECRET),"
        " user management (needs CLERK_JWT_ISSUER_DOMAIN)"
    )
    environ |= {"CLERK_WEBHOOK_SIGNING_SECRET": SECRET, "CLERK_JWT_ISSUER_DOMAIN": NOWHERE}
    assert found("settings", **environ) == Finding("on: webhook, backfill, user management")
    assert found("settings").status is Status.BROKEN


def test_malformed_settings_do_not_hide_the_others() -> None:
    """All that is malformed is named at once, without a value, and the good settings are used."""
    finding, clerk, key = examine(
        *("settings", "clerk", "key"),
        CLERK_SECRET_KEY="sk_test_s3cret",
        CONVEX_URL="ftp://s3cret",
        CLERK_WEBHOOK_SIGNING_SECRET=SECRET,
        CONVEX_DEPLOY_KEY=DEPLOY_KEY,
    )
    assert finding.status is Status.BROKEN
    assert finding.text.startswith("CLERK_SECRET_KEY is not a whole secret key, ")
    assert " CONVEX_URL " in finding.text
    assert " Off: webhook (needs CONVEX_URL), " in finding.text
    assert "s3cret" not in finding.text
    assert clerk == Finding("CLERK_SECRET_KEY is malformed, as said above", Status.SKIPPED)
    assert key == Finding("CONVEX_URL is malformed, as said above", Status.SKIPPED)
    (clerk,) = examine("clerk", CLERK_SECRET_KEY=KEY, CLERK_API_URL="ftp://s3cret")
    assert clerk == Finding("CLERK_API_URL is malformed, as said above", Status.SKIPPED)


def test_misspelt_settings() -> None:
    """A variable that looks like a setting that is not set is named."""
    environ = {"CONVEX_URL": NOWHERE, "CONVEX_DEPLOY_KEY": DEPLOY_KEY, "CLERK_SECRET_KEY": KEY}
    finding = found(
        "settings",
        **environ,
        CLERK_WEBHOOK_SECRET=SECRET,
        CLERK_CONVEX_NEWS="1",
        CLERK_CONVEX_FEILDS="x",
        CLERK_PUBLISHABLE_KEY="x",
    )
    assert finding.status is Status.DOUBTFUL
    assert finding.remedy == (
        "CLERK_CONVEX_FEILDS is no setting: is it meant to be CLERK_CONVEX_FIELDS? CLERK_CONVEX_NEWS is no"
        " setting of this version. CLERK_WEBHOOK_SECRET is no setting: is it meant to"
        " be CLERK_WEBHOOK_SIGNING_SECRET?"
    )
    assert found("settings", CONVEX_SITE_URL="x").remedy.endswith("is it meant to be CONVEX_URL?")


@pytest.mark.parametrize(
    ("clerk", "convex", "is_right", "text"),
    [
        (0, 0, True, "within seconds of the clock of Clerk and Convex"),
        (0, None, True, "within seconds of the clock of Clerk"),
        (
            -400,
            -400,
            False,
            "This machine's clock is 7 minutes ahead of Clerk's, 7 minutes ahead of Convex's.",
        ),
        (7300, None, False, "This machine's clock is 2 hours behind Clerk's."),
        (0, 60, False, "This machine's clock is 60 seconds behind Convex's."),
    ],
)
def test_clock(clerk: float, convex: float | None, is_right: bool, text: str) -> None:
    """The clocks are compared by the dates of answers, whatever the answers are."""

    def dated(late: float | None) -> Behaviour:
        async def behaviour(call: Call, writer: asyncio.StreamWriter) -> None:
            date = [] if late is None else [f"Date: {formatdate(time.time() + late, usegmt=True)}"]
            await answer(404, None, *date)(call, writer)

        return behaviour

    with StandIn() as one, StandIn() as other:
        one.behave(then=dated(clerk))
        other.behave(then=dated(convex))
        finding = found("clock", CLERK_API_URL=one.url, CONVEX_URL=other.url)
    assert (finding.status is Status.OK) is is_right
    told = finding.text.replace("399 seconds", "7 minutes")
    assert re.sub(r"\b5\d seconds", "60 seconds", told) == text
    if not is_right:
        is_convexs = clerk == 0
        assert ("machine on which Convex runs" in finding.remedy) is is_convexs


def test_nobody_says_the_time(convex: StandIn) -> None:
    convex.behave(then=answer(200, None, "Date: yesterday"))
    assert found("clock", CLERK_API_URL=NOWHERE, CONVEX_URL=convex.url).status is Status.SKIPPED


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


def test_redis(redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried as the limits use it: a replica can be read and not written."""
    from redis import Redis

    assert found("redis").status is Status.SKIPPED
    assert found("redis", CLERK_CONVEX_REDIS_URL=redis.url) == Finding("reachable and writable")
    with Redis(port=redis.port) as client:
        client.replicaof("127.0.0.1", "9")
        finding = found("redis", CLERK_CONVEX_REDIS_URL=redis.url)
        client.replicaof("NO", "ONE")
        assert finding.status is Status.BROKEN
        assert "ReadOnlyError" in finding.text
        assert "its primary" in finding.remedy
        client.config_set("requirepass", "right")
        finding = found("redis", CLERK_CONVEX_REDIS_URL=redis.url.replace("://", "://:wrong@"))
        client.config_set("requirepass", "")
    assert "AuthenticationError" in finding.text
    finding = found("redis", CLERK_CONVEX_REDIS_URL="redis://127.0.0.1:9")
    assert finding.remedy == "Is it up, and is CLERK_CONVEX_REDIS_URL its address?"
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    finding = found("redis", CLERK_CONVEX_REDIS_URL=redis.url)
    assert "pip install 'clerk-convex[redis]'" in finding.text


# Clerk


def test_clerk(managed: Managed, convex: StandIn) -> None:
    """The instance of the secret key is named, with the setting that keeps others out."""
    environ = environment(managed)
    finding = found("clerk", **environ)
    instance_id = managed.clerk.instance_id
    assert finding.status is Status.OK
    assert finding.text == (
        f"the secret key is of {instance_id}, development; CLERK_INSTANCE_ID is not set, which would refuse"
        " the events of others"
    )
    finding = found("clerk", **environ, CLERK_INSTANCE_ID=instance_id)
    assert finding == Finding(f"the secret key is of {instance_id}, development")
    finding = found("clerk", **environ, CLERK_INSTANCE_ID="ins_another")
    assert finding.status is Status.BROKEN
    assert "belongs to another Clerk instance" in finding.text
    finding = found("clerk", **environ | {"CONVEX_DEPLOY_KEY": DEPLOY_KEY})
    assert finding.status is Status.DOUBTFUL
    assert "sk_live_" in finding.remedy
    convex.behave(then=answer(200, {"object": "instance", "id": "ins_1", "environment_type": "production"}))
    production = {"CLERK_API_URL": convex.url, "CONVEX_DEPLOY_KEY": "dev:happy-animal-123|c2"}
    finding = found("clerk", **environ | production)
    assert finding.status is Status.DOUBTFUL
    assert "prod:" in finding.remedy


@pytest.mark.parametrize(
    ("behaviour", "text"),
    [
        (answer(401, {"errors": []}), "CLERK_SECRET_KEY was rejected"),
        (answer(403, {"errors": []}), "Clerk answered 403"),
        (answer(404, b"<html>"), "is not Clerk's Backend API"),
        (answer(200, b"garbage"), "an answer that cannot be read"),
        (answer(503, b""), "it has trouble"),
        (stand_in.drop, "Clerk"),
        (stand_in.hang, "did not answer within 0.3 s"),
    ],
)
def test_clerk_in_trouble(convex: StandIn, behaviour: Behaviour, text: str) -> None:
    """What Clerk answers is told with what to do. Checks that need its users say that it cannot be asked."""
    convex.behave(then=behaviour)
    clerk, columns = examine(
        *("clerk", "columns"),
        call=briefly(behaviour),
        CLERK_SECRET_KEY=KEY,
        CLERK_API_URL=convex.url,
        CLERK_CONVEX_FIELDS="tests.cli.test_doctor:plan_field",
    )
    assert clerk.status is Status.BROKEN
    assert text in clerk.text
    assert columns == Finding("Clerk cannot be asked, as said above", Status.SKIPPED)


def test_issuer(managed: Managed, convex: StandIn) -> None:
    """The public keys are there, and those of the secret key's instance."""
    environ = environment(managed)
    issuer = managed.clerk.issuer
    assert found("issuer", **environ) == Finding(
        f"{issuer} has public keys; tokens of any origin (CLERK_AUTHORIZED_PARTIES) are accepted"
    )
    finding = found("issuer", **environ, CLERK_AUTHORIZED_PARTIES="https://app.example.com")
    assert "tokens of https://app.example.com are accepted" in finding.text
    without = {name: text for name, text in environ.items() if name != "CLERK_SECRET_KEY"}
    assert "not compared" in found("issuer", **without).text
    assert found("issuer", CLERK_SECRET_KEY=KEY).status is Status.SKIPPED

    keys = managed.clerk.jwks()["keys"]
    convex.behave(then=answer(200, {"keys": [{**key, "kid": "another"} for key in keys]}))
    finding = found("issuer", **environ | {"CLERK_JWT_ISSUER_DOMAIN": convex.url})
    assert finding.status is Status.BROKEN
    assert "belong to two Clerk instances" in finding.text
    # What Clerk's API answers of its keys may be unreadable: then they are not compared.
    finding = found(
        *("issuer",),
        **environ | {"CLERK_API_URL": convex.url, "CLERK_SECRET_KEY": KEY},
        CLERK_INSTANCE_ID="ins_1",
    )
    assert "not compared" in finding.text


@pytest.mark.parametrize(
    ("behaviour", "text"),
    [
        (answer(404, b"<html>"), "There are no public keys at "),
        (answer(200, {"keys": []}), "(200)"),
        (stand_in.hang, "where the public keys are, does not answer"),
        (stand_in.drop, "where the public keys are, cannot be reached"),
    ],
)
def test_issuer_without_keys(convex: StandIn, behaviour: Behaviour, text: str) -> None:
    convex.behave(then=behaviour)
    finding = found("issuer", call=briefly(behaviour), CLERK_JWT_ISSUER_DOMAIN=convex.url)
    assert finding.status is Status.BROKEN
    assert text in finding.text
    assert "Frontend API URL" in finding.remedy


# Convex


@pytest.mark.parametrize(
    ("behaviour", "statuses", "text"),
    [
        (healthy(), ["ok", "ok", "ok"], "answers in "),
        (stand_in.status(401), ["ok", "broken", "skipped"], "answers in "),
        (by_function(), ["ok", "skipped", "broken"], "answers in "),
        (failure(), ["ok", "broken", "broken"], "answers in "),
        (answer(404, b"<html>"), ["broken", "skipped", "skipped"], "is no Convex deployment's"),
        (answer(302, b""), ["broken", "skipped", "skipped"], "a redirect: CONVEX_URL is wrong"),
        (answer(200, b"garbage"), ["broken", "skipped", "skipped"], "cannot be read"),
        (stand_in.status(503), ["broken", "skipped", "skipped"], "Convex answered 503"),
        (stand_in.hang, ["broken", "skipped", "skipped"], "did not answer within 0.3 s"),
    ],
)
def test_convex(convex: StandIn, behaviour: Behaviour, statuses: list[str], text: str) -> None:
    """One trouble is broken in one place. What cannot be checked because of it is skipped."""
    convex.behave(then=behaviour)
    findings = examine("convex", "key", "functions", call=briefly(behaviour), **at(convex))
    assert [finding.status for finding in findings] == statuses
    assert text in findings[0].text
    assert examine("duplicates", call=briefly(behaviour), **at(convex))[0].status is Status.SKIPPED


@pytest.mark.parametrize(
    ("answers", "status", "text"),
    [
        ({}, Status.OK, "may run internal queries and internal mutations"),
        ({"syncUsers": FORBIDDEN}, Status.BROKEN, "may not run internal mutations, or they fail"),
        ({"compareUsers": FORBIDDEN}, Status.BROKEN, "may not run internal queries, or they fail"),
        (
            {"compareUsers": FORBIDDEN, "syncUsers": FORBIDDEN},
            Status.BROKEN,
            "CONVEX_DEPLOY_KEY lacks a permission",
        ),
        ({"syncUsers": failure("ArgumentValidationError: x")}, Status.OK, "may run"),
    ],
)
def test_key(convex: StandIn, answers: dict[str, Behaviour], status: Status, text: str) -> None:
    """What the deploy key may not do is named."""
    convex.behave(then=healthy(**answers))
    finding = found("key", **at(convex))
    assert finding.status is status
    assert text in finding.text


def test_key_of_another_deployment() -> None:
    """The name in the key is compared with the address before anything is sent."""
    finding = found(
        "key", CONVEX_URL="https://happy-animal-123.convex.cloud", CONVEX_DEPLOY_KEY="dev:other-animal-1|c2"
    )
    assert finding.status is Status.BROKEN
    assert "is of the deployment other-animal-1" in finding.text


def test_functions(convex: StandIn, functions: Functions) -> None:
    """The version is compared; functions that are older, missing or in another module are told apart."""
    own = {"CONVEX_URL": functions.convex.url, "CONVEX_DEPLOY_KEY": functions.convex.deploy_key}
    finding = found("functions", **own)
    assert finding == Finding(f"version {clerk_convex.__version__}, module users")
    finding = found("functions", **own, CONVEX_USERS_MODULE="team/users")
    assert finding.status is Status.BROKEN
    assert finding.text == "CONVEX_USERS_MODULE is team/users, and the functions are in users."

    convex.behave(then=healthy())
    convex.about = MISSING
    finding = found("functions", **at(convex))
    assert (finding.status, finding.text) == (Status.DOUBTFUL, "The functions are older than users:about.")
    convex.about = value({"version": "9.9.9", "columns": []})
    finding = found("functions", **at(convex))
    assert finding.status is Status.DOUBTFUL
    assert "The functions are of version 9.9.9" in finding.text
    convex.behave(then=by_function())
    for module in ("users", "team"):
        finding = found("functions", **at(convex, CONVEX_USERS_MODULE=module))
        assert finding.text == f"There is no {module}:compareUsers in Convex."
    convex.behave(then=healthy(compareUsers=failure("ArgumentValidationError: x")))
    assert "another version" in found("functions", **at(convex)).text
    convex.behave(then=healthy(syncUsers=FORBIDDEN))
    assert found("functions", **at(convex)).status is Status.SKIPPED


# The rows


def plan_field(user: Mapping[str, Any]) -> dict[str, Any]:
    return {"plan": "free"}


def failing_field(user: Mapping[str, Any]) -> dict[str, Any]:
    raise KeyError("secret")


def test_columns(managed: Managed, convex: StandIn) -> None:
    """The function is tried with users of Clerk's, and its columns with the functions in Convex."""
    clerk: dict[str, Any] = {
        "CLERK_SECRET_KEY": managed.clerk.secret_key,
        "CLERK_API_URL": managed.clerk.url,
    }
    fields: dict[str, Any] = {"CLERK_CONVEX_FIELDS": "tests.cli.test_doctor:plan_field"}
    assert found("columns", **clerk).status is Status.SKIPPED
    finding = found("columns", **environment(managed), **fields)
    assert finding.status is Status.BROKEN
    assert finding.text == "CLERK_CONVEX_FIELDS fills plan, and Convex has no such column."

    convex.behave(then=healthy())
    convex.about = value({"version": clerk_convex.__version__, "columns": ["plan", "status"]})
    finding = found("columns", **clerk, **fields, **at(convex))
    assert finding == Finding("CLERK_CONVEX_FIELDS fills plan, tried with 3 users")
    convex.behave(then=healthy(compareUsers=refusing("plan")))
    finding = found("columns", **clerk, **fields, **at(convex))
    assert finding.status is Status.BROKEN
    assert finding.text == "Convex refuses the columns of CLERK_CONVEX_FIELDS (plan)."
    convex.behave(then=healthy())
    convex.about = MISSING
    assert found("columns", **clerk, **fields, **at(convex)).status is Status.OK
    failing: dict[str, Any] = {"CLERK_CONVEX_FIELDS": "tests.cli.test_doctor:failing_field"}
    finding, events = examine("columns", "events", **environment(managed), **failing)
    assert finding.status is Status.BROKEN
    assert "CLERK_CONVEX_FIELDS" in finding.text
    assert events.status is not Status.BROKEN
    for user in managed.clerk.users():
        managed.clerk.delete_user(user["id"])
    finding = found("columns", **clerk, **fields, **at(convex))
    assert finding == Finding("Clerk has no user to try CLERK_CONVEX_FIELDS with", Status.SKIPPED)


def refusing(column: str) -> Behaviour:
    """Answer as compareUsers whose validators refuse a column."""

    async def behaviour(call: Call, writer: asyncio.StreamWriter) -> None:
        is_refused = any(column in change["columns"] for change in call.changes)
        result = failure("ArgumentValidationError: x") if is_refused else value([])
        await result(call, writer)

    return behaviour


def parts(*answers: Any) -> Behaviour:
    """Answer as a query that reads a table part by part."""

    async def behaviour(call: Call, writer: asyncio.StreamWriter) -> None:
        cursor = call.body["args"]["cursor"]
        await value(answers[0 if cursor is None else int(cursor)])(call, writer)

    return behaviour


def test_rows(convex: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that the schema would refuse are counted, and the first ones named with the reason."""
    refused = [
        {"id": f"r{number}", "clerkId": None, "problems": ["status is missing"]} for number in range(4)
    ]
    first = {"rows": 500.0, "refused": [], "cursor": "1"}
    convex.behave(then=healthy(checkRows=parts(first, {"rows": 7.0, "refused": [], "cursor": None})))
    assert found("rows", **at(convex)) == Finding("the schema accepts all 507 rows")
    convex.behave(then=healthy(checkRows=parts(first, {"rows": 7.0, "refused": refused, "cursor": None})))
    finding = found("rows", **at(convex))
    assert finding.status is Status.BROKEN
    assert finding.text.startswith("The schema would refuse 4 of all 507 rows (r0: status is missing; r1: ")
    assert "r3" not in finding.text
    monkeypatch.setattr(exam, "_MARGIN", 1000.0)
    assert found("rows", **at(convex)).text.startswith(
        "the schema accepts the first 500 rows (there was no time"
    )
    convex.behave(then=healthy())
    assert found("rows", **at(convex)) == Finding(
        "the functions in Convex are older than users:checkRows", Status.SKIPPED
    )


def test_duplicates(managed: Managed, convex: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Users with several rows are named by their ids."""
    assert found("duplicates", **environment(managed)) == Finding("each user has one row")
    first = {"clerkIds": ["user_1", "user_2"], "cursor": "1"}
    second = {"clerkIds": ["user_3", "user_4"], "cursor": None}
    convex.behave(then=healthy(findDuplicates=parts(first, second)))
    finding = found("duplicates", **at(convex))
    assert finding.status is Status.BROKEN
    assert finding.text == "4 users have several rows (user_1, user_2, user_3, …)."
    monkeypatch.setattr(exam, "_MARGIN", 1000.0)
    convex.behave(then=healthy(findDuplicates=parts({"clerkIds": [], "cursor": "1"})))
    assert found("duplicates", **at(convex)).text == "none in the part that could be read in time"


def test_events(managed: Managed, monkeypatch: pytest.MonkeyPatch) -> None:
    """What changed last at Clerk must be in Convex minutes later; webhooks that do not come are noticed."""
    environ = environment(managed)
    finding = found("events", **environ)
    assert finding.status is Status.OK
    assert "the 3 users that changed last at Clerk are up to date" in finding.text

    managed.clerk.update_user(managed.eve, first_name="Eva")
    assert found("events", **environ).status is Status.OK, "its webhook may be on its way"
    monkeypatch.setattr(convex, "_LATE", -10.0)
    finding = found("events", **environ)
    assert finding.status is Status.BROKEN
    assert f"1 of the 3 users that changed last at Clerk differ in Convex ({managed.eve});" in finding.text
    managed.sync(managed.eve)
    managed.clerk.sign_in(managed.eve)
    assert found("events", **environ).status is Status.OK, "sign-ins need not be synced"

    without = {name: text for name, text in environ.items() if name != "CLERK_SECRET_KEY"}
    finding = found("events", **without)
    assert finding.status is Status.OK
    assert "(not compared with Clerk: CLERK_SECRET_KEY is not set)" in finding.text
    managed.clerk.faults = Faults(status=503)
    assert "Clerk cannot be asked" in found("events", **environ).text
    managed.clerk.faults = Faults()
    monkeypatch.setattr(convex, "_SILENCE", -10.0)
    finding = found("events", **environ)
    assert finding.status is Status.DOUBTFUL
    assert "--webhook-url" in finding.remedy


def test_events_of_an_empty_instance(managed: Managed, convex: StandIn) -> None:
    for user in managed.clerk.users():
        managed.clerk.delete_user(user["id"])
    managed.functions.clear()
    environ = environment(managed)
    assert found("events", **environ) == Finding("no webhook has changed a row yet; Clerk has no users")
    managed.functions.sync([upsert(source="backfill")])
    managed.clerk.create_user(first_name="Ada")
    finding = found("events", **environ)
    assert finding.status is Status.DOUBTFUL
    convex.behave(then=healthy(lastWebhookAt=value(None), compareUsers=refusing("status")))
    finding = found("events", **environ | at(convex))
    assert "Convex refuses to compare them" in finding.text


def test_status(convex: StandIn) -> None:
    """Refused changes are broken; no backfill, an old one, and no admin may need a look."""
    names = ("refusals", "backfill", "admin")
    convex.behave(then=status_of())
    assert [finding.text for finding in examine(*names, **at(convex))] == [
        *("no change is refused", "the last one finished 0 seconds ago", "there is an active one")
    ]
    latest = [{"clerkId": f"user_{number}", "reason": "x"} for number in range(2)]
    old = (time.time() - 10 * 86_400) * 1000
    refusals = {"count": 2.0, "isMore": False, "latest": latest}
    convex.behave(then=status_of(refusals=refusals, lastFinishedBackfillAt=old, hasActiveAdmin=False))
    refused, backfill, admin = examine(*names, **at(convex))
    assert refused.status is Status.BROKEN
    assert refused.text == "The last change of 2 users was refused (user_0, user_1)."
    assert (backfill.status, backfill.text) == (Status.DOUBTFUL, "The last backfill finished 10 days ago.")
    assert admin.status is Status.DOUBTFUL
    convex.behave(then=status_of(lastFinishedBackfillAt=None))
    assert found("backfill", **at(convex)).text == "No backfill has finished yet."
    convex.behave(then=healthy())
    assert {finding.status for finding in examine(*names, **at(convex))} == {Status.SKIPPED}


def test_what_several_checks_need_is_asked_once(convex: StandIn) -> None:
    """Each check may ask for itself; Convex is asked once, also if one of the checks gives up."""
    convex.behave(then=stand_in.after(0.2, status_of()))
    names = ("convex", "functions", "refusals", "backfill", "admin")
    assert {finding.status for finding in examine(*names, **at(convex))} == {Status.OK}
    calls = [call.path for call in convex.calls]
    assert calls.count("users:status") == 1


# The webhook's address


def probe(url: str, call: float = 20.0, **environ: Any) -> Finding:
    return found("webhook", webhook_url=url, call=call, **environ)


def test_webhook() -> None:
    """The route is ours, below any prefix, and with each of several secrets."""
    assert found("webhook").status is Status.SKIPPED
    with served(our_app(CLERK_WEBHOOK_SIGNING_SECRET=f"{SECRET} {OTHER_SECRET}")) as url:
        path = f"{url}/webhooks/clerk"
        finding = probe(path, CLERK_WEBHOOK_SIGNING_SECRET=f"{OTHER_SECRET} {SECRET}")
        assert finding == Finding("mounted, verifies signatures, and gets bodies unchanged")
        finding = probe(path)
        assert finding.status is Status.OK
        assert "without CLERK_WEBHOOK_SIGNING_SECRET" in finding.text
        finding = probe(url)
        assert (finding.status, finding.text) == (
            Status.BROKEN,
            "It answers 404: there is no webhook route at this path.",
        )


def test_webhook_with_another_secret() -> None:
    with served(our_app()) as url:
        finding = probe(f"{url}/webhooks/clerk", CLERK_WEBHOOK_SIGNING_SECRET=f"{SECRET} {OTHER_SECRET}")
    assert finding.status is Status.BROKEN
    assert finding.text == "It does not know the secret of CLERK_WEBHOOK_SIGNING_SECRET (entry 2)."


def test_webhook_of_a_service_without_settings() -> None:
    app = Starlette(routes=[webhook_route(settings=Settings())])
    with served(app) as url:
        finding = probe(f"{url}/webhooks/clerk")
    assert finding.text.startswith("The service is not set up.")
    assert "clerk-convex doctor there" in finding.remedy


Edit = Callable[[bytes], bytes]
Change = Callable[[ASGIApp], ASGIApp]


def with_body(edit: Edit) -> Change:
    """Change bodies on their way, as some proxies do."""

    def wrap(app: ASGIApp) -> ASGIApp:
        async def changed(scope: Scope, receive: Receive, send: Send) -> None:
            body, more = b"", True
            while more:
                message = await receive()
                body, more = body + message.get("body", b""), message.get("more_body", False)

            async def again() -> Message:
                return {"type": "http.request", "body": edit(body), "more_body": False}

            await app(scope, again, send)

        return changed

    return wrap


def without_headers(app: ASGIApp) -> ASGIApp:
    async def changed(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [pair for pair in scope["headers"] if not pair[0].startswith(b"svix-")]
        await app({**scope, "headers": headers}, receive, send)

    return changed


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            with_body(lambda body: json.dumps(json.loads(body)).encode()),
            "Bodies do not arrive as they are sent",
        ),
        (with_body(lambda body: body.rstrip()), "Bodies do not arrive as they are sent"),
        (with_body(lambda body: b""), "The signature is wrong: the body is empty"),
        (without_headers, "The signature cannot be checked: the request has no svix-id"),
    ],
)
def test_proxies_that_change_requests(change: Change, text: str) -> None:
    """The body arrives unchanged, or the difference is told from a wrong secret."""
    with served(change(our_app())) as url:
        finding = probe(f"{url}/webhooks/clerk", CLERK_WEBHOOK_SIGNING_SECRET=SECRET)
    assert finding.status is Status.BROKEN
    assert finding.text.startswith(text)
    assert "proxy" in finding.remedy


HTML = "Content-Type: text/html"


@pytest.mark.parametrize(
    ("behaviour", "text"),
    [
        (
            answer(301, b"", "Location: https://u:p@x.example/clerk?k=1"),
            "a redirect to https://x.example/clerk.",
        ),
        (answer(308, b"", "Location: /there/"), "a redirect to http://127.0.0.1:"),
        (answer(302, b"", "Location: http://[bad"), "It answers 302, a redirect. Webhooks follow none."),
        (answer(200, {"received": True}), "that nobody has signed: this is not the webhook route"),
        (answer(200, b"<html>", HTML), "that nobody has signed"),
        (answer(400, {"error": "no"}), "It answers 400, as the webhook route does not."),
        (answer(400, {"error": 1}), "It answers 400, as the webhook route does not."),
        (answer(401, b"<html>", HTML), "asks for a login"),
        (answer(403, {"message": "x"}), "asks for a login"),
        (answer(405, b""), "there is no webhook route at this path"),
        (answer(413, b""), "It does not take a body of "),
        (answer(500, b"<html>", HTML), "a page of HTML: another program answers"),
        (answer(502, b"<html>", HTML), "the proxy reaches no service"),
        (stand_in.raw(b"garbage"), "the answer is not HTTP"),
        (stand_in.hang, "It does not answer within 0.3 s."),
    ],
)
def test_addresses_of_something_else(convex: StandIn, behaviour: Behaviour, text: str) -> None:
    """A redirect, a login, another program or none: each is told apart, with its remedy."""
    convex.behave(then=behaviour)
    address = f"{convex.url}/webhooks/clerk"
    finding = probe(address, briefly(behaviour), CLERK_WEBHOOK_SIGNING_SECRET=SECRET)
    assert finding.status is Status.BROKEN
    assert text in finding.text
    assert finding.remedy


CANNOT = answer(400, {"error": "The signature cannot be checked: the request has no svix-id."})
WRONG = answer(400, {"error": "The signature is wrong: two causes are left. …"})


@pytest.mark.parametrize(
    ("behaviours", "text"),
    [
        ([CANNOT, value(None)], "It takes a webhook whose signature is wrong"),
        ([CANNOT, answer(429, {"error": "slow\ndown"})], "It answers 429 to a signed request: slow down"),
        ([CANNOT, WRONG, answer(429, {"error": "slow"})], "It answers 429 to a signed event: slow"),
    ],
)
def test_routes_that_behave_otherwise(convex: StandIn, behaviours: list[Behaviour], text: str) -> None:
    convex.behave(*behaviours, then=value(None))
    finding = probe(convex.url, CLERK_WEBHOOK_SIGNING_SECRET=SECRET)
    assert finding.status is Status.BROKEN
    assert text in finding.text


def test_nobody_at_the_address() -> None:
    assert "It cannot be reached" in probe(NOWHERE).text
