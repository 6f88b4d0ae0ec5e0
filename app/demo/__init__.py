"""The demo: a small invented world with a year of prices, and a feed that keeps them moving.

No tables. The world goes in by the catalogue's and the prices' own doors, the feed over HTTP like any partner's.
May call: notifications, alerts, trackers, portfolios, prices, catalogue, ingestion, identity, core.
"""
