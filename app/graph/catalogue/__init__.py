"""The catalogue in the graph: items of four kinds, and what they belong to."""
