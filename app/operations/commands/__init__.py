"""Writes of operations: `jobs` says what runs when, `runs` goes with a run from the asking to the end, `settings`."""
