"""What the tables must hold in the end, computed without any code of the package."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tests.chaos.clerk import Clerk
from tests.chaos.project import Tables

__all__ = ["differences"]

Row = Mapping[str, Any]

TEXTS = {
    "externalId": "external_id",
    "firstName": "first_name",
    "lastName": "last_name",
    "username": "username",
    "imageUrl": "image_url",
}


def differences(clerk: Clerk, tables: Tables) -> list[str]:
    """Return one line for each wrong row, version, total and entry of the audit log, without values."""
    users = {user["id"]: user for user in clerk.users()}
    rows, versions = tables.all("users"), tables.all("clerkVersions")
    return [
        *_twice("row", rows),
        *_twice("version", versions),
        *_rows(users, {row["clerkId"]: row for row in rows}),
        *_versions(users, clerk.deleted, rows, {version["clerkId"]: version for version in versions}),
        *_totals(users.values(), tables),
        *_audit(users, tables.all("clerkAudit"), tables.all("chaosWitness")),
        *_refusals(tables.all("clerkRefusals")),
    ]


def _refusals(refusals: Sequence[Row]) -> Iterator[str]:
    """Yield the changes that the ledger calls refused, although each was accepted in the end.

    A refused sign-in has no time of Clerk's clock. If it is recorded after its retry was accepted, it stays
    until the next change of the user, so it is no difference.
    """
    for refusal in refusals:
        if refusal["observedAt"] > 0:
            yield f"{refusal['clerkId']}: a refusal is left ({refusal['source']})"


def _twice(what: str, rows: Sequence[Row]) -> Iterator[str]:
    counts = Counter(row["clerkId"] for row in rows)
    yield from (f"{clerk_id}: {number} {what}s" for clerk_id, number in counts.items() if number > 1)


def _rows(users: Mapping[str, Row], rows: Mapping[str, Row]) -> Iterator[str]:
    yield from (f"{clerk_id}: the row is missing" for clerk_id in users.keys() - rows.keys())
    yield from (f"{clerk_id}: a row too many" for clerk_id in rows.keys() - users.keys())
    for clerk_id in users.keys() & rows.keys():
        row = dict(rows[clerk_id])
        if "publicMetadata" in row:
            row["publicMetadata"] = json.loads(row["publicMetadata"])
        wanted = _wanted(users[clerk_id])
        names = [name for name, value in wanted.items() if row.get(name) != value]
        if names:
            yield f"{clerk_id}: differs in {', '.join(names)}"


def _wanted(user: Row) -> dict[str, Any]:
    """Return the columns of a user, None for one that must be absent."""
    email, phone = (
        next((one for one in user[many] if one["id"] == user[primary]), None)
        for many, primary in (
            ("email_addresses", "primary_email_address_id"),
            ("phone_numbers", "primary_phone_number_id"),
        )
    )
    flags = ("banned", "deprovisioned", "locked")
    return {
        **{column: user.get(name) or None for column, name in TEXTS.items()},
        "email": email and email["email_address"],
        "emailVerified": email and email["verification"]["status"] == "verified",
        "phone": phone and phone["phone_number"],
        "role": user["public_metadata"].get("role"),
        "publicMetadata": user["public_metadata"] or None,
        "status": next((flag for flag in flags if user.get(flag)), "active"),
        "createdAt": user["created_at"],
        "lastSignInAt": user["last_sign_in_at"],
        "lockedUntil": None,
    }


def _versions(
    users: Mapping[str, Row], deleted: Mapping[str, int], rows: Sequence[Row], versions: Mapping[str, Row]
) -> Iterator[str]:
    """Compare the greater of the times in the row and in the document of its version, and the tombstones."""
    stamps = {row["clerkId"]: row.get("clerkStamp", [0.0])[0] for row in rows}
    for clerk_id, user in users.items():
        version = versions.get(clerk_id, {})
        latest = max(stamps.get(clerk_id, 0.0), version.get("updatedAt", 0.0))
        if latest != user["updated_at"] or "deletedAt" in version:
            yield f"{clerk_id}: the version is not that of Clerk's last change"
    for clerk_id, at in deleted.items():
        version = versions.get(clerk_id, {})
        if version.get("deletedAt") != at or "pruned" in version:
            yield f"{clerk_id}: the tombstone is not that of Clerk's deletion"
    yield from (f"{clerk_id}: unknown" for clerk_id in versions.keys() - users.keys() - deleted.keys())


def _totals(users: Iterator[Row] | Any, tables: Tables) -> Iterator[str]:
    wanted: Counter[str] = Counter()
    for user in users:
        day = datetime.fromtimestamp(user["created_at"] / 1000, UTC).date().isoformat()
        wanted.update((day, str(_wanted(user)["status"])))
    states, folded, *unfolded = tables.together(
        "clerkStatsState", "clerkStats", "clerkStatsDeltas", "clerkStatsMoves"
    )
    generation = states[0]["generation"] if states else 0
    counted: Counter[str] = Counter()
    for document in folded:
        if document["generation"] == generation:
            counted.update({name: int(number) for name, number in document["counts"].items()})
    # What is not added yet: "1 banned active:-1".
    for change in (*unfolded[0], *unfolded[1]):
        own, *words = change["delta"].split()
        if generation in (int(own), change.get("next")):
            for name, _, number in (word.partition(":") for word in words):
                counted[name] += int(number or 1)
    for name in wanted.keys() | counted.keys():
        if wanted[name] != counted[name]:
            yield f"total {name}: {counted[name]} in place of {wanted[name]}"


def _audit(users: Mapping[str, Row], audit: Sequence[Row], witness: Sequence[Row]) -> Iterator[str]:
    """Compare the audit log with what the witness saw in each transaction, and that with the truth."""
    entries = Counter(
        (entry["clerkId"], entry.get("outcome", "created"), entry.get("source", "webhook"))
        for entry in audit
        if "clerkId" in entry
    )
    seen = Counter(
        (change["clerkId"], change["outcome"], change["source"])
        for change in witness
        if (change["content"] or change["outcome"] != "updated")
        and (change["source"], change["outcome"]) != ("backfill", "created")  # these have one entry together
    )
    for (clerk_id, outcome, _), number in ((entries - seen) + (seen - entries)).items():
        yield f"{clerk_id}: {number} entries of the audit log too many or too few ({outcome})"
    events = Counter((entry["eventId"], entry["clerkId"]) for entry in audit if "eventId" in entry)
    yield from (f"{clerk_id}: an event was applied twice" for (_, clerk_id), n in events.items() if n > 1)
    exists: Counter[str] = Counter()
    for change in witness:
        if change["outcome"] == "created":
            exists[change["clerkId"]] += 1
        elif change["outcome"] == "deleted":
            exists[change["clerkId"]] -= change["had"]
    for clerk_id in exists.keys() | users.keys():
        if exists[clerk_id] != (clerk_id in users):
            yield f"{clerk_id}: created and deleted do not add up"
