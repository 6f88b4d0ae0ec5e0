"""The room of portfolios: what people hold, the trades they record, and the lots that follow from them."""

from alembic import op

from migrations.statements import run

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

TABLES = """
CREATE SCHEMA portfolios;

CREATE TABLE portfolios.portfolios (
    id uuid NOT NULL,
    owner_id uuid NOT NULL,
    name text NOT NULL,
    description text,
    base_currency text NOT NULL,
    method text NOT NULL DEFAULT 'fifo',
    visibility text NOT NULL DEFAULT 'private',
    shared_parts text[] NOT NULL DEFAULT ARRAY[]::text[],
    link_key text,
    is_default boolean NOT NULL DEFAULT false,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT portfolios_key PRIMARY KEY (id),
    CONSTRAINT portfolios_unique_id_owner_id UNIQUE (id, owner_id),
    CONSTRAINT portfolios_unique_link_key UNIQUE (link_key),
    CONSTRAINT portfolios_name_is_short CHECK (char_length(name) BETWEEN 1 AND 100),
    CONSTRAINT portfolios_method_is_known CHECK (method IN ('fifo', 'lifo', 'hifo', 'average', 'specific')),
    CONSTRAINT portfolios_visibility_is_known CHECK (visibility IN ('private', 'link', 'public')),
    CONSTRAINT portfolios_shared_parts_are_known
        CHECK (shared_parts <@ ARRAY['quantities', 'details', 'photos', 'values']),
    CONSTRAINT portfolios_link_has_a_key CHECK (visibility <> 'link' OR link_key IS NOT NULL),
    CONSTRAINT portfolios_owner_id_reference FOREIGN KEY (owner_id)
        REFERENCES identity.users (id) ON DELETE CASCADE
);
CREATE INDEX portfolios_by_owner ON portfolios.portfolios (owner_id, created_at, id);
CREATE UNIQUE INDEX portfolios_one_default ON portfolios.portfolios (owner_id) WHERE is_default;

CREATE TABLE portfolios.stores (
    id uuid NOT NULL,
    owner_id uuid NOT NULL,
    name text NOT NULL,
    slug text NOT NULL,
    url text,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT stores_key PRIMARY KEY (id),
    CONSTRAINT stores_unique_id_owner_id UNIQUE (id, owner_id),
    CONSTRAINT stores_unique_owner_id_slug UNIQUE (owner_id, slug),
    CONSTRAINT stores_name_is_short CHECK (char_length(name) BETWEEN 1 AND 100),
    CONSTRAINT stores_owner_id_reference FOREIGN KEY (owner_id)
        REFERENCES identity.users (id) ON DELETE CASCADE
);

CREATE TABLE portfolios.holdings (
    id uuid NOT NULL,
    owner_id uuid NOT NULL,
    portfolio_id uuid NOT NULL,
    variant_id uuid NOT NULL,
    position integer NOT NULL,
    quantity numeric NOT NULL DEFAULT 0,
    cost numeric NOT NULL DEFAULT 0,
    realized_gain numeric NOT NULL DEFAULT 0,
    missing_quantity numeric NOT NULL DEFAULT 0,
    external_source text,
    external_id text,
    archived_at timestamptz,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT holdings_key PRIMARY KEY (id),
    CONSTRAINT holdings_portfolio_id_owner_id_reference FOREIGN KEY (portfolio_id, owner_id)
        REFERENCES portfolios.portfolios (id, owner_id) ON DELETE CASCADE,
    CONSTRAINT holdings_unique_id_portfolio_id_owner_id UNIQUE (id, portfolio_id, owner_id),
    CONSTRAINT holdings_unique_owner_id_external_source_external_id UNIQUE (owner_id, external_source, external_id),
    CONSTRAINT holdings_quantities_are_not_negative CHECK (quantity >= 0 AND missing_quantity >= 0),
    CONSTRAINT holdings_external_name_is_whole CHECK ((external_source IS NULL) = (external_id IS NULL)),
    CONSTRAINT holdings_variant_id_reference FOREIGN KEY (variant_id)
        REFERENCES catalogue.item_variants (id)
);
CREATE INDEX holdings_by_owner ON portfolios.holdings (owner_id, variant_id);
CREATE INDEX holdings_by_position ON portfolios.holdings (portfolio_id, position, id);
CREATE INDEX holdings_by_variant ON portfolios.holdings (variant_id);

CREATE TABLE portfolios.trade_revisions (
    id uuid NOT NULL,
    owner_id uuid NOT NULL,
    portfolio_id uuid NOT NULL,
    trade_id uuid NOT NULL,
    number integer NOT NULL,
    action text NOT NULL,
    before jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT trade_revisions_key PRIMARY KEY (id),
    CONSTRAINT trade_revisions_portfolio_id_owner_id_reference FOREIGN KEY (portfolio_id, owner_id)
        REFERENCES portfolios.portfolios (id, owner_id) ON DELETE CASCADE,
    CONSTRAINT trade_revisions_unique_trade_id_number UNIQUE (trade_id, number),
    CONSTRAINT trade_revisions_number_is_positive CHECK (number > 0),
    CONSTRAINT trade_revisions_action_is_known CHECK (action IN ('edited', 'deleted'))
);
CREATE INDEX trade_revisions_by_owner ON portfolios.trade_revisions (owner_id);
CREATE INDEX trade_revisions_by_portfolio ON portfolios.trade_revisions (portfolio_id, created_at, id);

CREATE TABLE portfolios.holding_details (
    holding_id uuid NOT NULL,
    owner_id uuid NOT NULL,
    portfolio_id uuid NOT NULL,
    condition text,
    grade numeric,
    grader text,
    serial text,
    float_value numeric,
    pattern integer,
    place text,
    store_id uuid,
    acquired_on date,
    notes text,
    CONSTRAINT holding_details_key PRIMARY KEY (holding_id),
    CONSTRAINT holding_details_holding_id_portfolio_id_owner_id_reference
        FOREIGN KEY (holding_id, portfolio_id, owner_id)
        REFERENCES portfolios.holdings (id, portfolio_id, owner_id) ON DELETE CASCADE,
    CONSTRAINT holding_details_store_id_owner_id_reference FOREIGN KEY (store_id, owner_id)
        REFERENCES portfolios.stores (id, owner_id),
    CONSTRAINT holding_details_grade_is_a_grade CHECK (grade BETWEEN 0 AND 100),
    CONSTRAINT holding_details_float_is_a_share CHECK (float_value BETWEEN 0 AND 1),
    CONSTRAINT holding_details_pattern_is_a_seed CHECK (pattern BETWEEN 0 AND 100000)
);
CREATE INDEX holding_details_by_owner ON portfolios.holding_details (owner_id);
CREATE INDEX holding_details_by_store ON portfolios.holding_details (store_id) WHERE store_id IS NOT NULL;

CREATE TABLE portfolios.trades (
    id uuid NOT NULL,
    owner_id uuid NOT NULL,
    portfolio_id uuid NOT NULL,
    holding_id uuid NOT NULL,
    kind text NOT NULL,
    occurred_at timestamptz NOT NULL,
    quantity numeric NOT NULL,
    price numeric NOT NULL,
    fee numeric NOT NULL DEFAULT 0,
    currency text NOT NULL,
    exchange_rate numeric NOT NULL,
    rate_date date,
    exchange text,
    tags text[] NOT NULL DEFAULT ARRAY[]::text[],
    notes text,
    may_lack_acquisitions boolean NOT NULL DEFAULT false,
    external_source text,
    external_id text,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT trades_key PRIMARY KEY (id),
    CONSTRAINT trades_holding_id_portfolio_id_owner_id_reference FOREIGN KEY (holding_id, portfolio_id, owner_id)
        REFERENCES portfolios.holdings (id, portfolio_id, owner_id) ON DELETE CASCADE,
    CONSTRAINT trades_unique_id_owner_id UNIQUE (id, owner_id),
    CONSTRAINT trades_unique_portfolio_id_external_source_external_id
        UNIQUE (portfolio_id, external_source, external_id),
    CONSTRAINT trades_kind_is_known
        CHECK (kind IN ('buy', 'sell', 'transfer_in', 'transfer_out', 'gift_in', 'gift_out', 'fee')),
    CONSTRAINT trades_quantity_is_positive CHECK (quantity > 0 OR (kind = 'fee' AND quantity = 0)),
    CONSTRAINT trades_amounts_are_not_negative CHECK (price >= 0 AND fee >= 0),
    CONSTRAINT trades_exchange_rate_is_positive CHECK (exchange_rate > 0 AND exchange_rate < 'Infinity'),
    CONSTRAINT trades_external_name_is_whole CHECK ((external_source IS NULL) = (external_id IS NULL))
);
CREATE INDEX trades_by_holding ON portfolios.trades (holding_id, occurred_at, id);
CREATE INDEX trades_by_owner ON portfolios.trades (owner_id, occurred_at, id);
CREATE INDEX trades_by_portfolio ON portfolios.trades (portfolio_id, occurred_at, id);

CREATE TABLE portfolios.lot_disposals (
    trade_id uuid NOT NULL,
    number integer NOT NULL,
    owner_id uuid NOT NULL,
    portfolio_id uuid NOT NULL,
    holding_id uuid NOT NULL,
    lot_id uuid,
    acquired_at timestamptz,
    disposed_at timestamptz NOT NULL,
    quantity numeric NOT NULL,
    cost numeric,
    proceeds numeric,
    gain numeric,
    CONSTRAINT lot_disposals_key PRIMARY KEY (trade_id, number),
    CONSTRAINT lot_disposals_trade_id_owner_id_reference FOREIGN KEY (trade_id, owner_id)
        REFERENCES portfolios.trades (id, owner_id) ON DELETE CASCADE,
    CONSTRAINT lot_disposals_quantity_is_positive CHECK (quantity > 0),
    CONSTRAINT lot_disposals_cost_is_of_a_lot CHECK ((cost IS NULL) = (lot_id IS NULL))
);
CREATE INDEX lot_disposals_by_holding ON portfolios.lot_disposals (holding_id, disposed_at, trade_id, number);
CREATE INDEX lot_disposals_by_lot ON portfolios.lot_disposals (lot_id) WHERE lot_id IS NOT NULL;
CREATE INDEX lot_disposals_by_owner ON portfolios.lot_disposals (owner_id);
CREATE INDEX lot_disposals_by_portfolio ON portfolios.lot_disposals (portfolio_id, disposed_at, trade_id, number);

CREATE TABLE portfolios.lots (
    id uuid NOT NULL,
    owner_id uuid NOT NULL,
    portfolio_id uuid NOT NULL,
    holding_id uuid NOT NULL,
    acquired_at timestamptz NOT NULL,
    quantity numeric NOT NULL,
    cost numeric NOT NULL,
    remaining_quantity numeric NOT NULL,
    remaining_cost numeric,
    CONSTRAINT lots_key PRIMARY KEY (id),
    CONSTRAINT lots_id_owner_id_reference FOREIGN KEY (id, owner_id)
        REFERENCES portfolios.trades (id, owner_id) ON DELETE CASCADE,
    CONSTRAINT lots_quantity_is_positive CHECK (quantity > 0),
    CONSTRAINT lots_remaining_quantity_is_a_part CHECK (remaining_quantity BETWEEN 0 AND quantity),
    CONSTRAINT lots_remaining_cost_is_a_part CHECK (cost >= 0 AND remaining_cost BETWEEN 0 AND cost)
);
CREATE INDEX lots_by_holding ON portfolios.lots (holding_id, acquired_at, id);
CREATE INDEX lots_by_owner ON portfolios.lots (owner_id);

CREATE TABLE portfolios.trade_lot_choices (
    trade_id uuid NOT NULL,
    lot_id uuid NOT NULL,
    owner_id uuid NOT NULL,
    quantity numeric NOT NULL,
    CONSTRAINT trade_lot_choices_key PRIMARY KEY (trade_id, lot_id),
    CONSTRAINT trade_lot_choices_trade_id_owner_id_reference FOREIGN KEY (trade_id, owner_id)
        REFERENCES portfolios.trades (id, owner_id) ON DELETE CASCADE,
    -- Deferred, for a lot and what names it go together with their holding.
    CONSTRAINT trade_lot_choices_lot_id_owner_id_reference FOREIGN KEY (lot_id, owner_id)
        REFERENCES portfolios.trades (id, owner_id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT trade_lot_choices_quantity_is_positive CHECK (quantity > 0)
);
CREATE INDEX trade_lot_choices_by_lot ON portfolios.trade_lot_choices (lot_id);
CREATE INDEX trade_lot_choices_by_owner ON portfolios.trade_lot_choices (owner_id);

"""

# What somebody owns is nobody else's to see, not even for staff.
ACCESS = """
ALTER TABLE portfolios.{table} ENABLE ROW LEVEL SECURITY;
CREATE POLICY viewer ON portfolios.{table} TO trove_api USING (owner_id = (SELECT identity.viewer_id()));
CREATE POLICY worker ON portfolios.{table} TO trove_worker USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON portfolios.{table} TO trove_worker;
GRANT SELECT, INSERT ON portfolios.{table} TO trove_api;
"""
# What the API may change of each; whose something is, and what it belongs to, it may not.
CHANGED = {
    "portfolios": "name, description, base_currency, method, visibility, shared_parts, link_key, is_default, version, "
    "updated_at",
    "stores": "name, slug, url",
    "holdings": "position, quantity, cost, realized_gain, missing_quantity, archived_at, version, updated_at",
    "holding_details": "condition, grade, grader, serial, float_value, pattern, place, store_id, acquired_on, notes",
    "trades": "kind, occurred_at, quantity, price, fee, currency, exchange_rate, rate_date, exchange, tags, notes, "
    "may_lack_acquisitions, version, updated_at",
    "trade_lot_choices": "quantity",
    "lots": "acquired_at, quantity, cost, remaining_quantity, remaining_cost",
    "lot_disposals": "quantity",
}
# The history of trades is only ever added to.
OWNED = (*CHANGED, "trade_revisions")

# Who merges items moves everybody's holdings along, and sees none of them.
TAKE_OVER = """
CREATE FUNCTION portfolios.take_over_variant(merged uuid, kept uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF current_setting('role', true) IS DISTINCT FROM 'trove_worker' AND NOT identity.viewer_may('catalogue:write') THEN
        RAISE EXCEPTION 'merging takes catalogue:write' USING ERRCODE = 'insufficient_privilege';
    END IF;
    UPDATE portfolios.holdings SET variant_id = kept WHERE variant_id = merged;
END
$$;
REVOKE EXECUTE ON FUNCTION portfolios.take_over_variant(uuid, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION portfolios.take_over_variant(uuid, uuid) TO trove_api, trove_worker;
"""


def upgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    run(TABLES)
    op.execute("GRANT USAGE ON SCHEMA portfolios TO trove_api, trove_worker")
    for table in OWNED:
        run(ACCESS.format(table=table))
    for table, columns in CHANGED.items():
        op.execute(f"GRANT DELETE, UPDATE ({columns}) ON portfolios.{table} TO trove_api")
    run(TAKE_OVER)


def downgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    op.execute("DROP SCHEMA portfolios CASCADE")
