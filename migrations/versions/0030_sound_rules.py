"""Rules that the engine cannot stumble over, and alerts that go along when items become one."""

from alembic import op

from migrations.statements import run

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

LEVELS = "'crosses_above', 'crosses_below', 'crosses_level', 'at_or_below'"
CHANGES = "'rises_by', 'falls_by'"
MOVEMENTS = "'entered', 'left', 'delivered', 'moved_in_storage'"
PRICED = "'item', 'variant', 'card_set', 'watchlist'"

# A check whose condition is null holds, so each says what may be null.
CHECKS = {
    "target_is_named": """CASE target
        WHEN 'item' THEN item_id WHEN 'variant' THEN variant_id WHEN 'card_set' THEN card_set_id
        WHEN 'watchlist' THEN watchlist_id WHEN 'portfolio' THEN portfolio_id WHEN 'tracker' THEN tracker_id
        WHEN 'place' THEN place_id WHEN 'production_run' THEN production_run_id WHEN 'preorder' THEN preorder_id
        WHEN 'want' THEN want_id ELSE id
    END IS NOT NULL""",
    "condition_goes_with_target": f"""CASE
        WHEN target IN ({PRICED}, 'portfolio') THEN condition IN ({LEVELS}, {CHANGES})
        WHEN target IN ('tracker', 'production_run') THEN condition IN ({MOVEMENTS}, 'silent_for')
        WHEN target = 'place' THEN condition IN ({MOVEMENTS})
        WHEN target = 'preorder' THEN condition = 'date_slipped'
        ELSE condition = 'want_met'
    END""",
    "threshold_goes_with_condition": f"""CASE
        WHEN condition IN ({LEVELS}) THEN
            threshold IS NOT NULL AND threshold > 0 AND threshold <= 1000000000000000 AND scale(threshold) <= 18
        WHEN condition IN ({CHANGES}) THEN
            threshold IS NOT NULL AND threshold > 0 AND threshold <= 1000000 AND scale(threshold) <= 18
            AND (condition = 'rises_by' OR threshold < 100)
        WHEN condition = 'date_slipped' THEN
            threshold IS NULL OR threshold BETWEEN 1 AND 3650 AND threshold = trunc(threshold)
        ELSE threshold IS NULL
    END""",
    "hysteresis_goes_with_condition": f"""CASE
        WHEN condition IN ({LEVELS}) THEN hysteresis <= 1000000000000000 AND scale(hysteresis) <= 18
        WHEN condition IN ({CHANGES}) THEN hysteresis <= 1000000 AND scale(hysteresis) <= 18
        ELSE hysteresis = 0
    END""",
    "currency_goes_with_condition": f"""CASE
        WHEN condition IN ({LEVELS}) OR target = 'portfolio' THEN currency IS NOT NULL
        WHEN condition IN ({CHANGES}) THEN true
        ELSE currency IS NULL
    END""",
    "window_goes_with_condition": f"""CASE
        WHEN condition IN ({CHANGES}) THEN
            window_minutes IS NOT NULL AND (target <> 'portfolio' OR window_minutes % 1440 = 0)
        ELSE window_minutes IS NULL
    END""",
    "duration_goes_with_condition": "(duration_minutes IS NOT NULL) = (condition = 'silent_for')",
    "price_kind_is_known": "price_kind IN ('sale', 'market', 'mid', 'ask', 'bid', 'low', 'high', 'list')",
    "prices_alone_are_narrowed": f"target IN ({PRICED}) OR num_nonnulls(price_kind, source_id) = 0",
    "reach_goes_with_condition": f"""CASE
        WHEN condition IN ({LEVELS}) AND target IN ({PRICED}) THEN
            reach_low IS NOT NULL AND threshold BETWEEN reach_low AND reach_high
        ELSE reach_low IS NULL
    END""",
    "clock_looks_at_what_it_has_to": f"""
        (next_look_at IS NOT NULL) = (target = 'portfolio' OR condition IN ({CHANGES}, 'silent_for'))
    """,
}

# Alerts keep what they say, and lead to what took the place of what they were about. A price that the merge brought
# together with others is in the series of the same source, kind and currency.
TAKE_OVER = """
CREATE OR REPLACE FUNCTION alerts.take_over_rules(merged_item uuid, kept_item uuid, merged uuid[], kept uuid[])
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    moved uuid[];
    removed uuid[];
    left_over uuid[];
BEGIN
    IF current_setting('role', true) IS DISTINCT FROM 'trove_worker' AND NOT identity.viewer_may('catalogue:write') THEN
        RAISE EXCEPTION 'merging takes catalogue:write' USING ERRCODE = 'insufficient_privilege';
    END IF;
    WITH changed AS (
        UPDATE alerts.rules AS rule
        SET item_id = CASE WHEN rule.item_id = merged_item THEN kept_item ELSE rule.item_id END,
            variant_id = coalesce(kept[array_position(merged, rule.variant_id)], rule.variant_id),
            watches_from = now(), version = rule.version + 1, updated_at = now()
        WHERE rule.item_id = merged_item OR rule.variant_id = ANY (merged)
        RETURNING rule.id
    )
    SELECT array_agg(id) INTO moved FROM changed;
    DELETE FROM alerts.price_states WHERE rule_id = ANY (moved);
    -- Who wanted both keeps one of the two: the other was removed by this merge, and by nothing before it.
    SELECT array_agg(others.id), array_agg(own.id) INTO removed, left_over
    FROM portfolios.wants AS others
    JOIN portfolios.wants AS own
        ON own.owner_id = others.owner_id AND own.variant_id = others.variant_id AND own.deleted_at IS NULL
    WHERE others.variant_id = ANY (kept) AND others.deleted_at = now();
    DELETE FROM alerts.price_states WHERE subject_id = ANY (removed);
    UPDATE alerts.rules AS rule
    SET want_id = left_over[array_position(removed, rule.want_id)], watches_from = now(), version = rule.version + 1,
        updated_at = now()
    WHERE rule.want_id = ANY (removed);
    UPDATE alerts.alerts AS alert SET want_id = left_over[array_position(removed, alert.want_id)]
    WHERE alert.item_id = merged_item AND alert.want_id = ANY (removed);
    UPDATE alerts.alerts AS alert
    SET item_id = kept_item, variant_id = coalesce(kept[array_position(merged, alert.variant_id)], alert.variant_id)
    WHERE alert.item_id = merged_item;
    UPDATE alerts.alerts AS alert SET series_id = series.id
    FROM prices.price_series AS series
    WHERE alert.item_id = kept_item AND series.variant_id = ANY (kept)
        AND (series.variant_id, series.source_id, series.kind, series.currency)
            = (alert.variant_id, alert.source_id, alert.price_kind, alert.observed_currency)
        AND NOT EXISTS (SELECT FROM prices.price_series AS own WHERE own.id = alert.series_id);
END
$$;
"""
INDEX = "CREATE INDEX alerts_by_item ON alerts.alerts (item_id) WHERE item_id IS NOT NULL"
# What merges left behind: of a variant that is gone only its series, where that stayed, says which one took over.
LEAD_ON = """
UPDATE alerts.alerts AS alert SET item_id = moved.item_id
FROM catalogue.item_redirects AS moved WHERE moved.old_id = alert.item_id;
UPDATE alerts.alerts AS alert SET variant_id = series.variant_id
FROM prices.price_series AS series
WHERE series.id = alert.series_id AND series.variant_id <> alert.variant_id
    AND NOT EXISTS (SELECT FROM catalogue.item_variants AS own WHERE own.id = alert.variant_id);
"""
TOOK_OVER = """
CREATE OR REPLACE FUNCTION alerts.take_over_rules(merged_item uuid, kept_item uuid, merged uuid[], kept uuid[])
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    moved uuid[];
BEGIN
    IF current_setting('role', true) IS DISTINCT FROM 'trove_worker' AND NOT identity.viewer_may('catalogue:write') THEN
        RAISE EXCEPTION 'merging takes catalogue:write' USING ERRCODE = 'insufficient_privilege';
    END IF;
    WITH changed AS (
        UPDATE alerts.rules AS rule
        SET item_id = CASE WHEN rule.item_id = merged_item THEN kept_item ELSE rule.item_id END,
            variant_id = coalesce(kept[array_position(merged, rule.variant_id)], rule.variant_id),
            watches_from = now(), version = rule.version + 1, updated_at = now()
        WHERE rule.item_id = merged_item OR rule.variant_id = ANY (merged)
        RETURNING rule.id
    )
    SELECT array_agg(id) INTO moved FROM changed;
    DELETE FROM alerts.price_states WHERE rule_id = ANY (moved);
END
$$;
"""


def upgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    for name, check in CHECKS.items():
        op.execute(f"ALTER TABLE alerts.rules ADD CONSTRAINT rules_{name} CHECK ({check})")
    op.execute(INDEX)
    run(TAKE_OVER)
    run(LEAD_ON)


def downgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    run(TOOK_OVER)
    op.execute("DROP INDEX alerts.alerts_by_item")
    for name in CHECKS:
        op.execute(f"ALTER TABLE alerts.rules DROP CONSTRAINT rules_{name}")
