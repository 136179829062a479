"""Tools for networks and event loops. They know nothing of Clerk or Convex.

Import the module that you need: each has an `__all__`. The package loads none of them by itself, because
each has other dependencies.
"""

__all__: list[str] = []
