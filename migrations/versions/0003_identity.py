"""People, how they prove who they are, and what each may see: the room of identity, and row-level security."""

from alembic import op
from sqlalchemy import text

from migrations.statements import run

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# Of what the API can be, this role alone reads what proves who somebody is. The API takes it on for the transactions
# that sign somebody in, and does not inherit it: an ordinary operation sees no hash and no secret.
AUTHENTICATOR = """
DO $$
BEGIN
    BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'trove_authenticator') THEN
            CREATE ROLE trove_authenticator NOLOGIN;
        END IF;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL;
    END;
    -- Another database of the cluster may be migrated at this moment, and roles belong to the cluster.
    PERFORM pg_advisory_xact_lock(hashtext('trove_roles'));
    IF (SELECT rolinherit FROM pg_roles WHERE rolname = 'trove_api') THEN
        ALTER ROLE trove_api NOINHERIT;
    END IF;
    IF NOT pg_has_role(current_user, 'trove_authenticator', 'MEMBER') THEN
        GRANT trove_authenticator TO CURRENT_USER;
    END IF;
    IF NOT pg_has_role('trove_api', 'trove_authenticator', 'MEMBER') THEN
        GRANT trove_authenticator TO trove_api;
    END IF;
    EXECUTE format('GRANT CREATE ON DATABASE %I TO trove_migrator', current_database());
END
$$
"""

USERS = """
CREATE SCHEMA identity;

CREATE TABLE identity.users (
    id uuid CONSTRAINT users_key PRIMARY KEY,
    username text NOT NULL
        CONSTRAINT users_username_is_a_name CHECK (username ~ '^[A-Za-z0-9][A-Za-z0-9_-]{2,29}$'),
    display_name text,
    avatar_url text,
    email text,
    email_verified_at timestamptz,
    currency text NOT NULL DEFAULT 'USD',
    timezone text NOT NULL DEFAULT 'UTC',
    locale text NOT NULL DEFAULT 'en',
    notifies_by_email boolean NOT NULL DEFAULT true,
    notifies_by_push boolean NOT NULL DEFAULT true,
    nsfw_visibility text NOT NULL DEFAULT 'hidden'
        CONSTRAINT users_nsfw_visibility_is_known CHECK (nsfw_visibility IN ('hidden', 'blurred', 'shown')),
    is_inventory_public boolean NOT NULL DEFAULT false,
    is_marketplace_enabled boolean NOT NULL DEFAULT false,
    shares_analytics boolean NOT NULL DEFAULT false,
    last_login_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deletion_requested_at timestamptz,
    erase_after timestamptz,
    deleted_at timestamptz,
    CONSTRAINT users_deletion_has_a_date CHECK ((deletion_requested_at IS NULL) = (erase_after IS NULL))
);
CREATE UNIQUE INDEX users_unique_username ON identity.users (lower(username));
CREATE UNIQUE INDEX users_unique_verified_email ON identity.users (lower(email)) WHERE email_verified_at IS NOT NULL;
CREATE INDEX users_to_erase ON identity.users (erase_after) WHERE erase_after IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX users_erased ON identity.users (deleted_at) WHERE deleted_at IS NOT NULL;

CREATE TABLE identity.identities (
    id uuid CONSTRAINT identities_key PRIMARY KEY,
    user_id uuid NOT NULL
        CONSTRAINT identities_user_id_reference REFERENCES identity.users (id) ON DELETE CASCADE,
    provider text NOT NULL,
    issuer text NOT NULL DEFAULT '',
    subject text NOT NULL,
    email text,
    display_name text,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz,
    CONSTRAINT identities_unique_provider_issuer_subject UNIQUE (provider, issuer, subject)
);
CREATE INDEX identities_by_user ON identity.identities (user_id);

CREATE TABLE identity.credentials (
    user_id uuid CONSTRAINT credentials_key PRIMARY KEY
        CONSTRAINT credentials_user_id_reference REFERENCES identity.users (id) ON DELETE CASCADE,
    password_hash bytea NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE identity.totp_secrets (
    user_id uuid CONSTRAINT totp_secrets_key PRIMARY KEY
        CONSTRAINT totp_secrets_user_id_reference REFERENCES identity.users (id) ON DELETE CASCADE,
    secret bytea NOT NULL,
    last_step bigint,
    created_at timestamptz NOT NULL DEFAULT now(),
    confirmed_at timestamptz
);

CREATE TABLE identity.recovery_codes (
    id uuid CONSTRAINT recovery_codes_key PRIMARY KEY,
    user_id uuid NOT NULL
        CONSTRAINT recovery_codes_user_id_reference REFERENCES identity.users (id) ON DELETE CASCADE,
    code_hash bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    used_at timestamptz,
    CONSTRAINT recovery_codes_unique_user_id_code_hash UNIQUE (user_id, code_hash)
);

CREATE TABLE identity.passkeys (
    id uuid CONSTRAINT passkeys_key PRIMARY KEY,
    user_id uuid NOT NULL
        CONSTRAINT passkeys_user_id_reference REFERENCES identity.users (id) ON DELETE CASCADE,
    credential_id bytea NOT NULL CONSTRAINT passkeys_unique_credential_id UNIQUE,
    public_key bytea NOT NULL,
    sign_count bigint NOT NULL,
    name text NOT NULL,
    transports text[] NOT NULL DEFAULT ARRAY[]::text[],
    is_backed_up boolean NOT NULL,
    verifies_user boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz
);
CREATE INDEX passkeys_by_user ON identity.passkeys (user_id);

CREATE TABLE identity.challenges (
    id uuid CONSTRAINT challenges_key PRIMARY KEY,
    kind text NOT NULL CONSTRAINT challenges_kind_is_known CHECK (kind IN ('sign_up', 'magic_link', 'change_email',
        'provider', 'second_factor', 'passkey_registration', 'passkey_sign_in', 'export_download')),
    token_hash bytea NOT NULL CONSTRAINT challenges_unique_token_hash UNIQUE,
    browser_hash bytea,
    user_id uuid CONSTRAINT challenges_user_id_reference REFERENCES identity.users (id) ON DELETE CASCADE,
    content bytea,
    attempts integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);
CREATE INDEX challenges_by_expiry ON identity.challenges (expires_at);
CREATE INDEX challenges_by_user ON identity.challenges (user_id);

CREATE TABLE identity.used_nonces (
    issuer text,
    nonce text,
    used_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT used_nonces_key PRIMARY KEY (issuer, nonce)
);
CREATE INDEX used_nonces_by_time ON identity.used_nonces (used_at);

CREATE TABLE identity.sessions (
    id uuid CONSTRAINT sessions_key PRIMARY KEY,
    user_id uuid NOT NULL
        CONSTRAINT sessions_user_id_reference REFERENCES identity.users (id) ON DELETE CASCADE,
    method text NOT NULL,
    device text NOT NULL,
    user_agent text NOT NULL DEFAULT '',
    address inet,
    created_at timestamptz NOT NULL DEFAULT now(),
    authenticated_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    ended_at timestamptz,
    end_reason text,
    CONSTRAINT sessions_end_has_a_reason CHECK ((ended_at IS NULL) = (end_reason IS NULL))
);
CREATE INDEX sessions_by_user ON identity.sessions (user_id, last_seen_at, id);
CREATE INDEX sessions_by_expiry ON identity.sessions (expires_at);

CREATE TABLE identity.refresh_tokens (
    token_hash bytea CONSTRAINT refresh_tokens_key PRIMARY KEY,
    session_id uuid NOT NULL
        CONSTRAINT refresh_tokens_session_id_reference REFERENCES identity.sessions (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);
CREATE INDEX refresh_tokens_by_session ON identity.refresh_tokens (session_id);

CREATE TABLE identity.signing_keys (
    id text CONSTRAINT signing_keys_key PRIMARY KEY,
    private_key bytea NOT NULL,
    public_key bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    signs_from timestamptz NOT NULL,
    signs_until timestamptz NOT NULL,
    CONSTRAINT signing_keys_period_is_one CHECK (signs_from < signs_until)
);

CREATE TABLE identity.api_tokens (
    id uuid CONSTRAINT api_tokens_key PRIMARY KEY,
    user_id uuid NOT NULL
        CONSTRAINT api_tokens_user_id_reference REFERENCES identity.users (id) ON DELETE CASCADE,
    name text NOT NULL,
    prefix text NOT NULL,
    token_hash bytea NOT NULL CONSTRAINT api_tokens_unique_token_hash UNIQUE,
    scopes text[] NOT NULL,
    allowed_addresses cidr[] NOT NULL DEFAULT ARRAY[]::cidr[],
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    last_used_at timestamptz,
    last_used_address inet,
    revoked_at timestamptz
);
CREATE INDEX api_tokens_by_user ON identity.api_tokens (user_id, created_at, id);

CREATE TABLE identity.role_grants (
    id uuid CONSTRAINT role_grants_key PRIMARY KEY,
    user_id uuid NOT NULL
        CONSTRAINT role_grants_user_id_reference REFERENCES identity.users (id) ON DELETE CASCADE,
    role text NOT NULL
        CONSTRAINT role_grants_role_is_known CHECK (role IN ('user', 'support', 'moderator', 'admin')),
    permissions text[] NOT NULL,
    reason text NOT NULL CONSTRAINT role_grants_reason_is_given CHECK (reason <> ''),
    granted_by uuid CONSTRAINT role_grants_granted_by_reference REFERENCES identity.users (id) ON DELETE SET NULL,
    granted_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    revoked_by uuid CONSTRAINT role_grants_revoked_by_reference REFERENCES identity.users (id) ON DELETE SET NULL
);
CREATE INDEX role_grants_by_user ON identity.role_grants (user_id, granted_at, id);

CREATE TABLE identity.revocations (
    subject_id uuid,
    revoked_at timestamptz,
    CONSTRAINT revocations_key PRIMARY KEY (subject_id, revoked_at)
);
CREATE INDEX revocations_by_time ON identity.revocations (revoked_at);

CREATE TABLE identity.audit_log (
    id uuid CONSTRAINT audit_log_key PRIMARY KEY,
    occurred_at timestamptz NOT NULL DEFAULT now(),
    action text NOT NULL,
    actor_id uuid,
    subject_id uuid,
    credential_id uuid,
    address inet,
    user_agent text,
    before jsonb,
    after jsonb
);
CREATE INDEX audit_log_by_subject ON identity.audit_log (subject_id, occurred_at, id);
CREATE INDEX audit_log_by_actor ON identity.audit_log (actor_id, occurred_at, id);
CREATE INDEX audit_log_by_time ON identity.audit_log (occurred_at, id);

CREATE TABLE identity.outgoing_mails (
    id uuid CONSTRAINT outgoing_mails_key PRIMARY KEY,
    user_id uuid CONSTRAINT outgoing_mails_user_id_reference REFERENCES identity.users (id) ON DELETE CASCADE,
    content bytea,
    status text NOT NULL DEFAULT 'waiting'
        CONSTRAINT outgoing_mails_status_is_known CHECK (status IN ('waiting', 'sent', 'failed')),
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now(),
    sent_at timestamptz,
    last_error text
);
CREATE INDEX outgoing_mails_waiting ON identity.outgoing_mails (next_attempt_at) WHERE status = 'waiting';
CREATE INDEX outgoing_mails_by_user ON identity.outgoing_mails (user_id);

CREATE TABLE identity.data_exports (
    id uuid CONSTRAINT data_exports_key PRIMARY KEY,
    user_id uuid NOT NULL
        CONSTRAINT data_exports_user_id_reference REFERENCES identity.users (id) ON DELETE CASCADE,
    status text NOT NULL DEFAULT 'waiting'
        CONSTRAINT data_exports_status_is_known CHECK (status IN ('waiting', 'ready', 'failed', 'expired')),
    parts_done integer NOT NULL DEFAULT 0,
    parts_total integer,
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    archive bytea,
    archive_bytes integer,
    requested_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    expires_at timestamptz,
    last_error text
);
CREATE INDEX data_exports_by_user ON identity.data_exports (user_id, requested_at, id);
CREATE INDEX data_exports_waiting ON identity.data_exports (next_attempt_at) WHERE status = 'waiting';
CREATE UNIQUE INDEX data_exports_unique_waiting ON identity.data_exports (user_id) WHERE status = 'waiting';
CREATE INDEX data_exports_by_expiry ON identity.data_exports (expires_at) WHERE status = 'ready';
"""

# The settings are those of one transaction: who asks, and which permissions this credential of theirs carries.
VIEWER = """
CREATE FUNCTION identity.viewer_id() RETURNS uuid
LANGUAGE sql STABLE PARALLEL SAFE
RETURN nullif(current_setting('app.viewer_id', true), '')::uuid;

CREATE FUNCTION identity.viewer_may(permission text) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT permission = ANY (string_to_array(current_setting('app.viewer_permissions', true), ' '))
        AND EXISTS (
            SELECT FROM identity.role_grants
            WHERE user_id = identity.viewer_id()
                AND revoked_at IS NULL
                AND (expires_at IS NULL OR expires_at > now())
                AND permission = ANY (permissions)
        )
$$;

-- What anybody may know of a person. It belongs to the owner of the tables, so it shows rows that policies hide.
CREATE VIEW identity.public_profiles WITH (security_barrier) AS
SELECT id, username, display_name, avatar_url, created_at FROM identity.users WHERE deleted_at IS NULL;

-- The log is only ever added to; erasing a person takes the person out of it and leaves what happened. Of somebody who
-- is not erased, or of nobody, nothing is taken.
CREATE FUNCTION identity.anonymise_audit_log(erased uuid) RETURNS void
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

PRIVATE_TABLES = (
    "users",
    "identities",
    "credentials",
    "totp_secrets",
    "recovery_codes",
    "passkeys",
    "challenges",
    "used_nonces",
    "sessions",
    "refresh_tokens",
    "signing_keys",
    "api_tokens",
    "role_grants",
    "revocations",
    "audit_log",
    "outgoing_mails",
    "data_exports",
)
OF_A_USER = ("identities", "totp_secrets", "passkeys", "sessions", "api_tokens", "role_grants", "data_exports")

POLICIES = """
CREATE POLICY viewer ON identity.users TO trove_api
    USING (id = (SELECT identity.viewer_id()) AND deleted_at IS NULL);
CREATE POLICY staff ON identity.users FOR SELECT TO trove_api
    USING ((SELECT identity.viewer_may('accounts:read')));

CREATE POLICY staff_grant ON identity.role_grants FOR INSERT TO trove_api
    WITH CHECK ((SELECT identity.viewer_may('roles:write')) AND granted_by = (SELECT identity.viewer_id()));
CREATE POLICY staff_revoke ON identity.role_grants FOR UPDATE TO trove_api
    USING ((SELECT identity.viewer_may('roles:write')));

CREATE POLICY viewer ON identity.audit_log FOR SELECT TO trove_api
    USING (subject_id = (SELECT identity.viewer_id()) OR actor_id = (SELECT identity.viewer_id()));
CREATE POLICY staff ON identity.audit_log FOR SELECT TO trove_api
    USING ((SELECT identity.viewer_may('audit:read')));
CREATE POLICY viewer_writes ON identity.audit_log FOR INSERT TO trove_api
    WITH CHECK (actor_id = (SELECT identity.viewer_id()));

CREATE POLICY viewer_asks ON identity.data_exports FOR INSERT TO trove_api
    WITH CHECK (user_id = (SELECT identity.viewer_id()));

-- A change of roles takes effect at once, so whoever may change them may end what rests on the old ones.
CREATE POLICY staff_revokes ON identity.revocations FOR INSERT TO trove_api
    WITH CHECK ((SELECT identity.viewer_may('roles:write')));
"""

GRANTS = """
GRANT USAGE ON SCHEMA identity TO trove_api, trove_authenticator, trove_worker;
GRANT EXECUTE ON FUNCTION identity.viewer_id(), identity.viewer_may(text) TO trove_api;
GRANT SELECT ON identity.public_profiles TO trove_api;

GRANT SELECT ON identity.users TO trove_api;
GRANT UPDATE (username, display_name, avatar_url, currency, timezone, locale, notifies_by_email, notifies_by_push,
    nsfw_visibility, is_inventory_public, is_marketplace_enabled, shares_analytics, updated_at,
    deletion_requested_at, erase_after) ON identity.users TO trove_api;
GRANT SELECT ON identity.identities, identity.sessions, identity.role_grants, identity.audit_log TO trove_api;
GRANT SELECT (user_id, created_at, confirmed_at) ON identity.totp_secrets TO trove_api;
GRANT SELECT (id, user_id, name, transports, is_backed_up, created_at, last_used_at) ON identity.passkeys TO trove_api;
GRANT SELECT (id, user_id, name, prefix, scopes, allowed_addresses, created_at, expires_at, last_used_at,
    last_used_address, revoked_at) ON identity.api_tokens TO trove_api;
GRANT INSERT, UPDATE (revoked_at, revoked_by) ON identity.role_grants TO trove_api;
GRANT INSERT ON identity.revocations, identity.audit_log TO trove_api;
GRANT SELECT (id, user_id, status, parts_done, parts_total, archive_bytes, requested_at, finished_at, expires_at)
    ON identity.data_exports TO trove_api;
GRANT INSERT (id, user_id) ON identity.data_exports TO trove_api;

GRANT SELECT, INSERT, UPDATE ON identity.users, identity.credentials, identity.totp_secrets, identity.recovery_codes,
    identity.passkeys, identity.challenges, identity.sessions, identity.refresh_tokens, identity.signing_keys,
    identity.api_tokens TO trove_authenticator;
GRANT SELECT, INSERT, UPDATE, DELETE ON identity.identities TO trove_authenticator;
GRANT DELETE ON identity.credentials, identity.totp_secrets, identity.recovery_codes, identity.passkeys,
    identity.signing_keys TO trove_authenticator;
GRANT SELECT, INSERT ON identity.used_nonces, identity.revocations TO trove_authenticator;
GRANT INSERT ON identity.audit_log, identity.outgoing_mails TO trove_authenticator;
GRANT SELECT ON identity.role_grants TO trove_authenticator;
GRANT SELECT ON identity.data_exports TO trove_authenticator;

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA identity TO trove_worker;
REVOKE INSERT, UPDATE, DELETE ON identity.public_profiles FROM trove_worker;
REVOKE UPDATE, DELETE ON identity.audit_log FROM trove_worker;
REVOKE ALL ON FUNCTION identity.anonymise_audit_log(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION identity.anonymise_audit_log(uuid) TO trove_worker;
"""

# A batch belongs to who sent it. What came in before there were people belongs to nobody: staff may see it.
INGESTION = """
ALTER TABLE ingestion.ingest_batches
    ADD COLUMN sender_id uuid CONSTRAINT ingest_batches_sender_id_reference
        REFERENCES identity.users (id) ON DELETE SET NULL,
    DROP CONSTRAINT ingest_batches_unique_kind_idempotency_key,
    ADD CONSTRAINT ingest_batches_unique_sender_id_kind_idempotency_key
        UNIQUE (sender_id, kind, idempotency_key);
CREATE UNIQUE INDEX ingest_batches_unique_key_without_sender ON ingestion.ingest_batches (kind, idempotency_key)
    WHERE sender_id IS NULL;
GRANT SELECT (sender_id) ON ingestion.ingest_batches TO trove_api;

ALTER TABLE ingestion.ingest_batches ENABLE ROW LEVEL SECURITY;
ALTER TABLE ingestion.ingest_rejects ENABLE ROW LEVEL SECURITY;
CREATE POLICY viewer ON ingestion.ingest_batches TO trove_api USING (sender_id = (SELECT identity.viewer_id()));
CREATE POLICY staff ON ingestion.ingest_batches FOR SELECT TO trove_api
    USING ((SELECT identity.viewer_may('ingestion:read')));
CREATE POLICY viewer ON ingestion.ingest_rejects FOR SELECT TO trove_api
    USING (EXISTS (SELECT FROM ingestion.ingest_batches WHERE id = batch_id));
CREATE POLICY worker ON ingestion.ingest_batches TO trove_worker USING (true) WITH CHECK (true);
CREATE POLICY worker ON ingestion.ingest_rejects TO trove_worker USING (true) WITH CHECK (true);
"""


def upgrade() -> None:
    op.execute("RESET ROLE")
    op.execute(text(AUTHENTICATOR))
    op.execute("SET ROLE trove_migrator")
    run(USERS)
    run(VIEWER)
    for table in PRIVATE_TABLES:
        op.execute(f"ALTER TABLE identity.{table} ENABLE ROW LEVEL SECURITY")
        for role in ("authenticator", "worker"):
            op.execute(f"CREATE POLICY {role} ON identity.{table} TO trove_{role} USING (true) WITH CHECK (true)")
    for table in OF_A_USER:
        op.execute(
            f"CREATE POLICY viewer ON identity.{table} FOR SELECT TO trove_api "
            "USING (user_id = (SELECT identity.viewer_id()))"
        )
        op.execute(
            f"CREATE POLICY staff ON identity.{table} FOR SELECT TO trove_api "
            "USING ((SELECT identity.viewer_may('accounts:read')))"
        )
    run(POLICIES)
    run(GRANTS)
    run(INGESTION)


def downgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    for table in ("ingest_batches", "ingest_rejects"):
        op.execute(f"DROP POLICY worker ON ingestion.{table}")
        op.execute(f"DROP POLICY viewer ON ingestion.{table}")
        op.execute(f"ALTER TABLE ingestion.{table} DISABLE ROW LEVEL SECURITY")
    op.execute("DROP POLICY staff ON ingestion.ingest_batches")
    op.execute("DROP INDEX ingestion.ingest_batches_unique_key_without_sender")
    op.execute(
        "ALTER TABLE ingestion.ingest_batches DROP CONSTRAINT ingest_batches_unique_sender_id_kind_idempotency_key"
    )
    # Under one sender less a key may stand twice; the batches stay, the later ones without it.
    op.execute(
        """
        UPDATE ingestion.ingest_batches AS later SET idempotency_key = NULL
        FROM ingestion.ingest_batches AS earlier
        WHERE earlier.kind = later.kind AND earlier.idempotency_key = later.idempotency_key
            AND earlier.sequence < later.sequence
        """
    )
    op.execute(
        """
        ALTER TABLE ingestion.ingest_batches
            DROP COLUMN sender_id,
            ADD CONSTRAINT ingest_batches_unique_kind_idempotency_key UNIQUE (kind, idempotency_key)
        """
    )
    op.execute("DROP SCHEMA identity CASCADE")
