"""Prices in the graph: quotes, series with their points and candles, the door for small batches, the live stream."""
