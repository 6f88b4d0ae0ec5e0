"""Writes of the catalogue: `save_items` is the one way in, and the importers and `coins` go through it."""
