"""Checks of Clerk: the secret key and its instance, and the issuer of session tokens."""

from __future__ import annotations

from clerk_convex.clerk.tokens import keys_url, read_keys
from clerk_convex.cli.doctor.exam import Exam
from clerk_convex.cli.doctor.report import Finding, Skip, broken, doubtful
from clerk_convex.errors import ClerkError
from clerk_convex.net.pool import Response, Trouble

__all__ = ["instance", "issuer"]

_SET_ISSUER = "Copy the Frontend API URL from Clerk, API keys, into CLERK_JWT_ISSUER_DOMAIN."


async def instance(exam: Exam) -> Finding:
    """Check whether Clerk accepts the secret key, and which instance it belongs to."""
    found = await exam.clerk.instance()
    text = f"the secret key is of {found}"
    key = exam.settings.convex_deploy_key
    kind = "" if key is None else key.get_secret_value().partition(":")[0]
    if kind == "prod" and found.environment_type == "development":
        return doubtful(
            f"{text}, and the deploy key is of a production deployment of Convex.",
            "In production use the key of Clerk's production instance (sk_live_…).",
        )
    if kind == "dev" and found.environment_type == "production":
        return doubtful(
            f"{text}, and the deploy key is of a development deployment of Convex.",
            "Real users belong into a production deployment: use its CONVEX_URL and deploy key (prod:…).",
        )
    if exam.settings.clerk_instance_id is None:
        text += "; CLERK_INSTANCE_ID is not set, which would refuse the events of others"
    return Finding(text)


async def issuer(exam: Exam) -> Finding:
    """Check whether the issuer has public keys, and is the same instance's as the secret key."""
    domain: str = exam.needed("CLERK_JWT_ISSUER_DOMAIN")
    response = await exam.send("GET", keys_url(domain), {"Accept": "application/json"})
    if not isinstance(response, Response):
        how = "does not answer" if response is Trouble.SLOW else "cannot be reached"
        return broken(f"{keys_url(domain)}, where the public keys are, {how}.", _SET_ISSUER)
    keys = read_keys(response)
    if not keys:
        return broken(f"There are no public keys at {keys_url(domain)} ({response.status}).", _SET_ISSUER)
    parties = exam.settings.clerk_authorized_parties
    whose = (
        f"tokens of {', '.join(parties)}" if parties else "tokens of any origin (CLERK_AUTHORIZED_PARTIES)"
    )
    text = f"{domain} has public keys; {whose} are accepted"
    try:
        of_instance = await exam.clerk.key_ids()
    except (ClerkError, Skip):
        return Finding(f"{text}; not compared with CLERK_SECRET_KEY's instance")
    if not keys.keys() & of_instance:
        return broken(
            "CLERK_JWT_ISSUER_DOMAIN and CLERK_SECRET_KEY belong to two Clerk instances:"
            " they have no public key in common.",
            _SET_ISSUER,
        )
    return Finding(text)
