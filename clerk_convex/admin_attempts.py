"""What an admin attempts: asked of Convex before, told it after, a row of the audit log."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

from clerk_convex.admin_answers import Problem
from clerk_convex.admin_calls import Read, Write
from clerk_convex.errors import DeploymentError, DeploymentUnavailable
from clerk_convex.writer import Writer

__all__ = ["Attempt"]

logger = logging.getLogger("clerk_convex")

_RECORD_WITHIN = 9.0  # seconds; as long as the writer tries
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 1.0  # seconds
_RETRY_AFTER = 5.0  # seconds


class Attempt:
    """What the audit log knows of one call, from asking whether it may be made."""

    def __init__(self, writer: Writer, module: str, request_id: str) -> None:
        self._deployment = writer.deployment
        self._module = module
        self._request_id = request_id
        self._id = ""

    async def begin(self, call: Read | Write, caller: str) -> None:
        """Raises Problem if the caller may not, or if it cannot be asked."""
        wanted: dict[str, Any] = {
            "actor": caller,
            "action": call.action,
            "requestId": self._request_id,
            "removesAdmin": isinstance(call, Write) and call.removes_admin,
        }
        if call.target is not None:
            wanted["target"] = call.target
        try:
            permission = await self._call("beginAction", wanted)
        except DeploymentError as error:
            why = str(error)
        else:
            match permission:
                case {"allowed": True, "id": str(attempt_id)}:
                    self._id = attempt_id
                    return
                case {"allowed": False, "reason": str(reason), "message": str(message)}:
                    raise Problem(403, reason, message)
            why = "The functions in Convex are of another version: deploy those in convex/."
        raise Problem(
            503,
            "convex_unavailable",
            f"Convex could not be asked whether you may, so nothing was done. {why}",
            retry_after=_RETRY_AFTER,
        )

    async def finish(self, problem: Problem | None = None) -> None:
        """Records what became of it. What cannot be recorded in time is in the log."""
        end: dict[str, Any] = {"id": self._id, "outcome": "done"}
        if problem is not None:
            end |= {"outcome": "failed", "status": problem.status, "code": problem.code}
        pause = _FIRST_PAUSE
        try:
            async with asyncio.timeout(_RECORD_WITHIN):
                while True:
                    try:
                        await self._call("finishAction", end)
                    except DeploymentUnavailable:
                        await asyncio.sleep(pause)
                        pause = min(2 * pause, _LONGEST_PAUSE)
                    else:
                        return
        except (TimeoutError, DeploymentError) as error:
            logger.warning(
                "The audit log does not say what became of request %s (%s); it was %s.",
                self._request_id,
                type(error).__name__,
                end["outcome"],
            )

    async def _call(self, function: str, args: dict[str, Any]) -> Any:
        return await self._deployment.send(
            "mutation", f"{self._module}:{function}", json.dumps(args).encode()
        )
