"""The local Convex: a project's functions behind Convex's protocols, in memory, run by Node."""

from clerk_convex.local.convex.deployment import LocalConvex

__all__ = ["LocalConvex"]
