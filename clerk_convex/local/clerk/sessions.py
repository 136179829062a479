"""Store the sessions of a local Clerk, live and ended ones."""

from collections.abc import Iterable, Mapping
from typing import Any

from clerk_convex.local.clerk.objects import not_found

__all__ = ["LIVE", "STATUSES", "Sessions"]

LIVE = ("active", "pending")
"""Statuses of a session that can be used. A pending one has open tasks, such as choosing an organization."""

STATUSES = (*LIVE, "abandoned", "ended", "expired", "removed", "replaced", "revoked")

Session = dict[str, Any]


class Sessions:
    """A store of sessions. It takes and returns copies. It is not thread-safe: its owner holds a lock."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}
        # Session ids by user, the oldest first, so that a ban does not scan all sessions.
        self._of_user: dict[str, list[str]] = {}

    def add(self, session: Mapping[str, Any]) -> None:
        self._sessions[session["id"]] = dict(session)
        self._of_user.setdefault(session["user_id"], []).append(session["id"])

    def get(self, session_id: str) -> Session:
        """Return a session. Raises ClerkRefusal (404) if there is none."""
        session = self._sessions.get(session_id)
        if session is None:
            raise not_found("session")
        return dict(session)

    def select(
        self, *, user_id: str | None = None, client_id: str | None = None, statuses: Iterable[str] = STATUSES
    ) -> list[Session]:
        """Return the sessions that match all filters, the newest first."""
        ids = self._sessions if user_id is None else self._of_user.get(user_id, ())
        found = (self._sessions[session_id] for session_id in reversed(ids))
        return [dict(it) for it in found if it["status"] in statuses and client_id in (None, it["client_id"])]

    def finish(self, session_id: str, status: str, now: int) -> Session | None:
        """End a live session with `status` and return it. Return None if it had ended before."""
        if self.get(session_id)["status"] not in LIVE:
            return None
        session = self._sessions[session_id]
        session |= {"status": status, "updated_at": max(now, session["updated_at"] + 1)}
        return dict(session)
