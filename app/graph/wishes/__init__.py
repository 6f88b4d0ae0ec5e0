"""Wishes in the graph: watchlists, wants and preorders, and what is done with them."""
