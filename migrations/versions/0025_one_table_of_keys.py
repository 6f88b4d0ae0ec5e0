"""One table of keys for whatever is made in portfolios, and pages of holdings in the order of an index."""

from alembic import op

from migrations.statements import run

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

KEYS = """
INSERT INTO portfolios.creation_keys (owner_id, key, content_hash, result_id, created_at)
SELECT owner_id, key, content_hash, trade_id, created_at FROM portfolios.request_keys
ON CONFLICT DO NOTHING;
DROP TABLE portfolios.request_keys;
"""
# With the owner in it: each read narrows by both, and PostgreSQL, which takes one for independent of the other, expects
# a single holding and so looks for no order; it then sorted all of a portfolio for each page.
POSITIONS = """
DROP INDEX portfolios.holdings_by_position;
CREATE INDEX holdings_by_position ON portfolios.holdings (portfolio_id, owner_id, position, id);
"""
# As migration 0019 made it.
SEPARATE_KEYS = """
CREATE TABLE portfolios.request_keys (
    owner_id uuid NOT NULL,
    key text NOT NULL,
    content_hash text NOT NULL,
    trade_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT request_keys_key PRIMARY KEY (owner_id, key),
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
POSITIONS_WITHOUT_OWNER = """
DROP INDEX portfolios.holdings_by_position;
CREATE INDEX holdings_by_position ON portfolios.holdings (portfolio_id, position, id);
"""


def upgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    run(KEYS)
    run(POSITIONS)


def downgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    run(POSITIONS_WITHOUT_OWNER)
    run(SEPARATE_KEYS)
