"""User management: the routes with which admins manage users.

A call passes these modules in order: `routes`, `actions` (the table), `requests` with `models`, `audit`
before and after Clerk is called, and `answers`.
"""

from clerk_convex.admin.routes import Manager, UserRoutes, user_routes

__all__ = ["Manager", "UserRoutes", "user_routes"]
