"""Pages of the batches that somebody sent, in the order of an index."""

from alembic import op

from migrations.statements import run

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

BATCHES = """
CREATE INDEX ingest_batches_by_sender ON ingestion.ingest_batches (sender_id, received_at, id);
"""


def upgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    run(BATCHES)


def downgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    run("DROP INDEX ingestion.ingest_batches_by_sender")
