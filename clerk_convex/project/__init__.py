"""A team's folder of Convex functions: what is written into it, remembered of it, merged and checked."""

from clerk_convex.project.plan import Kind, Mode, Plan
from clerk_convex.project.template import Names, find_folder

__all__ = ["Kind", "Mode", "Names", "Plan", "find_folder"]
