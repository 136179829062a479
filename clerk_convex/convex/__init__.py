"""The client of a Convex deployment, and the writer, through which every change of a user is sent."""

from clerk_convex.convex.client import (
    CallRefused,
    Conflicted,
    Deployment,
    FunctionMissing,
    KeyRefused,
    Kind,
    Throttled,
)
from clerk_convex.convex.pace import INDEXED_BYTES
from clerk_convex.convex.refusals import AT_ONCE, Ledger, Refusal, refusal_of, to_arguments
from clerk_convex.convex.writer import Status, Writer, WriterLimits

__all__ = [
    "AT_ONCE",
    "INDEXED_BYTES",
    "CallRefused",
    "Conflicted",
    "Deployment",
    "FunctionMissing",
    "KeyRefused",
    "Kind",
    "Ledger",
    "Refusal",
    "Status",
    "Throttled",
    "Writer",
    "WriterLimits",
    "refusal_of",
    "to_arguments",
]
