"""The room of trackers: clients and their members, trackers, places, reports, and what follows from them."""

from alembic import op
from sqlalchemy import text

from migrations.statements import run

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

TABLES = """
CREATE SCHEMA trackers;

CREATE TABLE trackers.cities (
    id integer NOT NULL,
    name text NOT NULL,
    country text NOT NULL,
    population integer NOT NULL,
    position geography(Point,4326) NOT NULL,
    CONSTRAINT cities_key PRIMARY KEY (id)
);
CREATE INDEX cities_by_position ON trackers.cities USING gist (position);

CREATE TABLE trackers.clients (
    id uuid NOT NULL,
    name text NOT NULL,
    logo_url text,
    silent_after_minutes integer NOT NULL DEFAULT 1440,
    deleted_at timestamptz,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT clients_key PRIMARY KEY (id),
    CONSTRAINT clients_name_is_short CHECK (char_length(name) BETWEEN 1 AND 100),
    CONSTRAINT clients_silence_is_within_a_year CHECK (silent_after_minutes BETWEEN 10 AND 525600)
);
CREATE INDEX clients_deleted ON trackers.clients (id) WHERE deleted_at IS NOT NULL;

CREATE TABLE trackers.location_fixes (
    tracker_id uuid NOT NULL,
    bucket timestamptz NOT NULL,
    client_id uuid NOT NULL,
    position geography(Point,4326) NOT NULL,
    accuracy_meters double precision NOT NULL,
    confidence smallint,
    last_reported_at timestamptz NOT NULL,
    report_count integer NOT NULL,
    dropped_count integer NOT NULL,
    is_anomalous boolean NOT NULL,
    city_id integer,
    checkpoint jsonb,
    CONSTRAINT location_fixes_key PRIMARY KEY (tracker_id, bucket),
    CONSTRAINT location_fixes_some_report_counts CHECK (report_count > dropped_count)
) {partition_fixes};

CREATE TABLE trackers.location_reports (
    subject bytea NOT NULL,
    reported_at timestamptz NOT NULL,
    latitude_e7 integer NOT NULL,
    longitude_e7 integer NOT NULL,
    tracker_id uuid NOT NULL,
    client_id uuid NOT NULL,
    accuracy_meters double precision,
    confidence smallint,
    status_byte smallint,
    source text NOT NULL,
    published_at timestamptz,
    received_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT location_reports_key PRIMARY KEY (subject, reported_at, latitude_e7, longitude_e7),
    CONSTRAINT location_reports_subject_is_a_key_or_an_id CHECK (octet_length(subject) IN (16, 32)),
    CONSTRAINT location_reports_latitude_is_on_earth CHECK (latitude_e7 BETWEEN -900000000 AND 900000000),
    CONSTRAINT location_reports_longitude_is_on_earth CHECK (longitude_e7 BETWEEN -1800000000 AND 1800000000),
    CONSTRAINT location_reports_accuracy_is_not_negative CHECK (accuracy_meters >= 0)
) {partition_reports};
CREATE INDEX location_reports_by_tracker ON trackers.location_reports (tracker_id, reported_at);

CREATE TABLE trackers.tracker_events (
    position bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    client_id uuid NOT NULL,
    tracker_id uuid NOT NULL,
    production_run_id uuid,
    kind text NOT NULL,
    occurred_at timestamptz NOT NULL,
    status text,
    place_id uuid,
    point geography(Point,4326),
    accuracy_meters double precision,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT tracker_events_key PRIMARY KEY (position),
    CONSTRAINT tracker_events_kind_is_known
        CHECK (kind IN ('moved', 'status_changed', 'entered', 'left', 'delivered', 'silent', 'moved_in_storage'))
);
CREATE INDEX tracker_events_by_client ON trackers.tracker_events (client_id, position);
CREATE INDEX tracker_events_by_time ON trackers.tracker_events USING brin (recorded_at);
CREATE INDEX tracker_events_by_tracker ON trackers.tracker_events (tracker_id, position);
CREATE UNIQUE INDEX tracker_events_told_once ON trackers.tracker_events (tracker_id, kind, occurred_at,
    COALESCE(place_id, '00000000-0000-0000-0000-000000000000'::uuid))
    WHERE kind <> 'moved';

CREATE TABLE trackers.brands (
    id uuid NOT NULL,
    client_id uuid NOT NULL,
    name text NOT NULL,
    logo_url text,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT brands_key PRIMARY KEY (id),
    CONSTRAINT brands_unique_id_client_id UNIQUE (id, client_id),
    CONSTRAINT brands_unique_client_id_name UNIQUE (client_id, name),
    CONSTRAINT brands_name_is_short CHECK (char_length(name) BETWEEN 1 AND 100),
    CONSTRAINT brands_client_id_reference FOREIGN KEY (client_id) REFERENCES trackers.clients (id) ON DELETE CASCADE
);

CREATE TABLE trackers.memberships (
    client_id uuid NOT NULL,
    user_id uuid NOT NULL,
    id uuid NOT NULL,
    role text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT memberships_key PRIMARY KEY (client_id, user_id),
    CONSTRAINT memberships_role_is_known CHECK (role IN ('viewer', 'operator', 'owner')),
    CONSTRAINT memberships_unique_id UNIQUE (id),
    CONSTRAINT memberships_client_id_reference FOREIGN KEY (client_id)
        REFERENCES trackers.clients (id) ON DELETE CASCADE,
    CONSTRAINT memberships_user_id_reference FOREIGN KEY (user_id) REFERENCES identity.users (id) ON DELETE CASCADE
);
CREATE INDEX memberships_by_user ON trackers.memberships (user_id);

CREATE TABLE trackers.orphan_reports (
    hashed_key bytea NOT NULL,
    content_hash bytea NOT NULL,
    sender_id uuid,
    content text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT orphan_reports_key PRIMARY KEY (hashed_key, content_hash),
    CONSTRAINT orphan_reports_hashed_key_is_whole CHECK (octet_length(hashed_key) = 32),
    CONSTRAINT orphan_reports_sender_id_reference FOREIGN KEY (sender_id)
        REFERENCES identity.users (id) ON DELETE CASCADE
);
CREATE INDEX orphan_reports_by_age ON trackers.orphan_reports (received_at);
CREATE INDEX orphan_reports_by_sender ON trackers.orphan_reports (sender_id);

CREATE TABLE trackers.places (
    id uuid NOT NULL,
    client_id uuid NOT NULL,
    kind text NOT NULL,
    name text NOT NULL,
    shape geography(Geometry,4326) NOT NULL,
    center geography(Point,4326) NOT NULL,
    radius_meters double precision NOT NULL DEFAULT 100,
    reach_meters double precision NOT NULL,
    dwell_fixes integer NOT NULL DEFAULT 1,
    dwell_minutes integer NOT NULL DEFAULT 0,
    active_from timestamptz,
    active_until timestamptz,
    is_changed boolean NOT NULL DEFAULT false,
    deleted_at timestamptz,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT places_key PRIMARY KEY (id),
    CONSTRAINT places_unique_id_client_id UNIQUE (id, client_id),
    CONSTRAINT places_kind_is_known CHECK (kind IN ('storage', 'delivery')),
    CONSTRAINT places_name_is_short CHECK (char_length(name) BETWEEN 1 AND 100),
    CONSTRAINT places_radius_is_of_a_place CHECK (radius_meters BETWEEN 0 AND 100000),
    CONSTRAINT places_dwell_fixes_are_few CHECK (dwell_fixes BETWEEN 1 AND 100),
    CONSTRAINT places_dwell_is_within_a_week CHECK (dwell_minutes BETWEEN 0 AND 10080),
    CONSTRAINT places_ends_after_it_starts CHECK (active_until > active_from),
    CONSTRAINT places_client_id_reference FOREIGN KEY (client_id) REFERENCES trackers.clients (id) ON DELETE CASCADE
);
CREATE INDEX places_by_client ON trackers.places (client_id, name, id);
CREATE INDEX places_by_shape ON trackers.places USING gist (shape);
CREATE INDEX places_changed ON trackers.places (id) WHERE is_changed;

CREATE TABLE trackers.production_runs (
    id uuid NOT NULL,
    client_id uuid NOT NULL,
    brand_id uuid NOT NULL,
    description text NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz,
    image_url text,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT production_runs_key PRIMARY KEY (id),
    CONSTRAINT production_runs_brand_id_client_id_reference FOREIGN KEY (brand_id, client_id)
        REFERENCES trackers.brands (id, client_id) DEFERRABLE,
    CONSTRAINT production_runs_unique_id_client_id UNIQUE (id, client_id),
    CONSTRAINT production_runs_description_is_short CHECK (char_length(description) BETWEEN 1 AND 500),
    CONSTRAINT production_runs_ends_after_it_starts CHECK (ended_at >= started_at),
    CONSTRAINT production_runs_client_id_reference FOREIGN KEY (client_id)
        REFERENCES trackers.clients (id) ON DELETE CASCADE
);
CREATE INDEX production_runs_by_brand ON trackers.production_runs (brand_id, started_at, id);
CREATE INDEX production_runs_by_client ON trackers.production_runs (client_id, started_at, id);

CREATE TABLE trackers.production_run_places (
    production_run_id uuid NOT NULL,
    place_id uuid NOT NULL,
    client_id uuid NOT NULL,
    CONSTRAINT production_run_places_key PRIMARY KEY (production_run_id, place_id),
    CONSTRAINT production_run_places_production_run_id_client_id_reference FOREIGN KEY (production_run_id, client_id)
        REFERENCES trackers.production_runs (id, client_id) ON DELETE CASCADE,
    CONSTRAINT production_run_places_place_id_client_id_reference FOREIGN KEY (place_id, client_id)
        REFERENCES trackers.places (id, client_id) ON DELETE CASCADE
);
CREATE INDEX production_run_places_by_place ON trackers.production_run_places (place_id);

CREATE TABLE trackers.trackers (
    id uuid NOT NULL,
    client_id uuid NOT NULL,
    production_run_id uuid,
    name text NOT NULL,
    retired_at timestamptz,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    recompute_from timestamptz,
    last_report_requested_at timestamptz,
    last_report_received_at timestamptz,
    status text NOT NULL DEFAULT 'created',
    status_since timestamptz NOT NULL DEFAULT now(),
    status_place_id uuid,
    last_fix_at timestamptz,
    last_reported_at timestamptz,
    last_position geography(Point,4326),
    last_accuracy_meters double precision,
    last_confidence integer,
    last_city_id integer,
    silent_at timestamptz,
    journey jsonb,
    CONSTRAINT trackers_key PRIMARY KEY (id),
    CONSTRAINT trackers_production_run_id_client_id_reference FOREIGN KEY (production_run_id, client_id)
        REFERENCES trackers.production_runs (id, client_id) DEFERRABLE,
    CONSTRAINT trackers_unique_id_client_id UNIQUE (id, client_id),
    CONSTRAINT trackers_name_is_short CHECK (char_length(name) BETWEEN 1 AND 100),
    CONSTRAINT trackers_status_is_known
        CHECK (status IN ('created', 'in_storage', 'in_transit', 'delivered', 'silent')),
    CONSTRAINT trackers_client_id_reference FOREIGN KEY (client_id)
        REFERENCES trackers.clients (id) ON DELETE CASCADE,
    CONSTRAINT trackers_last_city_id_reference FOREIGN KEY (last_city_id) REFERENCES trackers.cities (id)
);
CREATE INDEX trackers_by_client ON trackers.trackers (client_id, name, id);
CREATE INDEX trackers_by_last_position ON trackers.trackers USING gist (last_position);
CREATE INDEX trackers_by_last_point ON trackers.trackers USING gist ((last_position::geometry));
CREATE INDEX trackers_by_place ON trackers.trackers (status_place_id);
CREATE INDEX trackers_by_production_run ON trackers.trackers (production_run_id);
CREATE INDEX trackers_by_status ON trackers.trackers (client_id, status, id);
CREATE INDEX trackers_falling_silent ON trackers.trackers (silent_at) WHERE status <> 'silent';
CREATE INDEX trackers_to_recompute ON trackers.trackers (id) WHERE recompute_from IS NOT NULL;

CREATE TABLE trackers.status_changes (
    tracker_id uuid NOT NULL,
    started_at timestamptz NOT NULL,
    client_id uuid NOT NULL,
    status text NOT NULL,
    place_id uuid,
    ended_at timestamptz,
    CONSTRAINT status_changes_key PRIMARY KEY (tracker_id, started_at),
    CONSTRAINT status_changes_tracker_id_client_id_reference FOREIGN KEY (tracker_id, client_id)
        REFERENCES trackers.trackers (id, client_id) ON DELETE CASCADE,
    CONSTRAINT status_changes_status_is_known
        CHECK (status IN ('created', 'in_storage', 'in_transit', 'delivered', 'silent')),
    CONSTRAINT status_changes_ends_after_it_starts CHECK (ended_at > started_at)
);
CREATE INDEX status_changes_by_place ON trackers.status_changes (place_id, started_at);

CREATE TABLE trackers.tracker_keys (
    id uuid NOT NULL,
    client_id uuid NOT NULL,
    tracker_id uuid NOT NULL,
    advertised_key bytea NOT NULL,
    hashed_key bytea NOT NULL,
    private_key bytea NOT NULL,
    retired_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT tracker_keys_key PRIMARY KEY (id),
    CONSTRAINT tracker_keys_tracker_id_client_id_reference FOREIGN KEY (tracker_id, client_id)
        REFERENCES trackers.trackers (id, client_id) ON DELETE CASCADE,
    CONSTRAINT tracker_keys_unique_hashed_key UNIQUE (hashed_key),
    CONSTRAINT tracker_keys_advertised_key_is_whole CHECK (octet_length(advertised_key) = 28),
    CONSTRAINT tracker_keys_hashed_key_is_whole CHECK (octet_length(hashed_key) = 32)
);
CREATE INDEX tracker_keys_by_tracker ON trackers.tracker_keys (tracker_id, created_at, id);

CREATE TABLE trackers.visits (
    tracker_id uuid NOT NULL,
    arrived_at timestamptz NOT NULL,
    client_id uuid NOT NULL,
    place_id uuid NOT NULL,
    departed_at timestamptz,
    fix_count integer NOT NULL,
    CONSTRAINT visits_key PRIMARY KEY (tracker_id, arrived_at),
    CONSTRAINT visits_tracker_id_client_id_reference FOREIGN KEY (tracker_id, client_id)
        REFERENCES trackers.trackers (id, client_id) ON DELETE CASCADE,
    CONSTRAINT visits_place_id_client_id_reference FOREIGN KEY (place_id, client_id)
        REFERENCES trackers.places (id, client_id) ON DELETE CASCADE,
    CONSTRAINT visits_ends_after_it_starts CHECK (departed_at > arrived_at)
);
CREATE INDEX visits_by_place ON trackers.visits (place_id, arrived_at, tracker_id);

CREATE TABLE trackers.attachments (
    id uuid NOT NULL,
    client_id uuid NOT NULL,
    tracker_id uuid NOT NULL,
    owner_id uuid,
    holding_id uuid,
    preorder_id uuid,
    production_run_id uuid,
    parcel text,
    attached_at timestamptz NOT NULL DEFAULT now(),
    detached_at timestamptz,
    CONSTRAINT attachments_key PRIMARY KEY (id),
    CONSTRAINT attachments_tracker_id_client_id_reference FOREIGN KEY (tracker_id, client_id)
        REFERENCES trackers.trackers (id, client_id) ON DELETE CASCADE,
    CONSTRAINT attachments_production_run_id_client_id_reference FOREIGN KEY (production_run_id, client_id)
        REFERENCES trackers.production_runs (id, client_id) ON DELETE CASCADE,
    CONSTRAINT attachments_rides_with_one_thing
        CHECK (num_nonnulls(holding_id, preorder_id, production_run_id) = 1),
    CONSTRAINT attachments_private_things_have_owners CHECK ((owner_id IS NULL) = (production_run_id IS NOT NULL)),
    CONSTRAINT attachments_parcels_are_of_runs CHECK ((parcel IS NULL) = (production_run_id IS NULL)),
    CONSTRAINT attachments_parcel_is_short CHECK (char_length(parcel) BETWEEN 1 AND 100),
    CONSTRAINT attachments_ends_after_it_starts CHECK (detached_at >= attached_at),
    CONSTRAINT attachments_owner_id_reference FOREIGN KEY (owner_id)
        REFERENCES identity.users (id) ON DELETE CASCADE,
    CONSTRAINT attachments_holding_id_reference FOREIGN KEY (holding_id)
        REFERENCES portfolios.holdings (id) ON DELETE CASCADE,
    CONSTRAINT attachments_preorder_id_reference FOREIGN KEY (preorder_id)
        REFERENCES portfolios.preorders (id) ON DELETE CASCADE
);
CREATE INDEX attachments_by_holding ON trackers.attachments (holding_id) WHERE holding_id IS NOT NULL;
CREATE INDEX attachments_by_owner ON trackers.attachments (owner_id);
CREATE INDEX attachments_by_preorder ON trackers.attachments (preorder_id) WHERE preorder_id IS NOT NULL;
CREATE INDEX attachments_by_run ON trackers.attachments (production_run_id) WHERE production_run_id IS NOT NULL;
CREATE INDEX attachments_by_tracker ON trackers.attachments (tracker_id, attached_at, id);
CREATE UNIQUE INDEX attachments_one_open ON trackers.attachments (tracker_id) WHERE detached_at IS NULL;
"""

# New partitions are attached, not created in place: attaching does not shut readers of the parent out.
NATIVE_PARTITIONS = """
CREATE FUNCTION trackers.ensure_partitions(parent text, instants timestamptz[]) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    starts timestamp;
    partition_name text;
    made integer := 0;
BEGIN
    IF parent NOT IN ('location_reports', 'location_fixes') THEN
        RAISE EXCEPTION 'trackers.% is not partitioned by time', parent;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('trackers.ensure_partitions'));
    FOR starts IN SELECT DISTINCT date_trunc('month', instant AT TIME ZONE 'UTC') FROM unnest(instants) AS instant LOOP
        partition_name := format('%s_p_%s', parent, to_char(starts, 'YYYYMM'));
        IF to_regclass(format('trackers.%I', partition_name)) IS NULL THEN
            EXECUTE format('CREATE TABLE trackers.%I (LIKE trackers.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)',
                partition_name, parent);
            EXECUTE format('ALTER TABLE trackers.%I ATTACH PARTITION trackers.%I FOR VALUES FROM (%L) TO (%L)',
                parent, partition_name, starts AT TIME ZONE 'UTC', (starts + interval '1 month') AT TIME ZONE 'UTC');
            -- Nobody reaches rows past the policies of the parent.
            EXECUTE format('ALTER TABLE trackers.%I ENABLE ROW LEVEL SECURITY', partition_name);
            made := made + 1;
        END IF;
    END LOOP;
    RETURN made;
END
$$;
"""
HYPERTABLES = """
SELECT create_hypertable('trackers.location_reports', 'reported_at',
    chunk_time_interval => interval '1 month', create_default_indexes => false);
SELECT create_hypertable('trackers.location_fixes', 'bucket',
    chunk_time_interval => interval '1 month', create_default_indexes => false);
CREATE FUNCTION trackers.ensure_partitions(parent text, instants timestamptz[]) RETURNS integer
LANGUAGE sql AS $$ SELECT 0 $$;
"""

# The clients in which the viewer has at least this role. Policies read it once a statement.
FUNCTIONS = """
CREATE FUNCTION trackers.clients_of_viewer(minimum text) RETURNS uuid[]
LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(array_agg(client_id), '{}')
    FROM trackers.memberships
    WHERE user_id = identity.viewer_id()
        AND role = ANY (CASE minimum
            WHEN 'viewer' THEN ARRAY['viewer', 'operator', 'owner']
            WHEN 'operator' THEN ARRAY['operator', 'owner']
            WHEN 'owner' THEN ARRAY['owner']
        END)
$$;
REVOKE EXECUTE ON FUNCTION trackers.clients_of_viewer(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION trackers.clients_of_viewer(text) TO trove_api;

-- Who makes a client is its first owner: nobody could let them in.
CREATE FUNCTION trackers.create_client(
    client uuid, membership uuid, client_name text, logo text, silent_minutes integer
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF identity.viewer_id() IS NULL THEN
        RAISE EXCEPTION 'a client is made by somebody' USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO trackers.clients (id, name, logo_url, silent_after_minutes)
    VALUES (client, client_name, logo, silent_minutes);
    INSERT INTO trackers.memberships (client_id, user_id, id, role)
    VALUES (client, identity.viewer_id(), membership, 'owner');
END
$$;
REVOKE EXECUTE ON FUNCTION trackers.create_client(uuid, uuid, text, text, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION trackers.create_client(uuid, uuid, text, text, integer) TO trove_api;

-- Trackers are their client's, so its operators end what they ride with, even where that is somebody's own and hidden
-- from them. Of one tracker, or of all that ride with what is a member's.
CREATE FUNCTION trackers.end_rides(client uuid, tracker uuid, member uuid) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    ended integer;
BEGIN
    IF (tracker IS NULL) = (member IS NULL) OR NOT (
        client = ANY (trackers.clients_of_viewer(CASE WHEN member IS NULL THEN 'operator' ELSE 'owner' END))
        OR coalesce(member = identity.viewer_id(), false)
    ) THEN
        RAISE EXCEPTION 'rides of a client are ended by its members' USING ERRCODE = 'insufficient_privilege';
    END IF;
    UPDATE trackers.attachments SET detached_at = greatest(now(), attached_at)
    WHERE client_id = client AND detached_at IS NULL AND (tracker_id = tracker OR owner_id = member);
    GET DIAGNOSTICS ended = ROW_COUNT;
    RETURN ended;
END
$$;
REVOKE EXECUTE ON FUNCTION trackers.end_rides(uuid, uuid, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION trackers.end_rides(uuid, uuid, uuid) TO trove_api;

-- The API hands events to those who may see them: it reads whose they are, and nothing of what happened where.
CREATE FUNCTION trackers.last_event_position() RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(max(position), 0) FROM trackers.tracker_events
$$;
CREATE FUNCTION trackers.events_after(after bigint, most integer)
RETURNS TABLE (event_position bigint, client_id uuid, tracker_id uuid, production_run_id uuid, kind text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT told.position, told.client_id, told.tracker_id, told.production_run_id, told.kind
    FROM trackers.tracker_events AS told WHERE told.position > after ORDER BY told.position LIMIT most
$$;
REVOKE EXECUTE ON FUNCTION trackers.last_event_position(), trackers.events_after(bigint, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION trackers.last_event_position(), trackers.events_after(bigint, integer) TO trove_api;

REVOKE ALL ON FUNCTION trackers.ensure_partitions(text, timestamptz[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION trackers.ensure_partitions(text, timestamptz[]) TO trove_worker;
"""

# No security barrier: PostGIS's operators are not leakproof, so a policy or a barrier would be asked of each tracker
# before them, and no spatial index be used. Nobody can bring a function of their own to look over its shoulder.
POSITIONS = """
CREATE VIEW trackers.tracker_positions AS
SELECT id, client_id, production_run_id, status, last_position, last_position::geometry AS point, last_fix_at
FROM trackers.trackers
WHERE client_id = ANY ((SELECT trackers.clients_of_viewer('viewer'))::uuid[])
    AND last_position IS NOT NULL AND retired_at IS NULL;
GRANT SELECT ON trackers.tracker_positions TO trove_api;
"""

# Members of a client see what is its own; what they may change of it depends on their role.
SEEN = """
ALTER TABLE trackers.{table} ENABLE ROW LEVEL SECURITY;
CREATE POLICY member ON trackers.{table} FOR SELECT TO trove_api
    USING ({key} = ANY ((SELECT trackers.clients_of_viewer('viewer'))::uuid[]));
CREATE POLICY worker ON trackers.{table} TO trove_worker USING (true) WITH CHECK (true);
GRANT SELECT ON trackers.{table} TO trove_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON trackers.{table} TO trove_worker;
"""
CHANGED = """
CREATE POLICY makes ON trackers.{table} FOR INSERT TO trove_api
    WITH CHECK ({key} = ANY ((SELECT trackers.clients_of_viewer('{role}'))::uuid[]));
CREATE POLICY changes ON trackers.{table} FOR UPDATE TO trove_api
    USING ({key} = ANY ((SELECT trackers.clients_of_viewer('{role}'))::uuid[]));
CREATE POLICY removes ON trackers.{table} FOR DELETE TO trove_api
    USING ({key} = ANY ((SELECT trackers.clients_of_viewer('{role}'))::uuid[]));
"""
# By whom each may be changed, and which of its columns.
CHANGES = {
    "clients": ("owner", "name, logo_url, silent_after_minutes, deleted_at, version, updated_at"),
    "memberships": ("owner", "role"),
    "brands": ("operator", "name, logo_url, version, updated_at"),
    "production_runs": (
        "operator",
        "brand_id, description, started_at, ended_at, image_url, version, updated_at",
    ),
    "places": (
        "operator",
        "kind, name, shape, center, radius_meters, reach_meters, dwell_fixes, dwell_minutes, active_from, "
        "active_until, is_changed, deleted_at, version, updated_at",
    ),
    "production_run_places": ("operator", "client_id"),
    "trackers": (
        "operator",
        "production_run_id, name, retired_at, recompute_from, version, updated_at",
    ),
    "tracker_keys": ("operator", "retired_at"),
}
FOLLOWING = ("location_reports", "location_fixes", "status_changes", "visits", "tracker_events")

MORE_POLICIES = """
-- Whoever is a member may go.
CREATE POLICY leaves ON trackers.memberships FOR DELETE TO trove_api USING (user_id = (SELECT identity.viewer_id()));

-- What somebody's holding or preorder rides with is theirs alone to know.
ALTER TABLE trackers.attachments ENABLE ROW LEVEL SECURITY;
CREATE POLICY member ON trackers.attachments FOR SELECT TO trove_api USING (
    client_id = ANY ((SELECT trackers.clients_of_viewer('viewer'))::uuid[])
    AND (owner_id IS NULL OR owner_id = (SELECT identity.viewer_id()))
);
CREATE POLICY makes ON trackers.attachments FOR INSERT TO trove_api WITH CHECK (
    client_id = ANY ((SELECT trackers.clients_of_viewer('operator'))::uuid[])
    AND (owner_id IS NULL OR owner_id = (SELECT identity.viewer_id()))
    AND (holding_id IS NULL OR EXISTS (SELECT FROM portfolios.holdings WHERE id = holding_id))
    AND (preorder_id IS NULL OR EXISTS (SELECT FROM portfolios.preorders WHERE id = preorder_id))
);
CREATE POLICY changes ON trackers.attachments FOR UPDATE TO trove_api USING (
    client_id = ANY ((SELECT trackers.clients_of_viewer('operator'))::uuid[])
    AND (owner_id IS NULL OR owner_id = (SELECT identity.viewer_id()))
);
CREATE POLICY worker ON trackers.attachments TO trove_worker USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE (detached_at) ON trackers.attachments TO trove_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON trackers.attachments TO trove_worker;

-- What nobody's tracker was reported by is nobody's to see.
ALTER TABLE trackers.orphan_reports ENABLE ROW LEVEL SECURITY;
CREATE POLICY worker ON trackers.orphan_reports TO trove_worker USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, DELETE ON trackers.orphan_reports TO trove_worker;

-- Private keys are for those who read reports alone.
REVOKE SELECT ON trackers.tracker_keys FROM trove_api;
GRANT SELECT (id, client_id, tracker_id, advertised_key, hashed_key, retired_at, created_at)
    ON trackers.tracker_keys TO trove_api;

GRANT SELECT ON trackers.cities TO trove_api, trove_worker;
GRANT INSERT, UPDATE, DELETE ON trackers.cities TO trove_worker;

ALTER TABLE ingestion.ingest_batches DROP CONSTRAINT ingest_batches_kind_is_known;
ALTER TABLE ingestion.ingest_batches ADD CONSTRAINT ingest_batches_kind_is_known
    CHECK (kind IN ('price_points', 'candles', 'location_reports')) NOT VALID;
ALTER TABLE ingestion.ingest_batches VALIDATE CONSTRAINT ingest_batches_kind_is_known;
"""


def upgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    connection = op.get_bind()
    has_timescale = bool(connection.scalar(text("SELECT count(*) FROM pg_extension WHERE extname = 'timescaledb'")))
    run(
        TABLES.format(
            partition_fixes="" if has_timescale else "PARTITION BY RANGE (bucket)",
            partition_reports="" if has_timescale else "PARTITION BY RANGE (reported_at)",
        )
    )
    run(HYPERTABLES if has_timescale else NATIVE_PARTITIONS)
    op.execute("GRANT USAGE ON SCHEMA trackers TO trove_api, trove_worker")
    run(FUNCTIONS)
    run(POSITIONS)
    for table, (role, columns) in CHANGES.items():
        key = "id" if table == "clients" else "client_id"
        run(SEEN.format(table=table, key=key))
        run(CHANGED.format(table=table, key=key, role=role))
        op.execute(f"GRANT INSERT, DELETE, UPDATE ({columns}) ON trackers.{table} TO trove_api")
    # A client goes with all that its trackers were reported by, which the API may not remove.
    op.execute("REVOKE INSERT, DELETE ON trackers.clients FROM trove_api")
    for table in FOLLOWING:
        run(SEEN.format(table=table, key="client_id"))
    run(MORE_POLICIES)


def downgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    op.execute("DROP SCHEMA trackers CASCADE")
    run(
        """
        DELETE FROM ingestion.ingest_batches WHERE kind = 'location_reports';
        ALTER TABLE ingestion.ingest_batches DROP CONSTRAINT ingest_batches_kind_is_known;
        ALTER TABLE ingestion.ingest_batches ADD CONSTRAINT ingest_batches_kind_is_known
            CHECK (kind IN ('price_points', 'candles'));
        """
    )
