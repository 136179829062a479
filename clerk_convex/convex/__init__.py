"""One end: the client of a Convex deployment, and the writer, through which every change of a user goes."""

from clerk_convex.convex.client import CallRefused, Deployment, FunctionMissing, KeyRefused, Kind, Throttled
from clerk_convex.convex.writer import Status, Writer, WriterLimits

__all__ = [
    "CallRefused",
    "Deployment",
    "FunctionMissing",
    "KeyRefused",
    "Kind",
    "Status",
    "Throttled",
    "Writer",
    "WriterLimits",
]
