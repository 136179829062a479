"""Checks of this machine: the settings, the clock, and the Redis of the limits."""

from __future__ import annotations

import asyncio
import difflib
import time

from pydantic import SecretStr

from clerk_convex.cli.doctor.exam import Exam
from clerk_convex.cli.doctor.report import Finding, Skip, broken, doubtful, span
from clerk_convex.entities.times import http_date
from clerk_convex.errors import SettingsError
from clerk_convex.net.pool import Response
from clerk_convex.settings import AdminSettings, BackfillSettings, Settings, WebhookSettings

__all__ = ["clock", "redis", "settings"]

_FEATURES: dict[str, type[Settings]] = {
    "webhook": WebhookSettings,
    "backfill": BackfillSettings,
    "user management": AdminSettings,
}
_OURS = "CLERK_CONVEX_"  # how the names of settings begin that are neither Clerk's nor Convex's
_ALIKE = 0.8  # how similar a variable's name is to a setting's if one was meant for the other, from 0 to 1

# Webhooks are refused from 300 seconds on. A session token lives for 60, and 5 are allowed.
_FAR = 10.0  # seconds
_WHOLE_SECOND = 1.0  # the `Date` header leaves out less than that

_REDIS_REMEDIES = {
    "AuthenticationError": "Redis rejects the user or password of CLERK_CONVEX_REDIS_URL. Set it again.",
    "NoPermissionError": "The user of CLERK_CONVEX_REDIS_URL may not write there. Allow keys clerk_convex:*.",
    "OutOfMemoryError": "Redis is full. Give it more memory, or a policy of eviction.",
    "ReadOnlyError": "This Redis is a replica. Set CLERK_CONVEX_REDIS_URL to its primary.",
}


async def settings(exam: Exam) -> Finding:
    """Name all that is malformed or missing, and the features that are therefore on."""
    missing = {name: _missing(exam.settings, kind) for name, kind in _FEATURES.items()}
    on = [name for name, names in missing.items() if not names]
    off = [f"{name} (needs {', '.join(names)})" for name, names in missing.items() if names]
    text = "; ".join(
        [*([f"on: {', '.join(on)}"] if on else []), *([f"off: {', '.join(off)}"] if off else [])]
    )
    if exam.problems:
        return broken(f"{' '.join(exam.problems.values())} {text[:1].upper()}{text[1:]}.")
    remedy = " ".join(_misspelt(exam))
    if not {"webhook", "backfill"} & set(on):
        return broken(text, remedy or "The settings page of the documentation says where to find each.")
    return doubtful(text, remedy) if remedy else Finding(text)


async def clock(exam: Exam) -> Finding:
    """Check whether this machine's clock agrees with Clerk's and Convex's."""
    urls = {"Clerk": f"{exam.needed('CLERK_API_URL')}/v1/instance"}
    if exam.settings.convex_url is not None:
        urls["Convex"] = f"{exam.settings.convex_url}/version"
    ahead = await asyncio.gather(*(_ahead(exam, url) for url in urls.values()))
    known = {name: seconds for name, seconds in zip(urls, ahead, strict=True) if seconds is not None}
    if not known:
        raise Skip("neither Clerk nor Convex says what time it is")
    wrong = {name: seconds for name, seconds in known.items() if abs(seconds) > _FAR}
    told = ", ".join(
        f"{span(abs(seconds))} {'ahead of' if seconds > 0 else 'behind'} {name}'s"
        for name, seconds in (wrong or known).items()
    )
    if not wrong:
        return Finding(f"within seconds of the clock of {' and '.join(known)}")
    text = f"This machine's clock is {told}."
    if "Clerk" not in wrong and "Clerk" in known:
        return broken(text, "It agrees with Clerk's, so set the clock of the machine on which Convex runs.")
    return broken(
        text,
        "Set this machine's clock (timedatectl set-ntp true). Session tokens are refused from seconds on,"
        " webhooks from 5 minutes.",
    )


async def redis(exam: Exam) -> Finding:
    """Check whether the limits of user management can be counted in Redis."""
    url: SecretStr = exam.needed("CLERK_CONVEX_REDIS_URL")
    from clerk_convex.net.limits import Limiter  # user management only: it loads limits

    try:
        async with asyncio.timeout(exam.call_seconds):
            await Limiter(url.get_secret_value()).check()
    except SettingsError:
        raise
    except Exception as error:  # noqa: BLE001 - errors of redis may be any, and may quote the address
        reason = type(error).__name__
        remedy = _REDIS_REMEDIES.get(reason, "Is it up, and is CLERK_CONVEX_REDIS_URL its address?")
        return broken(f"Calls cannot be counted in Redis ({reason}).", remedy)
    return Finding("reachable and writable")


def _missing(settings: Settings, kind: type[Settings]) -> list[str]:
    required = [name for name, field in kind.model_fields.items() if field.is_required()]
    return [name.upper() for name in required if not getattr(settings, name)]


def _misspelt(exam: Exam) -> list[str]:
    """Return a sentence for each variable that looks like a setting and is none."""
    known = {name.upper() for name in Settings.model_fields}
    unset = {name.removeprefix(_OURS): name for name in known if not exam.environ.get(name, "").strip()}
    sentences: list[str] = []
    for name in sorted(exam.environ.keys() - known):
        if name.startswith(("CLERK_", "CONVEX_")):
            meant = difflib.get_close_matches(name.removeprefix(_OURS), unset, 1, _ALIKE)
            if meant:
                sentences.append(f"{name} is no setting: is it meant to be {unset[meant[0]]}?")
            elif name.startswith(_OURS):
                sentences.append(f"{name} is no setting of this version.")
    return sentences


async def _ahead(exam: Exam, url: str) -> float | None:
    """Return by how many seconds this machine's clock is ahead at least, by the date of an answer."""
    before = time.time()
    response = await exam.send("GET", url)
    after = time.time()
    date = http_date(response.headers.get("date")) if isinstance(response, Response) else None
    if date is None:
        return None
    # Clerk looked between `before` and `after`, and its clock showed `date` to the second.
    least, most = before - date - _WHOLE_SECOND, after - date
    return max(least, 0.0) + min(most, 0.0)
