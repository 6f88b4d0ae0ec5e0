"""Prices: what things are worth.

Tables: sources, price_series, price_points, candles, price_changes, exchange_rates. Batches of prices
come in through ingestion; connectors ask providers for prices, and send them there too.
May call: catalogue, ingestion, providers, core.
"""
