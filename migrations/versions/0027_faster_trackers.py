"""Trackers: indexes hold only those with what they are looked up by; since when each has had its status is mended."""

from alembic import op

from migrations.statements import run

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    run(
        """
        DROP INDEX trackers.trackers_by_place, trackers.trackers_by_production_run;
        CREATE INDEX trackers_by_place ON trackers.trackers (status_place_id) WHERE status_place_id IS NOT NULL;
        CREATE INDEX trackers_by_production_run ON trackers.trackers (production_run_id)
            WHERE production_run_id IS NOT NULL;

        -- It was the last fix but one, where a tracker went on in the status in which it was.
        UPDATE trackers.trackers AS tracker SET status_since = change.started_at
        FROM trackers.status_changes AS change
        WHERE change.tracker_id = tracker.id AND change.ended_at IS NULL AND change.status = tracker.status
            AND change.place_id IS NOT DISTINCT FROM tracker.status_place_id
            AND change.started_at <> tracker.status_since;
        """
    )


def downgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    run(
        """
        DROP INDEX trackers.trackers_by_place, trackers.trackers_by_production_run;
        CREATE INDEX trackers_by_place ON trackers.trackers (status_place_id);
        CREATE INDEX trackers_by_production_run ON trackers.trackers (production_run_id);
        """
    )
