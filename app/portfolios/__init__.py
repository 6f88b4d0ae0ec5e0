"""Portfolios: what people own, what they paid for it, what it is worth and how it did.

Tables: portfolios, stores, holdings, holding_details, trades, trade_lot_choices, trade_revisions, lots, lot_disposals.
Lots and disposals follow from trades, never the other way: `ledger.py` says how.
May call: prices, catalogue, ingestion, providers, operations, identity, core.
"""
