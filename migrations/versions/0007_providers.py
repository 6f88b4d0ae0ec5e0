"""The room of providers: outside services, people's keys for them, the ledger of calls, and answers that are kept."""

from alembic import op

from migrations.statements import run

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TABLES = """
CREATE SCHEMA providers;

CREATE TABLE providers.providers (
    code text CONSTRAINT providers_key PRIMARY KEY
        CONSTRAINT providers_code_is_a_slug CHECK (code ~ '^[a-z0-9][a-z0-9-]{1,39}$'),
    name text NOT NULL,
    base_url text NOT NULL,
    docs_url text,
    auth_method text NOT NULL DEFAULT 'none' CONSTRAINT providers_auth_method_is_known
        CHECK (auth_method IN ('none', 'query_key', 'header_key', 'basic')),
    window_seconds integer NOT NULL,
    request_count integer NOT NULL,
    learned_window_seconds integer,
    learned_count integer,
    pause_seconds integer NOT NULL DEFAULT 60,
    refusals integer NOT NULL DEFAULT 0,
    blocked_until timestamptz,
    is_enabled boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT providers_limit_is_positive CHECK (window_seconds > 0 AND request_count > 0 AND pause_seconds > 0),
    CONSTRAINT providers_learned_limit_is_positive CHECK (learned_window_seconds > 0 AND learned_count > 0),
    CONSTRAINT providers_learned_limit_is_whole CHECK ((learned_count IS NULL) = (learned_window_seconds IS NULL))
);

CREATE TABLE providers.credentials (
    id uuid CONSTRAINT credentials_key PRIMARY KEY,
    user_id uuid NOT NULL
        CONSTRAINT credentials_user_id_reference REFERENCES identity.users (id) ON DELETE CASCADE,
    provider text NOT NULL
        CONSTRAINT credentials_provider_reference REFERENCES providers.providers (code) ON DELETE CASCADE,
    label text NOT NULL,
    secret bytea NOT NULL,
    shown_as text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz
);
CREATE INDEX credentials_by_user ON providers.credentials (user_id, created_at, id);
CREATE INDEX credentials_by_provider ON providers.credentials (provider);

CREATE TABLE providers.usage (
    id uuid CONSTRAINT usage_key PRIMARY KEY,
    provider text NOT NULL
        CONSTRAINT usage_provider_reference REFERENCES providers.providers (code) ON DELETE CASCADE,
    endpoint text NOT NULL,
    user_id uuid CONSTRAINT usage_user_id_reference REFERENCES identity.users (id) ON DELETE SET NULL,
    credential_id uuid
        CONSTRAINT usage_credential_id_reference REFERENCES providers.credentials (id) ON DELETE SET NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz,
    duration_ms integer CONSTRAINT usage_duration_is_not_negative CHECK (duration_ms >= 0),
    status integer,
    error text
);
CREATE INDEX usage_by_provider ON providers.usage (provider, started_at);
CREATE INDEX usage_by_time ON providers.usage (started_at, id);
CREATE INDEX usage_by_user ON providers.usage (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX usage_by_credential ON providers.usage (credential_id) WHERE credential_id IS NOT NULL;

CREATE TABLE providers.lookups (
    provider text CONSTRAINT lookups_provider_reference REFERENCES providers.providers (code) ON DELETE CASCADE,
    key text,
    content bytea NOT NULL,
    etag text,
    fetched_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    CONSTRAINT lookups_key PRIMARY KEY (provider, key)
);
CREATE INDEX lookups_by_expiry ON providers.lookups (expires_at);
"""

# A key for an outside service is its owner's business alone: staff do not see that there is one. And nobody reads it
# back, so the API may write the secret and not select it. What is kept of answers is for workers.
ACCESS = """
ALTER TABLE providers.credentials ENABLE ROW LEVEL SECURITY;
ALTER TABLE providers.usage ENABLE ROW LEVEL SECURITY;
CREATE POLICY viewer ON providers.credentials TO trove_api USING (user_id = (SELECT identity.viewer_id()));
CREATE POLICY viewer ON providers.usage FOR SELECT TO trove_api USING (user_id = (SELECT identity.viewer_id()));
CREATE POLICY staff ON providers.usage FOR SELECT TO trove_api
    USING ((SELECT identity.viewer_may('providers:read')));
CREATE POLICY worker ON providers.credentials TO trove_worker USING (true) WITH CHECK (true);
CREATE POLICY worker ON providers.usage TO trove_worker USING (true) WITH CHECK (true);

GRANT USAGE ON SCHEMA providers TO trove_api, trove_worker;
GRANT SELECT ON providers.providers, providers.usage TO trove_api;
GRANT SELECT (id, user_id, provider, label, shown_as, created_at, last_used_at) ON providers.credentials TO trove_api;
GRANT INSERT (id, user_id, provider, label, secret, shown_as) ON providers.credentials TO trove_api;
GRANT DELETE ON providers.credentials TO trove_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA providers TO trove_worker;
"""


def upgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    run(TABLES)
    run(ACCESS)


def downgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    op.execute("DROP SCHEMA providers CASCADE")
