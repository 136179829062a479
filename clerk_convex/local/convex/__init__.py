"""The local Convex: run the functions of a project in Node, behind the protocols of Convex, in memory."""

from clerk_convex.local.convex.deployment import LocalConvex

__all__ = ["LocalConvex"]
