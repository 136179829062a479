"""The webhook route: checks the signature of Clerk's events and writes them to Convex."""

from clerk_convex.webhook.route import OnChange, Receiver, WebhookRoute, webhook_route

__all__ = ["OnChange", "Receiver", "WebhookRoute", "webhook_route"]
