"""What an operator asks of Convex: its status, and what it stores of a person. Needs no key of Clerk's.

print(await read_status())
print(await export_person("user_2abc"))
"""

from clerk_convex.upkeep.calls import PATIENCE
from clerk_convex.upkeep.person import Erasure, Person, export_person, forget_person
from clerk_convex.upkeep.status import SyncStatus, read_status

__all__ = [
    "PATIENCE",
    "Erasure",
    "Person",
    "SyncStatus",
    "export_person",
    "forget_person",
    "read_status",
]
