"""Photos of items, uploads that may become some, and the objects of those that are gone."""

from alembic import op

from migrations.statements import run

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE catalogue.item_photos (
    id uuid CONSTRAINT item_photos_key PRIMARY KEY,
    item_id uuid NOT NULL
        CONSTRAINT item_photos_item_id_reference REFERENCES catalogue.items (id) ON DELETE CASCADE,
    position integer NOT NULL CONSTRAINT item_photos_position_is_not_negative CHECK (position >= 0),
    is_primary boolean NOT NULL DEFAULT false,
    content_type text NOT NULL CONSTRAINT item_photos_content_type_is_known
        CHECK (content_type IN ('image/jpeg', 'image/png', 'image/webp')),
    width integer NOT NULL,
    height integer NOT NULL,
    bytes integer NOT NULL,
    sha256 text NOT NULL,
    storage_key text NOT NULL CONSTRAINT item_photos_unique_storage_key UNIQUE,
    caption text,
    credit text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT item_photos_unique_item_id_position UNIQUE (item_id, position) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT item_photos_size_is_positive CHECK (width > 0 AND height > 0 AND bytes > 0)
);
CREATE UNIQUE INDEX item_photos_one_primary ON catalogue.item_photos (item_id) WHERE is_primary;

CREATE TABLE catalogue.photo_uploads (
    id uuid CONSTRAINT photo_uploads_key PRIMARY KEY,
    uploaded_by uuid NOT NULL
        CONSTRAINT photo_uploads_uploaded_by_reference REFERENCES identity.users (id) ON DELETE CASCADE,
    content_type text NOT NULL,
    width integer NOT NULL,
    height integer NOT NULL,
    bytes integer NOT NULL,
    sha256 text NOT NULL,
    storage_key text NOT NULL CONSTRAINT photo_uploads_unique_storage_key UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    stored_at timestamptz,
    claimed_at timestamptz,
    item_id uuid,
    idempotency_key text,
    CONSTRAINT photo_uploads_unique_uploaded_by_idempotency_key UNIQUE (uploaded_by, idempotency_key)
);
CREATE INDEX photo_uploads_by_creation ON catalogue.photo_uploads (created_at);

CREATE TABLE catalogue.doomed_photos (
    storage_key text CONSTRAINT doomed_photos_key PRIMARY KEY,
    content_type text NOT NULL,
    doomed_at timestamptz NOT NULL DEFAULT now(),
    attempted_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX doomed_photos_by_attempt ON catalogue.doomed_photos (attempted_at, storage_key);
"""

# However a photo goes, by a command, with its item or with a person, its objects are found by this. It acts as its
# owner, because nobody else writes such rows.
DOOM = """
CREATE FUNCTION catalogue.doom_photo() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO catalogue.doomed_photos (storage_key, content_type) VALUES (OLD.storage_key, OLD.content_type)
    ON CONFLICT (storage_key) DO NOTHING;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION catalogue.doom_photo() FROM PUBLIC;
CREATE TRIGGER doom_photo AFTER DELETE ON catalogue.item_photos
    FOR EACH ROW EXECUTE FUNCTION catalogue.doom_photo();
CREATE TRIGGER doom_photo AFTER DELETE ON catalogue.photo_uploads
    FOR EACH ROW WHEN (OLD.claimed_at IS NULL) EXECUTE FUNCTION catalogue.doom_photo();
"""

# Everybody sees the photos of items, and who may write the catalogue changes them. What somebody sent and did not add
# to an item yet is their own affair.
ACCESS = """
ALTER TABLE catalogue.item_photos ENABLE ROW LEVEL SECURITY;
CREATE POLICY everybody ON catalogue.item_photos FOR SELECT TO trove_api USING (true);
CREATE POLICY staff_adds ON catalogue.item_photos FOR INSERT TO trove_api
    WITH CHECK ((SELECT identity.viewer_may('catalogue:write')));
CREATE POLICY staff_changes ON catalogue.item_photos FOR UPDATE TO trove_api
    USING ((SELECT identity.viewer_may('catalogue:write')));
CREATE POLICY staff_removes ON catalogue.item_photos FOR DELETE TO trove_api
    USING ((SELECT identity.viewer_may('catalogue:write')));
CREATE POLICY worker ON catalogue.item_photos TO trove_worker USING (true) WITH CHECK (true);

ALTER TABLE catalogue.photo_uploads ENABLE ROW LEVEL SECURITY;
CREATE POLICY viewer ON catalogue.photo_uploads FOR SELECT TO trove_api
    USING (uploaded_by = (SELECT identity.viewer_id()));
CREATE POLICY viewer_adds ON catalogue.photo_uploads FOR INSERT TO trove_api
    WITH CHECK (uploaded_by = (SELECT identity.viewer_id()) AND (SELECT identity.viewer_may('catalogue:write')));
CREATE POLICY viewer_changes ON catalogue.photo_uploads FOR UPDATE TO trove_api
    USING (uploaded_by = (SELECT identity.viewer_id()) AND (SELECT identity.viewer_may('catalogue:write')));
CREATE POLICY worker ON catalogue.photo_uploads TO trove_worker USING (true) WITH CHECK (true);

GRANT SELECT, INSERT, DELETE ON catalogue.item_photos TO trove_api;
GRANT UPDATE (position, is_primary, caption, credit, updated_at) ON catalogue.item_photos TO trove_api;
GRANT SELECT, INSERT ON catalogue.photo_uploads TO trove_api;
GRANT UPDATE (stored_at, claimed_at, item_id, idempotency_key) ON catalogue.photo_uploads TO trove_api;
GRANT SELECT, INSERT, UPDATE, DELETE
    ON catalogue.item_photos, catalogue.photo_uploads, catalogue.doomed_photos TO trove_worker;
"""


def upgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    run(TABLES)
    run(DOOM)
    run(ACCESS)


def downgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    op.execute("DROP TABLE catalogue.doomed_photos, catalogue.photo_uploads, catalogue.item_photos")
    op.execute("DROP FUNCTION catalogue.doom_photo()")
