"""Everything that runs without an account: a local Convex and a local Clerk, for trying out and for tests."""
