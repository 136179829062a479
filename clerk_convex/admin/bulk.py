"""One action for several users: the guards, the audit row and the result of each are those of the single one.

A user that fails does not stop the others. Bans are one call of Clerk for all users.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from clerk_convex.admin.actions import Done, changed
from clerk_convex.admin.answers import Problem
from clerk_convex.admin.audit import AuditRow
from clerk_convex.admin.requests import Call
from clerk_convex.clerk.api import Clerk, Page, Snapshot
from clerk_convex.errors import ClerkError, ClerkMisconfigured, ClerkUnavailable

__all__ = ["Bulk"]

_AT_ONCE = 8  # calls of Clerk, and of Convex for permissions
_ABOUT_THE_USER = {"self", "last_admin"}  # denials that say nothing about the caller's other users
_TOLD = ("synced", "message")  # of the body of a single action
_TOGETHER: Mapping[str, Callable[[Clerk, Sequence[str]], Awaitable[Page]]] = {
    "ban": Clerk.ban_users,
    "unban": Clerk.unban_users,
}

Users = Mapping[str, Snapshot]


class Bulk:
    """One request for several users.

    begin: opens the audit row of a call. Raises Problem if the caller may not make the call.
    complete: gets the row, the call and what calls Clerk, and returns the body of the answer. Raises Problem.
    seconds: after that, no further call of Clerk is begun.
    """

    def __init__(
        self,
        clerk: Clerk,
        *,
        begin: Callable[[Call], Awaitable[AuditRow]],
        complete: Callable[[AuditRow, Call, Awaitable[Done]], Awaitable[dict[str, Any]]],
        seconds: float,
    ) -> None:
        self._clerk = clerk
        self._begin = begin
        self._complete = complete
        self._ends_at = asyncio.get_running_loop().time() + seconds
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def run(self, calls: Sequence[Call]) -> dict[str, Any]:
        """Return the body of the answer. `calls` have the same action.

        Raises Problem if the first user shows that the caller may do this for nobody, or that nobody can say
        so now: then the audit log has one row, and not one for each user.
        """
        first, *others = calls
        opened = [await self._open(first)]
        if isinstance(opened[0], Problem) and opened[0].code not in _ABOUT_THE_USER:
            raise opened[0]
        opened += await asyncio.gather(*map(self._open, others))
        allowed = [call for call, row in zip(calls, opened, strict=True) if isinstance(row, AuditRow)]
        together = asyncio.create_task(self._call_together(allowed))
        results = await asyncio.gather(
            *(self._result(row, call, together) for row, call in zip(opened, calls, strict=True))
        )
        done = sum(result["status"] == 200 for result in results)
        return {"done": done, "failed": len(results) - done, "results": results}

    async def _open(self, call: Call) -> AuditRow | Problem:
        async with self._slots:
            try:
                self._check_time()
                return await self._begin(call)
            except Problem as problem:
                return problem

    async def _result(
        self, row: AuditRow | Problem, call: Call, together: asyncio.Task[Users]
    ) -> dict[str, Any]:
        try:
            if isinstance(row, Problem):
                raise row
            body = await self._complete(row, call, self._call(call, together))
        except Problem as problem:
            return {"id": call.target, "status": problem.status, "error": problem.error}
        return {"id": call.target, "status": 200} | {name: body[name] for name in _TOLD if name in body}

    async def _call(self, call: Call, together: asyncio.Task[Users]) -> Done:
        users = await together
        if (snapshot := users.get(call.target or "")) is not None:
            return changed(snapshot)
        async with self._slots:
            self._check_time()
            return await call.run(self._clerk)

    async def _call_together(self, calls: Sequence[Call]) -> Users:
        """Return the users that one call of Clerk has changed; the others need a call of their own.

        Whether one unknown user stops the whole call is not documented, so a refusal is no error here.
        """
        together = _TOGETHER.get(calls[0].action.name) if len(calls) > 1 else None
        if together is None:
            return {}
        self._check_time()
        try:
            page = await together(self._clerk, [call.target or "" for call in calls])
        except (ClerkMisconfigured, ClerkUnavailable):
            raise
        except ClerkError:
            return {}
        users = [user for user in page.users if isinstance(user, dict) and "id" in user]
        return {user["id"]: Snapshot(user, page.observed_at) for user in users}

    def _check_time(self) -> None:
        if asyncio.get_running_loop().time() >= self._ends_at:
            text = "The request took too long, so nothing was done for this user. Send the rest again."
            raise Problem(503, "too_late", text, retry_after=5.0, may_be_done=False)
