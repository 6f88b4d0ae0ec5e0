"""Ways in that were unlinked stay unlinked, and erasing somebody takes nothing out of what they did to others."""

from alembic import op

from migrations.statements import run

revision = "0009"
down_revision = "0003"
branch_labels = None
depends_on = None

UNLINKED = """
CREATE TABLE identity.unlinked_identities (
    user_id uuid
        CONSTRAINT unlinked_identities_user_id_reference REFERENCES identity.users (id) ON DELETE CASCADE,
    provider text,
    issuer text,
    subject text,
    unlinked_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT unlinked_identities_key PRIMARY KEY (user_id, provider, issuer, subject)
);
ALTER TABLE identity.unlinked_identities ENABLE ROW LEVEL SECURITY;
CREATE POLICY authenticator ON identity.unlinked_identities TO trove_authenticator USING (true) WITH CHECK (true);
CREATE POLICY worker ON identity.unlinked_identities TO trove_worker USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, DELETE ON identity.unlinked_identities TO trove_authenticator;
GRANT SELECT, INSERT, UPDATE, DELETE ON identity.unlinked_identities TO trove_worker;
"""


def upgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    run(UNLINKED)


def downgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    op.execute("DROP TABLE identity.unlinked_identities")
