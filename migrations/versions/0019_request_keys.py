"""Requests to record a trade may be sent twice."""

from alembic import op

from migrations.statements import run

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE portfolios.request_keys (
    owner_id uuid NOT NULL,
    key text NOT NULL,
    content_hash text NOT NULL,
    trade_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT request_keys_key PRIMARY KEY (owner_id, key),
    -- The key is claimed before the trade is stored.
    CONSTRAINT request_keys_trade_id_owner_id_reference FOREIGN KEY (trade_id, owner_id)
        REFERENCES portfolios.trades (id, owner_id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX request_keys_by_trade ON portfolios.request_keys (trade_id);
ALTER TABLE portfolios.request_keys ENABLE ROW LEVEL SECURITY;
CREATE POLICY viewer ON portfolios.request_keys TO trove_api USING (owner_id = (SELECT identity.viewer_id()));
CREATE POLICY worker ON portfolios.request_keys TO trove_worker USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, DELETE ON portfolios.request_keys TO trove_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON portfolios.request_keys TO trove_worker;
"""


def upgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    run(TABLES)


def downgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    op.execute("DROP TABLE portfolios.request_keys")
