"""The client of a Convex deployment, and the writer, through which every change of a user is sent."""

from clerk_convex.convex.client import CallRefused, Deployment, Kind, Throttled
from clerk_convex.convex.writer import Status, Writer, WriterLimits

__all__ = ["CallRefused", "Deployment", "Kind", "Status", "Throttled", "Writer", "WriterLimits"]
