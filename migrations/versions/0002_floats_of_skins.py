"""Float values of skins are from 0 to 1, and never NaN, which JSON could not say."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    op.execute(
        """
        ALTER TABLE catalogue.skins
            ADD CONSTRAINT skins_float_minimum_is_a_share CHECK (float_minimum BETWEEN 0 AND 1),
            ADD CONSTRAINT skins_float_maximum_is_a_share CHECK (float_maximum BETWEEN 0 AND 1)
        """
    )


def downgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    op.execute(
        """
        ALTER TABLE catalogue.skins
            DROP CONSTRAINT skins_float_minimum_is_a_share,
            DROP CONSTRAINT skins_float_maximum_is_a_share
        """
    )
