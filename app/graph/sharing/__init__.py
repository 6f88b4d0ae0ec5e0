"""Sharing in the graph: what others see of the portfolios of people who let them."""
