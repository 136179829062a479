"""The local Clerk: users, sessions, the Backend API and signed webhooks, in a child process."""

from clerk_convex.local.clerk.process import SUBSCRIBED, Faults, LocalClerk, Webhooks

__all__ = ["SUBSCRIBED", "Faults", "LocalClerk", "Webhooks"]
