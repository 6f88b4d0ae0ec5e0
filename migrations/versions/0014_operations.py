"""The room of operations: what is set at run time, the jobs of the server, and each run of them."""

from alembic import op

from migrations.statements import run

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

TABLES = """
CREATE SCHEMA operations;

CREATE TABLE operations.settings (
    key text CONSTRAINT settings_key PRIMARY KEY,
    value jsonb NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by uuid CONSTRAINT settings_updated_by_reference REFERENCES identity.users (id) ON DELETE SET NULL
);
CREATE INDEX settings_by_updated_by ON operations.settings (updated_by);

CREATE TABLE operations.jobs (
    name text CONSTRAINT jobs_key PRIMARY KEY,
    description text NOT NULL,
    cron text,
    time_zone text NOT NULL DEFAULT 'UTC',
    is_enabled boolean NOT NULL DEFAULT true,
    next_run_at timestamptz,
    CONSTRAINT jobs_next_run_is_told CHECK ((next_run_at IS NOT NULL) = (is_enabled AND cron IS NOT NULL))
);

CREATE TABLE operations.job_runs (
    id uuid CONSTRAINT job_runs_key PRIMARY KEY,
    job text NOT NULL,
    state text NOT NULL DEFAULT 'queued' CONSTRAINT job_runs_state_is_known
        CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled', 'lost')),
    is_exclusive boolean NOT NULL DEFAULT true,
    source text,
    arguments jsonb,
    requested_by uuid CONSTRAINT job_runs_requested_by_reference REFERENCES identity.users (id) ON DELETE SET NULL,
    requested_at timestamptz NOT NULL DEFAULT now(),
    scheduled_for timestamptz,
    started_at timestamptz,
    heartbeat_at timestamptz,
    ended_at timestamptz,
    cancel_requested_at timestamptz,
    progress jsonb,
    result jsonb,
    error text
);
CREATE UNIQUE INDEX job_runs_unique_running ON operations.job_runs (job) WHERE state = 'running' AND is_exclusive;
CREATE UNIQUE INDEX job_runs_unique_queued ON operations.job_runs (job)
    WHERE state = 'queued' AND arguments IS NULL;
CREATE INDEX job_runs_by_job ON operations.job_runs (job, requested_at, id);
CREATE INDEX job_runs_by_time ON operations.job_runs (requested_at, id);
CREATE INDEX job_runs_by_requester ON operations.job_runs (requested_by) WHERE requested_by IS NOT NULL;
"""

# Which jobs there are, and when they run, is no secret; who may change it is for the policies to say. A run is for whom
# it was asked for, and for staff. Its arguments may hold an address with a key in it, so nobody reads them back.
ACCESS = """
ALTER TABLE operations.settings ENABLE ROW LEVEL SECURITY;
ALTER TABLE operations.jobs ENABLE ROW LEVEL SECURITY;
ALTER TABLE operations.job_runs ENABLE ROW LEVEL SECURITY;

CREATE POLICY everybody ON operations.settings FOR SELECT TO trove_api USING (true);
CREATE POLICY staff_adds ON operations.settings FOR INSERT TO trove_api
    WITH CHECK ((SELECT identity.viewer_may('operations:write')) AND updated_by = (SELECT identity.viewer_id()));
CREATE POLICY staff_changes ON operations.settings FOR UPDATE TO trove_api
    USING ((SELECT identity.viewer_may('operations:write')))
    WITH CHECK ((SELECT identity.viewer_may('operations:write')) AND updated_by = (SELECT identity.viewer_id()));
CREATE POLICY worker ON operations.settings TO trove_worker USING (true) WITH CHECK (true);

CREATE POLICY everybody ON operations.jobs FOR SELECT TO trove_api USING (true);
CREATE POLICY staff_changes ON operations.jobs FOR UPDATE TO trove_api
    USING ((SELECT identity.viewer_may('operations:write')));
CREATE POLICY worker ON operations.jobs TO trove_worker USING (true) WITH CHECK (true);

CREATE POLICY viewer ON operations.job_runs FOR SELECT TO trove_api
    USING (requested_by = (SELECT identity.viewer_id()));
CREATE POLICY staff ON operations.job_runs FOR SELECT TO trove_api
    USING ((SELECT identity.viewer_may('operations:read')));
CREATE POLICY staff_asks ON operations.job_runs FOR INSERT TO trove_api
    WITH CHECK ((SELECT identity.viewer_may('operations:write')) AND requested_by = (SELECT identity.viewer_id()));
CREATE POLICY staff_cancels ON operations.job_runs FOR UPDATE TO trove_api
    USING ((SELECT identity.viewer_may('operations:write')));
CREATE POLICY worker ON operations.job_runs TO trove_worker USING (true) WITH CHECK (true);

GRANT USAGE ON SCHEMA operations TO trove_api, trove_worker;
GRANT SELECT (key, value, updated_at) ON operations.settings TO trove_api;
GRANT INSERT, UPDATE ON operations.settings TO trove_api;
GRANT SELECT, UPDATE (cron, time_zone, is_enabled, next_run_at) ON operations.jobs TO trove_api;
GRANT SELECT (id, job, state, is_exclusive, source, requested_by, requested_at, scheduled_for, started_at,
    heartbeat_at, ended_at, cancel_requested_at, progress, result, error) ON operations.job_runs TO trove_api;
GRANT INSERT (id, job, source, arguments, requested_by) ON operations.job_runs TO trove_api;
GRANT UPDATE (cancel_requested_at) ON operations.job_runs TO trove_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA operations TO trove_worker;
"""


def upgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    run(TABLES)
    run(ACCESS)


def downgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    op.execute("DROP SCHEMA operations CASCADE")
