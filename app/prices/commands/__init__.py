"""Writes of prices: `process` takes waiting batches in; `partitions` and `prune` keep the tables in shape."""
