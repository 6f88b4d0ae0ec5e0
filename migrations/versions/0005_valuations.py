"""What variants are worth: every valuation that changed something, and what is due to be valued."""

from alembic import op

from migrations.statements import run

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

VALUATIONS = """
CREATE TABLE prices.valuations (
    id uuid CONSTRAINT valuations_key PRIMARY KEY,
    variant_id uuid NOT NULL
        CONSTRAINT valuations_variant_id_reference REFERENCES catalogue.item_variants (id) ON DELETE CASCADE,
    currency text NOT NULL,
    as_of timestamptz NOT NULL,
    basis text NOT NULL CONSTRAINT valuations_basis_is_known CHECK (basis IN ('sales', 'ask', 'list', 'none')),
    value numeric,
    median numeric,
    low numeric,
    high numeric,
    sample_size integer NOT NULL CONSTRAINT valuations_sample_size_is_a_count CHECK (sample_size >= 0),
    confidence text NOT NULL
        CONSTRAINT valuations_confidence_is_known CHECK (confidence IN ('low', 'medium', 'high')),
    observed_at timestamptz,
    excluded jsonb NOT NULL,
    excluded_count integer NOT NULL,
    explanation text NOT NULL,
    computed_at timestamptz NOT NULL,
    is_current boolean NOT NULL,
    CONSTRAINT valuations_value_has_a_basis CHECK (
        (value IS NULL) = (basis = 'none') AND (observed_at IS NULL) = (basis = 'none')
    ),
    CONSTRAINT valuations_sales_have_a_median CHECK ((median IS NULL) = (basis <> 'sales')),
    CONSTRAINT valuations_interval_is_whole CHECK ((low IS NULL) = (high IS NULL) AND low <= high)
);
CREATE INDEX valuations_by_time ON prices.valuations (variant_id, as_of, id);
CREATE UNIQUE INDEX valuations_one_current ON prices.valuations (variant_id, currency) WHERE is_current;

CREATE TABLE prices.valuation_states (
    variant_id uuid CONSTRAINT valuation_states_key PRIMARY KEY
        CONSTRAINT valuation_states_variant_id_reference REFERENCES catalogue.item_variants (id) ON DELETE CASCADE,
    has_sales boolean NOT NULL,
    due_since timestamptz,
    computed_at timestamptz,
    next_change_at timestamptz
);
CREATE INDEX valuation_states_due ON prices.valuation_states (due_since) WHERE due_since IS NOT NULL;
CREATE INDEX valuation_states_by_next_change ON prices.valuation_states (next_change_at)
    WHERE next_change_at IS NOT NULL;

GRANT SELECT ON prices.valuations TO trove_api;
GRANT SELECT, INSERT, UPDATE ON prices.valuations, prices.valuation_states TO trove_worker;

-- What has prices already is due.
INSERT INTO prices.valuation_states (variant_id, has_sales, due_since)
SELECT variant_id, bool_or(kind = 'sale'), now()
FROM prices.price_series
WHERE kind IN ('sale', 'ask', 'list')
GROUP BY variant_id;
"""


def upgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    run(VALUATIONS)


def downgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    op.execute("DROP TABLE prices.valuation_states")
    op.execute("DROP TABLE prices.valuations")
