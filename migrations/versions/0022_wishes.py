"""What people watch, want and have ordered ahead."""

from alembic import op

from migrations.statements import run

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE portfolios.watchlists (
    id uuid NOT NULL,
    owner_id uuid NOT NULL,
    name text NOT NULL,
    is_default boolean NOT NULL DEFAULT false,
    position integer NOT NULL,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT watchlists_key PRIMARY KEY (id),
    CONSTRAINT watchlists_unique_id_owner_id UNIQUE (id, owner_id),
    CONSTRAINT watchlists_unique_owner_id_name UNIQUE (owner_id, name),
    CONSTRAINT watchlists_name_is_short CHECK (char_length(name) BETWEEN 1 AND 100),
    CONSTRAINT watchlists_owner_id_reference FOREIGN KEY (owner_id)
        REFERENCES identity.users (id) ON DELETE CASCADE
);
CREATE INDEX watchlists_by_owner ON portfolios.watchlists (owner_id, position, id);
CREATE UNIQUE INDEX watchlists_one_default ON portfolios.watchlists (owner_id) WHERE is_default;

CREATE TABLE portfolios.watchlist_items (
    id uuid NOT NULL,
    owner_id uuid NOT NULL,
    watchlist_id uuid NOT NULL,
    item_id uuid NOT NULL,
    variant_id uuid,
    notes text,
    position integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT watchlist_items_key PRIMARY KEY (id),
    CONSTRAINT watchlist_items_watchlist_id_owner_id_reference FOREIGN KEY (watchlist_id, owner_id)
        REFERENCES portfolios.watchlists (id, owner_id) ON DELETE CASCADE,
    CONSTRAINT watchlist_items_unique_watchlist_id_item_id UNIQUE (watchlist_id, item_id),
    CONSTRAINT watchlist_items_item_id_reference FOREIGN KEY (item_id) REFERENCES catalogue.items (id),
    CONSTRAINT watchlist_items_variant_id_reference FOREIGN KEY (variant_id)
        REFERENCES catalogue.item_variants (id)
);
CREATE INDEX watchlist_items_by_item ON portfolios.watchlist_items (item_id);
CREATE INDEX watchlist_items_by_owner ON portfolios.watchlist_items (owner_id);
CREATE INDEX watchlist_items_by_position ON portfolios.watchlist_items (watchlist_id, position, id);
CREATE INDEX watchlist_items_by_variant ON portfolios.watchlist_items (variant_id) WHERE variant_id IS NOT NULL;

CREATE TABLE portfolios.wants (
    id uuid NOT NULL,
    owner_id uuid NOT NULL,
    variant_id uuid NOT NULL,
    accepts_any_print boolean NOT NULL DEFAULT false,
    minimum_condition text,
    maximum_price numeric,
    currency text,
    priority smallint NOT NULL DEFAULT 0,
    notes text,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz,
    CONSTRAINT wants_key PRIMARY KEY (id),
    CONSTRAINT wants_condition_is_known
        CHECK (minimum_condition IN ('mint', 'near_mint', 'excellent', 'good', 'played', 'poor')),
    CONSTRAINT wants_maximum_price_is_not_negative CHECK (maximum_price >= 0),
    CONSTRAINT wants_maximum_price_has_a_currency CHECK ((maximum_price IS NULL) = (currency IS NULL)),
    CONSTRAINT wants_priority_is_small CHECK (priority BETWEEN 0 AND 10),
    CONSTRAINT wants_owner_id_reference FOREIGN KEY (owner_id)
        REFERENCES identity.users (id) ON DELETE CASCADE,
    CONSTRAINT wants_variant_id_reference FOREIGN KEY (variant_id) REFERENCES catalogue.item_variants (id)
);
CREATE INDEX wants_by_owner ON portfolios.wants (owner_id, priority, id);
CREATE INDEX wants_by_variant ON portfolios.wants (variant_id);
CREATE UNIQUE INDEX wants_once ON portfolios.wants (owner_id, variant_id) WHERE deleted_at IS NULL;

CREATE TABLE portfolios.preorders (
    id uuid NOT NULL,
    owner_id uuid NOT NULL,
    variant_id uuid NOT NULL,
    portfolio_id uuid,
    store_id uuid,
    trade_id uuid,
    status text NOT NULL,
    price numeric,
    shipping numeric NOT NULL DEFAULT 0,
    deposit numeric NOT NULL DEFAULT 0,
    refund numeric NOT NULL DEFAULT 0,
    currency text,
    exchange_rate numeric,
    rate_currency text,
    rate_date date,
    original_date date,
    original_precision text,
    release_date date,
    release_precision text,
    tracking_url text,
    shipped_at timestamptz,
    received_at timestamptz,
    estimated_delivery_days integer,
    notes text,
    request_key text,
    request_hash text,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT preorders_key PRIMARY KEY (id),
    CONSTRAINT preorders_unique_id_owner_id UNIQUE (id, owner_id),
    CONSTRAINT preorders_unique_owner_id_request_key UNIQUE (owner_id, request_key),
    CONSTRAINT preorders_status_is_known CHECK (status IN (
        'announced', 'open', 'preordered', 'in_production', 'released', 'shipped', 'received', 'cancelled'
    )),
    CONSTRAINT preorders_original_precision_is_known CHECK (original_precision IN ('day', 'month')),
    CONSTRAINT preorders_release_precision_is_known CHECK (release_precision IN ('day', 'month')),
    CONSTRAINT preorders_original_date_is_whole CHECK ((original_date IS NULL) = (original_precision IS NULL)),
    CONSTRAINT preorders_release_date_is_whole CHECK ((release_date IS NULL) = (release_precision IS NULL)),
    CONSTRAINT preorders_first_date_is_the_original CHECK (release_date IS NULL OR original_date IS NOT NULL),
    CONSTRAINT preorders_price_has_a_currency CHECK ((price IS NULL) = (currency IS NULL)),
    CONSTRAINT preorders_amounts_are_not_negative CHECK (price >= 0 AND shipping >= 0),
    CONSTRAINT preorders_deposit_is_part_of_the_price CHECK (deposit BETWEEN 0 AND coalesce(price, 0)),
    CONSTRAINT preorders_refund_is_part_of_the_deposit CHECK (refund BETWEEN 0 AND deposit),
    CONSTRAINT preorders_exchange_rate_is_positive CHECK (exchange_rate > 0 AND exchange_rate < 'Infinity'),
    CONSTRAINT preorders_exchange_rate_is_whole CHECK ((exchange_rate IS NULL) = (rate_currency IS NULL)),
    CONSTRAINT preorders_delivery_takes_no_negative_time CHECK (estimated_delivery_days >= 0),
    CONSTRAINT preorders_owner_id_reference FOREIGN KEY (owner_id)
        REFERENCES identity.users (id) ON DELETE CASCADE,
    CONSTRAINT preorders_variant_id_reference FOREIGN KEY (variant_id) REFERENCES catalogue.item_variants (id),
    CONSTRAINT preorders_portfolio_id_owner_id_reference FOREIGN KEY (portfolio_id, owner_id)
        REFERENCES portfolios.portfolios (id, owner_id) ON DELETE SET NULL (portfolio_id)
        DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT preorders_store_id_owner_id_reference FOREIGN KEY (store_id, owner_id)
        REFERENCES portfolios.stores (id, owner_id) ON DELETE SET NULL (store_id),
    CONSTRAINT preorders_trade_id_owner_id_reference FOREIGN KEY (trade_id, owner_id)
        REFERENCES portfolios.trades (id, owner_id) ON DELETE SET NULL (trade_id)
        DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX preorders_by_owner ON portfolios.preorders (owner_id, created_at, id);
CREATE INDEX preorders_by_variant ON portfolios.preorders (variant_id);
CREATE INDEX preorders_by_portfolio ON portfolios.preorders (portfolio_id) WHERE portfolio_id IS NOT NULL;
CREATE INDEX preorders_by_store ON portfolios.preorders (store_id) WHERE store_id IS NOT NULL;
CREATE INDEX preorders_by_trade ON portfolios.preorders (trade_id) WHERE trade_id IS NOT NULL;

CREATE TABLE portfolios.preorder_status_changes (
    id uuid NOT NULL,
    owner_id uuid NOT NULL,
    preorder_id uuid NOT NULL,
    previous_status text,
    status text NOT NULL,
    note text,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT preorder_status_changes_key PRIMARY KEY (id),
    CONSTRAINT preorder_status_changes_preorder_id_owner_id_reference FOREIGN KEY (preorder_id, owner_id)
        REFERENCES portfolios.preorders (id, owner_id) ON DELETE CASCADE
);
CREATE INDEX preorder_status_changes_by_preorder
    ON portfolios.preorder_status_changes (preorder_id, created_at, id);
CREATE INDEX preorder_status_changes_by_owner ON portfolios.preorder_status_changes (owner_id);

CREATE TABLE portfolios.preorder_date_changes (
    id uuid NOT NULL,
    owner_id uuid NOT NULL,
    preorder_id uuid NOT NULL,
    previous_date date,
    previous_precision text,
    new_date date,
    new_precision text,
    source text,
    note text,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT preorder_date_changes_key PRIMARY KEY (id),
    CONSTRAINT preorder_date_changes_preorder_id_owner_id_reference FOREIGN KEY (preorder_id, owner_id)
        REFERENCES portfolios.preorders (id, owner_id) ON DELETE CASCADE
);
CREATE INDEX preorder_date_changes_by_preorder ON portfolios.preorder_date_changes (preorder_id, created_at, id);
CREATE INDEX preorder_date_changes_by_owner ON portfolios.preorder_date_changes (owner_id);
"""

# What somebody wishes for is nobody else's to see, not even for staff.
ACCESS = """
ALTER TABLE portfolios.{table} ENABLE ROW LEVEL SECURITY;
CREATE POLICY viewer ON portfolios.{table} TO trove_api USING (owner_id = (SELECT identity.viewer_id()));
CREATE POLICY worker ON portfolios.{table} TO trove_worker USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON portfolios.{table} TO trove_worker;
GRANT SELECT, INSERT ON portfolios.{table} TO trove_api;
"""
# What the API may change of each; whose something is, and what it belongs to, it may not.
CHANGED = {
    "watchlists": "name, is_default, position, version, updated_at",
    "watchlist_items": "variant_id, notes, position",
    "wants": "variant_id, accepts_any_print, minimum_condition, maximum_price, currency, priority, notes, version, "
    "updated_at, deleted_at",
    "preorders": "portfolio_id, store_id, trade_id, status, price, shipping, deposit, refund, currency, exchange_rate, "
    "rate_currency, rate_date, original_date, original_precision, release_date, release_precision, tracking_url, "
    "shipped_at, received_at, estimated_delivery_days, notes, request_key, request_hash, version, updated_at",
}
# What became of a preorder is only ever added to, and goes with it.
OWNED = (*CHANGED, "preorder_status_changes", "preorder_date_changes")

# Who merges items moves everybody's wishes along, and sees none of them. The two lists of variants go together.
TAKE_OVER = """
CREATE FUNCTION portfolios.take_over_wishes(
    merged_item uuid, kept_item uuid, merged_variants uuid[], kept_variants uuid[]
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF current_setting('role', true) IS DISTINCT FROM 'trove_worker' AND NOT identity.viewer_may('catalogue:write') THEN
        RAISE EXCEPTION 'merging takes catalogue:write' USING ERRCODE = 'insufficient_privilege';
    END IF;
    UPDATE portfolios.watchlist_items AS own
    SET notes = coalesce(own.notes, others.notes)
    FROM portfolios.watchlist_items AS others
    WHERE own.item_id = kept_item AND others.item_id = merged_item AND others.watchlist_id = own.watchlist_id;
    DELETE FROM portfolios.watchlist_items AS others
    USING portfolios.watchlist_items AS own
    WHERE own.item_id = kept_item AND others.item_id = merged_item AND others.watchlist_id = own.watchlist_id;
    UPDATE portfolios.watchlist_items SET item_id = kept_item WHERE item_id = merged_item;
    UPDATE portfolios.watchlist_items AS listed SET variant_id = pair.kept
    FROM unnest(merged_variants, kept_variants) AS pair (merged, kept) WHERE listed.variant_id = pair.merged;
    UPDATE portfolios.wants AS others SET deleted_at = now(), updated_at = now(), version = others.version + 1
    FROM unnest(merged_variants, kept_variants) AS pair (merged, kept)
    JOIN portfolios.wants AS own ON own.variant_id = pair.kept AND own.deleted_at IS NULL
    WHERE others.variant_id = pair.merged AND others.deleted_at IS NULL AND others.owner_id = own.owner_id;
    UPDATE portfolios.wants AS want SET variant_id = pair.kept
    FROM unnest(merged_variants, kept_variants) AS pair (merged, kept) WHERE want.variant_id = pair.merged;
    UPDATE portfolios.preorders AS preorder SET variant_id = pair.kept
    FROM unnest(merged_variants, kept_variants) AS pair (merged, kept) WHERE preorder.variant_id = pair.merged;
END
$$;
REVOKE EXECUTE ON FUNCTION portfolios.take_over_wishes(uuid, uuid, uuid[], uuid[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION portfolios.take_over_wishes(uuid, uuid, uuid[], uuid[]) TO trove_api, trove_worker;
"""


def upgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    run(TABLES)
    for table in OWNED:
        run(ACCESS.format(table=table))
    for table, columns in CHANGED.items():
        op.execute(f"GRANT DELETE, UPDATE ({columns}) ON portfolios.{table} TO trove_api")
    run(TAKE_OVER)


def downgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    op.execute("DROP FUNCTION portfolios.take_over_wishes")
    for table in reversed(OWNED):
        op.execute(f"DROP TABLE portfolios.{table}")
