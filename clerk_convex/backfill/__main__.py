"""The command `python -m clerk_convex.backfill`, the same as `clerk-convex backfill`."""

import sys

from clerk_convex.cli.backfill import main

if __name__ == "__main__":
    sys.exit(main())
