"""What a world is made of: the rows of every table, and the instant at which they are looked at."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from app.alerts.models import Alert, PriceState, Rule, SubjectState
from app.catalogue.models import (
    Card,
    CardRuling,
    CardSet,
    Character,
    Coin,
    ExternalId,
    Figure,
    FigureCharacter,
    FigureRelease,
    FigureSculptor,
    FigureSeries,
    Item,
    ItemPhoto,
    ItemRedirect,
    ItemRevision,
    ItemVariant,
    Manufacturer,
    Sculptor,
    Series,
    SeriesExternalId,
    Skin,
)
from app.core.database import Base
from app.core.ids import PublicIdTag, public_id
from app.identity.models import (
    ApiToken,
    AuditEntry,
    DataExport,
    Identity,
    Passkey,
    RoleGrant,
    Session,
    TotpSecret,
    User,
)
from app.ingestion.models import IngestBatch, IngestReject
from app.notifications.models import (
    Channel,
    Delivery,
    Notification,
    Preferences,
    PushSubscription,
    Route,
    Service,
    Webhook,
)
from app.operations.models import JobRun, ScheduledJob
from app.portfolios.models import (
    Holding,
    HoldingDetails,
    HoldingPhoto,
    HoldingTurntable,
    ImportRow,
    Lot,
    LotDisposal,
    Portfolio,
    PortfolioExport,
    PortfolioImport,
    Snapshot,
    Store,
    Trade,
    TradeRevision,
    TurntableFrame,
    Visibility,
)
from app.portfolios.wish_models import (
    Preorder,
    PreorderDateChange,
    PreorderStatusChange,
    Want,
    Watchlist,
    WatchlistItem,
)
from app.prices.models import Candle, PricePoint, PriceSeries, Source, StoredExchangeRate, Valuation
from app.providers.models import Provider, ProviderCall, ProviderCredential
from app.trackers.history_models import LocationFix, StatusChange, Visit
from app.trackers.models import (
    Brand,
    City,
    Client,
    Membership,
    Place,
    ProductionRun,
    ProductionRunPlace,
    Tracker,
    TrackerAttachment,
    TrackerKey,
)
from tests.graph.oracle.texts import any_text

Row = dict[str, Any]

# Parents before children.
TABLES: tuple[type[Base], ...] = (
    User,
    Identity,
    TotpSecret,
    Passkey,
    Session,
    ApiToken,
    RoleGrant,
    DataExport,
    AuditEntry,
    CardSet,
    Manufacturer,
    Series,
    Character,
    Sculptor,
    SeriesExternalId,
    Provider,
    ProviderCredential,
    ProviderCall,
    ScheduledJob,
    JobRun,
    Item,
    Skin,
    Coin,
    Card,
    CardRuling,
    Figure,
    FigureSeries,
    FigureCharacter,
    FigureSculptor,
    FigureRelease,
    ItemVariant,
    ItemPhoto,
    ExternalId,
    ItemRedirect,
    ItemRevision,
    Source,
    PriceSeries,
    PricePoint,
    Candle,
    Valuation,
    StoredExchangeRate,
    IngestBatch,
    IngestReject,
    Portfolio,
    Store,
    Holding,
    HoldingDetails,
    HoldingPhoto,
    HoldingTurntable,
    TurntableFrame,
    Trade,
    TradeRevision,
    Lot,
    LotDisposal,
    Snapshot,
    Watchlist,
    WatchlistItem,
    Want,
    Preorder,
    PreorderStatusChange,
    PreorderDateChange,
    PortfolioImport,
    ImportRow,
    PortfolioExport,
    City,
    Client,
    Membership,
    Brand,
    ProductionRun,
    Place,
    ProductionRunPlace,
    Tracker,
    TrackerKey,
    TrackerAttachment,
    LocationFix,
    StatusChange,
    Visit,
    Rule,
    PriceState,
    SubjectState,
    Alert,
    Channel,
    Preferences,
    Route,
    PushSubscription,
    Webhook,
    Service,
    Notification,
    Delivery,
)
EDGES_OF_TIME = (
    # The driver takes the very first instant of year 1 for minus infinity.
    datetime(1, 2, 1, tzinfo=UTC),
    datetime(1, 2, 28, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(1969, 11, 30, 12, 0, 0, 1, tzinfo=UTC),
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime(2001, 1, 1, tzinfo=UTC),
    datetime(9998, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
)
MICROSECONDS = (0, 0, 0, 1, 100_000, 123_456, 120_000, 999_999)
_TICK = timedelta(microseconds=1)


@dataclass(slots=True)
class World:
    """The rows of every table, and the instant at which they are looked at."""

    now: datetime
    rows: dict[type[Base], list[Row]] = field(default_factory=lambda: {table: [] for table in TABLES})

    def add(self, table: type[Base], **columns: Any) -> Row:
        """A new row, kept."""
        self.rows[table].append(columns)
        return columns

    def column(self, table: type[Base], name: str) -> list[Any]:
        """The values of one column."""
        return [row[name] for row in self.rows[table]]

    def public_ids(self, tag: PublicIdTag) -> list[str]:
        """The ids by which the public knows what there is."""
        rows = self.rows[TABLE_OF[tag]] if tag in TABLE_OF else ()
        keys = (shown_key(tag, row) for row in rows)
        return [public_id(tag, key) for key in keys if key is not None]

    def public_ids_of(self, user_id: UUID, tag: PublicIdTag) -> list[str]:
        """The ids of what is a person's or a client's that they belong to, or names them."""
        whose = {user_id, *self.clients_of(user_id)}
        rows = self.rows[TABLE_OF[tag]] if tag in TABLE_OF else ()
        keys = (shown_key(tag, row) for row in rows if whose & set(_keys_in(row)))
        return [public_id(tag, key) for key in keys if key is not None]

    def clients_of(self, user_id: UUID | None) -> set[UUID]:
        """The clients that somebody is a member of."""
        return {row["client_id"] for row in self.rows[Membership] if row["user_id"] == user_id}

    @property
    def instants(self) -> list[datetime]:
        """Instants at which something happened or ended."""
        stored = self.column(PricePoint, "observed_at") + self.column(Candle, "bucket")
        return [*stored, *self.column(Valuation, "as_of"), self.now, *EDGES_OF_TIME]


def _keys_in(row: Row) -> list[UUID]:
    return [value for value in row.values() if isinstance(value, UUID)]


def shown_key(tag: PublicIdTag, row: Row) -> Any:
    """The key by which something is known; None of a portfolio that is not shared."""
    if tag is not PublicIdTag.SHARED_PORTFOLIO:
        return row["id"]
    if row["visibility"] == Visibility.LINK:
        return UUID(hex=row["link_key"])
    return row["id"] if row["visibility"] == Visibility.PUBLIC else None


TABLE_OF: dict[PublicIdTag, type[Base]] = {
    PublicIdTag.ITEM: Item,
    PublicIdTag.ITEM_VARIANT: ItemVariant,
    PublicIdTag.ITEM_PHOTO: ItemPhoto,
    PublicIdTag.CARD_SET: CardSet,
    PublicIdTag.MANUFACTURER: Manufacturer,
    PublicIdTag.SERIES: Series,
    PublicIdTag.CHARACTER: Character,
    PublicIdTag.SCULPTOR: Sculptor,
    PublicIdTag.PRICE_SERIES: PriceSeries,
    PublicIdTag.INGEST_BATCH: IngestBatch,
    PublicIdTag.USER: User,
    PublicIdTag.ACCOUNT: User,
    PublicIdTag.SESSION: Session,
    PublicIdTag.IDENTITY: Identity,
    PublicIdTag.PASSKEY: Passkey,
    PublicIdTag.API_TOKEN: ApiToken,
    PublicIdTag.ROLE_GRANT: RoleGrant,
    PublicIdTag.AUDIT_ENTRY: AuditEntry,
    PublicIdTag.DATA_EXPORT: DataExport,
    PublicIdTag.PROVIDER_CREDENTIAL: ProviderCredential,
    PublicIdTag.JOB_RUN: JobRun,
    PublicIdTag.IMPORT_RUN: JobRun,
    PublicIdTag.PORTFOLIO: Portfolio,
    PublicIdTag.HOLDING: Holding,
    PublicIdTag.HOLDING_PHOTO: HoldingPhoto,
    PublicIdTag.TRADE: Trade,
    PublicIdTag.LOT: Lot,
    PublicIdTag.STORE: Store,
    PublicIdTag.PORTFOLIO_IMPORT: PortfolioImport,
    PublicIdTag.PORTFOLIO_EXPORT: PortfolioExport,
    PublicIdTag.SHARED_PORTFOLIO: Portfolio,
    PublicIdTag.WATCHLIST: Watchlist,
    PublicIdTag.WATCHLIST_ITEM: WatchlistItem,
    PublicIdTag.WANT: Want,
    PublicIdTag.PREORDER: Preorder,
    PublicIdTag.CLIENT: Client,
    PublicIdTag.MEMBERSHIP: Membership,
    PublicIdTag.BRAND: Brand,
    PublicIdTag.PRODUCTION_RUN: ProductionRun,
    PublicIdTag.PLACE: Place,
    PublicIdTag.TRACKER: Tracker,
    PublicIdTag.TRACKER_KEY: TrackerKey,
    PublicIdTag.TRACKER_ATTACHMENT: TrackerAttachment,
    PublicIdTag.ALERT_RULE: Rule,
    PublicIdTag.ALERT: Alert,
    PublicIdTag.NOTIFICATION: Notification,
    PublicIdTag.DELIVERY: Delivery,
    PublicIdTag.PUSH_SUBSCRIPTION: PushSubscription,
    PublicIdTag.WEBHOOK: Webhook,
    PublicIdTag.NOTIFICATION_SERVICE: Service,
}


def any_instant(world: World, random: Random) -> datetime:
    """An instant in the months around now, or at an edge of time."""
    chance = random.random()
    if chance < 0.15:
        return random.choice(EDGES_OF_TIME)
    if chance < 0.3:
        # The edge of what counts as fresh, and of the bucket that still runs.
        return world.now - random.choice((0, 1, 30)) * timedelta(days=1) + random.choice((-1, 0, 1)) * _TICK
    back = timedelta(seconds=random.choice((random.randint(0, 300), random.randint(0, 2_000_000))))
    return (world.now - back).replace(microsecond=random.choice(MICROSECONDS))


def any_key(random: Random) -> UUID:
    """A key that nothing has yet."""
    return UUID(int=random.getrandbits(128), version=4)


def maybe(random: Random, value: Any) -> Any:
    """The value for the most part, else null."""
    return value if random.random() < 0.7 else None


def unique_text(random: Random, taken: Sequence[object]) -> str:
    """A text that is not taken yet."""
    text = any_text(random, longest=500)
    while text in taken:
        text += str(random.randint(0, 9))
    return text
