"""Imports of files and inventories: previewed, applied, undone."""

from alembic import op

from migrations.statements import run

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE portfolios.imports (
    id uuid NOT NULL,
    owner_id uuid NOT NULL,
    portfolio_id uuid NOT NULL,
    source text NOT NULL,
    steam_id text,
    status text NOT NULL,
    failure text,
    trades integer NOT NULL DEFAULT 0,
    acquired integer NOT NULL DEFAULT 0,
    gone integer NOT NULL DEFAULT 0,
    moved integer NOT NULL DEFAULT 0,
    unchanged integer NOT NULL DEFAULT 0,
    duplicates integer NOT NULL DEFAULT 0,
    skipped integer NOT NULL DEFAULT 0,
    bad integer NOT NULL DEFAULT 0,
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    previewed_at timestamptz,
    applied_at timestamptz,
    undone_at timestamptz,
    expires_at timestamptz,
    CONSTRAINT imports_key PRIMARY KEY (id),
    CONSTRAINT imports_unique_id_owner_id UNIQUE (id, owner_id),
    CONSTRAINT imports_portfolio_id_owner_id_reference FOREIGN KEY (portfolio_id, owner_id)
        REFERENCES portfolios.portfolios (id, owner_id) ON DELETE CASCADE,
    CONSTRAINT imports_status_is_known
        CHECK (status IN ('waiting', 'failed', 'previewed', 'applied', 'undone', 'expired'))
);
CREATE INDEX imports_by_portfolio ON portfolios.imports (portfolio_id, created_at, id);
CREATE INDEX imports_by_owner ON portfolios.imports (owner_id, created_at);
CREATE INDEX imports_waiting ON portfolios.imports (next_attempt_at) WHERE status = 'waiting';
CREATE INDEX imports_previewed ON portfolios.imports (expires_at) WHERE status = 'previewed';

CREATE TABLE portfolios.import_rows (
    import_id uuid NOT NULL,
    number integer NOT NULL,
    owner_id uuid NOT NULL,
    change text NOT NULL,
    line integer,
    subject text,
    reason text,
    variant_id uuid,
    holding_name text,
    holding_id uuid,
    made_holding boolean NOT NULL DEFAULT false,
    trade_id uuid,
    asset_id text,
    context integer,
    kind text,
    occurred_at timestamptz,
    quantity numeric,
    price numeric,
    fee numeric,
    currency text,
    exchange_rate numeric,
    exchange text,
    tags text[] NOT NULL DEFAULT ARRAY[]::text[],
    notes text,
    may_lack_acquisitions boolean NOT NULL DEFAULT false,
    external_id text,
    CONSTRAINT import_rows_key PRIMARY KEY (import_id, number),
    CONSTRAINT import_rows_import_id_owner_id_reference FOREIGN KEY (import_id, owner_id)
        REFERENCES portfolios.imports (id, owner_id) ON DELETE CASCADE,
    CONSTRAINT import_rows_change_is_known CHECK (
        change IN ('trade', 'acquired', 'gone', 'moved', 'unchanged', 'duplicate', 'skipped', 'bad')
    ),
    CONSTRAINT import_rows_number_is_positive CHECK (number > 0)
);
CREATE INDEX import_rows_by_owner ON portfolios.import_rows (owner_id);
"""

ACCESS = """
ALTER TABLE portfolios.{table} ENABLE ROW LEVEL SECURITY;
CREATE POLICY viewer ON portfolios.{table} TO trove_api USING (owner_id = (SELECT identity.viewer_id()));
CREATE POLICY worker ON portfolios.{table} TO trove_worker USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON portfolios.{table} TO trove_worker;
GRANT SELECT, INSERT, DELETE, UPDATE ({changed}) ON portfolios.{table} TO trove_api;
"""
CHANGED = {
    "imports": "status, failure, trades, acquired, gone, moved, unchanged, duplicates, skipped, bad, applied_at, "
    "undone_at, expires_at",
    "import_rows": "holding_id, made_holding, trade_id",
}


def upgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    run(TABLES)
    for table, changed in CHANGED.items():
        run(ACCESS.format(table=table, changed=changed))


def downgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    op.execute("DROP TABLE portfolios.import_rows, portfolios.imports")
