"""Ingestion: the durable doorstep. A batch is stored before it is acknowledged, and processed afterwards.

Tables: ingest_batches, ingest_rejects. What a row means is the business of the room that the batch is for.
May call: providers, identity, core.
"""
