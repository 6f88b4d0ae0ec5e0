"""Writes of providers: `ledger` books calls and ends them; the others keep the other tables in shape."""
