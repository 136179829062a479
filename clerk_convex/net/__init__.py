"""Shared parts of all connections and requests; knows neither Clerk nor Convex."""
