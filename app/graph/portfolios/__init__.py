"""Portfolios in the graph: holdings, trades and lots, and what is done with them."""
