"""Reads of trackers and of where they are."""
