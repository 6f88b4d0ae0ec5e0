"""Notifications: what people are told, where and when they want to be told it, and what became of each delivery.

Tables: notifications; channels, preferences, routes; push_subscriptions, webhooks, services; deliveries, vapid_keys.
May call: alerts, trackers, portfolios, prices, catalogue, ingestion, providers, operations, identity, core.
"""
