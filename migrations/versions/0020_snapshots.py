"""What portfolios were at the end of each day, and from which day on that has yet to be said."""

from alembic import op

from migrations.statements import run

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE portfolios.snapshots (
    portfolio_id uuid NOT NULL,
    day date NOT NULL,
    owner_id uuid NOT NULL,
    currency text NOT NULL,
    value numeric,
    cost numeric NOT NULL,
    realized_gain numeric NOT NULL,
    net_flow numeric NOT NULL,
    holding_count integer NOT NULL,
    unpriced_count integer NOT NULL,
    stale_count integer NOT NULL,
    oldest_observed_at timestamptz,
    parts jsonb NOT NULL,
    computed_at timestamptz NOT NULL,
    CONSTRAINT snapshots_key PRIMARY KEY (portfolio_id, day),
    CONSTRAINT snapshots_portfolio_id_owner_id_reference FOREIGN KEY (portfolio_id, owner_id)
        REFERENCES portfolios.portfolios (id, owner_id) ON DELETE CASCADE,
    CONSTRAINT snapshots_unpriced_are_holdings CHECK (unpriced_count BETWEEN 0 AND holding_count),
    CONSTRAINT snapshots_value_is_known
        CHECK (value IS NULL = (holding_count > 0 AND unpriced_count = holding_count))
);
CREATE INDEX snapshots_by_owner ON portfolios.snapshots (owner_id);

CREATE TABLE portfolios.snapshot_marks (
    portfolio_id uuid NOT NULL,
    owner_id uuid NOT NULL,
    next_day date NOT NULL,
    version integer NOT NULL DEFAULT 1,
    CONSTRAINT snapshot_marks_key PRIMARY KEY (portfolio_id),
    CONSTRAINT snapshot_marks_portfolio_id_owner_id_reference FOREIGN KEY (portfolio_id, owner_id)
        REFERENCES portfolios.portfolios (id, owner_id) ON DELETE CASCADE
);
CREATE INDEX snapshot_marks_by_day ON portfolios.snapshot_marks (next_day);
CREATE INDEX snapshot_marks_by_owner ON portfolios.snapshot_marks (owner_id);
"""

# Snapshots follow from trades and prices: the worker alone makes them. Whoever changes trades leaves a mark.
ACCESS = """
ALTER TABLE portfolios.snapshots ENABLE ROW LEVEL SECURITY;
CREATE POLICY viewer ON portfolios.snapshots TO trove_api USING (owner_id = (SELECT identity.viewer_id()));
CREATE POLICY worker ON portfolios.snapshots TO trove_worker USING (true) WITH CHECK (true);
GRANT SELECT ON portfolios.snapshots TO trove_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON portfolios.snapshots TO trove_worker;
ALTER TABLE portfolios.snapshot_marks ENABLE ROW LEVEL SECURITY;
CREATE POLICY viewer ON portfolios.snapshot_marks TO trove_api USING (owner_id = (SELECT identity.viewer_id()));
CREATE POLICY worker ON portfolios.snapshot_marks TO trove_worker USING (true) WITH CHECK (true);
GRANT SELECT ON portfolios.snapshot_marks TO trove_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON portfolios.snapshot_marks TO trove_worker;
"""

# A trade changes what was at the end of its day and of all days after it; an edited one from the earlier of its days.
# Of a portfolio that is being deleted nothing is to be made any more.
MARK = """
CREATE FUNCTION portfolios.mark_snapshots() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO portfolios.snapshot_marks AS mark (portfolio_id, owner_id, next_day)
    SELECT portfolio.id, portfolio.owner_id, min(CAST(timezone('UTC', changed.occurred_at) AS date))
    FROM changed JOIN portfolios.portfolios AS portfolio ON portfolio.id = changed.portfolio_id
    GROUP BY portfolio.id, portfolio.owner_id
    ORDER BY portfolio.id
    ON CONFLICT (portfolio_id) DO UPDATE
    SET next_day = least(mark.next_day, excluded.next_day), version = mark.version + 1;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION portfolios.mark_snapshots() FROM PUBLIC;
CREATE TRIGGER mark_inserted AFTER INSERT ON portfolios.trades
REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION portfolios.mark_snapshots();
CREATE TRIGGER mark_updated_to AFTER UPDATE ON portfolios.trades
REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION portfolios.mark_snapshots();
CREATE TRIGGER mark_updated_from AFTER UPDATE ON portfolios.trades
REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION portfolios.mark_snapshots();
CREATE TRIGGER mark_deleted AFTER DELETE ON portfolios.trades
REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION portfolios.mark_snapshots();

-- With another currency or another method all costs and gains are others.
CREATE FUNCTION portfolios.mark_all_snapshots() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE portfolios.snapshot_marks AS mark
    SET version = mark.version + 1, next_day = least(mark.next_day, (
        SELECT min(CAST(timezone('UTC', trade.occurred_at) AS date))
        FROM portfolios.trades AS trade WHERE trade.portfolio_id = NEW.id
    ))
    WHERE mark.portfolio_id = NEW.id;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION portfolios.mark_all_snapshots() FROM PUBLIC;
CREATE TRIGGER mark_changed AFTER UPDATE OF base_currency, method ON portfolios.portfolios
FOR EACH ROW WHEN (OLD.base_currency <> NEW.base_currency OR OLD.method <> NEW.method)
EXECUTE FUNCTION portfolios.mark_all_snapshots();

-- What was recorded before there were snapshots.
INSERT INTO portfolios.snapshot_marks (portfolio_id, owner_id, next_day)
SELECT portfolio_id, owner_id, min(CAST(timezone('UTC', occurred_at) AS date))
FROM portfolios.trades GROUP BY portfolio_id, owner_id;
"""


def upgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    run(TABLES)
    run(ACCESS)
    run(MARK)


def downgrade() -> None:
    op.execute("SET ROLE trove_migrator")
    for trigger in ("mark_inserted", "mark_updated_to", "mark_updated_from", "mark_deleted"):
        op.execute(f"DROP TRIGGER {trigger} ON portfolios.trades")
    op.execute("DROP TRIGGER mark_changed ON portfolios.portfolios")
    op.execute("DROP FUNCTION portfolios.mark_snapshots()")
    op.execute("DROP FUNCTION portfolios.mark_all_snapshots()")
    op.execute("DROP TABLE portfolios.snapshot_marks")
    op.execute("DROP TABLE portfolios.snapshots")
