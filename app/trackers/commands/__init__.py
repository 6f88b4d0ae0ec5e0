"""Rules and writes of trackers."""
