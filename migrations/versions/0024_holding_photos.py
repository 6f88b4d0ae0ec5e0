"""Photos of holdings and their turntables, and uploads of whoever owns something."""

from alembic import op

from migrations.statements import run

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE portfolios.holding_photos (
    id uuid CONSTRAINT holding_photos_key PRIMARY KEY,
    holding_id uuid NOT NULL,
    owner_id uuid NOT NULL,
    portfolio_id uuid NOT NULL,
    position integer NOT NULL CONSTRAINT holding_photos_position_is_not_negative CHECK (position >= 0),
    content_type text NOT NULL CONSTRAINT holding_photos_content_type_is_known
        CHECK (content_type IN ('image/jpeg', 'image/png', 'image/webp')),
    width integer NOT NULL,
    height integer NOT NULL,
    bytes integer NOT NULL,
    sha256 text NOT NULL,
    storage_key text NOT NULL CONSTRAINT holding_photos_unique_storage_key UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT holding_photos_unique_holding_id_position UNIQUE (holding_id, position) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT holding_photos_size_is_positive CHECK (width > 0 AND height > 0 AND bytes > 0),
    CONSTRAINT holding_photos_holding_id_portfolio_id_owner_id_reference
        FOREIGN KEY (holding_id, portfolio_id, owner_id)
        REFERENCES portfolios.holdings (id, portfolio_id, owner_id) ON DELETE CASCADE
);
CREATE INDEX holding_photos_by_owner ON portfolios.holding_photos (owner_id);

CREATE TABLE portfolios.holding_turntables (
    holding_id uuid CONSTRAINT holding_turntables_key PRIMARY KEY,
    owner_id uuid NOT NULL,
    portfolio_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT holding_turntables_unique_holding_id_owner_id UNIQUE (holding_id, owner_id),
    CONSTRAINT holding_turntables_holding_id_portfolio_id_owner_id_reference
        FOREIGN KEY (holding_id, portfolio_id, owner_id)
        REFERENCES portfolios.holdings (id, portfolio_id, owner_id) ON DELETE CASCADE
);
CREATE INDEX holding_turntables_by_owner ON portfolios.holding_turntables (owner_id);

CREATE TABLE portfolios.turntable_frames (
    id uuid CONSTRAINT turntable_frames_key PRIMARY KEY,
    holding_id uuid NOT NULL,
    owner_id uuid NOT NULL,
    position integer NOT NULL CONSTRAINT turntable_frames_position_is_not_negative CHECK (position >= 0),
    content_type text NOT NULL CONSTRAINT turntable_frames_content_type_is_known
        CHECK (content_type IN ('image/jpeg', 'image/png', 'image/webp')),
    width integer NOT NULL,
    height integer NOT NULL,
    bytes integer NOT NULL,
    sha256 text NOT NULL,
    storage_key text NOT NULL CONSTRAINT turntable_frames_unique_storage_key UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT turntable_frames_unique_holding_id_position UNIQUE (holding_id, position),
    CONSTRAINT turntable_frames_size_is_positive CHECK (width > 0 AND height > 0 AND bytes > 0),
    CONSTRAINT turntable_frames_holding_id_owner_id_reference FOREIGN KEY (holding_id, owner_id)
        REFERENCES portfolios.holding_turntables (holding_id, owner_id) ON DELETE CASCADE
);
CREATE INDEX turntable_frames_by_owner ON portfolios.turntable_frames (owner_id);
"""

# However one of these goes, with its holding, its portfolio or its owner, its objects are deleted as others are.
DOOM = """
CREATE TRIGGER doom_photo AFTER DELETE ON portfolios.holding_photos
    FOR EACH ROW EXECUTE FUNCTION catalogue.doom_photo();
CREATE TRIGGER doom_photo AFTER DELETE ON portfolios.turntable_frames
    FOR EACH ROW EXECUTE FUNCTION catalogue.doom_photo();
"""

# It belongs to the owner of the tables, so it shows rows that policies hide: photos where their owner shares them, of
# what the view of holdings shows.
VIEW = """
CREATE VIEW portfolios.shared_holding_photos WITH (security_barrier) AS
SELECT photo.id, photo.holding_id, photo.position, photo.content_type, photo.width, photo.height, photo.storage_key
FROM portfolios.holding_photos AS photo
JOIN portfolios.shared_holdings AS holding ON holding.id = photo.holding_id
JOIN portfolios.shared_portfolios AS portfolio ON portfolio.id = holding.portfolio_id
WHERE 'photos' = ANY (portfolio.shared_parts);
GRANT SELECT ON portfolios.shared_holding_photos TO trove_api;
"""

ACCESS = """
ALTER TABLE portfolios.holding_photos ENABLE ROW LEVEL SECURITY;
CREATE POLICY viewer ON portfolios.holding_photos TO trove_api USING (owner_id = (SELECT identity.viewer_id()));
CREATE POLICY worker ON portfolios.holding_photos TO trove_worker USING (true) WITH CHECK (true);
ALTER TABLE portfolios.holding_turntables ENABLE ROW LEVEL SECURITY;
CREATE POLICY viewer ON portfolios.holding_turntables TO trove_api USING (owner_id = (SELECT identity.viewer_id()));
CREATE POLICY worker ON portfolios.holding_turntables TO trove_worker USING (true) WITH CHECK (true);
ALTER TABLE portfolios.turntable_frames ENABLE ROW LEVEL SECURITY;
CREATE POLICY viewer ON portfolios.turntable_frames TO trove_api USING (owner_id = (SELECT identity.viewer_id()));
CREATE POLICY worker ON portfolios.turntable_frames TO trove_worker USING (true) WITH CHECK (true);

GRANT SELECT, INSERT, DELETE
    ON portfolios.holding_photos, portfolios.holding_turntables, portfolios.turntable_frames TO trove_api;
GRANT UPDATE (position, updated_at) ON portfolios.holding_photos TO trove_api;
GRANT SELECT, INSERT, UPDATE, DELETE
    ON portfolios.holding_photos, portfolios.holding_turntables, portfolios.turntable_frames TO trove_worker;

DROP POLICY viewer_adds ON catalogue.photo_uploads;
CREATE POLICY viewer_adds ON catalogue.photo_uploads FOR INSERT TO trove_api
    WITH CHECK (uploaded_by = (SELECT identity.viewer_id()));
DROP POLICY viewer_changes ON catalogue.photo_uploads;
CREATE POLICY viewer_changes ON catalogue.photo_uploads FOR UPDATE TO trove_api
    USING (uploaded_by = (SELECT identity.viewer_id()));
"""


def upgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    run(TABLES)
    run(DOOM)
    run(VIEW)
    run(ACCESS)


def downgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    op.execute("DROP VIEW portfolios.shared_holding_photos")
    op.execute("DROP TABLE portfolios.turntable_frames, portfolios.holding_turntables, portfolios.holding_photos")
    for name, clause in (
        ("viewer_adds", "FOR INSERT TO trove_api WITH CHECK"),
        ("viewer_changes", "FOR UPDATE TO trove_api USING"),
    ):
        op.execute(f"DROP POLICY {name} ON catalogue.photo_uploads")
        op.execute(
            f"CREATE POLICY {name} ON catalogue.photo_uploads {clause} "
            "(uploaded_by = (SELECT identity.viewer_id()) AND (SELECT identity.viewer_may('catalogue:write')))"
        )
