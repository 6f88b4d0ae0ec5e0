"""Portfolios: what people own, what they paid for it, what it is worth and how it did; what they watch, want and order.

Tables: portfolios, stores, holdings, holding_details, holding_photos, holding_turntables, turntable_frames; trades,
trade_lot_choices, trade_revisions, and what follows from them, never the other way: lots, lot_disposals (`ledger.py`
says how), snapshots, snapshot_marks; imports, import_rows, exports; creation_keys; watchlists,
watchlist_items, wants, preorders, preorder_status_changes, preorder_date_changes. Views for others:
shared_portfolios, shared_holdings, shared_holding_photos.
May call: prices, catalogue, ingestion, providers, operations, identity, core.
"""
