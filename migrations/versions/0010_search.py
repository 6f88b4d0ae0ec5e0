"""Search: a document for each item, kept current by the database whoever writes, and by whatever command."""

from alembic import op
from sqlalchemy import text

from migrations.statements import run

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# How texts are compared: without case, accents, marks and punctuation, the words apart by single spaces.
# Letters beyond ASCII stay, whatever the locale of the database makes of them.
FOLD = r"""
CREATE FUNCTION catalogue.fold(written text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT btrim(regexp_replace(
        lower({extensions}.unaccent('{extensions}.unaccent', normalize(
            regexp_replace(written, '[''\u2019\u2122\u00ae\u00a9]', '', 'g'), NFKC
        ))),
        '[\u0001-\u002f\u003a-\u0040\u005b-\u0060\u007b-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf'
        || '\u00d7\u00f7\u2000-\u206f\u20a0-\u20cf\u2190-\u2bff\u3000-\u3004\u3008-\u3020\u30fb]+', ' ', 'g'
    ))
$$;
GRANT EXECUTE ON FUNCTION catalogue.fold(text) TO trove_api, trove_worker;
"""

TABLES = """
CREATE TABLE catalogue.search_documents (
    item_id uuid CONSTRAINT search_documents_key PRIMARY KEY
        CONSTRAINT search_documents_item_id_reference REFERENCES catalogue.items (id) ON DELETE CASCADE,
    kind text NOT NULL,
    folded_name text COLLATE "C" NOT NULL,
    words tsvector NOT NULL,
    set_id uuid,
    manufacturer_id uuid,
    series_ids uuid[],
    rarity text,
    wear text,
    is_nsfw boolean NOT NULL
);
CREATE INDEX search_documents_by_name ON catalogue.search_documents (folded_name, item_id);
CREATE INDEX search_documents_words ON catalogue.search_documents USING gin (words) WITH (fastupdate = off);

CREATE TABLE catalogue.search_words (
    word text COLLATE "C" CONSTRAINT search_words_key PRIMARY KEY
);
CREATE INDEX search_words_trigrams ON catalogue.search_words USING gin (word gin_trgm_ops) WITH (fastupdate = off);

CREATE TABLE catalogue.search_changes (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT search_changes_key PRIMARY KEY,
    item_ids uuid[] NOT NULL
);
"""

REFRESH = """
CREATE FUNCTION catalogue.refresh_search_documents(changed uuid[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO catalogue.search_documents AS stored
        (item_id, kind, folded_name, words, set_id, manufacturer_id, series_ids, rarity, wear, is_nsfw)
    SELECT
        items.id,
        items.kind,
        left(name.folded, 500),
        -- What a hyphen or a dot joins is also found as one word: an AK-47 as `ak47`.
        setweight(to_tsvector('simple', left(name.folded || ' ' || joined.folded, 20000)), 'A')
            || setweight(to_tsvector('simple', left(catalogue.fold(concat_ws(' ', card_sets.name, card_sets.code,
                manufacturers.name, series.names, characters.names, coins.symbol, skins.collection)), 20000)), 'B')
            || setweight(to_tsvector('simple', left(catalogue.fold(coalesce(known.names, '')), 20000)), 'C'),
        cards.set_id,
        figures.manufacturer_id,
        series.ids,
        coalesce(cards.rarity, skins.rarity),
        skins.wear,
        items.is_nsfw
    FROM catalogue.items
    LEFT JOIN catalogue.skins ON skins.item_id = items.id
    LEFT JOIN catalogue.coins ON coins.item_id = items.id
    LEFT JOIN catalogue.cards ON cards.item_id = items.id
    LEFT JOIN catalogue.card_sets ON card_sets.id = cards.set_id
    LEFT JOIN catalogue.figures ON figures.item_id = items.id
    LEFT JOIN catalogue.manufacturers ON manufacturers.id = figures.manufacturer_id
    CROSS JOIN LATERAL (SELECT catalogue.fold(items.name) AS folded) AS name
    CROSS JOIN LATERAL (
        SELECT CASE WHEN items.name ~ '[[:alnum:]][-.][[:alnum:]]'
            THEN catalogue.fold(regexp_replace(items.name, '([[:alnum:]])[-.]([[:alnum:]])', '\\1\\2', 'g'))
            ELSE '' END AS folded
    ) AS joined
    LEFT JOIN LATERAL (
        SELECT array_agg(named.id ORDER BY named.id) AS ids, string_agg(named.name, ' ' ORDER BY named.id) AS names
        FROM catalogue.figure_series AS link JOIN catalogue.series AS named ON named.id = link.series_id
        WHERE link.item_id = items.id
    ) AS series ON items.kind = 'figure'
    LEFT JOIN LATERAL (
        SELECT string_agg(named.name, ' ' ORDER BY named.id) AS names
        FROM catalogue.figure_characters AS link JOIN catalogue.characters AS named ON named.id = link.character_id
        WHERE link.item_id = items.id
    ) AS characters ON items.kind = 'figure'
    LEFT JOIN LATERAL (
        SELECT string_agg(external_id, ' ' ORDER BY provider, external_id) AS names
        FROM catalogue.external_ids WHERE external_ids.item_id = items.id
    ) AS known ON true
    WHERE items.id = ANY (changed)
    ORDER BY items.id
    ON CONFLICT (item_id) DO UPDATE SET
        kind = excluded.kind, folded_name = excluded.folded_name, words = excluded.words, set_id = excluded.set_id,
        manufacturer_id = excluded.manufacturer_id, series_ids = excluded.series_ids, rarity = excluded.rarity,
        wear = excluded.wear, is_nsfw = excluded.is_nsfw
    WHERE stored.* IS DISTINCT FROM excluded.*;

    INSERT INTO catalogue.search_words (word)
    SELECT DISTINCT found.lexeme
    FROM catalogue.search_documents CROSS JOIN LATERAL unnest(words) AS found
    WHERE item_id = ANY (changed) AND found.weights && '{A,B}' AND length(found.lexeme) > 2 AND found.lexeme ~ '[^0-9]'
    ON CONFLICT DO NOTHING;
$$;
REVOKE ALL ON FUNCTION catalogue.refresh_search_documents(uuid[]) FROM PUBLIC;

-- Once a statement: which items it touched.
CREATE FUNCTION catalogue.note_search_changes() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format(
        'INSERT INTO catalogue.search_changes (item_ids) SELECT array_agg(DISTINCT %I) FROM %s HAVING count(*) > 0',
        TG_ARGV[0],
        CASE WHEN TG_NARGS = 1 THEN 'changed'
        ELSE format('catalogue.%I WHERE %I IN (SELECT id FROM changed)', TG_ARGV[1], TG_ARGV[2]) END
    );
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION catalogue.note_search_changes() FROM PUBLIC;

-- Once a transaction, just before it commits: however many statements wrote an item, its document is made once.
CREATE FUNCTION catalogue.apply_search_changes() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    changed uuid[];
BEGIN
    -- A transaction sees no changes but its own: others take theirs away before they commit.
    WITH taken AS (DELETE FROM catalogue.search_changes RETURNING item_ids)
    SELECT array_agg(DISTINCT item_id) INTO changed FROM taken, unnest(item_ids) AS item_id;
    IF changed IS NOT NULL THEN
        -- One at a time, so that of two who write an item the second sees what the first has written.
        PERFORM pg_advisory_xact_lock(hashtext('catalogue.search_documents'));
        PERFORM catalogue.refresh_search_documents(changed);
    END IF;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION catalogue.apply_search_changes() FROM PUBLIC;

CREATE CONSTRAINT TRIGGER apply AFTER INSERT ON catalogue.search_changes
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION catalogue.apply_search_changes();
"""

ITEM_TABLES = ("skins", "coins", "cards", "figures", "figure_series", "figure_characters", "external_ids")
# What items belong to: the table that says which items, and by which column.
NAMED_TABLES = {
    "card_sets": ("cards", "set_id"),
    "manufacturers": ("figures", "manufacturer_id"),
    "series": ("figure_series", "series_id"),
    "characters": ("figure_characters", "character_id"),
}
NOTE = """
CREATE TRIGGER search_{event} AFTER {event} ON catalogue.{table}
REFERENCING {rows} TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION catalogue.note_search_changes({arguments})
"""

# The words that are written nearly so; less alike than this are not even two letters swapped in a short one.
SIMILAR = """
CREATE FUNCTION catalogue.similar_words(asked text, at_most integer)
RETURNS TABLE (word text, likeness real)
LANGUAGE sql STABLE PARALLEL SAFE
SET pg_trgm.similarity_threshold = 0.3 AS $$
    SELECT word, {extensions}.similarity(word, asked) AS likeness
    FROM catalogue.search_words WHERE word OPERATOR({extensions}.%) asked
    ORDER BY likeness DESC, word
    LIMIT at_most
$$;
GRANT EXECUTE ON FUNCTION catalogue.similar_words(text, integer) TO trove_api, trove_worker;
"""


def _note(table: str, event: str, *arguments: str) -> str:
    rows = "OLD" if event == "DELETE" else "NEW"
    return NOTE.format(event=event, table=table, rows=rows, arguments=", ".join(f"'{each}'" for each in arguments))


def _schema_of(extension: str) -> str:
    """Where an extension stands, quoted."""
    schema = op.get_bind().scalar(
        text(
            "SELECT quote_ident(nspname) FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace "
            "WHERE extname = :name"
        ),
        {"name": extension},
    )
    return str(schema)


def upgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    op.execute("CREATE EXTENSION IF NOT EXISTS unaccent")
    run(FOLD.format(extensions=_schema_of("unaccent")))
    run(TABLES)
    run(REFRESH)
    run(SIMILAR.format(extensions=_schema_of("pg_trgm")))
    for event in ("INSERT", "UPDATE"):
        run(_note("items", event, "id"))
    for table in ITEM_TABLES:
        for event in ("INSERT", "UPDATE", "DELETE"):
            run(_note(table, event, "item_id"))
    for table, (link, key) in NAMED_TABLES.items():
        run(_note(table, "UPDATE", "item_id", link, key))
    run("SELECT catalogue.refresh_search_documents((SELECT array_agg(id) FROM catalogue.items))")
    op.execute("GRANT SELECT ON catalogue.search_documents, catalogue.search_words TO trove_api, trove_worker")


def downgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    for table in ("items", *ITEM_TABLES, *NAMED_TABLES):
        for event in ("insert", "update", "delete"):
            op.execute(f"DROP TRIGGER IF EXISTS search_{event} ON catalogue.{table}")
    run(
        """
        DROP FUNCTION catalogue.similar_words(text, integer);
        DROP TABLE catalogue.search_changes;
        DROP FUNCTION catalogue.apply_search_changes();
        DROP FUNCTION catalogue.note_search_changes();
        DROP FUNCTION catalogue.refresh_search_documents(uuid[]);
        DROP TABLE catalogue.search_documents;
        DROP TABLE catalogue.search_words;
        DROP FUNCTION catalogue.fold(text);
        """
    )
    op.execute("DROP EXTENSION IF EXISTS unaccent")
