"""Stand-ins for Clerk and Convex on one machine, without accounts, for trials and tests.

Public names, each imported from its own room so that one part does not load the others:

- `clerk_convex.local.clerk`: LocalClerk, a Clerk instance with its Backend API and webhooks
- `clerk_convex.local.convex`: LocalConvex, a Convex deployment that runs a project's functions
- `clerk_convex.local.stack`: LocalStack, both with the service between them
- `clerk_convex.local.demo`: users and scenarios for a LocalStack
"""
