"""Alerts in the graph: the rules by which people are told, and what came of them."""
