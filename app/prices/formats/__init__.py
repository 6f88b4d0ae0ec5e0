"""Files of prices as others write them, read into the canonical NDJSON rows of an ingest batch. No tables in here."""
