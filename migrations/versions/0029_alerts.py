"""The rooms of alerts and of notifications: what people want to be told of, what they were told, and how."""

from alembic import op

from migrations.statements import run

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

TABLES = """
CREATE SCHEMA alerts;
CREATE SCHEMA notifications;

CREATE TABLE notifications.channels (
    kind text NOT NULL,
    is_enabled boolean NOT NULL DEFAULT true,
    version integer NOT NULL DEFAULT 1,
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT channels_key PRIMARY KEY (kind),
    CONSTRAINT channels_kind_is_known CHECK (kind IN ('in_app', 'email', 'web_push', 'webhook', 'service')),
    CONSTRAINT channels_app_always_tells CHECK (is_enabled OR kind <> 'in_app')
);

CREATE TABLE notifications.vapid_keys (
    id uuid NOT NULL,
    public_key bytea NOT NULL,
    private_key bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT vapid_keys_key PRIMARY KEY (id)
);

CREATE TABLE notifications.preferences (
    owner_id uuid NOT NULL,
    time_zone text,
    quiet_from time,
    quiet_until time,
    digest text NOT NULL DEFAULT 'none',
    digest_at time NOT NULL DEFAULT '08:00',
    version integer NOT NULL DEFAULT 1,
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT preferences_key PRIMARY KEY (owner_id),
    CONSTRAINT preferences_quiet_hours_are_whole CHECK ((quiet_from IS NULL) = (quiet_until IS NULL)),
    CONSTRAINT preferences_quiet_hours_are_not_all_hours CHECK (quiet_from <> quiet_until),
    CONSTRAINT preferences_digest_is_known CHECK (digest IN ('none', 'hourly', 'daily')),
    CONSTRAINT preferences_owner_id_reference FOREIGN KEY (owner_id) REFERENCES identity.users (id) ON DELETE CASCADE
);

CREATE TABLE notifications.push_subscriptions (
    id uuid NOT NULL,
    owner_id uuid NOT NULL,
    endpoint_hash bytea NOT NULL,
    host text NOT NULL,
    subscription bytea NOT NULL,
    name text,
    refusals integer NOT NULL DEFAULT 0,
    last_delivered_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT push_subscriptions_key PRIMARY KEY (id),
    CONSTRAINT push_subscriptions_unique_id_owner_id UNIQUE (id, owner_id),
    CONSTRAINT push_subscriptions_unique_endpoint_hash UNIQUE (endpoint_hash),
    CONSTRAINT push_subscriptions_endpoint_hash_is_whole CHECK (octet_length(endpoint_hash) = 32),
    CONSTRAINT push_subscriptions_owner_id_reference FOREIGN KEY (owner_id)
        REFERENCES identity.users (id) ON DELETE CASCADE
);

CREATE INDEX push_subscriptions_by_owner ON notifications.push_subscriptions (owner_id, created_at, id);

CREATE TABLE notifications.routes (
    owner_id uuid NOT NULL,
    event_type text NOT NULL,
    channel text NOT NULL,
    minimum_severity text,
    CONSTRAINT routes_key PRIMARY KEY (owner_id, event_type, channel),
    CONSTRAINT routes_event_type_is_known
        CHECK (event_type IN ('price', 'portfolio', 'tracker', 'preorder', 'want', 'account')),
    CONSTRAINT routes_channel_is_outside
        CHECK (channel IN ('in_app', 'email', 'web_push', 'webhook', 'service') AND channel <> 'in_app'),
    CONSTRAINT routes_severity_is_known CHECK (minimum_severity IN ('info', 'warning', 'critical')),
    CONSTRAINT routes_owner_id_reference FOREIGN KEY (owner_id) REFERENCES identity.users (id) ON DELETE CASCADE
);

CREATE TABLE notifications.services (
    id uuid NOT NULL,
    owner_id uuid NOT NULL,
    name text NOT NULL,
    kind text NOT NULL,
    address bytea NOT NULL,
    is_enabled boolean NOT NULL DEFAULT true,
    last_delivered_at timestamptz,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT services_key PRIMARY KEY (id),
    CONSTRAINT services_unique_id_owner_id UNIQUE (id, owner_id),
    CONSTRAINT services_name_is_short CHECK (char_length(name) BETWEEN 1 AND 100),
    CONSTRAINT services_owner_id_reference FOREIGN KEY (owner_id) REFERENCES identity.users (id) ON DELETE CASCADE
);
CREATE INDEX services_by_owner ON notifications.services (owner_id, created_at, id);

CREATE TABLE notifications.webhooks (
    id uuid NOT NULL,
    owner_id uuid NOT NULL,
    name text NOT NULL,
    url text NOT NULL,
    secret bytea NOT NULL,
    document text,
    scopes text[] NOT NULL DEFAULT '{}',
    event_types text[],
    minimum_severity text NOT NULL DEFAULT 'info',
    is_enabled boolean NOT NULL DEFAULT true,
    failing_since timestamptz,
    disabled_at timestamptz,
    last_delivered_at timestamptz,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT webhooks_key PRIMARY KEY (id),
    CONSTRAINT webhooks_unique_id_owner_id UNIQUE (id, owner_id),
    CONSTRAINT webhooks_name_is_short CHECK (char_length(name) BETWEEN 1 AND 100),
    CONSTRAINT webhooks_severity_is_known CHECK (minimum_severity IN ('info', 'warning', 'critical')),
    CONSTRAINT webhooks_owner_id_reference FOREIGN KEY (owner_id) REFERENCES identity.users (id) ON DELETE CASCADE
);
CREATE INDEX webhooks_by_owner ON notifications.webhooks (owner_id, created_at, id);

CREATE TABLE alerts.rules (
    id uuid NOT NULL,
    owner_id uuid NOT NULL,
    target text NOT NULL,
    item_id uuid,
    variant_id uuid,
    card_set_id uuid,
    watchlist_id uuid,
    portfolio_id uuid,
    tracker_id uuid,
    place_id uuid,
    production_run_id uuid,
    preorder_id uuid,
    want_id uuid,
    condition text NOT NULL,
    threshold numeric,
    currency text,
    window_minutes integer,
    duration_minutes integer,
    hysteresis numeric NOT NULL DEFAULT 0,
    cooldown_minutes integer NOT NULL DEFAULT 0,
    price_kind text,
    source_id smallint,
    is_recurring boolean NOT NULL DEFAULT true,
    expires_at timestamptz,
    severity text NOT NULL DEFAULT 'info',
    notes text,
    channels text[],
    reach_low numeric,
    reach_high numeric,
    is_active boolean NOT NULL DEFAULT true,
    paused_at timestamptz,
    ended_at timestamptz,
    watches_from timestamptz NOT NULL DEFAULT now(),
    next_look_at timestamptz,
    last_fired_at timestamptz,
    fired_count integer NOT NULL DEFAULT 0,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT rules_key PRIMARY KEY (id),
    CONSTRAINT rules_unique_id_owner_id UNIQUE (id, owner_id),
    CONSTRAINT rules_target_is_known
        CHECK (target IN ('item', 'variant', 'card_set', 'watchlist', 'portfolio', 'tracker', 'place',
            'production_run', 'preorder', 'want', 'wants')),
    CONSTRAINT rules_has_one_target
        CHECK (num_nonnulls(item_id, variant_id, card_set_id, watchlist_id, portfolio_id, tracker_id, place_id,
            production_run_id, preorder_id, want_id) = CASE target WHEN 'wants' THEN 0 ELSE 1 END),
    CONSTRAINT rules_condition_is_known
        CHECK (condition IN ('crosses_above', 'crosses_below', 'crosses_level', 'at_or_below', 'rises_by',
            'falls_by', 'entered', 'left', 'delivered', 'silent_for', 'moved_in_storage', 'date_slipped',
            'want_met')),
    CONSTRAINT rules_severity_is_known CHECK (severity IN ('info', 'warning', 'critical')),
    CONSTRAINT rules_notes_are_short CHECK (char_length(notes) BETWEEN 1 AND 2000),
    CONSTRAINT rules_hysteresis_is_not_negative CHECK (hysteresis >= 0),
    CONSTRAINT rules_cooldown_is_within_a_year CHECK (cooldown_minutes BETWEEN 0 AND 525600),
    CONSTRAINT rules_window_is_within_a_year CHECK (window_minutes BETWEEN 1 AND 525600),
    CONSTRAINT rules_duration_is_within_a_year CHECK (duration_minutes BETWEEN 10 AND 525600),
    CONSTRAINT rules_reach_is_whole CHECK ((reach_low IS NULL) = (reach_high IS NULL)),
    CONSTRAINT rules_watchlist_id_owner_id_reference FOREIGN KEY (watchlist_id, owner_id)
        REFERENCES portfolios.watchlists (id, owner_id) ON DELETE CASCADE,
    CONSTRAINT rules_portfolio_id_owner_id_reference FOREIGN KEY (portfolio_id, owner_id)
        REFERENCES portfolios.portfolios (id, owner_id) ON DELETE CASCADE,
    CONSTRAINT rules_owner_id_reference FOREIGN KEY (owner_id) REFERENCES identity.users (id) ON DELETE CASCADE,
    CONSTRAINT rules_item_id_reference FOREIGN KEY (item_id) REFERENCES catalogue.items (id) ON DELETE CASCADE,
    CONSTRAINT rules_variant_id_reference FOREIGN KEY (variant_id)
        REFERENCES catalogue.item_variants (id) ON DELETE CASCADE,
    CONSTRAINT rules_card_set_id_reference FOREIGN KEY (card_set_id)
        REFERENCES catalogue.card_sets (id) ON DELETE CASCADE,
    CONSTRAINT rules_tracker_id_reference FOREIGN KEY (tracker_id)
        REFERENCES trackers.trackers (id) ON DELETE CASCADE,
    CONSTRAINT rules_place_id_reference FOREIGN KEY (place_id) REFERENCES trackers.places (id) ON DELETE CASCADE,
    CONSTRAINT rules_production_run_id_reference FOREIGN KEY (production_run_id)
        REFERENCES trackers.production_runs (id) ON DELETE CASCADE,
    CONSTRAINT rules_preorder_id_reference FOREIGN KEY (preorder_id)
        REFERENCES portfolios.preorders (id) ON DELETE CASCADE,
    CONSTRAINT rules_want_id_reference FOREIGN KEY (want_id) REFERENCES portfolios.wants (id) ON DELETE CASCADE,
    CONSTRAINT rules_source_id_reference FOREIGN KEY (source_id) REFERENCES prices.sources (id)
);
CREATE INDEX rules_by_card_set ON alerts.rules (card_set_id, reach_low, reach_high) WHERE card_set_id IS NOT NULL;
CREATE INDEX rules_by_clock ON alerts.rules (next_look_at) WHERE is_active AND next_look_at IS NOT NULL;
CREATE INDEX rules_by_currency ON alerts.rules (currency) WHERE is_active AND currency IS NOT NULL;
CREATE INDEX rules_by_item ON alerts.rules (item_id, reach_low, reach_high) WHERE item_id IS NOT NULL;
CREATE INDEX rules_by_owner ON alerts.rules (owner_id, created_at, id);
CREATE INDEX rules_by_place ON alerts.rules (place_id) WHERE place_id IS NOT NULL;
CREATE INDEX rules_by_portfolio ON alerts.rules (portfolio_id) WHERE portfolio_id IS NOT NULL;
CREATE INDEX rules_by_preorder ON alerts.rules (preorder_id) WHERE preorder_id IS NOT NULL;
CREATE INDEX rules_by_production_run ON alerts.rules (production_run_id) WHERE production_run_id IS NOT NULL;
CREATE INDEX rules_by_tracker ON alerts.rules (tracker_id) WHERE tracker_id IS NOT NULL;
CREATE INDEX rules_by_variant ON alerts.rules (variant_id, reach_low, reach_high) WHERE variant_id IS NOT NULL;
CREATE INDEX rules_by_want ON alerts.rules (want_id) WHERE want_id IS NOT NULL;
CREATE INDEX rules_by_watchlist ON alerts.rules (watchlist_id, reach_low, reach_high) WHERE watchlist_id IS NOT NULL;
CREATE INDEX rules_expiring ON alerts.rules (expires_at) WHERE is_active;
CREATE INDEX rules_of_wants ON alerts.rules (owner_id) WHERE is_active AND condition = 'want_met';

CREATE TABLE alerts.alerts (
    id uuid NOT NULL,
    owner_id uuid NOT NULL,
    rule_id uuid,
    crossing text NOT NULL,
    condition text NOT NULL,
    severity text NOT NULL,
    title text NOT NULL,
    notes text,
    item_id uuid,
    variant_id uuid,
    portfolio_id uuid,
    tracker_id uuid,
    place_id uuid,
    preorder_id uuid,
    want_id uuid,
    old_value numeric,
    new_value numeric,
    base_value numeric,
    threshold numeric,
    currency text,
    series_id integer,
    price_kind text,
    source_id smallint,
    observed_at timestamptz NOT NULL,
    observed_price numeric,
    observed_currency text,
    channels text[],
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT alerts_key PRIMARY KEY (id),
    CONSTRAINT alerts_unique_rule_id_crossing UNIQUE (rule_id, crossing),
    CONSTRAINT alerts_unique_id_owner_id UNIQUE (id, owner_id),
    CONSTRAINT alerts_severity_is_known CHECK (severity IN ('info', 'warning', 'critical')),
    CONSTRAINT alerts_owner_id_reference FOREIGN KEY (owner_id) REFERENCES identity.users (id) ON DELETE CASCADE,
    CONSTRAINT alerts_rule_id_reference FOREIGN KEY (rule_id) REFERENCES alerts.rules (id) ON DELETE SET NULL
);
CREATE INDEX alerts_by_owner ON alerts.alerts (owner_id, id);
CREATE INDEX alerts_by_rule ON alerts.alerts (rule_id, id);
CREATE INDEX alerts_by_time ON alerts.alerts USING brin (created_at);

CREATE TABLE alerts.price_states (
    rule_id uuid NOT NULL,
    series_id integer NOT NULL,
    subject_id uuid NOT NULL,
    owner_id uuid NOT NULL,
    is_triggered boolean NOT NULL,
    value numeric,
    observed_at timestamptz,
    fired_at timestamptz,
    CONSTRAINT price_states_key PRIMARY KEY (rule_id, series_id, subject_id),
    CONSTRAINT price_states_rule_id_owner_id_reference FOREIGN KEY (rule_id, owner_id)
        REFERENCES alerts.rules (id, owner_id) ON DELETE CASCADE,
    CONSTRAINT price_states_series_id_reference FOREIGN KEY (series_id)
        REFERENCES prices.price_series (id) ON DELETE CASCADE
);
CREATE INDEX price_states_by_series ON alerts.price_states (series_id);

CREATE TABLE alerts.subject_states (
    rule_id uuid NOT NULL,
    subject_id uuid NOT NULL,
    owner_id uuid NOT NULL,
    is_triggered boolean NOT NULL,
    value numeric,
    observed_at timestamptz,
    fired_at timestamptz,
    subject_version integer,
    CONSTRAINT subject_states_key PRIMARY KEY (rule_id, subject_id),
    CONSTRAINT subject_states_rule_id_owner_id_reference FOREIGN KEY (rule_id, owner_id)
        REFERENCES alerts.rules (id, owner_id) ON DELETE CASCADE
);

CREATE TABLE notifications.notifications (
    id uuid NOT NULL,
    position bigint GENERATED ALWAYS AS IDENTITY,
    owner_id uuid NOT NULL,
    key text NOT NULL,
    event_type text NOT NULL,
    severity text NOT NULL,
    alert_id uuid,
    title text NOT NULL,
    body text,
    channels text[],
    read_at timestamptz,
    dismissed_at timestamptz,
    snoozed_until timestamptz,
    routed_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT notifications_key PRIMARY KEY (id),
    CONSTRAINT notifications_unique_id_owner_id UNIQUE (id, owner_id),
    CONSTRAINT notifications_unique_owner_id_key UNIQUE (owner_id, key),
    CONSTRAINT notifications_unique_position UNIQUE (position),
    CONSTRAINT notifications_event_type_is_known
        CHECK (event_type IN ('price', 'portfolio', 'tracker', 'preorder', 'want', 'account')),
    CONSTRAINT notifications_severity_is_known CHECK (severity IN ('info', 'warning', 'critical')),
    CONSTRAINT notifications_alert_id_owner_id_reference FOREIGN KEY (alert_id, owner_id)
        REFERENCES alerts.alerts (id, owner_id) ON DELETE CASCADE,
    CONSTRAINT notifications_owner_id_reference FOREIGN KEY (owner_id)
        REFERENCES identity.users (id) ON DELETE CASCADE
);
CREATE INDEX notifications_by_alert ON notifications.notifications (alert_id);
CREATE INDEX notifications_by_owner ON notifications.notifications (owner_id, position);
CREATE INDEX notifications_snoozed ON notifications.notifications (snoozed_until) WHERE snoozed_until IS NOT NULL;
CREATE INDEX notifications_to_route ON notifications.notifications (position) WHERE routed_at IS NULL;
CREATE INDEX notifications_unread ON notifications.notifications (owner_id, position) WHERE read_at IS NULL;

CREATE TABLE notifications.deliveries (
    id uuid NOT NULL,
    owner_id uuid NOT NULL,
    notification_id uuid NOT NULL,
    channel text NOT NULL,
    push_subscription_id uuid,
    webhook_id uuid,
    service_id uuid,
    status text NOT NULL DEFAULT 'waiting',
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    digest_at timestamptz,
    last_status integer,
    last_error text,
    delivered_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT deliveries_key PRIMARY KEY (id),
    CONSTRAINT deliveries_notification_id_owner_id_reference FOREIGN KEY (notification_id, owner_id)
        REFERENCES notifications.notifications (id, owner_id) ON DELETE CASCADE,
    CONSTRAINT deliveries_channel_is_outside
        CHECK (channel IN ('in_app', 'email', 'web_push', 'webhook', 'service') AND channel <> 'in_app'),
    CONSTRAINT deliveries_status_is_known CHECK (status IN ('waiting', 'delivered', 'failed', 'dropped')),
    CONSTRAINT deliveries_push_subscription_id_owner_id_reference FOREIGN KEY (push_subscription_id, owner_id)
        REFERENCES notifications.push_subscriptions (id, owner_id) ON DELETE CASCADE,
    CONSTRAINT deliveries_webhook_id_owner_id_reference FOREIGN KEY (webhook_id, owner_id)
        REFERENCES notifications.webhooks (id, owner_id) ON DELETE CASCADE,
    CONSTRAINT deliveries_service_id_owner_id_reference FOREIGN KEY (service_id, owner_id)
        REFERENCES notifications.services (id, owner_id) ON DELETE CASCADE,
    CONSTRAINT deliveries_has_one_destination
        CHECK (num_nonnulls(push_subscription_id, webhook_id, service_id) = CASE channel WHEN 'email' THEN 0 ELSE 1
            END),
    CONSTRAINT deliveries_owner_id_reference FOREIGN KEY (owner_id) REFERENCES identity.users (id) ON DELETE CASCADE
);
CREATE INDEX deliveries_by_owner ON notifications.deliveries (owner_id, created_at, id);
CREATE INDEX deliveries_by_push_subscription ON notifications.deliveries (push_subscription_id, created_at)
    WHERE push_subscription_id IS NOT NULL;
CREATE INDEX deliveries_by_service ON notifications.deliveries (service_id, created_at) WHERE service_id IS NOT NULL;
CREATE INDEX deliveries_by_webhook ON notifications.deliveries (webhook_id, created_at) WHERE webhook_id IS NOT NULL;
CREATE INDEX deliveries_due ON notifications.deliveries (channel, next_attempt_at) WHERE status = 'waiting';
CREATE UNIQUE INDEX deliveries_once ON notifications.deliveries
    (notification_id, channel, COALESCE(push_subscription_id, webhook_id, service_id, notification_id));

INSERT INTO notifications.channels (kind) VALUES ('in_app'), ('email'), ('web_push'), ('webhook'), ('service');
"""

# Everybody's own, and the worker's, who holds rules against what happens to anybody.
OWN = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
CREATE POLICY viewer ON {table} TO trove_api USING (owner_id = (SELECT identity.viewer_id()));
CREATE POLICY worker ON {table} TO trove_worker USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO trove_worker;
GRANT {rights} ON {table} TO trove_api;
"""
RIGHTS = {
    "alerts.price_states": "SELECT, DELETE",
    "alerts.subject_states": (
        "SELECT, INSERT, UPDATE (is_triggered, value, observed_at, fired_at, subject_version), DELETE"
    ),
    "alerts.alerts": "SELECT, INSERT",
    "notifications.notifications": "SELECT, INSERT, UPDATE (read_at, dismissed_at, snoozed_until)",
    "notifications.preferences": "SELECT, INSERT, UPDATE, DELETE",
    "notifications.routes": "SELECT, INSERT, UPDATE, DELETE",
    "notifications.push_subscriptions": (
        "SELECT (id, owner_id, endpoint_hash, host, name, refusals, last_delivered_at, created_at), INSERT, "
        "UPDATE (subscription, name, refusals), DELETE"
    ),
    "notifications.webhooks": (
        "SELECT (id, owner_id, name, url, document, scopes, event_types, minimum_severity, is_enabled, failing_since, "
        "disabled_at, last_delivered_at, version, created_at, updated_at), INSERT, UPDATE (name, url, secret, "
        "document, scopes, event_types, minimum_severity, is_enabled, failing_since, disabled_at, version, "
        "updated_at), DELETE"
    ),
    "notifications.services": (
        "SELECT (id, owner_id, name, kind, is_enabled, last_delivered_at, version, created_at, updated_at), INSERT, "
        "UPDATE (name, kind, address, is_enabled, version, updated_at), DELETE"
    ),
    # A test is sent by who asks for it; of any other the worker makes them.
    "notifications.deliveries": (
        "SELECT, INSERT (id, owner_id, notification_id, channel, push_subscription_id, webhook_id, service_id)"
    ),
}
RULES = """
ALTER TABLE alerts.rules ENABLE ROW LEVEL SECURITY;
CREATE POLICY viewer ON alerts.rules FOR SELECT TO trove_api USING (owner_id = (SELECT identity.viewer_id()));
CREATE POLICY makes ON alerts.rules FOR INSERT TO trove_api WITH CHECK (
    owner_id = (SELECT identity.viewer_id())
    -- A reference is checked past the policies of what it leads to: here they count.
    AND (tracker_id IS NULL OR EXISTS (SELECT FROM trackers.trackers WHERE id = tracker_id))
    AND (place_id IS NULL OR EXISTS (SELECT FROM trackers.places WHERE id = place_id))
    AND (production_run_id IS NULL OR EXISTS (SELECT FROM trackers.production_runs WHERE id = production_run_id))
    AND (preorder_id IS NULL OR EXISTS (SELECT FROM portfolios.preorders WHERE id = preorder_id))
    AND (want_id IS NULL OR EXISTS (SELECT FROM portfolios.wants WHERE id = want_id))
);
CREATE POLICY changes ON alerts.rules FOR UPDATE TO trove_api USING (owner_id = (SELECT identity.viewer_id()));
CREATE POLICY removes ON alerts.rules FOR DELETE TO trove_api USING (owner_id = (SELECT identity.viewer_id()));
CREATE POLICY worker ON alerts.rules TO trove_worker USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON alerts.rules TO trove_worker;
GRANT SELECT, INSERT, DELETE ON alerts.rules TO trove_api;
-- What a rule looks at stays as it is: only that was looked at when it was made.
GRANT UPDATE (condition, threshold, currency, window_minutes, duration_minutes, hysteresis, cooldown_minutes,
    price_kind, source_id, is_recurring, expires_at, severity, notes, channels, reach_low, reach_high, is_active,
    paused_at, ended_at, watches_from, next_look_at, last_fired_at, fired_count, version, updated_at)
    ON alerts.rules TO trove_api;
"""
# Who merges items moves everybody's rules along, and sees none of them.
TAKE_OVER = """
CREATE FUNCTION alerts.take_over_rules(merged_item uuid, kept_item uuid, merged uuid[], kept uuid[]) RETURNS void
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
REVOKE EXECUTE ON FUNCTION alerts.take_over_rules(uuid, uuid, uuid[], uuid[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION alerts.take_over_rules(uuid, uuid, uuid[], uuid[]) TO trove_api, trove_worker;
"""
MORE = """
GRANT SELECT ON notifications.channels TO trove_api, trove_worker;
GRANT UPDATE ON notifications.channels TO trove_api;
ALTER TABLE notifications.channels ENABLE ROW LEVEL SECURITY;
CREATE POLICY anybody ON notifications.channels FOR SELECT TO trove_api, trove_worker USING (true);
CREATE POLICY staff ON notifications.channels FOR UPDATE TO trove_api
    USING ((SELECT identity.viewer_may('operations:write')));

-- The key that signs is for those who send; whoever asks first makes it.
ALTER TABLE notifications.vapid_keys ENABLE ROW LEVEL SECURITY;
CREATE POLICY anybody ON notifications.vapid_keys FOR SELECT TO trove_api USING (true);
CREATE POLICY makes ON notifications.vapid_keys FOR INSERT TO trove_api WITH CHECK (true);
CREATE POLICY worker ON notifications.vapid_keys TO trove_worker USING (true) WITH CHECK (true);
GRANT SELECT (id, public_key, created_at), INSERT ON notifications.vapid_keys TO trove_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON notifications.vapid_keys TO trove_worker;

-- The API hands notifications to those whose they are: it reads whose, and nothing of what they say.
CREATE FUNCTION notifications.last_position() RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(max(position), 0) FROM notifications.notifications
$$;
CREATE FUNCTION notifications.told_after(after bigint, most integer)
RETURNS TABLE (told_position bigint, owner_id uuid, id uuid, alert_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT told.position, told.owner_id, told.id, told.alert_id
    FROM notifications.notifications AS told WHERE told.position > after ORDER BY told.position LIMIT most
$$;
REVOKE EXECUTE ON FUNCTION notifications.last_position(), notifications.told_after(bigint, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION notifications.last_position(), notifications.told_after(bigint, integer) TO trove_api;

-- A browser tells one person only: who is signed in there now. Who knows its endpoint has the browser.
CREATE FUNCTION notifications.take_over_endpoint(hash bytea) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM notifications.push_subscriptions AS other
    WHERE other.endpoint_hash = hash AND other.owner_id <> (SELECT identity.viewer_id())
$$;
REVOKE EXECUTE ON FUNCTION notifications.take_over_endpoint(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION notifications.take_over_endpoint(bytea) TO trove_api;
"""


def upgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    run(TABLES)
    op.execute("GRANT USAGE ON SCHEMA alerts, notifications TO trove_api, trove_worker")
    run(RULES)
    run(TAKE_OVER)
    for table, rights in RIGHTS.items():
        run(OWN.format(table=table, rights=rights))
    run(MORE)


def downgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    op.execute("DROP SCHEMA notifications CASCADE")
    op.execute("DROP SCHEMA alerts CASCADE")
