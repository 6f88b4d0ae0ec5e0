"""The graph of trackers: clients and what they own, places, and where trackers are and were."""
