"""Imports of files and inventories, previewed, applied and undone; and exports of what is in portfolios."""

from alembic import op

from migrations.statements import run

revision = "0023"
down_revision = "0022"
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

CREATE TABLE portfolios.exports (
    id uuid NOT NULL,
    owner_id uuid NOT NULL,
    portfolio_id uuid NOT NULL,
    format text NOT NULL,
    what text NOT NULL,
    status text NOT NULL DEFAULT 'waiting',
    rows_done integer NOT NULL DEFAULT 0,
    rows_total integer,
    content bytea,
    content_bytes integer,
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    last_error text,
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    expires_at timestamptz,
    CONSTRAINT exports_key PRIMARY KEY (id),
    CONSTRAINT exports_portfolio_id_owner_id_reference FOREIGN KEY (portfolio_id, owner_id)
        REFERENCES portfolios.portfolios (id, owner_id) ON DELETE CASCADE,
    CONSTRAINT exports_format_is_known CHECK (format IN ('csv', 'jsonl')),
    CONSTRAINT exports_what_is_known CHECK (what IN ('trades', 'holdings')),
    CONSTRAINT exports_status_is_known CHECK (status IN ('waiting', 'ready', 'failed', 'expired'))
);
CREATE INDEX exports_by_portfolio ON portfolios.exports (portfolio_id, created_at, id);
CREATE INDEX exports_by_owner ON portfolios.exports (owner_id, created_at);
CREATE INDEX exports_waiting ON portfolios.exports (next_attempt_at) WHERE status = 'waiting';
CREATE INDEX exports_ready ON portfolios.exports (expires_at) WHERE status = 'ready';
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
# What is in an export goes out by a link, which no viewer opens.
EXPORTS = """
ALTER TABLE portfolios.exports ENABLE ROW LEVEL SECURITY;
CREATE POLICY viewer ON portfolios.exports TO trove_api USING (owner_id = (SELECT identity.viewer_id()));
CREATE POLICY worker ON portfolios.exports TO trove_worker USING (true) WITH CHECK (true);
CREATE POLICY link ON portfolios.exports FOR SELECT TO trove_authenticator USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON portfolios.exports TO trove_worker;
GRANT SELECT (id, owner_id, portfolio_id, format, what, status, rows_done, rows_total, content_bytes, created_at,
    finished_at, expires_at) ON portfolios.exports TO trove_api;
GRANT INSERT (id, owner_id, portfolio_id, format, what) ON portfolios.exports TO trove_api;
GRANT USAGE ON SCHEMA portfolios TO trove_authenticator;
GRANT SELECT ON portfolios.exports TO trove_authenticator;
"""


def upgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    run(TABLES)
    for table, changed in CHANGED.items():
        run(ACCESS.format(table=table, changed=changed))
    run(EXPORTS)


def downgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    op.execute("DROP TABLE portfolios.exports, portfolios.import_rows, portfolios.imports")
