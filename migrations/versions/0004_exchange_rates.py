"""Exchange rates: how many units of a currency one euro bought on a day."""

from alembic import op

from migrations.statements import run

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# The euro is never a row: it is 1 on every day, and a row could say otherwise.
EXCHANGE_RATES = """
CREATE TABLE prices.exchange_rates (
    currency text
        CONSTRAINT exchange_rates_currency_is_a_code CHECK (currency ~ '^[A-Z]{3}$' AND currency <> 'EUR'),
    rate_date date,
    units_per_eur numeric NOT NULL
        CONSTRAINT exchange_rates_units_per_eur_is_positive
        CHECK (units_per_eur > 0 AND units_per_eur < 'Infinity'),
    source text NOT NULL,
    CONSTRAINT exchange_rates_key PRIMARY KEY (currency, rate_date)
);
GRANT SELECT ON prices.exchange_rates TO trove_api, trove_worker;
GRANT INSERT, UPDATE ON prices.exchange_rates TO trove_worker;
"""


def upgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    run(EXCHANGE_RATES)


def downgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    op.execute("DROP TABLE prices.exchange_rates")
