"""Sources of which a price is stored only when it moved, and when a series' latest price was last seen."""

from alembic import op

from migrations.statements import run

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

CHANGE_ONLY = """
ALTER TABLE prices.sources ADD COLUMN is_change_only boolean NOT NULL DEFAULT false;
ALTER TABLE prices.price_series ADD COLUMN last_seen_at timestamptz;
"""

# Sources have no rows of anybody's, so what may be changed about one is kept by a function. Null leaves as it is.
EDIT_SOURCE = """
CREATE FUNCTION prices.edit_source(edited text, new_name text, new_is_change_only boolean) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH changed AS (
        UPDATE prices.sources
        SET name = coalesce(new_name, name), is_change_only = coalesce(new_is_change_only, is_change_only)
        WHERE code = edited AND identity.viewer_may('operations:write')
        RETURNING 1
    )
    SELECT EXISTS (SELECT FROM changed)
$$;
REVOKE ALL ON FUNCTION prices.edit_source(text, text, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION prices.edit_source(text, text, boolean) TO trove_api;
"""


def upgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    run(CHANGE_ONLY)
    run(EDIT_SOURCE)


def downgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    op.execute("DROP FUNCTION prices.edit_source(text, text, boolean)")
    op.execute("ALTER TABLE prices.price_series DROP COLUMN last_seen_at")
    op.execute("ALTER TABLE prices.sources DROP COLUMN is_change_only")
