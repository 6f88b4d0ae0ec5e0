"""What others see of portfolios, and the keys of requests that may come twice."""

from alembic import op

from migrations.statements import run

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

TABLES = """
ALTER TABLE portfolios.portfolios ADD COLUMN shared_id uuid GENERATED ALWAYS AS (
    CASE WHEN visibility = 'public' THEN id
        WHEN visibility = 'link' AND link_key ~ '^[0-9a-f]{32}$' THEN CAST(link_key AS uuid) END
) STORED;
ALTER TABLE portfolios.portfolios ADD CONSTRAINT portfolios_unique_shared_id UNIQUE (shared_id);

CREATE TABLE portfolios.creation_keys (
    owner_id uuid NOT NULL,
    key text NOT NULL,
    content_hash text NOT NULL,
    result_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT creation_keys_key PRIMARY KEY (owner_id, key),
    CONSTRAINT creation_keys_owner_id_reference FOREIGN KEY (owner_id)
        REFERENCES identity.users (id) ON DELETE CASCADE
);
ALTER TABLE portfolios.creation_keys ENABLE ROW LEVEL SECURITY;
CREATE POLICY viewer ON portfolios.creation_keys TO trove_api USING (owner_id = (SELECT identity.viewer_id()));
CREATE POLICY worker ON portfolios.creation_keys TO trove_worker USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, DELETE ON portfolios.creation_keys TO trove_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON portfolios.creation_keys TO trove_worker;
"""

# They belong to the owner of the tables, so they show rows that policies hide: no more than their owners chose. What is
# not held any more, or was archived, is nobody else's to see. Without the quantities a value is of one unit, which
# everybody can look up; a value of them all would tell how many there are.
VIEWS = """
CREATE VIEW portfolios.shared_portfolios WITH (security_barrier) AS
SELECT portfolio.shared_id AS id, portfolio.owner_id,
    CASE WHEN portfolio.visibility = 'public' THEN portfolio.owner_id END AS public_owner_id,
    portfolio.name, portfolio.description,
    CASE WHEN 'values' = ANY (portfolio.shared_parts) THEN portfolio.base_currency END AS base_currency,
    portfolio.shared_parts, portfolio.created_at
FROM portfolios.portfolios AS portfolio
JOIN identity.users AS owner ON owner.id = portfolio.owner_id
WHERE portfolio.shared_id IS NOT NULL AND owner.deleted_at IS NULL;

CREATE VIEW portfolios.shared_holdings WITH (security_barrier) AS
SELECT holding.id, portfolio.shared_id AS portfolio_id, holding.position, holding.variant_id,
    CASE WHEN 'quantities' = ANY (portfolio.shared_parts) THEN holding.quantity END AS quantity,
    CASE WHEN 'values' = ANY (portfolio.shared_parts)
        THEN CASE WHEN 'quantities' = ANY (portfolio.shared_parts) THEN holding.quantity ELSE 1 END
    END AS valued_quantity,
    CASE WHEN 'values' = ANY (portfolio.shared_parts) THEN portfolio.base_currency END AS base_currency,
    details.condition, details.grade, details.grader, details.float_value, details.pattern
FROM portfolios.holdings AS holding
JOIN portfolios.portfolios AS portfolio ON portfolio.id = holding.portfolio_id
JOIN identity.users AS owner ON owner.id = portfolio.owner_id
LEFT JOIN portfolios.holding_details AS details
    ON details.holding_id = holding.id AND 'details' = ANY (portfolio.shared_parts)
WHERE portfolio.shared_id IS NOT NULL AND owner.deleted_at IS NULL
    AND holding.archived_at IS NULL AND holding.quantity > 0;

GRANT SELECT ON portfolios.shared_portfolios, portfolios.shared_holdings TO trove_api;
"""


def upgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    run(TABLES)
    run(VIEWS)


def downgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    op.execute("DROP VIEW portfolios.shared_holdings, portfolios.shared_portfolios")
    op.execute("DROP TABLE portfolios.creation_keys")
    op.execute("ALTER TABLE portfolios.portfolios DROP COLUMN shared_id")
