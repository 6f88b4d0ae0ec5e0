"""Alerts: the rules by which people want to be told of something, the engine that holds them against what happens, and
the alerts that came of it.

Tables: rules, price_states, subject_states, alerts.
May call: trackers, portfolios, prices, catalogue, ingestion, providers, operations, identity, core.
"""
