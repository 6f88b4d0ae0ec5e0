"""Rules over a merged item are held in the order of everybody else, and an alert is of a rule of its owner's."""

from alembic import op

from migrations.statements import run

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

# Wherever several rules are taken it is in the order of their ids: else two would wait for each other. Who merges items
# sees none of them.
HOLD = """
CREATE FUNCTION alerts.hold_rules_over(item uuid, variants uuid[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF current_setting('role', true) IS DISTINCT FROM 'trove_worker' AND NOT identity.viewer_may('catalogue:write') THEN
        RAISE EXCEPTION 'merging takes catalogue:write' USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM FROM alerts.rules AS rule WHERE rule.item_id = item OR rule.variant_id = ANY (variants)
    ORDER BY rule.id FOR NO KEY UPDATE;
END
$$;
REVOKE EXECUTE ON FUNCTION alerts.hold_rules_over(uuid, uuid[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION alerts.hold_rules_over(uuid, uuid[]) TO trove_api, trove_worker;
"""
# The database refuses an alert of somebody else's rule: with it a crossing of that rule would count as told already.
OWN_RULES = """
ALTER TABLE alerts.alerts DROP CONSTRAINT alerts_rule_id_reference;
ALTER TABLE alerts.alerts ADD CONSTRAINT alerts_rule_id_owner_id_reference FOREIGN KEY (rule_id, owner_id)
    REFERENCES alerts.rules (id, owner_id) ON DELETE SET NULL (rule_id);
"""
ANY_RULES = """
ALTER TABLE alerts.alerts DROP CONSTRAINT alerts_rule_id_owner_id_reference;
ALTER TABLE alerts.alerts ADD CONSTRAINT alerts_rule_id_reference FOREIGN KEY (rule_id)
    REFERENCES alerts.rules (id) ON DELETE SET NULL;
"""
# Staff switch channels; which there are is no matter of theirs. Nothing is looked for by when it comes back.
LESS = """
REVOKE UPDATE ON notifications.channels FROM trove_api;
GRANT UPDATE (is_enabled, version, updated_at) ON notifications.channels TO trove_api;
DROP INDEX notifications.notifications_snoozed;
"""
MORE = """
REVOKE UPDATE (is_enabled, version, updated_at) ON notifications.channels FROM trove_api;
GRANT UPDATE ON notifications.channels TO trove_api;
CREATE INDEX notifications_snoozed ON notifications.notifications (snoozed_until) WHERE snoozed_until IS NOT NULL;
"""


def upgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    run(HOLD)
    run(OWN_RULES)
    run(LESS)


def downgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    run(MORE)
    run(ANY_RULES)
    run("DROP FUNCTION alerts.hold_rules_over(uuid, uuid[])")
