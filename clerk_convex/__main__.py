"""The command `python -m clerk_convex`, the same as `clerk-convex`."""

import sys

from clerk_convex.cli import main

sys.exit(main())
