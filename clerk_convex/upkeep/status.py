"""The status of the synchronization, from Convex alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clerk_convex.entities import STATUSES
from clerk_convex.net.observer import DRIFT
from clerk_convex.settings import Settings
from clerk_convex.upkeep.calls import PATIENCE, Calls

__all__ = ["SyncStatus", "read_status"]

_SILENT = 60_000.0  # milliseconds without a heartbeat, after which a backfill counts as stopped


async def read_status(settings: Settings | None = None, *, patience: float = PATIENCE) -> SyncStatus:
    """Return what is synced, how fresh it is, what was refused, and what the last nightly run found.

    Without `settings` they are read from the environment. `patience` is the seconds for which a call that
    fails is retried. Raises SettingsError or DeploymentError.
    """
    async with Calls.open(settings, patience) as calls:
        return SyncStatus(await calls.call("query", "status", {}))


@dataclass(frozen=True, slots=True)
class SyncStatus:
    """The status: `found` is what `users:status` returns. Times are Unix milliseconds by Convex's clock."""

    found: Mapping[str, Any]

    @property
    def ok(self) -> bool:
        """Whether nothing waits for a person: no refusal, no stopped backfill, no difference last night."""
        return not self._tasks()

    def to_json(self) -> dict[str, Any]:
        return {"ok": self.ok, "needs": self._tasks(), **_integers(self.found)}

    def __str__(self) -> str:
        """Return the status and the next commands to run, as text."""
        found = self.found
        lines = [
            f"Users     {_counted(found['users'])}",
            f"Admins    {'an active one exists' if found['hasActiveAdmin'] else 'no active one'}",
            f"Webhook   {self._webhook()}",
            f"Follow    {self._follow()}",
            f"Backfill  {self._backfill()}",
            f"Nightly   {self._nightly()}",
            f"Refused   {self._refused()}",
        ]
        lines += [f"  {self._refusal(it)}" for it in found["refusals"]["latest"]]
        lines += [f"Next: {task}" for task in self._tasks()]
        return "\n".join(lines)

    def _tasks(self) -> list[str]:
        """Return what a person should do, the most urgent first."""
        tasks = []
        if self.found["refusals"]["count"]:
            tasks.append("remove the causes of the refusals, then clerk-convex repair --refused")
        if self._is_stopped():
            tasks.append("clerk-convex backfill    (resumes the run that was stopped)")
        if drift := self._drift():
            command = "repair --duplicates" if "duplicate" in drift else "backfill --verify"
            tasks.append(f"clerk-convex {command}    (the last nightly run found differences)")
        return tasks

    def _is_stopped(self) -> bool:
        run = self.found["lastBackfill"]
        if run is None or run["finishedAt"] is not None:
            return False
        return bool(self.found["now"] - run["heartbeatAt"] > _SILENT)

    def _drift(self) -> dict[str, int]:
        numbers = self.found["lastVerification"] or {}
        return {name: int(numbers[name]) for name in DRIFT if numbers.get(name)}

    def _webhook(self) -> str:
        at = self.found["lastWebhookAt"]
        if at is None:
            return "none has ever changed a row. Is the endpoint set up in Clerk?"
        return f"the last one that changed a row came {self._ago(at)} ago"

    def _follow(self) -> str:
        last = self.found["lastFollow"]
        if last is None:
            return "nothing follows Clerk"
        return f"the last pass ended {self._ago(last['at'])} ago, every {last['every'] / 1000:g} seconds"

    def _backfill(self) -> str:
        run, last = self.found["lastBackfill"], self.found["lastFinishedBackfillAt"]
        if run is None:
            return "none has run"
        counts = [f"{int(count):,} {name}" for name, count in run["counts"].items() if count]
        if run["finishedAt"] is not None:
            done = f"finished {self._ago(run['finishedAt'])} ago"
        else:
            done = "stopped before its end" if self._is_stopped() else "running"
            done += f", started {self._ago(run['startedAt'])} ago"
        text = f"{done}: {', '.join(counts) or 'no users yet'}"
        if run["finishedAt"] is None and last is not None:
            text += f"; the last whole one finished {self._ago(last)} ago"
        return text

    def _nightly(self) -> str:
        numbers = self.found["lastVerification"]
        if numbers is None:
            return "no nightly run has compared both sides"
        drift = [f"{count:,} {name}" for name, count in self._drift().items()]
        counted = f"{int(numbers['users']):,} users in Clerk, {int(numbers['rows']):,} rows in Convex"
        result = f"not equal, {', '.join(drift)}" if drift else "equal"
        return f"{result} {self._ago(numbers['at'])} ago: {counted}"

    def _refused(self) -> str:
        refusals = self.found["refusals"]
        if not (count := int(refusals["count"])):
            return "nothing"
        over = "over " if refusals["isMore"] else ""
        return f"changes of {over}{count:,} {'user' if count == 1 else 'users'}"

    def _refusal(self, it: Mapping[str, Any]) -> str:
        count = int(it["count"])
        times = "once" if count == 1 else f"{count:,} times"
        event = f", event {it['eventId']}" if "eventId" in it else ""
        ago = self._ago(it["lastAt"])
        return f"{it['clerkId']}  {times}, {ago} ago ({it['source']}{event}): {it['reason']}"

    def _ago(self, time: float) -> str:
        seconds = max(0.0, (self.found["now"] - time) / 1000)
        for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
            if seconds >= 2 * length:
                return f"{seconds / length:.0f} {unit}"
        return f"{seconds:.0f} seconds"


def _counted(users: Mapping[str, Any]) -> str:
    each = [f"{int(users[status]):,} {status}" for status in sorted(STATUSES) if users[status]]
    counting = "; still counting" if users["rebuilding"] else ""
    by_status = f" ({', '.join(each)})" if each else ""
    return f"{int(users['total']):,}{by_status}{counting}"


def _integers(value: Any) -> Any:
    """Return a value of Convex, whose numbers are all floats, with whole numbers as integers."""
    if isinstance(value, Mapping):
        return {name: _integers(it) for name, it in value.items()}
    if isinstance(value, list):
        return [_integers(it) for it in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
