"""Trove: one GraphQL API for what people own."""
