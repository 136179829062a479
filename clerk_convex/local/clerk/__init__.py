"""The local Clerk: users, sessions, the Backend API and signed webhooks, in a process of its own."""

from clerk_convex.local.clerk.process import SUBSCRIBED, Faults, LocalClerk, Webhooks

__all__ = ["SUBSCRIBED", "Faults", "LocalClerk", "Webhooks"]
