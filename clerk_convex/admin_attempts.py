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

_RECORD_FOR = 540.0  # seconds; after ten minutes Convex calls it "unknown" by itself
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 15.0  # seconds
_RETRY_AFTER = 5.0  # seconds


class Attempt:
    """One call in the audit log, from asking whether it may be made to what became of it.

    is_unclear: Convex did not answer whether the call may be made, and may have begun to record it.
    """

    def __init__(self, writer: Writer, module: str, request_id: str) -> None:
        self._deployment = writer.deployment
        self._module = module
        self._request_id = request_id
        self._wanted: dict[str, Any] = {}
        self._id = ""
        self.is_unclear = False

    async def begin(self, call: Read | Write, caller: str) -> None:
        """Raises Problem if the caller may not, or if it cannot be asked."""
        self._wanted = {
            "actor": caller,
            "action": call.action,
            "requestId": self._request_id,
            "removesAdmin": isinstance(call, Write) and call.removes_admin,
        }
        if call.target is not None:
            self._wanted["target"] = call.target
        try:
            permission = await self._call("beginAction", self._wanted)
        except DeploymentError as error:
            why = str(error)
            self.is_unclear = isinstance(error, DeploymentUnavailable)
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
        """Record what became of the call. What cannot be recorded in nine minutes is in the log.

        Convex has a reason to refuse this only for a while: the functions are being deployed, say, or a proxy
        is in trouble. So it is tried again after every error.
        """
        end: dict[str, Any] = {"outcome": "done"}
        if problem is not None:
            end = {"outcome": "failed", "status": problem.status, "code": problem.code}
        try:
            async with asyncio.timeout(_RECORD_FOR):
                if self.is_unclear:
                    await self._find()
                if self._id:
                    await self._insist("finishAction", {"id": self._id, **end})
        except (TimeoutError, asyncio.CancelledError) as error:
            logger.warning(
                "The audit log does not say what became of request %s (%s); it was %s.",
                self._request_id,
                type(error).__name__,
                end["outcome"],
            )
            if isinstance(error, asyncio.CancelledError):
                raise

    async def _find(self) -> None:
        """Ask again for the row that `begin` may have made: the same request has the same row."""
        match await self._insist("beginAction", self._wanted):
            case {"allowed": True, "id": str(attempt_id)}:
                self._id = attempt_id

    async def _insist(self, function: str, args: dict[str, Any]) -> Any:
        pause = _FIRST_PAUSE
        while True:
            try:
                return await self._call(function, args)
            except DeploymentError:
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)

    async def _call(self, function: str, args: dict[str, Any]) -> Any:
        return await self._deployment.send(
            "mutation", f"{self._module}:{function}", json.dumps(args).encode()
        )
