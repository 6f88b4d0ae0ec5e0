"""Connectors: one module for each provider of prices, with its real requests and the shapes of its answers.

Each tells what of the catalogue it can price, and asks for some of it at a time; `app.prices.commands.sweep` sends what
it finds through ingestion.
"""
