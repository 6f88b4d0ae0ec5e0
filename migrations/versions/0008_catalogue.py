"""The catalogue in full: sets of cards, who made figures and whom they show, what is not safe for work."""

from alembic import op

from migrations.statements import run

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

ITEMS = """
ALTER TABLE catalogue.items ADD COLUMN is_nsfw boolean NOT NULL DEFAULT false;
ALTER TABLE catalogue.skins ADD COLUMN collection text, ADD COLUMN crates text[];
ALTER TABLE catalogue.coins ADD COLUMN chain text, ADD COLUMN contract_address text;
"""

# Whether the viewer wants to see what is not safe for work, blurred or not; nobody in particular does not.
VIEWER = """
CREATE FUNCTION identity.viewer_sees_nsfw() RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM identity.users
        WHERE id = identity.viewer_id() AND deleted_at IS NULL AND nsfw_visibility <> 'hidden'
    )
$$;
REVOKE ALL ON FUNCTION identity.viewer_sees_nsfw() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION identity.viewer_sees_nsfw() TO trove_api, trove_worker;
"""

CARDS = """
CREATE TABLE catalogue.card_sets (
    id uuid CONSTRAINT card_sets_key PRIMARY KEY,
    game text NOT NULL,
    code text NOT NULL,
    slug text NOT NULL CONSTRAINT card_sets_unique_slug UNIQUE,
    name text NOT NULL,
    released_on date,
    card_count integer CONSTRAINT card_sets_card_count_is_not_negative CHECK (card_count >= 0),
    icon_url text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT card_sets_unique_game_code UNIQUE (game, code)
);
CREATE INDEX card_sets_by_name ON catalogue.card_sets (name, id);
INSERT INTO catalogue.card_sets (id, game, code, slug, name)
SELECT gen_random_uuid(), game, set_code, 'set-' || md5(game || ' ' || set_code), set_code
FROM (SELECT DISTINCT game, set_code FROM catalogue.cards WHERE set_code IS NOT NULL) AS stored;

ALTER TABLE catalogue.cards
    ADD COLUMN set_id uuid CONSTRAINT cards_set_id_reference REFERENCES catalogue.card_sets (id),
    ADD COLUMN type_line text,
    ADD COLUMN artist text,
    ADD COLUMN language text,
    ADD COLUMN finishes text[];
UPDATE catalogue.cards SET set_id = card_sets.id FROM catalogue.card_sets
WHERE card_sets.game = cards.game AND card_sets.code = cards.set_code;
ALTER TABLE catalogue.cards DROP COLUMN set_code;
CREATE INDEX cards_by_set ON catalogue.cards (set_id, item_id);
"""

FIGURES = """
CREATE TABLE catalogue.manufacturers (
    id uuid CONSTRAINT manufacturers_key PRIMARY KEY,
    slug text NOT NULL CONSTRAINT manufacturers_unique_slug UNIQUE,
    name text NOT NULL,
    name_key text NOT NULL CONSTRAINT manufacturers_unique_name_key UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX manufacturers_by_name ON catalogue.manufacturers (name, id);

CREATE TABLE catalogue.series (
    id uuid CONSTRAINT series_key PRIMARY KEY,
    slug text NOT NULL CONSTRAINT series_unique_slug UNIQUE,
    name text NOT NULL,
    name_key text NOT NULL CONSTRAINT series_unique_name_key UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX series_by_name ON catalogue.series (name, id);

CREATE TABLE catalogue.characters (
    id uuid CONSTRAINT characters_key PRIMARY KEY,
    slug text NOT NULL CONSTRAINT characters_unique_slug UNIQUE,
    name text NOT NULL,
    name_key text NOT NULL CONSTRAINT characters_unique_name_key UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX characters_by_name ON catalogue.characters (name, id);

CREATE TABLE catalogue.sculptors (
    id uuid CONSTRAINT sculptors_key PRIMARY KEY,
    slug text NOT NULL CONSTRAINT sculptors_unique_slug UNIQUE,
    name text NOT NULL,
    name_key text NOT NULL CONSTRAINT sculptors_unique_name_key UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX sculptors_by_name ON catalogue.sculptors (name, id);

CREATE TABLE catalogue.series_external_ids (
    provider text,
    external_id text,
    series_id uuid NOT NULL
        CONSTRAINT series_external_ids_series_id_reference REFERENCES catalogue.series (id) ON DELETE CASCADE,
    CONSTRAINT series_external_ids_key PRIMARY KEY (provider, external_id)
);
CREATE INDEX series_external_ids_by_series ON catalogue.series_external_ids (series_id);

CREATE TABLE catalogue.figure_series (
    item_id uuid CONSTRAINT figure_series_item_id_reference
        REFERENCES catalogue.figures (item_id) ON DELETE CASCADE,
    series_id uuid CONSTRAINT figure_series_series_id_reference REFERENCES catalogue.series (id),
    CONSTRAINT figure_series_key PRIMARY KEY (item_id, series_id)
);
CREATE INDEX figure_series_by_series ON catalogue.figure_series (series_id, item_id);

CREATE TABLE catalogue.figure_characters (
    item_id uuid CONSTRAINT figure_characters_item_id_reference
        REFERENCES catalogue.figures (item_id) ON DELETE CASCADE,
    character_id uuid CONSTRAINT figure_characters_character_id_reference REFERENCES catalogue.characters (id),
    CONSTRAINT figure_characters_key PRIMARY KEY (item_id, character_id)
);
CREATE INDEX figure_characters_by_character ON catalogue.figure_characters (character_id, item_id);

CREATE TABLE catalogue.figure_sculptors (
    item_id uuid CONSTRAINT figure_sculptors_item_id_reference
        REFERENCES catalogue.figures (item_id) ON DELETE CASCADE,
    sculptor_id uuid CONSTRAINT figure_sculptors_sculptor_id_reference REFERENCES catalogue.sculptors (id),
    CONSTRAINT figure_sculptors_key PRIMARY KEY (item_id, sculptor_id)
);
CREATE INDEX figure_sculptors_by_sculptor ON catalogue.figure_sculptors (sculptor_id, item_id);

CREATE TABLE catalogue.figure_releases (
    item_id uuid CONSTRAINT figure_releases_item_id_reference
        REFERENCES catalogue.figures (item_id) ON DELETE CASCADE,
    position integer,
    released_on date,
    list_price numeric CONSTRAINT figure_releases_list_price_is_not_negative CHECK (list_price >= 0),
    currency text,
    jan text CONSTRAINT figure_releases_jan_has_8_or_13_digits CHECK (jan ~ '^([0-9]{8}|[0-9]{13})$'),
    CONSTRAINT figure_releases_key PRIMARY KEY (item_id, position),
    CONSTRAINT figure_releases_list_price_has_a_currency CHECK ((list_price IS NULL) = (currency IS NULL))
);
CREATE INDEX figure_releases_by_jan ON catalogue.figure_releases (jan);

INSERT INTO catalogue.manufacturers (id, slug, name, name_key)
SELECT gen_random_uuid(), 'manufacturer-' || md5(lower(manufacturer)), min(manufacturer), lower(manufacturer)
FROM catalogue.figures WHERE manufacturer IS NOT NULL GROUP BY lower(manufacturer);
INSERT INTO catalogue.series (id, slug, name, name_key)
SELECT gen_random_uuid(), 'series-' || md5(lower(series)), min(series), lower(series)
FROM catalogue.figures WHERE series IS NOT NULL GROUP BY lower(series);
ALTER TABLE catalogue.figures
    ADD COLUMN manufacturer_id uuid
        CONSTRAINT figures_manufacturer_id_reference REFERENCES catalogue.manufacturers (id);
UPDATE catalogue.figures SET manufacturer_id = manufacturers.id FROM catalogue.manufacturers
WHERE name_key = lower(manufacturer);
INSERT INTO catalogue.figure_series (item_id, series_id)
SELECT item_id, known.id FROM catalogue.figures JOIN catalogue.series AS known ON name_key = lower(figures.series);
ALTER TABLE catalogue.figures DROP COLUMN manufacturer, DROP COLUMN series;
CREATE INDEX figures_by_manufacturer ON catalogue.figures (manufacturer_id, item_id);
"""

NEW_TABLES = (
    "card_sets",
    "manufacturers",
    "series",
    "characters",
    "sculptors",
    "series_external_ids",
    "figure_series",
    "figure_characters",
    "figure_sculptors",
    "figure_releases",
)


def upgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    run(ITEMS)
    run(VIEWER)
    run(CARDS)
    run(FIGURES)
    tables = ", ".join(f"catalogue.{table}" for table in NEW_TABLES)
    op.execute(f"GRANT SELECT ON {tables} TO trove_api")
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO trove_worker")


def downgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    run(
        """
        DROP FUNCTION identity.viewer_sees_nsfw();
        ALTER TABLE catalogue.items DROP COLUMN is_nsfw;
        ALTER TABLE catalogue.skins DROP COLUMN collection, DROP COLUMN crates;
        ALTER TABLE catalogue.coins DROP COLUMN chain, DROP COLUMN contract_address;
        ALTER TABLE catalogue.cards ADD COLUMN set_code text;
        UPDATE catalogue.cards SET set_code = code FROM catalogue.card_sets WHERE id = set_id;
        ALTER TABLE catalogue.cards DROP COLUMN set_id, DROP COLUMN type_line, DROP COLUMN artist,
            DROP COLUMN language, DROP COLUMN finishes;
        ALTER TABLE catalogue.figures ADD COLUMN manufacturer text, ADD COLUMN series text;
        UPDATE catalogue.figures SET manufacturer = name FROM catalogue.manufacturers WHERE id = manufacturer_id;
        UPDATE catalogue.figures SET series = known.name
        FROM catalogue.figure_series AS link JOIN catalogue.series AS known ON known.id = link.series_id
        WHERE link.item_id = figures.item_id;
        ALTER TABLE catalogue.figures DROP COLUMN manufacturer_id;
        """
    )
    for table in reversed(NEW_TABLES):
        op.execute(f"DROP TABLE catalogue.{table}")
