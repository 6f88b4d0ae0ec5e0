-- What PostGraphile needs beside the tables: the best price of an item, as a computed column. A set of at most one row,
-- because PostgreSQL folds the body of such a function into the statement, and so answers twice as fast as it would by
-- calling a function that gives one row. The rule is that of Trove's graph: fresh before stale, then by kind, then newest.
CREATE SCHEMA bench;

CREATE TYPE bench.price AS (amount numeric, currency text, kind text, source text, observed_at timestamptz);

CREATE FUNCTION bench.items_best_price(item catalogue.items) RETURNS SETOF bench.price
LANGUAGE sql STABLE PARALLEL SAFE ROWS 1 AS $$
    SELECT series.latest_price, series.currency, series.kind, source.code, series.latest_observed_at
    FROM catalogue.item_variants AS variant
    JOIN prices.price_series AS series ON series.variant_id = variant.id
    JOIN prices.sources AS source ON source.id = series.source_id
    WHERE variant.item_id = item.id AND variant.is_default AND series.latest_price IS NOT NULL
    ORDER BY
        series.latest_observed_at < now() - interval '30 days',
        array_position(ARRAY['sale', 'market', 'mid', 'ask', 'list', 'low', 'bid', 'high'], series.kind),
        series.latest_observed_at DESC,
        series.id
    LIMIT 1
$$;

CREATE FUNCTION bench.item_variants_best_price(variant catalogue.item_variants) RETURNS SETOF bench.price
LANGUAGE sql STABLE PARALLEL SAFE ROWS 1 AS $$
    SELECT series.latest_price, series.currency, series.kind, source.code, series.latest_observed_at
    FROM prices.price_series AS series
    JOIN prices.sources AS source ON source.id = series.source_id
    WHERE series.variant_id = variant.id AND series.latest_price IS NOT NULL
    ORDER BY
        series.latest_observed_at < now() - interval '30 days',
        array_position(ARRAY['sale', 'market', 'mid', 'ask', 'list', 'low', 'bid', 'high'], series.kind),
        series.latest_observed_at DESC,
        series.id
    LIMIT 1
$$;

GRANT USAGE ON SCHEMA bench TO trove_api;
