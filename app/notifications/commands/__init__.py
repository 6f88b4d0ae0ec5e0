"""Writes of the room, each in a transaction that is given."""
