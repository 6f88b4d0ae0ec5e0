"""The three roles, the catalogue, ingestion and prices."""

from alembic import op
from sqlalchemy import text

from migrations.statements import run

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ROLES = """
DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['trove_migrator', 'trove_api', 'trove_worker'] LOOP
        -- Roles belong to the whole cluster: another database of it may have made them already, even just now.
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
        IF NOT pg_has_role(current_user, role_name, 'MEMBER') THEN
            EXECUTE format('GRANT %I TO CURRENT_USER', role_name);
        END IF;
    END LOOP;
    EXECUTE format('GRANT CREATE, TEMPORARY ON DATABASE %I TO trove_migrator', current_database());
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO trove_worker', current_database());
END
$$
"""

CATALOGUE = """
CREATE SCHEMA catalogue;

CREATE TABLE catalogue.items (
    id uuid CONSTRAINT items_key PRIMARY KEY,
    kind text NOT NULL CONSTRAINT items_kind_is_known CHECK (kind IN ('skin', 'coin', 'card', 'figure')),
    slug text NOT NULL CONSTRAINT items_unique_slug UNIQUE,
    name text NOT NULL,
    image_url text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX items_by_name ON catalogue.items (name, id);
CREATE INDEX items_by_kind_and_name ON catalogue.items (kind, name, id);
CREATE INDEX items_by_creation ON catalogue.items (created_at, id);
CREATE INDEX items_name_trigrams ON catalogue.items USING gin (name gin_trgm_ops);

CREATE TABLE catalogue.skins (
    item_id uuid CONSTRAINT skins_key PRIMARY KEY
        CONSTRAINT skins_item_id_reference REFERENCES catalogue.items (id) ON DELETE CASCADE,
    market_hash_name text NOT NULL CONSTRAINT skins_unique_market_hash_name UNIQUE,
    category text,
    weapon text,
    skin text,
    wear text,
    rarity text,
    stattrak boolean NOT NULL DEFAULT false,
    souvenir boolean NOT NULL DEFAULT false,
    float_minimum double precision,
    float_maximum double precision
);

CREATE TABLE catalogue.coins (
    item_id uuid CONSTRAINT coins_key PRIMARY KEY
        CONSTRAINT coins_item_id_reference REFERENCES catalogue.items (id) ON DELETE CASCADE,
    symbol text NOT NULL,
    decimals integer
);

CREATE TABLE catalogue.cards (
    item_id uuid CONSTRAINT cards_key PRIMARY KEY
        CONSTRAINT cards_item_id_reference REFERENCES catalogue.items (id) ON DELETE CASCADE,
    game text NOT NULL,
    set_code text,
    number text,
    rarity text
);

CREATE TABLE catalogue.figures (
    item_id uuid CONSTRAINT figures_key PRIMARY KEY
        CONSTRAINT figures_item_id_reference REFERENCES catalogue.items (id) ON DELETE CASCADE,
    manufacturer text,
    series text,
    scale text
);

CREATE TABLE catalogue.item_variants (
    id uuid CONSTRAINT item_variants_key PRIMARY KEY,
    item_id uuid NOT NULL
        CONSTRAINT item_variants_item_id_reference REFERENCES catalogue.items (id) ON DELETE CASCADE,
    key text NOT NULL,
    name text NOT NULL,
    is_default boolean NOT NULL DEFAULT false,
    position integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT item_variants_unique_item_id_key UNIQUE (item_id, key)
);
CREATE UNIQUE INDEX item_variants_one_default ON catalogue.item_variants (item_id) WHERE is_default;

CREATE TABLE catalogue.external_ids (
    provider text,
    external_id text,
    item_id uuid NOT NULL
        CONSTRAINT external_ids_item_id_reference REFERENCES catalogue.items (id) ON DELETE CASCADE,
    CONSTRAINT external_ids_key PRIMARY KEY (provider, external_id)
);
CREATE INDEX external_ids_by_item ON catalogue.external_ids (item_id);
"""

INGESTION = """
CREATE SCHEMA ingestion;

CREATE TABLE ingestion.ingest_batches (
    id uuid CONSTRAINT ingest_batches_key PRIMARY KEY,
    sequence bigint GENERATED ALWAYS AS IDENTITY NOT NULL CONSTRAINT ingest_batches_unique_sequence UNIQUE,
    kind text NOT NULL CONSTRAINT ingest_batches_kind_is_known CHECK (kind IN ('price_points', 'candles')),
    idempotency_key text,
    content_hash bytea NOT NULL,
    payload bytea,
    status text NOT NULL DEFAULT 'received'
        CONSTRAINT ingest_batches_status_is_known CHECK (status IN ('received', 'processed', 'failed')),
    row_count integer NOT NULL,
    accepted_count integer,
    duplicate_count integer,
    rejected_count integer,
    attempts integer NOT NULL DEFAULT 0,
    last_error text,
    received_at timestamptz NOT NULL DEFAULT now(),
    processed_at timestamptz,
    CONSTRAINT ingest_batches_unique_kind_idempotency_key UNIQUE (kind, idempotency_key)
);
CREATE INDEX ingest_batches_waiting ON ingestion.ingest_batches (sequence) WHERE status = 'received';

CREATE TABLE ingestion.ingest_rejects (
    batch_id uuid CONSTRAINT ingest_rejects_batch_id_reference
        REFERENCES ingestion.ingest_batches (id) ON DELETE CASCADE,
    row_number integer,
    reason text NOT NULL,
    content text NOT NULL,
    CONSTRAINT ingest_rejects_key PRIMARY KEY (batch_id, row_number)
);
"""

TRY_AGAIN = """
CREATE FUNCTION ingestion.try_again(batch uuid) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    UPDATE ingestion.ingest_batches SET status = 'received', attempts = 0 WHERE id = batch AND status = 'failed'
$$;
"""

# Batches are written once and read once: quick to compress matters, small does not. Not every build knows lz4.
COMPRESS_PAYLOADS = """
DO $$
BEGIN
    ALTER TABLE ingestion.ingest_batches ALTER COLUMN payload SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
    ALTER TABLE ingestion.ingest_batches ALTER COLUMN payload SET STORAGE EXTERNAL;
END
$$;
"""

PRICES = """
CREATE SCHEMA prices;

CREATE TABLE prices.sources (
    id smallint GENERATED ALWAYS AS IDENTITY CONSTRAINT sources_key PRIMARY KEY,
    code text NOT NULL CONSTRAINT sources_unique_code UNIQUE
        CONSTRAINT sources_code_is_a_slug CHECK (code ~ '^[a-z0-9][a-z0-9-]{{1,39}}$'),
    name text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE prices.price_series (
    id integer GENERATED ALWAYS AS IDENTITY CONSTRAINT price_series_key PRIMARY KEY,
    variant_id uuid NOT NULL
        CONSTRAINT price_series_variant_id_reference REFERENCES catalogue.item_variants (id) ON DELETE CASCADE,
    source_id smallint NOT NULL CONSTRAINT price_series_source_id_reference REFERENCES prices.sources (id),
    kind text NOT NULL CONSTRAINT price_series_kind_is_known
        CHECK (kind IN ('sale', 'market', 'mid', 'ask', 'bid', 'low', 'high', 'list')),
    currency text NOT NULL,
    latest_price numeric,
    latest_quantity numeric,
    latest_observed_at timestamptz,
    latest_arrival bigint,
    has_points boolean NOT NULL DEFAULT false,
    provided_resolutions integer[] NOT NULL DEFAULT ARRAY[]::integer[],
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT price_series_unique_variant_id_source_id_kind_currency UNIQUE (variant_id, source_id, kind, currency)
);

CREATE TABLE prices.price_points (
    series_id integer NOT NULL,
    observed_at timestamptz NOT NULL,
    key uuid NOT NULL,
    price numeric NOT NULL CONSTRAINT price_points_price_is_not_negative CHECK (price >= 0),
    quantity numeric CONSTRAINT price_points_quantity_is_positive CHECK (quantity > 0),
    arrival bigint NOT NULL,
    CONSTRAINT price_points_key PRIMARY KEY (series_id, observed_at, key)
) {partition_points};

CREATE TABLE prices.candles (
    series_id integer NOT NULL,
    resolution integer NOT NULL CONSTRAINT candles_resolution_is_positive CHECK (resolution > 0),
    bucket timestamptz NOT NULL,
    open numeric NOT NULL,
    high numeric NOT NULL,
    low numeric NOT NULL,
    close numeric NOT NULL,
    volume numeric,
    turnover numeric,
    point_count integer,
    is_provided boolean NOT NULL,
    CONSTRAINT candles_key PRIMARY KEY (series_id, resolution, bucket),
    CONSTRAINT candles_prices_are_in_order
        CHECK (low <= open AND low <= close AND open <= high AND close <= high)
) {partition_candles};

CREATE TABLE prices.price_changes (
    position bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT price_changes_key PRIMARY KEY,
    series_id integer NOT NULL,
    price numeric NOT NULL,
    quantity numeric,
    observed_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX price_changes_by_series ON prices.price_changes (series_id, position);
CREATE INDEX price_changes_by_time ON prices.price_changes USING brin (recorded_at);
"""

# New partitions are attached, not created in place: attaching does not shut readers of the parent out.
NATIVE_PARTITIONS = """
CREATE FUNCTION prices.ensure_partitions(parent text, instants timestamptz[]) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    width text := CASE parent WHEN 'price_points' THEN 'month' WHEN 'candles' THEN 'year' END;
    name_format text := CASE parent WHEN 'price_points' THEN 'YYYYMM' ELSE 'YYYY' END;
    starts timestamp;
    partition_name text;
    made integer := 0;
BEGIN
    IF width IS NULL THEN
        RAISE EXCEPTION 'prices.% is not partitioned by time', parent;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('prices.ensure_partitions'));
    FOR starts IN SELECT DISTINCT date_trunc(width, instant AT TIME ZONE 'UTC') FROM unnest(instants) AS instant LOOP
        partition_name := format('%s_p_%s', parent, to_char(starts, name_format));
        IF to_regclass(format('prices.%I', partition_name)) IS NULL THEN
            EXECUTE format('CREATE TABLE prices.%I (LIKE prices.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)',
                partition_name, parent);
            EXECUTE format('ALTER TABLE prices.%I ATTACH PARTITION prices.%I FOR VALUES FROM (%L) TO (%L)',
                parent, partition_name, starts AT TIME ZONE 'UTC',
                (starts + ('1 ' || width)::interval) AT TIME ZONE 'UTC');
            made := made + 1;
        END IF;
    END LOOP;
    RETURN made;
END
$$;
"""

HYPERTABLES = """
SELECT create_hypertable('prices.price_points', 'observed_at',
    chunk_time_interval => interval '1 month', create_default_indexes => false);
SELECT create_hypertable('prices.candles', 'bucket',
    chunk_time_interval => interval '1 year', create_default_indexes => false);
CREATE FUNCTION prices.ensure_partitions(parent text, instants timestamptz[]) RETURNS integer
LANGUAGE sql AS $$ SELECT 0 $$;
"""

GRANTS = """
REVOKE ALL ON FUNCTION prices.ensure_partitions(text, timestamptz[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION prices.ensure_partitions(text, timestamptz[]) TO trove_worker;

GRANT USAGE ON SCHEMA catalogue, ingestion, prices TO trove_api, trove_worker;
GRANT SELECT ON ALL TABLES IN SCHEMA catalogue, ingestion, prices TO trove_api, trove_worker;
-- What a partner sent is nobody's to read back.
REVOKE SELECT ON ingestion.ingest_batches FROM trove_api;
GRANT SELECT (id, sequence, kind, idempotency_key, content_hash, status, row_count, accepted_count, duplicate_count,
    rejected_count, attempts, last_error, received_at, processed_at) ON ingestion.ingest_batches TO trove_api;
GRANT INSERT ON ingestion.ingest_batches TO trove_api;

GRANT INSERT, UPDATE ON ALL TABLES IN SCHEMA catalogue, ingestion, prices TO trove_worker;
GRANT DELETE ON prices.price_changes TO trove_worker;
REVOKE ALL ON FUNCTION ingestion.try_again(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ingestion.try_again(uuid) TO trove_api, trove_worker;
"""


def upgrade() -> None:
    op.execute("RESET ROLE")
    op.execute(text(ROLES))
    op.execute("CREATE EXTENSION IF NOT EXISTS postgis")
    op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    connection = op.get_bind()
    has_timescale = bool(connection.scalar(text("SELECT count(*) FROM pg_extension WHERE extname = 'timescaledb'")))
    op.execute("GRANT SELECT ON alembic_version TO trove_api, trove_worker")
    op.execute("ALTER TABLE alembic_version OWNER TO trove_migrator")
    op.execute("SET ROLE trove_migrator")

    run(CATALOGUE)
    run(INGESTION)
    run(COMPRESS_PAYLOADS)
    run(TRY_AGAIN)
    run(
        PRICES.format(
            partition_points="" if has_timescale else "PARTITION BY RANGE (observed_at)",
            partition_candles="" if has_timescale else "PARTITION BY RANGE (bucket)",
        )
    )
    run(HYPERTABLES if has_timescale else NATIVE_PARTITIONS)
    run(GRANTS)


def downgrade() -> None:
    # The roles stay: they belong to the cluster, and other databases of it may use them.
    op.execute("DROP SCHEMA prices CASCADE")
    op.execute("DROP SCHEMA ingestion CASCADE")
    op.execute("DROP SCHEMA catalogue CASCADE")
    op.execute("RESET ROLE")
    op.execute("DROP EXTENSION IF EXISTS pg_trgm")
    op.execute("DROP EXTENSION IF EXISTS postgis")
