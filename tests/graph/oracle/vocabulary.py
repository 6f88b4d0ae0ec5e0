"""Arguments worth giving: mostly what the world holds, now and then what it does not, and sometimes nonsense."""

import base64
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from enum import Enum, StrEnum
from random import Random
from uuid import UUID

from graphql import GraphQLArgument, GraphQLNonNull, is_required_argument

from app.alerts.models import Condition, RuleTarget, Severity
from app.alerts.queries.evaluations import RuleState
from app.catalogue.models import (
    Card,
    CardSet,
    Character,
    Item,
    ItemKind,
    ItemRedirect,
    Manufacturer,
    Sculptor,
    Series,
    Skin,
)
from app.catalogue.pictures import PhotoSize
from app.core.database import Base
from app.core.errors import Refusal
from app.core.ids import PublicIdTag, public_id
from app.core.paging import encode_cursor
from app.graph.alerts.words import TAG_OF_TARGETS
from app.graph.scalars import write_date_time
from app.graph.schema import NODE_TYPES
from app.identity.access import Access
from app.identity.actions import AuditAction
from app.identity.models import AuditEntry, User
from app.identity.viewer import ANYONE, Viewer
from app.ingestion.models import BatchStatus
from app.notifications.models import ChannelKind, DeliveryStatus, EventType
from app.operations.models import Importer, JobRun, RunState
from app.portfolios.models import CostBasisMethod, ImportChange, Portfolio, Snapshot, TradeKind
from app.portfolios.queries.history import HistoryResolution
from app.portfolios.queries.values import AllocationBy
from app.portfolios.returns import ReturnMethod
from app.portfolios.wish_models import PreorderStatus
from app.prices.models import PriceKind, Source
from app.prices.queries.candles import CandleFill
from app.prices.queries.movers import MoverDirection
from app.prices.resolutions import Resolution
from app.providers.models import Provider
from app.trackers.models import PlaceKind, TrackerStatus
from tests.graph.oracle.rows import World
from tests.graph.oracle.texts import any_text
from tests.graph.oracle.values import EnumValue, Value
from tests.graph.oracle.worlds import CURRENCIES, PUBLISHED_CURRENCIES

WRONG_CURSORS = (
    "",
    "garbage",
    "====",
    "WyJpdGVtcy1ieS1uYW1lLWFzYyJd",
    encode_cursor("items-by-name-asc", ["Lantern", "garbage"]),
    encode_cursor("items-by-name-asc", ["Lantern", public_id(PublicIdTag.PRICE_SERIES, 1)]),
    encode_cursor("items-by-name-asc", ["Lantern", public_id(PublicIdTag.ITEM_VARIANT, UUID(int=1))]),
    encode_cursor("items-by-created_at-asc", ["yesterday", public_id(PublicIdTag.ITEM, UUID(int=1))]),
    encode_cursor("items-by-created_at-asc", ["0001-01-01T00:00:00+14:00", public_id(PublicIdTag.ITEM, UUID(int=1))]),
    encode_cursor("price-points", ["2026-03-10", 1]),
    encode_cursor("price-points", ["2026-03-10T00:00:00+00:00", 2**62]),
    encode_cursor("price-points", ["2026-03-10T00:00:00+00:00", 1.5]),
    encode_cursor("sessions-by-last_seen_at-desc", ["2026-03-10T00:00:00+00:00", "garbage"]),
    encode_cursor("audit", ["2026-03-10T00:00:00+00:00", str(UUID(int=1))]),
    encode_cursor("ingest-rejects", [-1]),
    encode_cursor("ingest-rejects", [0]),
    encode_cursor("ingest-rejects", [2**62]),
    encode_cursor("ingest-rejects", [2**63]),
    encode_cursor("ingest-rejects", [True]),
)
WRONG_IDS = (
    "",
    "garbage",
    "1",
    base64.urlsafe_b64encode(b"zz" + bytes(16)).decode(),
    base64.urlsafe_b64encode(b"it" + bytes(15)).decode(),
    base64.urlsafe_b64encode(b"ps" + bytes(16)).decode(),
    public_id(PublicIdTag.ITEM, UUID(int=0)),
    public_id(PublicIdTag.ITEM_VARIANT, UUID(int=2**128 - 1)),
    public_id(PublicIdTag.PRICE_SERIES, -(2**31)),
    public_id(PublicIdTag.PRICE_SERIES, 2**31 - 1),
    public_id(PublicIdTag.INGEST_BATCH, UUID(int=7)),
    public_id(PublicIdTag.ACCOUNT, UUID(int=7)),
    public_id(PublicIdTag.AUDIT_ENTRY, UUID(int=0)),
)
# An id as it should be, of nothing that there is.
MISSING_ITEM = public_id(PublicIdTag.ITEM, UUID(int=0))
PAGE_SIZES = (0, 1, 1, 2, 2, 3, 5, 25, 100)
WRONG_PAGE_SIZES = (-1, 101, 2**31 - 1, -(2**31))
CANDLE_COUNTS = (1, 2, 3, 10, 500)
WINDOWS = ("PT1M", "PT6H", "P1D", "P7D", "P30D", "P365D", "P3660D")
# West, south, east, north: the world, a city, across the antimeridian, and one that is upside down.
BOXES = ((-180.0, -90.0, 180.0, 90.0), (9.0, 53.0, 12.0, 54.0), (170.0, -40.0, -60.0, 60.0), (0.0, 1.0, 0.0, 0.0))
TOLERANCES = (0, 0.5, 100, 1_000_000)
# Much of the earth, a city, one that crosses itself; and one that is open.
RINGS: tuple[list[list[float]], ...] = (
    [[-80, -60], [80, -60], [80, 80], [-80, 80], [-80, -60]],
    [[9, 53], [12, 53], [12, 54], [9, 54], [9, 53]],
    [[0, 0], [20, 60], [20, 0], [0, 60], [0, 0]],
)
WRONG_RINGS: tuple[list[list[float]], ...] = ([[0, 0], [1, 0], [1, 1], [0, 1]],)
DURATIONS = ("PT0S", "PT10M", "P1D", "P3660D")
WRONG_WINDOWS = ("PT0S", "PT59S", "P3661D", "P1M", "", 7)
WRONG_CANDLE_COUNTS = (0, -1, 10_000, 10_001, 100_000, 100_001, 2**31 - 1)


@dataclass(slots=True)
class Vocabulary:
    """What somebody can say of one world; `cursors` are those that its lists gave, by list and order."""

    random: Random
    world: World
    cursors: Mapping[str, Sequence[str]] = field(default_factory=dict)
    viewer: Viewer = ANYONE
    # How often each field of each type stands in the documents of this world.
    drawn: Counter[tuple[str, str]] = field(default_factory=Counter)
    # Fields that are asked for more often than otherwise, by their names.
    stressed: Collection[str] = ()

    def of(self, viewer: Viewer) -> "Vocabulary":
        """What this viewer says: more of what is theirs, and less of what they may not ask for."""
        return replace(self, viewer=viewer)

    def may_ask(self, access: Access) -> bool:
        """Whether the viewer is let through before anything is read."""
        try:
            access.check(self.viewer, self.world.now)
        except Refusal:
            return False
        return True

    def arguments(self, field_name: str, taken: Mapping[str, GraphQLArgument]) -> dict[str, Value]:
        """Arguments for a field that takes these."""
        if field_name == "item" and taken:
            return self._id_or_slug()
        if field_name == "exchangeRate":
            return self._exchange()
        if field_name == "sharedPortfolio":
            return self._id_or_link()
        chosen: dict[str, Value] = {}
        for name, argument in taken.items():
            is_page = (name in {"first", "after", "before"} and "after" in taken) or (
                name == "last" and "before" in taken
            )
            if not is_page and (is_required_argument(argument) or self.random.random() < 0.4):
                is_nullable = not isinstance(argument.type, GraphQLNonNull)
                chosen[name] = self._argument(field_name, name, is_nullable=is_nullable)
        if field_name in {"search", "realizedGains"} and self.random.random() < 0.6:
            chosen["first"] = self._page_size()
        if "before" in taken:
            # What is in a watchlist has the name of another list, which can be ordered.
            is_watched = field_name == "items" and "orderBy" not in taken
            chosen |= self.page(list_of("watchlistItems" if is_watched else field_name, chosen.get("orderBy")))
        if "from" in chosen and "to" in chosen and self._mostly(0.9):
            chosen["from"], chosen["to"] = sorted([chosen["from"], chosen["to"]], key=str)
        return chosen

    def tags_to_ask_for(self) -> Sequence[PublicIdTag]:
        """What the viewer may ask for by its id."""
        return [tag for tag, (_, access) in NODE_TYPES.items() if self.may_ask(access)]

    def page(self, connection: str) -> dict[str, Value]:
        """Which page of a list, by the name that its cursors are kept under."""
        chance = self.random.random()
        if chance < 0.2:
            return {}
        if chance < 0.92:
            size, cursor = self.random.choice((("first", "after"), ("last", "before")))
            page = {size: self._page_size()}
            return page | {cursor: self.cursor(connection)} if self.random.random() < 0.5 else page
        names = self.random.sample(("first", "after", "last", "before"), self.random.randint(1, 4))
        return {name: self._page_size() if name in {"first", "last"} else self.cursor(connection) for name in names}

    def cursor(self, connection: str) -> Value:
        """A cursor, mostly of this list."""
        if self._mostly(0.85) and self.cursors.get(connection):
            return self.random.choice(self.cursors[connection])
        given = [cursor for cursors in self.cursors.values() for cursor in cursors]
        return self.random.choice([*given, *WRONG_CURSORS, None])

    def id_of(self, *tags: PublicIdTag) -> Value:
        """The id of something of one of these types, mostly of something there is."""
        tag = self.random.choice(tags)
        wanted = self.world.public_ids(tag)
        if self.viewer.user_id is not None and self._mostly(0.5):
            wanted = self.world.public_ids_of(self.viewer.user_id, tag) or wanted
        if tag is PublicIdTag.ITEM and self._mostly(0.2):
            old = [key for key in self.world.column(ItemRedirect, "old_id") if key is not None]
            wanted = [public_id(tag, key) for key in old] or wanted
        if self._mostly(0.9) and wanted:
            return self.random.choice(wanted)
        everything = [key for tag in PublicIdTag for key in self.world.public_ids(tag)]
        return self.random.choice([*everything, *WRONG_IDS, any_text(self.random), 12])

    def instant(self) -> str:
        """An instant, written in one of the ways that are allowed."""
        ticks = self.random.choice((-1, 0, 0, 1)) * timedelta(microseconds=1)
        try:
            instant = self.random.choice(self.world.instants) + ticks
        except OverflowError:
            instant = self.world.now
        return self._written_somehow(instant)

    def _written_somehow(self, instant: datetime) -> str:
        if self.random.random() < 0.8 or not 2 < instant.year < 9_998:
            return write_date_time(instant)
        offset = timezone(timedelta(minutes=self.random.choice((-719, 330, 840))))
        return self.random.choice((instant.astimezone(offset).isoformat(), write_date_time(instant).lower()))

    def _mostly(self, share: float) -> bool:
        return self.random.random() < share

    def _argument(self, field_name: str, name: str, *, is_nullable: bool) -> Value:
        if is_nullable and self.random.random() < 0.06:
            return None
        return getattr(self, f"_{_METHOD_OF.get(name, name)}")(field_name)

    def _id_or_slug(self) -> dict[str, Value]:
        both = {"id": self.id_of(PublicIdTag.ITEM), "slug": self.slug()}
        chance = self.random.random()
        if chance < 0.45:
            return {"id": both["id"]}
        if chance < 0.9:
            return {"slug": both["slug"]}
        return self.random.choice(({}, both, both | {"id": None}, both | {"slug": None}))

    def _id_or_link(self) -> dict[str, Value]:
        links = [key for key in self.world.column(Portfolio, "link_key") if key is not None]
        link = self.random.choice([*links, any_text(self.random)])
        both = {"id": self.id_of(PublicIdTag.SHARED_PORTFOLIO, PublicIdTag.PORTFOLIO), "link": link}
        if self._mostly(0.1):
            return self.random.choice(({}, both, both | {"id": None}, both | {"link": None}))
        name = self.random.choice(("id", "link"))
        return {name: both[name]}

    def slug(self) -> str:
        """A slug, mostly of an item there is."""
        slugs: list[str] = self.world.column(Item, "slug")
        old = [slug for slug in self.world.column(ItemRedirect, "slug") if slug is not None]
        slugs = old if old and self._mostly(0.2) else slugs
        return self.random.choice(slugs) if slugs and self._mostly(0.85) else any_text(self.random)

    def _exchange(self) -> dict[str, Value]:
        currencies: dict[str, Value] = {
            name: self.random.choice(PUBLISHED_CURRENCIES) if self._mostly(0.7) else self._currency(name)
            for name in ("from", "to")
        }
        if self._mostly(0.3):
            return currencies
        day = (self.random.choice(self.world.instants) - self.random.choice((0, 0, 1)) * timedelta(days=1)).date()
        return currencies | {"on": self.random.choice((day.isoformat(), self.world.now.date().isoformat(), None))}

    def _page_size(self) -> Value:
        return self.random.choice(PAGE_SIZES if self._mostly(0.95) else (*WRONG_PAGE_SIZES, None))

    def _candle_count(self, _: str) -> int:
        return self.random.choice(CANDLE_COUNTS if self._mostly(0.95) else WRONG_CANDLE_COUNTS)

    def _any_id(self, field_name: str) -> Value:
        tag = _TAG_OF.get(field_name)
        return self.id_of(tag) if tag else self.id_of(*self._tags())

    def _tags(self) -> Sequence[PublicIdTag]:
        return self.tags_to_ask_for() if self._mostly(0.9) else tuple(PublicIdTag)

    def _username(self, _: str) -> Value:
        names = self.world.column(User, "username")
        name: str = self.random.choice(names) if names and self._mostly(0.85) else any_text(self.random)
        return self.random.choice((name, name, name.upper(), name.lower()))

    def _ids(self, _: str) -> Value:
        tags = self._tags()
        # Of nothing wrong for the most part, so that there is something to read.
        sure = [key for tag in tags for key in self.world.public_ids(tag)] or [MISSING_ITEM]
        ids = [self.random.choice(sure) for _ in range(self.random.choice((0, 1, 2, 4, 6)))]
        if self.random.random() < 0.1:
            ids.append(self.random.choice(WRONG_IDS))
        return ids[0] if len(ids) == 1 and self._mostly(0.5) else ids

    def _filter(self, field_name: str) -> Value:
        filters = {
            "auditLog": self._filter_of_log,
            "search": self._filter_of_search,
            "jobRuns": self._filter_of_runs,
            "importRuns": self._filter_of_imports,
            "holdings": self._filter_of_holdings,
            "trades": self._filter_of_trades,
            "wants": self._filter_of_wants,
            "preorders": self._filter_of_preorders,
            "rows": self._filter_of_rows,
            "trackers": self._filter_of_trackers,
            "trackersInBox": self._filter_of_map,
            "places": self._filter_of_places,
            "ingestBatches": self._filter_of_batches,
            "alertRules": self._filter_of_rules,
        }
        wanted = filters.get(field_name, self._filter_of_items)()
        if wanted and self.random.random() < 0.1:
            wanted[self.random.choice(list(wanted))] = None
        return wanted

    def _filter_of_log(self) -> dict[str, Value]:
        wanted: dict[str, Value] = {}
        if self.random.random() < 0.3:
            done = self.world.column(AuditEntry, "action") if self._mostly(0.8) else []
            wanted["action"] = EnumValue(AuditAction(self.random.choice(done or list(AuditAction))).name)
        for name in ("from", "to"):
            if self.random.random() < 0.3:
                wanted[name] = self.instant()
        return wanted

    def _filter_of_holdings(self) -> dict[str, Value]:
        return {name: self._mostly(0.5) for name in ("isHeld", "isArchived") if self.random.random() < 0.3}

    def _filter_of_trades(self) -> dict[str, Value]:
        wanted: dict[str, Value] = {name: self.instant() for name in ("from", "to") if self.random.random() < 0.2}
        if self.random.random() < 0.4:
            kinds = self.random.sample(list(TradeKind), self.random.choice((0, 1, 4)))
            wanted["kinds"] = [EnumValue(kind.name) for kind in kinds]
        if self.random.random() < 0.2:
            wanted["tag"] = "cost-unknown"
        return wanted

    def _filter_of_wants(self) -> dict[str, Value]:
        return {"isFulfilled": self.random.choice((True, False, None))} if self._mostly(0.8) else {}

    def _filter_of_preorders(self) -> dict[str, Value]:
        statuses = self.random.sample(list(PreorderStatus), self.random.choice((0, 1, 4)))
        return {"statuses": [EnumValue(status.name) for status in statuses]} if self._mostly(0.6) else {}

    def _filter_of_rows(self) -> dict[str, Value]:
        changes = self.random.sample(list(ImportChange), self.random.choice((0, 1, 4)))
        return {"changes": [EnumValue(change.name) for change in changes]} if self.random.random() < 0.4 else {}

    def _filter_of_trackers(self) -> dict[str, Value]:
        wanted = self._of_client("productionRunId", PublicIdTag.PRODUCTION_RUN)
        if self.random.random() < 0.3:
            statuses = self.random.sample(list(TrackerStatus), self.random.choice((0, 1, 4)))
            wanted["statuses"] = [EnumValue(status.name) for status in statuses]
        if self.random.random() < 0.2:
            wanted["silentFor"] = self.random.choice(DURATIONS)
        if self.random.random() < 0.2:
            wanted["within"] = self._polygon()
        if self.random.random() < 0.2:
            wanted["near"] = {
                "latitude": self.random.choice((53.5461, 0.0, 90.0, 91.0)),
                "longitude": self.random.choice((9.9661, 0.0, -180.0)),
                "meters": self.random.choice((100.0, 1_000_000.0, 20_000_000.0, 0.0)),
            }
        if self.random.random() < 0.3:
            wanted["isRetired"] = self._mostly(0.3)
        return wanted

    def _filter_of_map(self) -> dict[str, Value]:
        wanted = self._filter_of_trackers()
        return {name: wanted[name] for name in ("clientId", "productionRunId", "statuses") if name in wanted}

    def _filter_of_places(self) -> dict[str, Value]:
        wanted = self._of_client()
        if self.random.random() < 0.4:
            kinds = self.random.sample(list(PlaceKind), self.random.choice((0, 1, 2)))
            wanted["kinds"] = [EnumValue(kind.name) for kind in kinds]
        return wanted

    def _filter_of_batches(self) -> dict[str, Value]:
        wanted: dict[str, Value] = {}
        if self.random.random() < 0.4:
            wanted["status"] = EnumValue(self.random.choice(list(BatchStatus)).name)
        if self.random.random() < 0.4:
            wanted["hasRejects"] = self._mostly(0.7)
        return wanted

    def _filter_of_rules(self) -> dict[str, Value]:
        wanted: dict[str, Value] = {}
        words: tuple[tuple[str, type[StrEnum]], ...] = (
            ("targets", RuleTarget),
            ("conditions", Condition),
            ("severities", Severity),
            ("states", RuleState),
        )
        for name, values in words:
            if self.random.random() < 0.2:
                chosen = self.random.sample(list(values), self.random.choice((0, 1, 3)))
                wanted[name] = [EnumValue(value.name) for value in chosen]
        if self.random.random() < 0.3:
            wanted["isActive"] = self._mostly(0.5)
        if self.random.random() < 0.2:
            wanted["textContains"] = self._part_of_a_name()
        if self.random.random() < 0.2:
            wanted["targetId"] = self.id_of(self.random.choice(list(TAG_OF_TARGETS.values())))
        return wanted

    def _unread(self, _: str) -> Value:
        return self._mostly(0.5)

    def _severity(self, _: str) -> Value:
        return EnumValue(self.random.choice(list(Severity)).name)

    def _condition(self, _: str) -> Value:
        return EnumValue(self.random.choice(list(Condition)).name)

    def _of_client(self, name: str = "", tag: PublicIdTag | None = None) -> dict[str, Value]:
        wanted: dict[str, Value] = {}
        if self.random.random() < 0.2:
            wanted["clientId"] = self.id_of(PublicIdTag.CLIENT)
        if tag is not None and self.random.random() < 0.2:
            wanted[name] = self.id_of(tag)
        return wanted

    def _filter_of_runs(self) -> dict[str, Value]:
        wanted = self._state_of_runs()
        if self.random.random() < 0.4:
            jobs = self.world.column(JobRun, "job")
            wanted["job"] = self.random.choice(jobs) if jobs and self._mostly(0.85) else any_text(self.random)
        return wanted

    def _filter_of_imports(self) -> dict[str, Value]:
        wanted = self._state_of_runs()
        if self.random.random() < 0.4:
            wanted["importer"] = EnumValue(self.random.choice(list(Importer)).name)
        return wanted

    def _state_of_runs(self) -> dict[str, Value]:
        return {"state": EnumValue(self.random.choice(list(RunState)).name)} if self.random.random() < 0.3 else {}

    def _filter_of_items(self) -> dict[str, Value]:
        wanted: dict[str, Value] = {}
        if self.random.random() < 0.4:
            wanted["kind"] = EnumValue(self.random.choice([kind.name for kind in ItemKind]))
        if self.random.random() < 0.35:
            wanted["nameContains"] = self._part_of_a_name()
        if self.random.random() < 0.3:
            slugs = [self.slug() for _ in range(self.random.choice((0, 1, 2, 5)))]
            wanted["slugs"] = slugs[0] if len(slugs) == 1 else slugs
        return wanted

    def _filter_of_search(self) -> dict[str, Value]:
        wanted: dict[str, Value] = {}
        for name, tag in (
            ("setId", PublicIdTag.CARD_SET),
            ("manufacturerId", PublicIdTag.MANUFACTURER),
            ("seriesId", PublicIdTag.SERIES),
        ):
            if self.random.random() < 0.1:
                wanted[name] = self.id_of(tag)
        if self.random.random() < 0.1:
            wanted["rarity"] = self._of_column(Card, "rarity")
        if self.random.random() < 0.1:
            wanted["wear"] = self._of_column(Skin, "wear")
        if self.random.random() < 0.2:
            wanted["price"] = {"currency": self._currency("search"), "minimum": self.random.choice(("0", "1", "12.5"))}
        return wanted

    def _of_column(self, table: type[Base], column: str) -> str:
        values = [value for value in self.world.column(table, column) if value]
        return self.random.choice(values) if values and self._mostly(0.85) else any_text(self.random)

    def _searched(self, _: str) -> Value:
        """What somebody types: part of a name, mostly from the beginning of a word, or a word of what it belongs to."""
        tables = (Item, Item, Item, CardSet, Manufacturer, Series, Character)
        words = self._of_column(self.random.choice(tables), "name").split()
        if not words or not self._mostly(0.9):
            return any_text(self.random, longest=210)
        begin = self.random.randrange(len(words))
        typed = " ".join(words[begin : begin + self.random.choice((1, 1, 2, 3))])
        typed = typed[: self.random.choice((1, 2, 4, 200))]
        return self.random.choice((typed, typed.upper(), typed[:1] + typed[2:]))

    def _kinds(self, field_name: str) -> Value:
        known: list[StrEnum] = list(PriceKind if field_name == "price" else ItemKind)
        kinds = self.random.sample([kind.name for kind in known], self.random.choice((0, 1, 2, 3, 4, 4)))
        return [EnumValue(kind) for kind in kinds]

    def _polygon(self) -> Value:
        kind = "Polygon" if self._mostly(0.97) else "Point"
        return {"type": kind, "coordinates": [self.random.choice(RINGS if self._mostly(0.97) else WRONG_RINGS)]}

    def _meters(self, _: str) -> Value:
        return self.random.choice(TOLERANCES if self._mostly(0.98) else (-1, 1e9))

    def _has_anomalies(self, _: str) -> Value:
        return self._mostly(0.5)

    def _box(self, _: str) -> Value:
        sides = self.random.choice(BOXES)
        return dict(zip(("west", "south", "east", "north"), sides, strict=True))

    def _zoom(self, _: str) -> Value:
        return self.random.choice((0, 1, 5, 10, 22) if self._mostly(0.95) else (-1, 23))

    def _size(self, _: str) -> Value:
        return EnumValue(self.random.choice(list(PhotoSize)).name)

    def _after(self, field_name: str) -> Value:
        return self.cursor(field_name)

    def _part_of_a_name(self) -> str:
        names = [name for name in self.world.column(Item, "name") if name]
        if not names or not self._mostly(0.85):
            return any_text(self.random, longest=300)
        name = self.random.choice(names)
        begin = self.random.randrange(len(name))
        part: str = name[begin : begin + self.random.randint(1, 6)]
        return self.random.choice((part, part.upper(), part.lower()))

    def _order_by(self, field_name: str) -> Value:
        fields = _ORDERS_OF.get(field_name, ("NAME", "CREATED_AT"))
        orders: list[Value] = [self._order(fields) for _ in range(self.random.choice((0, 1, 1, 1, 1, 1, 1, 2)))]
        return orders[0] if len(orders) == 1 and self._mostly(0.6) else orders

    def _order(self, fields: Sequence[str]) -> Value:
        order = {"field": EnumValue(self.random.choice(fields))}
        if self._mostly(0.7):
            order["direction"] = EnumValue(self.random.choice(("ASC", "DESC")))
        return order

    def _kind(self, field_name: str) -> Value:
        kinds: list[StrEnum] = list(ItemKind if field_name == "movers" else PriceKind)
        return EnumValue(self.random.choice(kinds).name)

    def _first(self, _: str) -> Value:
        return self._page_size()

    def _slug_of_list(self, field_name: str) -> Value:
        slugs = self.world.column(_TABLE_OF[field_name], "slug")
        return self.random.choice(slugs) if slugs and self._mostly(0.85) else any_text(self.random)

    def _game(self, _: str) -> Value:
        games = self.world.column(CardSet, "game")
        return self.random.choice(games) if games and self._mostly(0.85) else any_text(self.random)

    def _code(self, _: str) -> Value:
        codes = self.world.column(CardSet, "code")
        return self.random.choice(codes) if codes and self._mostly(0.85) else any_text(self.random)

    def _source(self, _: str) -> Value:
        codes = self.world.column(Source, "code")
        return self.random.choice(codes) if codes and self._mostly(0.85) else any_text(self.random)

    def _provider(self, _: str) -> Value:
        codes = self.world.column(Provider, "code")
        return self.random.choice(codes) if codes and self._mostly(0.85) else any_text(self.random)

    def _currency(self, _: str) -> Value:
        return self.random.choice(CURRENCIES if self._mostly(0.995) else ("KRW", "usd", "XXXX", "", 7))

    def _instant(self, field_name: str) -> Value:
        if field_name in ("history", "performance"):
            days = [row["day"] for row in self.world.rows[Snapshot]]
            day = self.random.choice(days) if days and self._mostly(0.8) else self.random.choice(self.world.instants)
            return day.isoformat()[:10]
        return self.instant() if self._mostly(0.997) else self.random.choice(("2026-02-30T00:00:00Z", "now", 0))

    def _fill(self, _: str) -> Value:
        return EnumValue(self.random.choice([fill.name for fill in CandleFill]))

    def _window(self, _: str) -> Value:
        return self.random.choice(WINDOWS if self._mostly(0.97) else WRONG_WINDOWS)

    def _direction(self, _: str) -> Value:
        return EnumValue(self.random.choice([direction.name for direction in MoverDirection]))

    def _resolution(self, field_name: str) -> Value:
        resolutions: list[Enum] = list(HistoryResolution if field_name == "history" else Resolution)
        return EnumValue(self.random.choice(resolutions).name)

    def _by(self, _: str) -> Value:
        return EnumValue(self.random.choice(list(AllocationBy)).name)

    def _method(self, field_name: str) -> Value:
        methods: list[Enum] = list(CostBasisMethod if field_name == "realizedGains" else ReturnMethod)
        return EnumValue(self.random.choice(methods).name)

    def _is_either(self, _: str) -> Value:
        return self._mostly(0.5)

    def _event_type(self, _: str) -> Value:
        return EnumValue(self.random.choice(list(EventType)).name)

    def _channel_kind(self, _: str) -> Value:
        return EnumValue(self.random.choice(list(ChannelKind)).name)

    def _delivery_status(self, _: str) -> Value:
        return EnumValue(self.random.choice(list(DeliveryStatus)).name)

    def _type_name(self, _: str) -> Value:
        return self.random.choice(("Skin", "Item", "Query", "ItemKind", "Nothing", ""))

    def _is_deprecated_shown(self, _: str) -> Value:
        return self.random.random() < 0.5


def list_of(field_name: str, order: Value) -> str:
    """The name under which the cursors of a list in its order are kept."""
    if field_name in _ORDERS_OF:
        return field_name if not order else f"{field_name} ordered"
    if field_name != "items":
        return field_name
    first = order[0] if isinstance(order, list) and order else order or {}
    return f"items {first.get('field', 'NAME')} {first.get('direction', 'ASC')}"


_TABLE_OF: Mapping[str, type[Base]] = {
    "cardSets": CardSet,
    "manufacturers": Manufacturer,
    "series": Series,
    "characters": Character,
    "sculptors": Sculptor,
}
# What lists can be ordered by that are no list of items.
_ORDERS_OF = {
    "holdings": ("POSITION", "CREATED_AT", "COST"),
    "trackers": ("NAME", "CREATED_AT", "STATUS_SINCE"),
    "alertRules": ("CREATED_AT", "UPDATED_AT", "FIRED_COUNT", "LAST_FIRED_AT"),
}
_TAG_OF = {
    "ingestBatch": PublicIdTag.INGEST_BATCH,
    "account": PublicIdTag.ACCOUNT,
    "importRun": PublicIdTag.IMPORT_RUN,
    "portfolioImport": PublicIdTag.PORTFOLIO_IMPORT,
    "portfolioExport": PublicIdTag.PORTFOLIO_EXPORT,
}
_METHOD_OF = {
    "id": "any_id",
    "orderBy": "order_by",
    "from": "instant",
    "asOf": "instant",
    "to": "instant",
    "last": "candle_count",
    "query": "searched",
    "prefix": "searched",
    "name": "type_name",
    "slug": "slug_of_list",
    "includeDeprecated": "is_deprecated_shown",
    "includeAnomalies": "has_anomalies",
    "includeDismissed": "is_either",
    "eventType": "event_type",
    "channel": "channel_kind",
    "status": "delivery_status",
    "simplifyMeters": "meters",
}
