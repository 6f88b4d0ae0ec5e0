"""Keep what rulings there are of cards, which all prints of a card share by its oracle id."""

from alembic import op

from migrations.statements import run

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    run(
        """
        ALTER TABLE catalogue.cards ADD COLUMN oracle_id text;
        CREATE INDEX cards_by_oracle_id ON catalogue.cards (oracle_id, item_id);
        CREATE TABLE catalogue.card_rulings (
            id uuid CONSTRAINT card_rulings_key PRIMARY KEY,
            oracle_id text NOT NULL,
            published_on date NOT NULL,
            source text NOT NULL,
            comment text NOT NULL
        );
        CREATE INDEX card_rulings_by_card ON catalogue.card_rulings (oracle_id, published_on, id);
        GRANT SELECT ON catalogue.card_rulings TO trove_api;
        GRANT SELECT, INSERT, UPDATE, DELETE ON catalogue.card_rulings TO trove_worker;
        """
    )


def downgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    run(
        """
        DROP TABLE catalogue.card_rulings;
        ALTER TABLE catalogue.cards DROP COLUMN oracle_id;
        """
    )
