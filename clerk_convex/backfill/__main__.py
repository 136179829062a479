"""The command `python -m clerk_convex.backfill`, the same as `clerk-convex backfill`."""

import sys

from clerk_convex.cli.backfill import main

sys.exit(main())
