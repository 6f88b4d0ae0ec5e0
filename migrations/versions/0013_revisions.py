"""Staff edit the catalogue: revisions of items, redirects of what is gone, and who may write what for whom."""

from alembic import op

from migrations.statements import run

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE catalogue.item_revisions (
    id uuid CONSTRAINT item_revisions_key PRIMARY KEY,
    item_id uuid NOT NULL
        CONSTRAINT item_revisions_item_id_reference REFERENCES catalogue.items (id) ON DELETE CASCADE,
    number integer NOT NULL CONSTRAINT item_revisions_number_is_positive CHECK (number > 0),
    user_id uuid CONSTRAINT item_revisions_user_id_reference REFERENCES identity.users (id) ON DELETE SET NULL,
    action text NOT NULL
        CONSTRAINT item_revisions_action_is_known CHECK (action IN ('created', 'edited', 'merged')),
    changes jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- A merge puts two histories into one order, in one statement.
    CONSTRAINT item_revisions_unique_item_id_number UNIQUE (item_id, number) DEFERRABLE
);
CREATE INDEX item_revisions_by_user ON catalogue.item_revisions (user_id, created_at) WHERE user_id IS NOT NULL;

CREATE TABLE catalogue.item_redirects (
    id uuid CONSTRAINT item_redirects_key PRIMARY KEY,
    item_id uuid NOT NULL
        CONSTRAINT item_redirects_item_id_reference REFERENCES catalogue.items (id) ON DELETE CASCADE,
    old_id uuid CONSTRAINT item_redirects_unique_old_id UNIQUE,
    slug text CONSTRAINT item_redirects_unique_slug UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT item_redirects_something_is_old CHECK (old_id IS NOT NULL OR slug IS NOT NULL)
);
CREATE INDEX item_redirects_by_item ON catalogue.item_redirects (item_id);

CREATE TABLE catalogue.creation_keys (
    user_id uuid CONSTRAINT creation_keys_user_id_reference REFERENCES identity.users (id) ON DELETE CASCADE,
    key text,
    content_hash text NOT NULL,
    item_id uuid NOT NULL
        CONSTRAINT creation_keys_item_id_reference REFERENCES catalogue.items (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT creation_keys_key PRIMARY KEY (user_id, key)
);
CREATE INDEX creation_keys_by_item ON catalogue.creation_keys (item_id);
"""

# The history is added to; a merge alone moves it from one item to another. What a key was used for is its user's own.
ACCESS = """
ALTER TABLE catalogue.item_revisions ENABLE ROW LEVEL SECURITY;
ALTER TABLE catalogue.creation_keys ENABLE ROW LEVEL SECURITY;
CREATE POLICY viewer ON catalogue.item_revisions FOR SELECT TO trove_api
    USING (user_id = (SELECT identity.viewer_id()));
CREATE POLICY staff ON catalogue.item_revisions FOR SELECT TO trove_api
    USING ((SELECT identity.viewer_may('catalogue:write')));
CREATE POLICY staff_writes ON catalogue.item_revisions FOR INSERT TO trove_api
    WITH CHECK (user_id = (SELECT identity.viewer_id()) AND (SELECT identity.viewer_may('catalogue:write')));
CREATE POLICY staff_merges ON catalogue.item_revisions FOR UPDATE TO trove_api
    USING ((SELECT identity.viewer_may('catalogue:write')));
CREATE POLICY viewer ON catalogue.creation_keys TO trove_api USING (user_id = (SELECT identity.viewer_id()));
CREATE POLICY staff_merges ON catalogue.creation_keys FOR UPDATE TO trove_api
    USING ((SELECT identity.viewer_may('catalogue:write')));
CREATE POLICY staff_follows ON catalogue.creation_keys FOR SELECT TO trove_api
    USING ((SELECT identity.viewer_may('catalogue:write')));
CREATE POLICY worker ON catalogue.item_revisions TO trove_worker USING (true) WITH CHECK (true);
CREATE POLICY worker ON catalogue.creation_keys TO trove_worker USING (true) WITH CHECK (true);

GRANT SELECT, INSERT, UPDATE (item_id, number) ON catalogue.item_revisions TO trove_api;
GRANT SELECT, INSERT, DELETE, UPDATE (item_id) ON catalogue.creation_keys TO trove_api;
GRANT SELECT ON catalogue.item_redirects TO trove_api;
GRANT SELECT, INSERT, UPDATE, DELETE
    ON catalogue.item_revisions, catalogue.creation_keys, catalogue.item_redirects TO trove_worker;
GRANT SELECT ON prices.valuation_states TO trove_api;
-- A merge takes the loser's photos over.
GRANT UPDATE (item_id) ON catalogue.item_photos TO trove_api;
"""

# Once a statement, so that it costs nothing where many rows are copied in: policies would, and would refuse COPY.
REQUIRE = """
CREATE FUNCTION identity.require_permission() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT pg_has_role(current_user, 'trove_worker', 'USAGE')
        AND NOT pg_has_role(current_user, 'trove_migrator', 'USAGE')
        AND NOT identity.viewer_may(TG_ARGV[0])
    THEN
        RAISE EXCEPTION 'writing %.% takes %', TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_ARGV[0]
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END
$$;
"""
GUARD = """
CREATE TRIGGER guard BEFORE INSERT OR UPDATE OR DELETE ON {table}
FOR EACH STATEMENT EXECUTE FUNCTION identity.require_permission('catalogue:write')
"""
# What staff write through the API; a merge also deletes, and moves prices.
EDITED = (
    "catalogue.items",
    "catalogue.skins",
    "catalogue.coins",
    "catalogue.cards",
    "catalogue.figures",
    "catalogue.figure_series",
    "catalogue.figure_characters",
    "catalogue.figure_sculptors",
    "catalogue.figure_releases",
    "catalogue.item_variants",
    "catalogue.external_ids",
    "catalogue.item_redirects",
    "prices.price_series",
    "prices.price_points",
    "prices.candles",
    "prices.price_changes",
    "prices.valuations",
    "prices.valuation_states",
    "prices.candle_rebuilds",
)
# What items belong to is made with them, by its name.
MADE_BY_NAME = ("catalogue.manufacturers", "catalogue.series", "catalogue.characters", "catalogue.sculptors")


def upgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    run(TABLES)
    run(ACCESS)
    run(REQUIRE)
    for table in (*EDITED, *MADE_BY_NAME):
        op.execute(GUARD.format(table=table))
        allowed = "INSERT, UPDATE, DELETE" if table in EDITED else "INSERT"
        op.execute(f"GRANT {allowed} ON {table} TO trove_api")
    # A merge by an operator does what one by staff does.
    op.execute(f"GRANT DELETE ON {', '.join(EDITED)} TO trove_worker")


def downgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    op.execute("REVOKE SELECT ON prices.valuation_states FROM trove_api")
    for table in (*EDITED, *MADE_BY_NAME):
        op.execute(f"DROP TRIGGER guard ON {table}")
        op.execute(f"REVOKE INSERT, UPDATE, DELETE ON {table} FROM trove_api")
    kept = ("figure_series", "figure_characters", "figure_sculptors", "figure_releases", "external_ids")
    for table in EDITED:
        if table not in {f"catalogue.{name}" for name in kept} | {"prices.price_changes", "prices.candles"}:
            op.execute(f"REVOKE DELETE ON {table} FROM trove_worker")
    op.execute("DROP TABLE catalogue.creation_keys, catalogue.item_redirects, catalogue.item_revisions")
    op.execute("DROP FUNCTION identity.require_permission()")
