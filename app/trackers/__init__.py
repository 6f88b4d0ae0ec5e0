"""Trackers: radio tags that ride with things, the reports of where they were, and what follows from them.

Tables: clients, memberships, brands, production_runs; trackers, tracker_keys, attachments; places,
production_run_places; cities; location_reports, orphan_reports, and what follows from reports and places, never the
other way: location_fixes, status_changes, visits, tracker_events.
May call: portfolios, prices, catalogue, ingestion, providers, operations, identity, core.
"""
