"""Let imports take away the names that outside services no longer have for an item."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    op.execute("GRANT DELETE ON catalogue.external_ids TO trove_worker")


def downgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    op.execute("REVOKE DELETE ON catalogue.external_ids FROM trove_worker")
