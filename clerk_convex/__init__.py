"""Keeps the Convex `users` table equal to Clerk."""

__version__ = "0.1.0"
