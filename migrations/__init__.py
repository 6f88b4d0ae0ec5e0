"""Alembic migrations; they run as the owner of the database and create the roles that everything else runs as."""
