"""The schema: the root types, put together from the rooms."""

from typing import Any

import strawberry
from graphql import GraphQLSchema
from strawberry import UNSET
from strawberry.schema.config import StrawberryConfig

from app.core.errors import BadUserInput, Refusal
from app.core.ids import PublicIdTag, parse_public_id
from app.graph.access import guard
from app.graph.alerts.alerts import Alert
from app.graph.alerts.errors import ALERTS_READ
from app.graph.alerts.previews import AlertRulePreviewMutations
from app.graph.alerts.rule_changes import AlertRuleMutations
from app.graph.alerts.rules import AlertQueries, AlertRule
from app.graph.catalogue.cards import Card, CardQueries, CardSet
from app.graph.catalogue.coins import Coin
from app.graph.catalogue.editing import CatalogueMutations
from app.graph.catalogue.figures import Character, Figure, FigureQueries, Manufacturer, Sculptor, Series
from app.graph.catalogue.items import CatalogueQueries, Item, ItemVariant
from app.graph.catalogue.photo_changes import PhotoMutations
from app.graph.catalogue.photos import Photo
from app.graph.catalogue.search import SearchQueries
from app.graph.catalogue.skins import Skin
from app.graph.identity.accounts import (
    ACCOUNT_READS,
    Account,
    ApiToken,
    DataExport,
    Identity,
    IdentityQueries,
    Passkey,
    RoleGrant,
    Session,
    User,
)
from app.graph.identity.api_tokens import ApiTokenMutations
from app.graph.identity.audit import AuditEntry
from app.graph.identity.data import DataMutations
from app.graph.identity.factors import FactorMutations
from app.graph.identity.own_credentials import OwnCredentialMutations
from app.graph.identity.own_sessions import OwnSessionMutations
from app.graph.identity.profile import ProfileMutations
from app.graph.identity.roles import RoleMutations
from app.graph.identity.sign_in import SignInMutations
from app.graph.identity.ways_in import WaysInMutations, WaysInQueries
from app.graph.ingestion import BATCHES_READ, IngestBatch, IngestionQueries
from app.graph.jobs.changes import JobMutations
from app.graph.jobs.progress import ImportSubscriptions
from app.graph.jobs.runs import RUNS_READ, ImportRun, JobRun, RunQueries
from app.graph.jobs.schedules import JobQueries
from app.graph.notifications.channels import ChannelQueries
from app.graph.notifications.destination_changes import DestinationMutations
from app.graph.notifications.destinations import NotificationService, PushSubscription, Webhook
from app.graph.notifications.errors import NOTIFICATIONS_READ
from app.graph.notifications.live import NotificationSubscriptions
from app.graph.notifications.notifications import Notification, NotificationDelivery
from app.graph.notifications.preference_changes import PreferenceMutations
from app.graph.notifications.reading import ReadingMutations
from app.graph.operations import OperationsQueries
from app.graph.portfolios.errors import PORTFOLIOS_READ
from app.graph.portfolios.exports import ExportMutations, ExportQueries, PortfolioExport
from app.graph.portfolios.holding_changes import HoldingMutations
from app.graph.portfolios.holding_photo_changes import HoldingPhotoMutations
from app.graph.portfolios.holding_photos import HoldingPhoto
from app.graph.portfolios.holdings import Holding, Store
from app.graph.portfolios.import_changes import ImportMutations
from app.graph.portfolios.imports import ImportQueries, PortfolioImport
from app.graph.portfolios.live import PortfolioSubscriptions
from app.graph.portfolios.portfolio_changes import PortfolioMutations
from app.graph.portfolios.portfolios import Portfolio, PortfolioQueries
from app.graph.portfolios.store_changes import StoreMutations
from app.graph.portfolios.trade_changes import TradeMutations
from app.graph.portfolios.trades import Lot, Trade
from app.graph.prices.exchange_rates import ExchangeRateQueries
from app.graph.prices.ingest import PriceMutations
from app.graph.prices.movers import MoverQueries
from app.graph.prices.series import PriceSeries
from app.graph.prices.sources import PriceSourceMutations, PriceSourceQueries
from app.graph.prices.updates import PriceSubscriptions
from app.graph.providers import ProviderCredential, ProviderMutations, ProviderQueries
from app.graph.reads.arguments import OperationContext, graphql_argument
from app.graph.reads.executor import ReadExecutor, tables_shown
from app.graph.reads.fields import Reference, refer, reference
from app.graph.relay import Node
from app.graph.scalars import SCALARS
from app.graph.sharing.portfolios import SharedPortfolio, SharedPortfolioQueries
from app.graph.trackers.client_changes import ClientMutations
from app.graph.trackers.clients import Brand, Client, ClientQueries, Membership, ProductionRun
from app.graph.trackers.errors import TRACKERS_READ
from app.graph.trackers.ingest import LocationMutations
from app.graph.trackers.map import MapQueries
from app.graph.trackers.movements import TrackerSubscriptions
from app.graph.trackers.place_changes import PlaceMutations
from app.graph.trackers.places import Place, PlaceQueries
from app.graph.trackers.tracker_changes import TrackerMutations
from app.graph.trackers.trackers import Tracker, TrackerAttachment, TrackerKey, TrackerQueries
from app.graph.wishes.lists import WishQueries
from app.graph.wishes.preorder_changes import PreorderMutations
from app.graph.wishes.preorders import Preorder
from app.graph.wishes.wants import Want, WantMutations
from app.graph.wishes.watchlists import Watchlist, WatchlistItem, WatchlistMutations
from app.identity.access import ANYBODY, Access, needs
from app.identity.scopes import Scope

MAXIMUM_NODES = 100

# What can be fetched again by its id, and what it takes.
NODE_TYPES: dict[PublicIdTag, tuple[Any, Access]] = {
    PublicIdTag.ITEM: (Item, ANYBODY),
    PublicIdTag.ITEM_VARIANT: (ItemVariant, ANYBODY),
    PublicIdTag.ITEM_PHOTO: (Photo, ANYBODY),
    PublicIdTag.CARD_SET: (CardSet, ANYBODY),
    PublicIdTag.MANUFACTURER: (Manufacturer, ANYBODY),
    PublicIdTag.SERIES: (Series, ANYBODY),
    PublicIdTag.CHARACTER: (Character, ANYBODY),
    PublicIdTag.SCULPTOR: (Sculptor, ANYBODY),
    PublicIdTag.PRICE_SERIES: (PriceSeries, ANYBODY),
    PublicIdTag.INGEST_BATCH: (IngestBatch, BATCHES_READ),
    PublicIdTag.USER: (User, ANYBODY),
    PublicIdTag.ACCOUNT: (Account, ACCOUNT_READS),
    PublicIdTag.SESSION: (Session, ACCOUNT_READS),
    PublicIdTag.IDENTITY: (Identity, ACCOUNT_READS),
    PublicIdTag.PASSKEY: (Passkey, ACCOUNT_READS),
    PublicIdTag.API_TOKEN: (ApiToken, ACCOUNT_READS),
    PublicIdTag.ROLE_GRANT: (RoleGrant, ACCOUNT_READS),
    PublicIdTag.AUDIT_ENTRY: (AuditEntry, needs(Scope.ACCOUNT_READ, Scope.AUDIT_READ)),
    PublicIdTag.DATA_EXPORT: (DataExport, ACCOUNT_READS),
    PublicIdTag.PROVIDER_CREDENTIAL: (ProviderCredential, needs(Scope.ACCOUNT_READ)),
    PublicIdTag.JOB_RUN: (JobRun, RUNS_READ),
    PublicIdTag.IMPORT_RUN: (ImportRun, RUNS_READ),
    PublicIdTag.PORTFOLIO: (Portfolio, PORTFOLIOS_READ),
    PublicIdTag.HOLDING: (Holding, PORTFOLIOS_READ),
    PublicIdTag.TRADE: (Trade, PORTFOLIOS_READ),
    PublicIdTag.LOT: (Lot, PORTFOLIOS_READ),
    PublicIdTag.STORE: (Store, PORTFOLIOS_READ),
    PublicIdTag.PORTFOLIO_IMPORT: (PortfolioImport, PORTFOLIOS_READ),
    PublicIdTag.PORTFOLIO_EXPORT: (PortfolioExport, PORTFOLIOS_READ),
    PublicIdTag.SHARED_PORTFOLIO: (SharedPortfolio, ANYBODY),
    PublicIdTag.WATCHLIST: (Watchlist, PORTFOLIOS_READ),
    PublicIdTag.WATCHLIST_ITEM: (WatchlistItem, PORTFOLIOS_READ),
    PublicIdTag.WANT: (Want, PORTFOLIOS_READ),
    PublicIdTag.PREORDER: (Preorder, PORTFOLIOS_READ),
    PublicIdTag.HOLDING_PHOTO: (HoldingPhoto, PORTFOLIOS_READ),
    PublicIdTag.CLIENT: (Client, TRACKERS_READ),
    PublicIdTag.MEMBERSHIP: (Membership, TRACKERS_READ),
    PublicIdTag.BRAND: (Brand, TRACKERS_READ),
    PublicIdTag.PRODUCTION_RUN: (ProductionRun, TRACKERS_READ),
    PublicIdTag.TRACKER: (Tracker, TRACKERS_READ),
    PublicIdTag.TRACKER_KEY: (TrackerKey, TRACKERS_READ),
    PublicIdTag.TRACKER_ATTACHMENT: (TrackerAttachment, TRACKERS_READ),
    PublicIdTag.PLACE: (Place, TRACKERS_READ),
    PublicIdTag.ALERT_RULE: (AlertRule, ALERTS_READ),
    PublicIdTag.ALERT: (Alert, ALERTS_READ),
    PublicIdTag.NOTIFICATION: (Notification, NOTIFICATIONS_READ),
    PublicIdTag.DELIVERY: (NotificationDelivery, NOTIFICATIONS_READ),
    PublicIdTag.PUSH_SUBSCRIPTION: (PushSubscription, NOTIFICATIONS_READ),
    PublicIdTag.WEBHOOK: (Webhook, NOTIFICATIONS_READ),
    PublicIdTag.NOTIFICATION_SERVICE: (NotificationService, NOTIFICATIONS_READ),
}


def _refer_to_node(context: OperationContext, id: str, argument: str) -> Reference:
    parsed = parse_public_id(id)
    if parsed is None:
        raise BadUserInput(
            f"`{argument}` holds something that is not an id of Trove; use one that the API gave you.",
            argument=argument,
            allowed=["an `id` that the API gave"],
        )
    tag, key = parsed
    node_type, access = NODE_TYPES[tag]
    access.check(context.viewer, context.now)
    return refer(node_type, key)


def _refer_or_refuse(context: OperationContext, id: str, argument: str) -> Reference | Refusal:
    """What an id of a list refers to; a refusal is told in its place, and the others are answered."""
    try:
        return _refer_to_node(context, id, argument)
    except Refusal as refusal:
        return refusal


@strawberry.type(description="Where every question begins.")
class Query(
    CatalogueQueries,
    CardQueries,
    FigureQueries,
    SearchQueries,
    MoverQueries,
    ExchangeRateQueries,
    PriceSourceQueries,
    OperationsQueries,
    IngestionQueries,
    IdentityQueries,
    WaysInQueries,
    ProviderQueries,
    PortfolioQueries,
    SharedPortfolioQueries,
    WishQueries,
    ImportQueries,
    ExportQueries,
    ClientQueries,
    TrackerQueries,
    MapQueries,
    PlaceQueries,
    AlertQueries,
    RunQueries,
    JobQueries,
    ChannelQueries,
):
    @reference(
        "Anything with an id; null when it is gone.",
        [graphql_argument("id", strawberry.ID, default=UNSET)],
        type=Node | None,
        access=ANYBODY,
    )
    @staticmethod
    def node(context: OperationContext, id: str) -> Reference:
        return _refer_to_node(context, id, "id")

    @reference(
        "Things by their ids (100 at most), in the order asked for; null for what is gone, and with an error each for "
        "what is no id or may not be asked for.",
        [graphql_argument("ids", list[strawberry.ID], default=UNSET)],
        type=list[Node | None],
        access=ANYBODY,
    )
    @staticmethod
    def nodes(context: OperationContext, ids: list[str]) -> list[Reference | Refusal]:
        if len(ids) > MAXIMUM_NODES:
            raise BadUserInput(
                f"`ids` may hold {MAXIMUM_NODES} ids, and holds {len(ids)}.",
                argument="ids",
                allowed=[f"0..{MAXIMUM_NODES} ids"],
            )
        return [_refer_or_refuse(context, node_id, "ids") for node_id in ids]


@strawberry.type(description="What changes something. Each field is a transaction of its own.")
class Mutation(
    CatalogueMutations,
    PriceMutations,
    LocationMutations,
    PriceSourceMutations,
    PhotoMutations,
    SignInMutations,
    OwnSessionMutations,
    OwnCredentialMutations,
    FactorMutations,
    WaysInMutations,
    ProfileMutations,
    ApiTokenMutations,
    RoleMutations,
    DataMutations,
    ProviderMutations,
    TradeMutations,
    PortfolioMutations,
    HoldingMutations,
    HoldingPhotoMutations,
    StoreMutations,
    ImportMutations,
    ExportMutations,
    JobMutations,
    WatchlistMutations,
    WantMutations,
    PreorderMutations,
    ClientMutations,
    PlaceMutations,
    TrackerMutations,
    AlertRuleMutations,
    AlertRulePreviewMutations,
    ReadingMutations,
    PreferenceMutations,
    DestinationMutations,
):
    pass


@strawberry.type(description="What happens, as it happens.")
class Subscription(
    PriceSubscriptions,
    ImportSubscriptions,
    PortfolioSubscriptions,
    TrackerSubscriptions,
    NotificationSubscriptions,
):
    pass


schema = strawberry.Schema(
    query=Query,
    mutation=Mutation,
    subscription=Subscription,
    types=[Skin, Coin, Card, Figure, *(node_type for node_type, _ in NODE_TYPES.values() if node_type is not Item)],
    config=StrawberryConfig(scalar_map=SCALARS, relay_max_results=MAXIMUM_NODES),
    execution_context_class=ReadExecutor,
)

core_schema: GraphQLSchema = schema._schema
ReadExecutor.prepare(core_schema)
guard(core_schema, tables_shown(core_schema))


def print_graph() -> str:
    """The schema in GraphQL's own language, as it stands in `schema.graphql`."""
    return schema.as_str() + "\n"
