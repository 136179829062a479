"""The row of an action in the audit log. Convex opens it when it allows the action, and the end closes it."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

from clerk_convex.admin.actions import Done
from clerk_convex.admin.answers import Problem
from clerk_convex.admin.requests import Call
from clerk_convex.convex.client import Deployment
from clerk_convex.errors import DeploymentError, DeploymentUnavailable
from clerk_convex.net.backoff import Backoff

__all__ = ["AuditRow"]

logger = logging.getLogger("clerk_convex")

_BACKOFF = Backoff(first=0.1, longest=15.0)
_RETRY_AFTER = 5.0  # seconds


class AuditRow:
    """The row of one call.

    id: in Convex, once it is open.
    is_unclear: Convex did not answer `begin`, so it may have opened a row.
    """

    def __init__(self, deployment: Deployment, module: str, request_id: str, *, timeout: float) -> None:
        self.id: str | None = None
        self.is_unclear = False
        self._deployment = deployment
        self._module = module
        self._request_id = request_id
        self._timeout = timeout
        self._arguments: dict[str, Any] = {}

    async def begin(self, call: Call, caller: str) -> None:
        """Ask Convex whether the caller may make the call, and open the row.

        Raises Problem: 403 if Convex denies it, 503 if Convex cannot be asked.
        """
        optional = {"target": call.target, "object": call.object_id, "publicMetadata": call.metadata_patch}
        self._arguments = {
            "actor": caller,
            "action": call.action.name,
            "requestId": self._request_id,
            **{name: value for name, value in optional.items() if value is not None},
        }
        try:
            permission = await self._call("beginAction", self._arguments)
        except DeploymentError as error:
            why = str(error)
            self.is_unclear = isinstance(error, DeploymentUnavailable)
        else:
            match permission:
                case {"allowed": True, "id": str(row_id)}:
                    self.id = row_id
                    return
                case {"allowed": False, "reason": str(reason), "message": str(message)}:
                    raise Problem(403, reason, message)
            why = "The functions in Convex are of another version: deploy those in convex/."
        problem = Problem(503, "convex_unavailable", why, retry_after=_RETRY_AFTER)
        raise problem.for_anyone("Convex could not be asked whether you may do this, so nothing was done.")

    async def finish(self, problem: Problem | None = None, done: Done | None = None) -> None:
        """Close the row: the call is done, or has failed with `problem`.

        The row gets the ids of what the call has created, if `done` has one.

        Every error of Convex is retried, because each may pass: functions are being deployed, or a proxy is
        restarting. After `timeout` seconds the end is logged instead.
        """
        end: dict[str, Any] = {"outcome": "done"}
        if problem is not None:
            end = {"outcome": "failed", "status": problem.status, "code": problem.code}
        elif done is not None:
            known = self._arguments
            end |= {name: created for name, created in done.created.items() if name not in known}
        try:
            async with asyncio.timeout(self._timeout):
                if self.is_unclear:
                    await self._find()
                if self.id is not None:
                    await self._retry("finishAction", {"id": self.id, **end})
        except (TimeoutError, asyncio.CancelledError) as error:
            logger.warning(
                "The audit log does not say how request %s ended (%s); it was %s.",
                self._request_id,
                type(error).__name__,
                end["outcome"],
            )
            if isinstance(error, asyncio.CancelledError):
                raise

    async def _find(self) -> None:
        """Find the row that `begin` may have opened: Convex returns the same row for the same request id."""
        match await self._retry("beginAction", self._arguments):
            case {"allowed": True, "id": str(row_id)}:
                self.id = row_id

    async def _retry(self, function: str, arguments: dict[str, Any]) -> Any:
        failures = 0
        while True:
            try:
                return await self._call(function, arguments)
            except DeploymentError:
                await asyncio.sleep(_BACKOFF.pause(failures))
                failures += 1

    async def _call(self, function: str, arguments: dict[str, Any]) -> Any:
        return await self._deployment.send(
            "mutation", f"{self._module}:{function}", json.dumps(arguments).encode()
        )
