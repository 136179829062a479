"""Checks of Convex: the deployment, the deploy key, the functions, and the rows."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

from clerk_convex import __version__
from clerk_convex.cli.doctor.exam import NO_CHANGES, Exam
from clerk_convex.cli.doctor.report import Finding, Skip, broken, doubtful, span
from clerk_convex.convex import CallRefused, FunctionMissing, KeyRefused, Kind, Writer
from clerk_convex.entities.changes import Upsert, encode
from clerk_convex.entities.users import COLUMNS, Fields, User, read_user
from clerk_convex.errors import DeploymentError, UserError

__all__ = [
    "admin",
    "backfill",
    "columns",
    "duplicates",
    "events",
    "functions",
    "key",
    "reachable",
    "refusals",
    "rows",
]

_DEPLOY = "Deploy the functions of this version: clerk-convex init --upgrade, then npx convex deploy."
_MAKE_KEY = "Make a deploy key in the dashboard that may run internal queries and internal mutations."
_USUAL_MODULE = "users"
_CALLS: dict[Kind, str] = {"query": "compareUsers", "mutation": "syncUsers"}
_PLURALS = {"query": "queries", "mutation": "mutations"}

_LATE = 300.0  # seconds in which a change at Clerk is in Convex, unless webhooks fail
_SILENCE = 7 * 86_400.0  # seconds without a webhook, or a backfill, that may be too many
_NAMED = 3  # ids of which a line names at most so many


async def reachable(exam: Exam) -> Finding:
    """Check whether a Convex deployment answers at CONVEX_URL."""
    started = time.monotonic()
    with contextlib.suppress(
        CallRefused, FunctionMissing, KeyRefused
    ):  # it answers; other checks say the rest
        await exam.probe()
    took = time.monotonic() - started
    return Finding(f"{exam.settings.convex_url} answers in {took * 1000:.0f} ms")


async def key(exam: Exam) -> Finding:
    """Check whether the deploy key is this deployment's, and may run internal queries and mutations."""
    if (other := _deployment_of_key(exam)) is not None:
        return broken(
            f"CONVEX_DEPLOY_KEY is of the deployment {other}, and CONVEX_URL is {exam.settings.convex_url}.",
            "Copy both from the same deployment in the dashboard of Convex.",
        )
    refused: dict[str, DeploymentError] = {}
    missing: list[str] = []
    for kind, function in _CALLS.items():
        try:
            await exam.call(kind, function, NO_CHANGES)
        except FunctionMissing:
            missing.append(kind)
        except (KeyRefused, CallRefused) as error:  # hosted Convex may hide that it is a permission
            if not (isinstance(error, CallRefused) and error.is_validation):
                refused[kind] = error
        except DeploymentError:
            raise Skip("Convex cannot be called, as said above") from None
    if len(refused) == len(_CALLS):
        raise next(iter(refused.values()))
    if refused:
        kinds = " and ".join(_PLURALS[kind] for kind in refused)
        return broken(f"CONVEX_DEPLOY_KEY may not run internal {kinds}, or they fail.", _MAKE_KEY)
    if missing:
        raise Skip("there are no functions to try it with")
    return Finding("may run internal queries and internal mutations")


async def functions(exam: Exam) -> Finding:
    """Check whether the functions are deployed, and their version."""
    module = exam.settings.convex_users_module
    try:
        await exam.probe()
    except FunctionMissing:
        if module != _USUAL_MODULE and await _is_in(exam, _USUAL_MODULE):
            return broken(
                f"CONVEX_USERS_MODULE is {module}, and the functions are in {_USUAL_MODULE}.",
                "Unset CONVEX_USERS_MODULE.",
            )
        return broken(
            f"There is no {module}:compareUsers in Convex.",
            "Deploy the functions (npx convex deploy); CONVEX_USERS_MODULE names their file in convex/.",
        )
    except CallRefused:
        pass  # Writer.check says why
    except DeploymentError:
        raise Skip("the functions in Convex cannot be called, as said above") from None
    writer = Writer(exam.deployment, module=module)
    try:
        await writer.check()
    except KeyRefused:
        raise Skip("the deploy key may not run all of them, as said above") from None
    try:
        about = await exam.about()
    except Skip:
        return doubtful(f"The functions are older than {module}:about.", _DEPLOY)
    version = about["version"]
    if version != __version__:
        return doubtful(f"The functions are of version {version}, this package of {__version__}.", _DEPLOY)
    return Finding(f"version {version}, module {module}")


async def columns(exam: Exam) -> Finding:
    """Check whether Convex has the columns that CLERK_CONVEX_FIELDS fills, tried with users of Clerk's."""
    fields: Fields = exam.needed("CLERK_CONVEX_FIELDS")
    page = await exam.sample()
    if not page.users:
        raise Skip("Clerk has no user to try CLERK_CONVEX_FIELDS with")
    users = [read_user(user, fields, observed_at=page.observed_at) for user in page.users]
    names = sorted({name for user in users for name in user.columns} - COLUMNS)
    try:
        declared = (await exam.about())["columns"]
    except Skip:
        declared = names
    if missing := [name for name in names if name not in declared]:
        return broken(
            f"CLERK_CONVEX_FIELDS fills {', '.join(missing)}, and Convex has no such column.",
            "Declare it in convex/clerk/columns.ts and deploy (npx convex deploy).",
        )
    try:
        await exam.ask("compareUsers", _changes(exam, users, page.observed_at))
    except CallRefused:
        return broken(
            f"Convex refuses the columns of CLERK_CONVEX_FIELDS ({', '.join(names)}).",
            "Give each in convex/clerk/columns.ts the type that the function returns, and deploy.",
        )
    return Finding(f"CLERK_CONVEX_FIELDS fills {', '.join(names) or 'none'}, tried with {len(users)} users")


async def rows(exam: Exam) -> Finding:
    """Check whether the schema accepts each row that is there."""
    read, refused = 0, 0
    examples: list[str] = []
    is_whole = False
    async for answer in _parts(exam, "checkRows"):
        read += int(answer["rows"])
        refused += len(answer["refused"])
        for row in answer["refused"]:
            if len(examples) < _NAMED:
                examples.append(f"{row['id']}: {', '.join(row['problems'])}")
        is_whole = answer["cursor"] is None
    if refused:
        return broken(
            f"The schema would refuse {refused} of {_rows(read, is_whole)} ({'; '.join(examples)}).",
            "clerk-convex adopt --check names all of them. Correct them, or run: clerk-convex backfill",
        )
    return Finding(f"the schema accepts {_rows(read, is_whole)}")


async def duplicates(exam: Exam) -> Finding:
    """Check whether a user has several rows."""
    found: list[str] = []
    is_whole = False
    async for answer in _parts(exam, "findDuplicates"):
        found += answer["clerkIds"]
        is_whole = answer["cursor"] is None
    if found:
        return broken(
            f"{len(found)} users have several rows ({_some(found)}).",
            "clerk-convex repair --duplicates",
        )
    return Finding("each user has one row" if is_whole else "none in the part that could be read in time")


async def events(exam: Exam) -> Finding:
    """Check whether what changed last at Clerk is in Convex, and when the last webhook changed a row."""
    at = await exam.ask("lastWebhookAt")
    age = None if at is None else time.time() - at / 1000
    told = "no webhook has changed a row yet"
    if age is not None:
        told = f"the last webhook that changed a row came {span(age)} ago"
    try:
        late, count = await _late(exam)
    except Skip as reason:
        return _by_age(age, f"{told} (not compared with Clerk: {reason})")
    if late:
        return broken(
            f"{len(late)} of the {count} users that changed last at Clerk differ in Convex ({_some(late)});"
            f" {told}.",
            "In Clerk, Webhooks: is there an endpoint with this service's address, enabled, with"
            " user.created, user.updated, user.deleted and session.created? Try it with --webhook-url, then"
            " repair: clerk-convex backfill",
        )
    if not count:
        return Finding(f"{told}; Clerk has no users")
    return _by_age(age, f"{told}; the {count} users that changed last at Clerk are up to date")


async def refusals(exam: Exam) -> Finding:
    """Check whether changes were refused and are still to be made good."""
    refused = (await exam.status())["refusals"]
    count = int(refused["count"])
    if not count:
        return Finding("no change is refused")
    ids = [each["clerkId"] for each in refused["latest"]]
    return broken(
        f"The last change of {count} users was refused ({_some(ids)}).",
        "clerk-convex status says why. Afterwards: clerk-convex repair --refused",
    )


async def backfill(exam: Exam) -> Finding:
    """Check when the last backfill finished."""
    at = (await exam.status())["lastFinishedBackfillAt"]
    if at is None:
        return doubtful(
            "No backfill has finished yet.",
            "If there were users before the webhook: clerk-convex backfill",
        )
    age = time.time() - at / 1000
    if age > _SILENCE:
        return doubtful(
            f"The last backfill finished {span(age)} ago.",
            "Run it each night: clerk-convex backfill --nightly",
        )
    return Finding(f"the last one finished {span(age)} ago")


async def admin(exam: Exam) -> Finding:
    """Check whether somebody can use the users page."""
    if (await exam.status())["hasActiveAdmin"]:
        return Finding("there is an active one")
    return doubtful(
        "There is no active admin: nobody sees the users page.",
        'In Clerk, give a user the public metadata {"role": "admin"}.',
    )


def _deployment_of_key(exam: Exam) -> str | None:
    """Return the deployment that the deploy key names, if it is another one than that of CONVEX_URL."""
    secret, url = exam.settings.convex_deploy_key, exam.settings.convex_url or ""
    host = url.partition("://")[2]
    name = "" if secret is None else secret.get_secret_value().partition("|")[0]
    kind, _, deployment = name.partition(":")
    is_hosted = host.endswith(".convex.cloud") and kind in {"prod", "dev", "preview"}
    return deployment if is_hosted and deployment and deployment != host.partition(".")[0] else None


async def _is_in(exam: Exam, module: str) -> bool:
    try:
        await exam.call("query", "compareUsers", NO_CHANGES, module=module)
    except DeploymentError:
        return False
    return True


def _changes(exam: Exam, users: Iterable[User], observed_at: float) -> bytes:
    """Return the argument of compareUsers for users as Clerk had them at `observed_at`."""
    encoded: list[bytes] = []
    for user in users:
        # Without the time of the last sign-in: an endpoint need not be subscribed to session.created.
        columns = {name: value for name, value in user.columns.items() if name != "lastSignInAt"}
        change = Upsert(user.clerk_id, user.updated_at, observed_at, columns, "backfill")
        encoded.append(encode(change, exam.settings.omitted_columns))
    return b'{"changes":[%b]}' % b",".join(encoded)


async def _late(exam: Exam) -> tuple[list[str], int]:
    """Return which of the users that changed last at Clerk should be in Convex and are not, and of how many.

    Raises Skip if they cannot be compared.
    """
    page = await exam.sample()
    users: list[User] = []
    for user in page.users:
        with contextlib.suppress(UserError):  # the webhook refuses such a user, and reports it
            users.append(read_user(user, exam.settings.clerk_convex_fields, observed_at=page.observed_at))
    try:
        outcomes = await exam.ask("compareUsers", _changes(exam, users, page.observed_at))
    except CallRefused:
        raise Skip("Convex refuses to compare them") from None
    due = page.observed_at - _LATE * 1000
    late = [
        user.clerk_id
        for user, outcome in zip(users, outcomes, strict=True)
        if outcome in {"created", "updated"} and user.updated_at < due
    ]
    return late, len(users)


def _by_age(age: float | None, text: str) -> Finding:
    if age is not None and age < _SILENCE:
        return Finding(text)
    return doubtful(
        f"{text}.",
        "Do webhooks arrive? Change a user in Clerk and look at Webhooks there, and try the service's address"
        " with --webhook-url.",
    )


async def _parts(exam: Exam, function: str) -> AsyncIterator[dict[str, Any]]:
    """Yield the answers of a query that reads the table part by part, until the time is over."""
    cursor: str | None = None
    while True:
        answer = await exam.ask(function, json.dumps({"cursor": cursor}).encode())
        yield answer
        cursor = answer["cursor"]
        if cursor is None or exam.is_late:
            return


def _rows(count: int, is_whole: bool) -> str:
    return f"all {count} rows" if is_whole else f"the first {count} rows (there was no time for the others)"


def _some(ids: Sequence[str]) -> str:
    return ", ".join([*ids[:_NAMED], *(["…"] if len(ids) > _NAMED else [])])
