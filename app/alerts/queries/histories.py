"""What happened to the targets of rules over some time: prices, values, stays, silences and dates, to be replayed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ARRAY, DateTime, Integer, Interval, SmallInteger, Text, Uuid, bindparam, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.alerts.given import Target
from app.alerts.models import Condition, RuleTarget
from app.alerts.queries.evaluations import WATCHED_SERIES
from app.alerts.queries.wanted_series import FULFILLED_WANTS, IS_GOOD_ENOUGH, MATCHED_VARIANTS
from app.portfolios.models import Snapshot
from app.portfolios.wish_models import PreorderDateChange
from app.trackers.buckets import BUCKET


class SeriesHistory(NamedTuple):
    """The prices of a series in its own currency, each with its time, in the order of time."""

    series_id: int
    currency: str
    prices: Sequence[tuple[datetime, Decimal]]


class WantedSeries(NamedTuple):
    """A series that may meet a want, in its own currency, and what the want may cost in the want's."""

    want_id: UUID
    series_id: int
    own_currency: str
    maximum_price: Decimal
    currency: str


class TrackerEvent(NamedTuple):
    """Something that became of a tracker."""

    at: datetime
    tracker_id: UUID
    place_id: UUID | None


@dataclass(frozen=True, slots=True)
class Asked:
    """Of which time something is asked, and how many observations may be read at most."""

    since: datetime
    until: datetime
    most: int


async def watched_series(
    connection: AsyncConnection, target: Target, *, price_kind: str | None, source_id: int | None, most: int
) -> Mapping[int, str]:
    """The currencies of the series that a rule with this target would watch, so many at most."""
    named = {f"{kind.value}_id": target.key if kind is target.kind else None for kind in _PRICED}
    rows = await connection.execute(_SERIES, {**named, "price_kind": price_kind, "source_id": source_id, "most": most})
    return {row.id: row.currency for row in rows}


async def series_of_wants(connection: AsyncConnection, target: Target, *, owner_id: UUID) -> list[WantedSeries]:
    """The series that may meet a want of somebody's, or any of them, each for each want that has a maximum price and is
    not fulfilled.
    """
    want_id = target.key if target.kind is RuleTarget.WANT else None
    rows = await connection.execute(_SERIES_OF_WANTS, {"owner_id": owner_id, "want_id": want_id})
    return [WantedSeries(row.want_id, row.series_id, row.own_currency, row.maximum_price, row.currency) for row in rows]


async def price_histories(connection: AsyncConnection, series: Mapping[int, str], asked: Asked) -> list[SeriesHistory]:
    """The prices of these series, each with the last one before: points, and before the first of them daily candles,
    each at its end. So many are read at most, and one more where there are more.
    """
    rows = await connection.execute(
        _PRICES,
        {"series": list(series), "since": asked.since, "until": asked.until, "most": asked.most + 1},
    )
    prices: dict[int, list[tuple[datetime, Decimal]]] = {series_id: [] for series_id in series}
    for row in rows:
        prices[row.series_id].append((row.known_at, row.price))
    return [SeriesHistory(series_id, series[series_id], listed) for series_id, listed in prices.items()]


async def values_of_portfolio(
    connection: AsyncConnection, portfolio_id: UUID, asked: Asked
) -> list[tuple[datetime, str, Decimal]]:
    """What a portfolio was worth at the ends of days, as far as that was known."""
    rows = await connection.execute(
        select(Snapshot.day, Snapshot.currency, Snapshot.value)
        .where(
            Snapshot.portfolio_id == portfolio_id,
            Snapshot.value.is_not(None),
            Snapshot.day >= asked.since.date(),
            Snapshot.day < asked.until.date(),
        )
        .order_by(Snapshot.day)
    )
    return [(_end_of(row.day), row.currency, row.value) for row in rows]


async def slips_of_preorder(connection: AsyncConnection, preorder_id: UUID, asked: Asked) -> list[tuple[datetime, int]]:
    """By how many days a release was moved, each time that it was."""
    change = PreorderDateChange
    rows = await connection.execute(
        select(change.created_at, (change.new_date - change.previous_date).label("days"))
        .where(
            change.preorder_id == preorder_id,
            change.created_at.between(asked.since, asked.until),
            change.new_date.is_not(None),
            change.previous_date.is_not(None),
        )
        .order_by(change.created_at, change.id)
    )
    return [(row.created_at, row.days) for row in rows]


async def events_of_trackers(
    connection: AsyncConnection, target: Target, condition: Condition, asked: Asked, *, duration: timedelta | None
) -> list[TrackerEvent]:
    """What became of the trackers of a target, of one kind: stays that began or ended, deliveries, moves in storage as
    far back as these are kept, or silences of a duration. So many are read at most, and one more where there are more.
    """
    rows = await connection.execute(
        _EVENTS[condition],
        {
            "tracker_id": target.key if target.kind is RuleTarget.TRACKER else None,
            "run_id": target.key if target.kind is RuleTarget.PRODUCTION_RUN else None,
            "place_id": target.key if target.kind is RuleTarget.PLACE else None,
            "since": asked.since,
            "until": asked.until,
            "most": asked.most + 1,
        }
        | ({"silence": BUCKET + (duration or timedelta(0))} if condition is Condition.SILENT_FOR else {}),
    )
    return [TrackerEvent(row.at, row.tracker_id, row.place_id) for row in rows]


def _end_of(day: date) -> datetime:
    return datetime.combine(day + timedelta(days=1), time(), tzinfo=UTC)


_PRICED = (RuleTarget.ITEM, RuleTarget.VARIANT, RuleTarget.CARD_SET, RuleTarget.WATCHLIST)
_INSTANT = DateTime(timezone=True)
_SERIES = text(f"""
    WITH asked_rules AS (
        SELECT CAST(NULL AS uuid) AS id, CAST(:item_id AS uuid) AS item_id, CAST(:variant_id AS uuid) AS variant_id,
            CAST(:card_set_id AS uuid) AS card_set_id, CAST(:watchlist_id AS uuid) AS watchlist_id,
            CAST(:price_kind AS text) AS price_kind, CAST(:source_id AS smallint) AS source_id
    )
    SELECT watched.id, watched.currency FROM ({WATCHED_SERIES}) AS watched
    WHERE watched.latest_price IS NOT NULL ORDER BY watched.id LIMIT :most
""").bindparams(  # noqa: S608  # our own words
    *(bindparam(f"{kind.value}_id", type_=Uuid()) for kind in _PRICED),
    bindparam("price_kind", type_=Text()),
    bindparam("source_id", type_=SmallInteger()),
)
# From the side of the wants, what `want_rules_of` finds from that of the prices.
_SERIES_OF_WANTS = text(f"""
    WITH considered AS (
        SELECT id AS want_id FROM portfolios.wants
        WHERE owner_id = :owner_id AND deleted_at IS NULL AND maximum_price IS NOT NULL
            AND id = coalesce(:want_id, id)
    ), fulfilled AS MATERIALIZED ({FULFILLED_WANTS}),
    wanted AS (
        SELECT want.id AS want_id, want.variant_id, want.accepts_any_print
        FROM considered JOIN portfolios.wants AS want ON want.id = considered.want_id
        WHERE NOT EXISTS (SELECT FROM fulfilled WHERE fulfilled.id = want.id)
    ), matched AS ({MATCHED_VARIANTS})
    SELECT want.id AS want_id, want.maximum_price, want.currency,
        series.id AS series_id, series.currency AS own_currency
    FROM matched
    JOIN portfolios.wants AS want ON want.id = matched.want_id
    JOIN catalogue.item_variants AS variant ON variant.id = matched.variant_id AND {IS_GOOD_ENOUGH}
    JOIN prices.price_series AS series
        ON series.variant_id = matched.variant_id AND series.kind <> 'bid' AND series.latest_price IS NOT NULL
    ORDER BY want.id, series.id
""").bindparams(  # noqa: S608  # our own words
    bindparam("owner_id", type_=Uuid()), bindparam("want_id", type_=Uuid())
)
_PRICES = text("""
    SELECT asked.series_id, found.known_at, found.price
    FROM unnest(:series) AS asked (series_id)
    CROSS JOIN LATERAL (
        SELECT min(point.observed_at) AS at FROM prices.price_points AS point
        WHERE point.series_id = asked.series_id AND point.observed_at > :since
    ) AS first_point
    CROSS JOIN LATERAL (
        SELECT point.observed_at AS known_at, point.arrival, point.price
        FROM prices.price_points AS point
        WHERE point.series_id = asked.series_id AND point.observed_at > :since AND point.observed_at <= :until
        UNION ALL
        (
            SELECT point.observed_at, point.arrival, point.price
            FROM prices.price_points AS point
            WHERE point.series_id = asked.series_id AND point.observed_at <= :since
            ORDER BY point.observed_at DESC, point.arrival DESC LIMIT 1
        )
        UNION ALL
        SELECT candle.bucket + interval '1 day', CAST(0 AS bigint), candle.close
        FROM prices.candles AS candle
        WHERE candle.series_id = asked.series_id AND candle.resolution = 86400
            AND candle.bucket > :since - interval '2 days'
            AND candle.bucket <= least(:until, coalesce(first_point.at, :until)) - interval '1 day'
    ) AS found
    ORDER BY asked.series_id, found.known_at, found.arrival LIMIT :most
""").bindparams(
    bindparam("series", type_=ARRAY(Integer)),
    bindparam("since", type_=_INSTANT),
    bindparam("until", type_=_INSTANT),
)
# The database shows those of one's own clients alone; what is retired is told of no more.
_TRACKERS = """
    WITH watched AS (
        SELECT tracker.id FROM trackers.trackers AS tracker
        WHERE tracker.retired_at IS NULL AND (
            tracker.id = :tracker_id OR tracker.production_run_id = :run_id
            OR tracker.client_id = (SELECT client_id FROM trackers.places WHERE id = :place_id)
        )
    )
"""


def _events(of: str) -> Any:
    statement = text(f"{_TRACKERS} {of} ORDER BY at, tracker_id LIMIT :most").bindparams(
        *(bindparam(name, type_=Uuid()) for name in ("tracker_id", "run_id")),
        bindparam("place_id", type_=Uuid()),
        bindparam("since", type_=_INSTANT),
        bindparam("until", type_=_INSTANT),
    )
    return statement.bindparams(bindparam("silence", type_=Interval())) if ":silence" in of else statement


def _of_visits(at: str) -> str:
    return f"""
        SELECT visit.{at} AS at, visit.tracker_id, visit.place_id
        FROM trackers.visits AS visit JOIN watched ON watched.id = visit.tracker_id
        WHERE visit.{at} > :since AND visit.{at} <= :until AND visit.place_id = coalesce(:place_id, visit.place_id)
    """  # noqa: S608  # our own words


_EVENTS: Mapping[Condition, Any] = {
    Condition.ENTERED: _events(_of_visits("arrived_at")),
    Condition.LEFT: _events(_of_visits("departed_at")),
    Condition.DELIVERED: _events("""
        SELECT change.started_at AS at, change.tracker_id, change.place_id
        FROM trackers.status_changes AS change JOIN watched ON watched.id = change.tracker_id
        WHERE change.status = 'delivered' AND change.started_at > :since AND change.started_at <= :until
            AND (CAST(:place_id AS uuid) IS NULL OR change.place_id = :place_id)
    """),
    Condition.MOVED_IN_STORAGE: _events("""
        SELECT event.occurred_at AS at, event.tracker_id, event.place_id
        FROM trackers.tracker_events AS event JOIN watched ON watched.id = event.tracker_id
        WHERE event.kind = 'moved_in_storage' AND event.occurred_at > :since AND event.occurred_at <= :until
            AND (CAST(:place_id AS uuid) IS NULL OR event.place_id = :place_id)
    """),
    Condition.SILENT_FOR: _events("""
        , heard AS (
            SELECT fix.tracker_id, fix.bucket,
                lead(fix.bucket, 1, :until) OVER (PARTITION BY fix.tracker_id ORDER BY fix.bucket) AS next_bucket
            FROM trackers.location_fixes AS fix JOIN watched ON watched.id = fix.tracker_id
            WHERE fix.bucket > :since AND fix.bucket <= :until
        )
        SELECT heard.bucket + :silence AS at, heard.tracker_id, CAST(NULL AS uuid) AS place_id
        FROM heard WHERE heard.bucket + :silence <= heard.next_bucket
    """),
}
