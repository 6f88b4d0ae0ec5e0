"""Providers: the outside services that we ask, at the pace they allow.

Tables: providers, credentials (people's own keys, encrypted), usage (the ledger: one row for each call), lookups
(answers that are kept for a while). Every fetcher asks through `ProviderClient`, whatever process it is in.
May call: identity, core.
"""
