"""Ways in that were unlinked stay unlinked, and erasing somebody takes nothing out of what they did to others."""

from alembic import op

from migrations.statements import run

revision = "0009"
down_revision = "0008"
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

# What somebody did to others is those others' to know, and the audit's: of it only where from it was done goes.
ANONYMISE = """
CREATE OR REPLACE FUNCTION identity.anonymise_audit_log(erased uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM identity.users WHERE id = erased AND deleted_at IS NOT NULL) THEN
        RAISE EXCEPTION 'the audit log keeps what was done to accounts that are not erased'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    UPDATE identity.audit_log SET before = NULL, after = NULL
    WHERE subject_id = erased AND (before IS NOT NULL OR after IS NOT NULL);
    UPDATE identity.audit_log SET address = NULL, user_agent = NULL
    WHERE (subject_id = erased OR actor_id = erased) AND (address IS NOT NULL OR user_agent IS NOT NULL);
END
$$;
"""

# As 0003 made it.
ANONYMISE_BEFORE = """
CREATE OR REPLACE FUNCTION identity.anonymise_audit_log(erased uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM identity.users WHERE id = erased AND deleted_at IS NOT NULL) THEN
        RAISE EXCEPTION 'the audit log keeps what was done to accounts that are not erased'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    UPDATE identity.audit_log SET address = NULL, user_agent = NULL, before = NULL, after = NULL
    WHERE (subject_id = erased OR actor_id = erased)
        AND (address IS NOT NULL OR user_agent IS NOT NULL OR before IS NOT NULL OR after IS NOT NULL);
END
$$;
"""


def upgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    run(UNLINKED)
    run(ANONYMISE)


def downgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    run(ANONYMISE_BEFORE)
    op.execute("DROP TABLE identity.unlinked_identities")
