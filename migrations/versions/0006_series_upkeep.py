"""What prices are kept for a while only, and how far a rebuild of candles has come."""

from alembic import op
from sqlalchemy import text

from migrations.statements import run

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE prices.retention_marks (
    subject text CONSTRAINT retention_marks_key PRIMARY KEY
        CONSTRAINT retention_marks_subject_is_known CHECK (subject IN ('points', 'minute_candles', 'hour_candles')),
    kept_since timestamptz NOT NULL
);

CREATE TABLE prices.candle_rebuilds (
    id integer GENERATED ALWAYS AS IDENTITY CONSTRAINT candle_rebuilds_key PRIMARY KEY,
    series_id integer,
    since timestamptz,
    until timestamptz,
    next_series_id integer NOT NULL,
    next_instant timestamptz,
    changed_count bigint NOT NULL DEFAULT 0,
    removed_count bigint NOT NULL DEFAULT 0,
    started_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
);
CREATE UNIQUE INDEX candle_rebuilds_one_unfinished ON prices.candle_rebuilds (series_id, since, until)
    NULLS NOT DISTINCT WHERE finished_at IS NULL;

GRANT SELECT ON prices.retention_marks, prices.candle_rebuilds TO trove_api, trove_worker;
GRANT INSERT, UPDATE ON prices.retention_marks, prices.candle_rebuilds TO trove_worker;
GRANT DELETE ON prices.candles TO trove_worker;
"""

# Whole months alone. Dropping one shuts readers of all points out for a moment: rather later than after a queue.
NATIVE_PARTITIONS = """
CREATE FUNCTION prices.drop_points_before(instant timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    partition_name text;
    dropped integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('prices.ensure_partitions'));
    FOR partition_name IN
        SELECT child.relname
        FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid
        WHERE inhparent = 'prices.price_points'::regclass
            AND child.relname ~ '^price_points_p_[0-9]{6}$'
            AND child.relname < format('price_points_p_%s', to_char(instant AT TIME ZONE 'UTC', 'YYYYMM'))
        ORDER BY child.relname
    LOOP
        EXECUTE format('DROP TABLE prices.%I', partition_name);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END
$$;
"""

HYPERTABLES = """
CREATE FUNCTION prices.drop_points_before(instant timestamptz) RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT CAST(count(*) AS integer) FROM drop_chunks('prices.price_points', older_than => instant)
$$;
ALTER TABLE prices.price_points SET (
    timescaledb.compress,
    timescaledb.compress_segmentby = 'series_id', timescaledb.compress_orderby = 'observed_at, key'
);
ALTER TABLE prices.candles SET (
    timescaledb.compress,
    timescaledb.compress_segmentby = 'series_id, resolution', timescaledb.compress_orderby = 'bucket'
);
SELECT add_compression_policy('prices.price_points', interval '90 days');
SELECT add_compression_policy('prices.candles', interval '400 days');
"""

GRANTS = """
REVOKE ALL ON FUNCTION prices.drop_points_before(timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION prices.drop_points_before(timestamptz) TO trove_worker;
"""


def upgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    run(TABLES)
    run(HYPERTABLES if _is_hypertable() else NATIVE_PARTITIONS)
    run(GRANTS)


def downgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    if _is_hypertable():
        op.execute("SELECT remove_compression_policy('prices.price_points', if_exists => true)")
        op.execute("SELECT remove_compression_policy('prices.candles', if_exists => true)")
    op.execute("DROP FUNCTION prices.drop_points_before(timestamptz)")
    op.execute("DROP TABLE prices.candle_rebuilds")
    op.execute("DROP TABLE prices.retention_marks")


def _is_hypertable() -> bool:
    """Whether the tables were made as those of TimescaleDB; natively partitioned they are of another kind."""
    kind = op.get_bind().scalar(text("SELECT relkind FROM pg_class WHERE oid = CAST('prices.candles' AS regclass)"))
    return (kind.decode() if isinstance(kind, bytes) else kind) != "p"
