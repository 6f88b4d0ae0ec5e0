"""The catalogue: what things there are.

Tables: items and their four detail tables (skins, coins, cards, figures), item_variants, external_ids.
May call: ingestion, core.
"""
