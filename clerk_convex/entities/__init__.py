"""Pure: Clerk's objects, the columns that Convex keeps of them, and the changes of these. Does no I/O."""

from clerk_convex.entities.changes import (
    OUTCOMES,
    SOURCES,
    Change,
    Delete,
    Outcome,
    SignIn,
    Source,
    Upsert,
)
from clerk_convex.entities.json import canonical_json, number, parse_json
from clerk_convex.entities.times import http_date, milliseconds
from clerk_convex.entities.users import (
    COLUMNS,
    STATUSES,
    USER_ID,
    Fields,
    User,
    UserStatus,
    is_partial,
    is_verified,
    read_id,
    read_user,
)

__all__ = [
    "COLUMNS",
    "OUTCOMES",
    "SOURCES",
    "STATUSES",
    "USER_ID",
    "Change",
    "Delete",
    "Fields",
    "Outcome",
    "SignIn",
    "Source",
    "Upsert",
    "User",
    "UserStatus",
    "canonical_json",
    "http_date",
    "is_partial",
    "is_verified",
    "milliseconds",
    "number",
    "parse_json",
    "read_id",
    "read_user",
]
