"""Exchange rates as a function of the database, so that a statement of any shape can convert with them."""

from alembic import op

from migrations.statements import run

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

# What one unit costs, and how many units of the currency of that price a euro buys: a published currency costs one unit
# of itself, a coin what its last close says that was known when the day ended: of a market price before a middle one,
# then of the newest. A close that a source still showed later is as new as that. A symbol that several coins have names
# none of them. Of the euro the rate is 1, on the day itself.
HELD = """
CREATE FUNCTION prices.held_currency(
    held text, day date, coins text[],
    OUT units_per_eur numeric, OUT price numeric, OUT rate_date date, OUT sources text[]
)
LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
#variable_conflict use_column
BEGIN
    IF held = 'EUR' THEN
        units_per_eur := 1;
        price := 1;
        rate_date := day;
        sources := ARRAY[NULL::text];
        RETURN;
    END IF;
    SELECT published.units_per_eur, 1, published.rate_date, ARRAY[published.source]
    INTO units_per_eur, price, rate_date, sources
    FROM prices.exchange_rates AS published
    WHERE published.currency = held AND published.rate_date <= day
    ORDER BY published.rate_date DESC
    LIMIT 1;
    IF FOUND OR held <> ALL (coins) THEN
        RETURN;
    END IF;
    SELECT quoted.units_per_eur, priced.close, least(quoted.rate_date, priced.price_date),
           ARRAY[source.code, quoted.sources[1]]
    INTO units_per_eur, price, rate_date, sources
    FROM catalogue.coins AS coin
    JOIN catalogue.item_variants AS variant ON variant.item_id = coin.item_id AND variant.is_default
    JOIN prices.price_series AS series
        ON series.variant_id = variant.id AND series.kind IN ('market', 'mid')
    JOIN prices.sources AS source ON source.id = series.source_id
    CROSS JOIN LATERAL (
        SELECT candle.close, CAST(timezone('UTC', CASE
            WHEN candle.close = series.latest_price AND series.last_seen_at > candle.ends_at
            THEN least(series.last_seen_at, timezone('UTC', CAST(day + 1 AS timestamp)) - interval '1 microsecond')
            ELSE candle.ends_at - interval '1 microsecond'
        END) AS date) AS price_date
        FROM (
            SELECT resolution, true AS is_provided FROM unnest(series.provided_resolutions) AS resolution
            UNION ALL
            SELECT 86400, false WHERE series.has_points
        ) AS layer
        CROSS JOIN LATERAL (
            SELECT stored.close, stored.bucket + layer.resolution * interval '1 second' AS ends_at
            FROM prices.candles AS stored
            WHERE stored.series_id = series.id
                AND stored.resolution = layer.resolution
                AND stored.is_provided = layer.is_provided
                AND stored.bucket
                    <= timezone('UTC', CAST(day + 1 AS timestamp)) - layer.resolution * interval '1 second'
            ORDER BY stored.bucket DESC
            LIMIT 1
        ) AS candle
        ORDER BY candle.ends_at DESC, layer.is_provided DESC, layer.resolution
        LIMIT 1
    ) AS priced
    -- Quoted in a coin it would go round in circles.
    CROSS JOIN LATERAL prices.held_currency(series.currency, day, ARRAY[]::text[]) AS quoted
    WHERE upper(coin.symbol) = held AND priced.close > 0 AND quoted.rate_date IS NOT NULL
        AND NOT EXISTS (
            SELECT FROM catalogue.coins AS other WHERE upper(other.symbol) = held AND other.item_id <> coin.item_id
        )
    ORDER BY array_position(ARRAY['market', 'mid'], series.kind), priced.price_date DESC, quoted.rate_date DESC,
        series.id
    LIMIT 1;
END
$$;
"""

# Rounded half away from zero to 28 digits from the first that is not 0: a quotient of 1 or more has it before the
# point, of a smaller one the zeros behind the point are counted. A stored rate is a whole number of its smallest
# decimal place (12 of them), below 10^21. So a quotient begins at most 21 places behind the point, its last digit that
# counts stands 28 places further at most, and unless it lies in the middle between two roundings it is
# 1 / (2 * 10^49 * 10^21) away from it: dividing to 72 places tells on which side it lies.
RATE = """
CREATE FUNCTION prices.exchange_rate(
    from_currency text, to_currency text, day date, coins text[], OUT rate numeric, OUT rate_date date, OUT source text
)
LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
#variable_conflict use_column
DECLARE
    given record;
    got record;
    quotient numeric;
    behind_point text;
BEGIN
    SELECT * INTO given FROM prices.held_currency(from_currency, day, coins);
    SELECT * INTO got FROM prices.held_currency(to_currency, day, coins);
    IF given.rate_date IS NULL OR got.rate_date IS NULL THEN
        RETURN;
    END IF;
    quotient := round(got.units_per_eur * given.price, 72) / (given.units_per_eur * got.price);
    IF quotient = 0 THEN
        RETURN;
    END IF;
    behind_point := split_part(CAST(quotient AS text), '.', 2);
    rate := trim_scale(round(quotient, 28 - CASE
        WHEN quotient >= 1 THEN length(CAST(trunc(quotient) AS text))
        ELSE length(ltrim(behind_point, '0')) - length(behind_point)
    END));
    rate_date := least(given.rate_date, got.rate_date);
    IF cardinality(given.sources) = 1 AND cardinality(got.sources) = 1 AND given.sources[1] = got.sources[1] THEN
        source := given.sources[1];
        RETURN;
    END IF;
    SELECT string_agg(named.source, ', ' ORDER BY named.place) INTO source
    FROM (
        SELECT each.source, min(each.place) AS place
        FROM unnest(given.sources || got.sources) WITH ORDINALITY AS each (source, place)
        GROUP BY each.source
    ) AS named;
END
$$;
"""

# The same for one currency, without a word on where it comes from; 40 places are more than a price can show.
UNITS = """
CREATE FUNCTION prices.units_per_euro(held text, day date, coins text[]) RETURNS numeric
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT round(units_per_eur, 40) / price FROM prices.held_currency(held, day, coins)
$$;
"""


def upgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    run(HELD)
    run(RATE)
    run(UNITS)


def downgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    op.execute("DROP FUNCTION prices.units_per_euro(text, date, text[])")
    op.execute("DROP FUNCTION prices.exchange_rate(text, text, date, text[])")
    op.execute("DROP FUNCTION prices.held_currency(text, date, text[])")
