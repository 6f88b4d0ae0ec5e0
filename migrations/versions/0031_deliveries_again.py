"""Deliveries that are sent again when their owner asks, digests that stay one mail, and quick counts of the unread."""

from alembic import op

from migrations.statements import run

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

DELIVERIES = """
ALTER TABLE notifications.deliveries ADD COLUMN digest_id uuid, ADD COLUMN asked_at timestamptz;
GRANT UPDATE (status, attempts, next_attempt_at, digest_at, digest_id, asked_at, delivered_at, last_status, last_error)
    ON notifications.deliveries TO trove_api;
"""

# Counted from the index alone, and without what was dismissed unread.
NOTIFICATIONS = """
DROP INDEX notifications.notifications_unread;
CREATE INDEX notifications_unread ON notifications.notifications (owner_id, position)
    INCLUDE (severity, snoozed_until) WHERE read_at IS NULL AND dismissed_at IS NULL;
CREATE INDEX notifications_by_time ON notifications.notifications USING brin (created_at);
"""

NOTIFICATIONS_BEFORE = """
DROP INDEX notifications.notifications_by_time;
DROP INDEX notifications.notifications_unread;
CREATE INDEX notifications_unread ON notifications.notifications (owner_id, position) WHERE read_at IS NULL;
"""

DELIVERIES_BEFORE = """
REVOKE UPDATE (status, attempts, next_attempt_at, digest_at, digest_id, asked_at, delivered_at, last_status,
    last_error) ON notifications.deliveries FROM trove_api;
ALTER TABLE notifications.deliveries DROP COLUMN digest_id, DROP COLUMN asked_at;
"""


def upgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    run(DELIVERIES)
    run(NOTIFICATIONS)


def downgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    run(NOTIFICATIONS_BEFORE)
    run(DELIVERIES_BEFORE)
