"""The client of Clerk's Backend API.

The check of session tokens is in `clerk_convex.clerk.tokens`. It is not imported here, because it loads jwt
and cryptography, which only the admin routes need.
"""

from clerk_convex.clerk.api import MOST_IDS, Clerk, Filters, Instance, OnRetry, Page, Snapshot

__all__ = ["MOST_IDS", "Clerk", "Filters", "Instance", "OnRetry", "Page", "Snapshot"]
