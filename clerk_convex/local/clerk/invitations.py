"""Store the invitations of a local Clerk: to the app, not to organizations."""

from collections.abc import Mapping
from typing import Any

from clerk_convex.local.clerk.lists import InvitationList
from clerk_convex.local.clerk.objects import ClerkRefusal, check_metadata, not_found

__all__ = ["Invitations"]

DAY = 86_400_000  # milliseconds
DEFAULT_DAYS = 30

Invitation = dict[str, Any]


class Invitations:
    """A store of invitations. It takes and returns copies. It is not thread-safe: its owner holds a lock.

    `now` is always in Unix milliseconds. A pending invitation expires by itself.
    """

    def __init__(self) -> None:
        self._invitations: dict[str, Invitation] = {}

    def add(self, invitation_id: str, link: str, fields: Mapping[str, Any], now: int) -> Invitation:
        """Store a new invitation. Raises ClerkRefusal (400) if its address has a pending one."""
        address = fields["email_address"]
        pending = InvitationList(status="pending", query=None)
        if not fields.get("ignore_existing") and any(
            it["email_address"].lower() == address.lower() for it in self.select(pending, now)
        ):
            text = f"There are already pending invitations for the following email addresses: {address}"
            raise ClerkRefusal(400, "duplicate_record", "duplicate invitation", text)
        check_metadata(fields)
        days = fields.get("expires_in_days") or DEFAULT_DAYS
        self._invitations[invitation_id] = {
            "object": "invitation",
            "id": invitation_id,
            "email_address": address,
            "public_metadata": dict(fields.get("public_metadata") or {}),
            "revoked": False,
            "status": "pending",
            "url": link,
            "expires_at": now + days * DAY,
            "created_at": now,
            "updated_at": now,
        }
        return self._shown(self._invitations[invitation_id], now)

    def select(self, question: InvitationList, now: int) -> list[Invitation]:
        """Return the invitations that match, in order. Revoked ones are there only if asked for."""
        shown = [self._shown(it, now) for it in self._invitations.values()]
        found = [it for it in shown if question.matches(it)]
        found.sort(key=lambda it: (it[question.order_by], it["id"]), reverse=question.descending)
        return found

    def revoke(self, invitation_id: str, now: int) -> Invitation:
        """Revoke an invitation. Raises ClerkRefusal: 404 if there is none, 400 if it was revoked before."""
        invitation = self._invitations.get(invitation_id)
        if invitation is None:
            raise not_found("invitation")
        if invitation["revoked"]:
            text = "Invitation is already revoked."
            raise ClerkRefusal(400, "invitation_already_revoked", text)
        invitation |= {
            "revoked": True,
            "status": "revoked",
            "updated_at": max(now, invitation["updated_at"] + 1),
        }
        return self._shown(invitation, now)

    def _shown(self, invitation: Invitation, now: int) -> Invitation:
        is_expired = invitation["status"] == "pending" and now >= invitation["expires_at"]
        shown = {**invitation, "status": "expired"} if is_expired else dict(invitation)
        if shown["status"] != "pending":
            del shown["url"]
        return shown
