"""Every root field, asked by everybody who could come along: who is refused, by which code, and without a trace.

The fields, their arguments and what each needs come from the schema, so a field that is added is asked, too. What the
schema does not say, the tables below do: what anybody may ask, and whose things an id stands for.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
import strawberry
from graphql import GraphQLInterfaceType, GraphQLObjectType, GraphQLSchema
from pydantic import SecretStr
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.clock import utc_now
from app.core.database import Database, DatabaseRole, create_engine
from app.core.events import EventBus
from app.core.ids import PublicIdTag, new_id, public_id
from app.core.jobs import connect_redis
from app.core.settings import Settings
from app.graph.access import OWNER_AND_STAFF, PUBLIC_TABLES, access_of, guard, privacy_of, private
from app.graph.context import Resources
from app.graph.execution import Engine
from app.graph.feeds import Feeds
from app.graph.reads.executor import ReadExecutor, tables_shown
from app.graph.reads.fields import Reference, column, refer, reference, shows
from app.graph.schema import NODE_TYPES, core_schema
from app.identity import models
from app.identity.access import ANYBODY, Access, needs
from app.identity.scopes import Scope
from app.identity.services import identity_services
from app.identity.viewer import ANYONE
from app.trackers.commands.partitions import ensure_report_partitions
from tests.conftest import EMPTY_TABLES, open_database
from tests.graph.authorization import (
    ROOT_FIELDS,
    Asker,
    Outcome,
    RootField,
    Scene,
    Trace,
    ask,
    changes_between,
    define_trace,
    is_not_found,
    is_not_granted,
    is_null,
    set_up,
    trace_of,
)
from tests.graph.oracle.conftest import own_database

# What anybody may ask, signed in or not; each other field says what it needs.
FOR_ANYBODY = {
    "query items",
    "query item",
    "query cardSets",
    "query manufacturers",
    "query series",
    "query characters",
    "query sculptors",
    "query search",
    "query suggest",
    "query movers",
    "query exchangeRate",
    "query serverInfo",
    "query priceSources",
    "query providers",
    "query identityProviders",
    "query user",
    "query sharedPortfolio",
    # Of private things it shows nobody more than their own: see WHOSE, and NEEDED_INSIDE.
    "query node",
    "query nodes",
    "query viewer",
    "subscription priceUpdates",
    # What proves who one is comes in the input of these, and is checked there.
    "mutation signUp",
    "mutation confirmSignUp",
    "mutation signIn",
    "mutation requestMagicLink",
    "mutation signInWithMagicLink",
    "mutation refreshSession",
    "mutation confirmEmailChange",
    "mutation completeSignIn",
    "mutation beginPasskeySecondFactor",
    "mutation beginPasskeySignIn",
    "mutation signInWithPasskey",
}
# What a field checks itself: of whom, depends on what is asked for.
NEEDED_INSIDE: Mapping[str, Access] = {
    "query viewer": needs(Scope.ACCOUNT_READ),
    # Of an account, for whose id they are asked here.
    "query node": needs(Scope.ACCOUNT_READ, Scope.ACCOUNTS_READ),
    "query nodes": needs(Scope.ACCOUNT_READ, Scope.ACCOUNTS_READ),
}
# Whom the same field answers with null, instead of asking them to sign in.
NULL_FOR_ANYBODY = {"query viewer"}
# What the schema does not demand, and the command does.
GIVEN: dict[str, object] = {
    "mutation previewImport.input.source": "TROVE",
    "mutation previewImport.input.content": "kind,occurred_at,item,quantity\nbuy,2024-01-01,bitcoin,1\n",
    "mutation grantRole.input.permissions": ["PRICES_WRITE"],
    "mutation createItem.input.details": {"coin": {"symbol": "AAA"}},
    "mutation addMember.input.username": "support",
    # Something of the catalogue: what is somebody's own takes the scope of its room, too.
    "mutation createAlertRule.input.target": {"itemId": public_id(PublicIdTag.ITEM, new_id())},
    "mutation createAlertRule.input.condition": "CROSSES_ABOVE",
    "mutation previewAlertRule.input.target": {"itemId": public_id(PublicIdTag.ITEM, new_id())},
    "mutation previewAlertRule.input.condition": "CROSSES_ABOVE",
    "mutation recordTrade.input.occurredAt": "2024-01-01T00:00:00Z",
    "mutation snooze.input.until": None,
}


@dataclass(frozen=True, slots=True)
class Whose:
    """What an id stands for. Of what is somebody's: what comes of it for somebody else, and who it is there for.

    `for_whom` is the person of the scene who may use it; whoever else asks shows a credential that says they may.
    """

    tag: PublicIdTag
    otherwise: Outcome | None = None
    for_whom: str = "ada"


# By the path of the argument, optional ones too.
WHOSE: Mapping[str, Whose] = {
    "query item.id": Whose(PublicIdTag.ITEM),
    "query search.filter.setId": Whose(PublicIdTag.CARD_SET),
    "query search.filter.manufacturerId": Whose(PublicIdTag.MANUFACTURER),
    "query search.filter.seriesId": Whose(PublicIdTag.SERIES),
    "query node.id": Whose(PublicIdTag.ACCOUNT, is_null),
    "query nodes.ids": Whose(PublicIdTag.ACCOUNT, is_null),
    "query ingestBatch.id": Whose(PublicIdTag.INGEST_BATCH, is_null),
    "query importRun.id": Whose(PublicIdTag.IMPORT_RUN, is_null),
    "query account.id": Whose(PublicIdTag.ACCOUNT, is_null, for_whom="support"),
    "mutation ingestPrices.input.points.itemId": Whose(PublicIdTag.ITEM),
    # Whose tracker it is, the worker looks up; a batch is stored for whoever sends it.
    "mutation ingestLocations.input.reports.trackerId": Whose(PublicIdTag.TRACKER),
    "mutation addItemPhoto.input.itemId": Whose(PublicIdTag.ITEM),
    "mutation editItemPhoto.input.id": Whose(PublicIdTag.ITEM_PHOTO),
    "mutation deleteItemPhoto.input.id": Whose(PublicIdTag.ITEM_PHOTO),
    "mutation endSession.input.id": Whose(PublicIdTag.SESSION, is_not_found),
    "mutation renamePasskey.input.id": Whose(PublicIdTag.PASSKEY, is_not_found),
    "mutation removePasskey.input.id": Whose(PublicIdTag.PASSKEY, is_not_found),
    "mutation unlinkIdentity.input.id": Whose(PublicIdTag.IDENTITY, is_not_found),
    "mutation rotateApiToken.input.id": Whose(PublicIdTag.API_TOKEN, is_not_found),
    "mutation revokeApiToken.input.id": Whose(PublicIdTag.API_TOKEN, is_not_found),
    "mutation grantRole.input.userId": Whose(PublicIdTag.USER, is_not_granted, for_whom="admin"),
    "mutation revokeRole.input.id": Whose(PublicIdTag.ROLE_GRANT, is_not_found, for_whom="admin"),
    "mutation createExportDownload.input.id": Whose(PublicIdTag.DATA_EXPORT, is_not_found),
    "mutation removeProviderCredential.input.id": Whose(PublicIdTag.PROVIDER_CREDENTIAL, is_not_found),
    "mutation cancelRun.input.id": Whose(PublicIdTag.JOB_RUN, is_not_granted, for_whom="admin"),
    "subscription priceUpdates.itemIds": Whose(PublicIdTag.ITEM),
    "mutation createItem.input.details.card.setId": Whose(PublicIdTag.CARD_SET),
    "mutation editItem.input.id": Whose(PublicIdTag.ITEM),
    "mutation editItem.input.details.card.setId": Whose(PublicIdTag.CARD_SET),
    "mutation mergeItems.input.winnerId": Whose(PublicIdTag.ITEM),
    "mutation mergeItems.input.loserId": Whose(PublicIdTag.ITEM),
    "mutation addItemVariant.input.itemId": Whose(PublicIdTag.ITEM),
    "mutation editItemVariant.input.id": Whose(PublicIdTag.ITEM_VARIANT),
    # Anybody may know the id; whether it leads anywhere, the portfolio's visibility says.
    "query sharedPortfolio.id": Whose(PublicIdTag.PORTFOLIO),
    "mutation editPortfolio.input.id": Whose(PublicIdTag.PORTFOLIO, is_not_found),
    "mutation renewPortfolioLink.input.id": Whose(PublicIdTag.PORTFOLIO, is_not_found),
    "mutation deletePortfolio.input.id": Whose(PublicIdTag.PORTFOLIO, is_not_found),
    "mutation addHolding.input.portfolioId": Whose(PublicIdTag.PORTFOLIO, is_not_found),
    "mutation addHolding.input.variantId": Whose(PublicIdTag.ITEM_VARIANT),
    "mutation addHolding.input.details.storeId": Whose(PublicIdTag.STORE),
    "mutation editHolding.input.id": Whose(PublicIdTag.HOLDING, is_not_found),
    "mutation editHolding.input.details.storeId": Whose(PublicIdTag.STORE),
    "mutation editHolding.input.beforeId": Whose(PublicIdTag.HOLDING),
    "mutation editHolding.input.afterId": Whose(PublicIdTag.HOLDING),
    "mutation deleteHolding.input.id": Whose(PublicIdTag.HOLDING, is_not_found),
    # With an upload that is not there either, for whoever asks.
    "mutation addHoldingPhoto.input.holdingId": Whose(PublicIdTag.HOLDING),
    "mutation setHoldingTurntable.input.holdingId": Whose(PublicIdTag.HOLDING),
    "mutation editHoldingPhoto.input.id": Whose(PublicIdTag.HOLDING_PHOTO, is_not_found),
    "mutation deleteHoldingPhoto.input.id": Whose(PublicIdTag.HOLDING_PHOTO, is_not_found),
    "mutation removeHoldingTurntable.input.holdingId": Whose(PublicIdTag.HOLDING, is_not_found),
    "mutation editStore.input.id": Whose(PublicIdTag.STORE, is_not_found),
    "mutation removeStore.input.id": Whose(PublicIdTag.STORE, is_not_found),
    "query portfolioImport.id": Whose(PublicIdTag.PORTFOLIO_IMPORT, is_null),
    "query portfolioExport.id": Whose(PublicIdTag.PORTFOLIO_EXPORT, is_null),
    "mutation startPortfolioExport.input.portfolioId": Whose(PublicIdTag.PORTFOLIO, is_not_found),
    "mutation previewImport.input.portfolioId": Whose(PublicIdTag.PORTFOLIO, is_not_found),
    "mutation applyImport.input.id": Whose(PublicIdTag.PORTFOLIO_IMPORT, is_not_found),
    "mutation undoImport.input.id": Whose(PublicIdTag.PORTFOLIO_IMPORT, is_not_found),
    "subscription importProgress.id": Whose(PublicIdTag.IMPORT_RUN),
    "mutation recordTrade.input.holdingId": Whose(PublicIdTag.HOLDING, is_not_found),
    "mutation recordTrade.input.portfolioId": Whose(PublicIdTag.PORTFOLIO, is_not_found),
    "mutation recordTrade.input.variantId": Whose(PublicIdTag.ITEM_VARIANT),
    # Of a holding, and so named together with one.
    "mutation recordTrade.input.lots.lotId": Whose(PublicIdTag.LOT),
    "mutation editTrade.input.id": Whose(PublicIdTag.TRADE, is_not_found),
    "mutation editTrade.input.lots.lotId": Whose(PublicIdTag.LOT, is_not_found),
    "mutation deleteTrade.input.id": Whose(PublicIdTag.TRADE, is_not_found),
    "subscription portfolioValue.portfolioId": Whose(PublicIdTag.PORTFOLIO),
    "mutation editWatchlist.input.id": Whose(PublicIdTag.WATCHLIST, is_not_found),
    "mutation deleteWatchlist.input.id": Whose(PublicIdTag.WATCHLIST, is_not_found),
    "mutation addToWatchlist.input.watchlistId": Whose(PublicIdTag.WATCHLIST),
    "mutation addToWatchlist.input.itemId": Whose(PublicIdTag.ITEM),
    "mutation addToWatchlist.input.variantId": Whose(PublicIdTag.ITEM_VARIANT),
    "mutation editWatchlistItem.input.id": Whose(PublicIdTag.WATCHLIST_ITEM, is_not_found),
    "mutation editWatchlistItem.input.variantId": Whose(PublicIdTag.ITEM_VARIANT),
    "mutation removeFromWatchlist.input.id": Whose(PublicIdTag.WATCHLIST_ITEM, is_not_found),
    "mutation reorderWatchlist.input.id": Whose(PublicIdTag.WATCHLIST, is_not_found),
    "mutation reorderWatchlist.input.itemIds": Whose(PublicIdTag.WATCHLIST_ITEM),
    "mutation moveWatchlistItem.input.id": Whose(PublicIdTag.WATCHLIST_ITEM),
    "mutation moveWatchlistItem.input.beforeId": Whose(PublicIdTag.WATCHLIST_ITEM),
    "mutation moveWatchlistItem.input.afterId": Whose(PublicIdTag.WATCHLIST_ITEM),
    "mutation addWant.input.itemId": Whose(PublicIdTag.ITEM),
    "mutation addWant.input.variantId": Whose(PublicIdTag.ITEM_VARIANT),
    "mutation editWant.input.id": Whose(PublicIdTag.WANT, is_not_found),
    "mutation editWant.input.variantId": Whose(PublicIdTag.ITEM_VARIANT),
    "mutation removeWant.input.id": Whose(PublicIdTag.WANT, is_not_found),
    "mutation addPreorder.input.itemId": Whose(PublicIdTag.ITEM),
    "mutation addPreorder.input.variantId": Whose(PublicIdTag.ITEM_VARIANT),
    "mutation addPreorder.input.portfolioId": Whose(PublicIdTag.PORTFOLIO),
    "mutation addPreorder.input.storeId": Whose(PublicIdTag.STORE),
    "mutation editPreorder.input.id": Whose(PublicIdTag.PREORDER, is_not_found),
    "mutation editPreorder.input.portfolioId": Whose(PublicIdTag.PORTFOLIO),
    "mutation editPreorder.input.storeId": Whose(PublicIdTag.STORE),
    "mutation movePreorder.input.id": Whose(PublicIdTag.PREORDER, is_not_found),
    "mutation reschedulePreorder.input.id": Whose(PublicIdTag.PREORDER, is_not_found),
    "mutation receivePreorder.input.id": Whose(PublicIdTag.PREORDER, is_not_found),
    "mutation receivePreorder.input.portfolioId": Whose(PublicIdTag.PORTFOLIO),
    "mutation receivePreorder.input.holdingId": Whose(PublicIdTag.HOLDING),
    "mutation deletePreorder.input.id": Whose(PublicIdTag.PREORDER, is_not_found),
    "query trackers.filter.clientId": Whose(PublicIdTag.CLIENT),
    "query trackers.filter.productionRunId": Whose(PublicIdTag.PRODUCTION_RUN),
    "query places.filter.clientId": Whose(PublicIdTag.CLIENT),
    "query trackersInBox.filter.clientId": Whose(PublicIdTag.CLIENT),
    "query trackersInBox.filter.productionRunId": Whose(PublicIdTag.PRODUCTION_RUN),
    "subscription trackerMoved.trackerIds": Whose(PublicIdTag.TRACKER),
    "subscription trackerMoved.productionRunId": Whose(PublicIdTag.PRODUCTION_RUN),
    "subscription trackerStatusChanged.trackerIds": Whose(PublicIdTag.TRACKER),
    "subscription trackerStatusChanged.productionRunId": Whose(PublicIdTag.PRODUCTION_RUN),
    "subscription trackerStatusChanged.clientId": Whose(PublicIdTag.CLIENT),
    "mutation editClient.input.id": Whose(PublicIdTag.CLIENT, is_not_found),
    "mutation deleteClient.input.id": Whose(PublicIdTag.CLIENT, is_not_found),
    "mutation addMember.input.clientId": Whose(PublicIdTag.CLIENT, is_not_found),
    "mutation setMemberRole.input.id": Whose(PublicIdTag.MEMBERSHIP, is_not_found),
    "mutation removeMember.input.id": Whose(PublicIdTag.MEMBERSHIP, is_not_found),
    "mutation createBrand.input.clientId": Whose(PublicIdTag.CLIENT, is_not_found),
    "mutation editBrand.input.id": Whose(PublicIdTag.BRAND, is_not_found),
    "mutation deleteBrand.input.id": Whose(PublicIdTag.BRAND, is_not_found),
    "mutation createProductionRun.input.brandId": Whose(PublicIdTag.BRAND, is_not_found),
    "mutation editProductionRun.input.id": Whose(PublicIdTag.PRODUCTION_RUN, is_not_found),
    "mutation editProductionRun.input.brandId": Whose(PublicIdTag.BRAND),
    "mutation deleteProductionRun.input.id": Whose(PublicIdTag.PRODUCTION_RUN, is_not_found),
    "mutation createPlace.input.clientId": Whose(PublicIdTag.CLIENT, is_not_found),
    "mutation createPlace.input.productionRunIds": Whose(PublicIdTag.PRODUCTION_RUN),
    "mutation editPlace.input.id": Whose(PublicIdTag.PLACE, is_not_found),
    "mutation editPlace.input.productionRunIds": Whose(PublicIdTag.PRODUCTION_RUN),
    "mutation deletePlace.input.id": Whose(PublicIdTag.PLACE, is_not_found),
    "mutation createTrackers.input.clientId": Whose(PublicIdTag.CLIENT, is_not_found),
    "mutation createTrackers.input.productionRunId": Whose(PublicIdTag.PRODUCTION_RUN),
    "mutation editTracker.input.id": Whose(PublicIdTag.TRACKER, is_not_found),
    "mutation editTracker.input.productionRunId": Whose(PublicIdTag.PRODUCTION_RUN),
    "mutation retireTracker.input.id": Whose(PublicIdTag.TRACKER, is_not_found),
    "mutation restoreTracker.input.id": Whose(PublicIdTag.TRACKER, is_not_found),
    "mutation addTrackerKey.input.trackerId": Whose(PublicIdTag.TRACKER, is_not_found),
    "mutation retireTrackerKey.input.id": Whose(PublicIdTag.TRACKER_KEY, is_not_found),
    "mutation attachTracker.input.trackerId": Whose(PublicIdTag.TRACKER, is_not_found),
    "mutation attachTracker.input.holdingId": Whose(PublicIdTag.HOLDING),
    "mutation attachTracker.input.preorderId": Whose(PublicIdTag.PREORDER),
    "mutation attachTracker.input.productionRunId": Whose(PublicIdTag.PRODUCTION_RUN),
    "mutation detachTracker.input.trackerId": Whose(PublicIdTag.TRACKER, is_not_found),
    # One of these is named; the tests of rules say what comes of another's.
    "mutation createAlertRule.input.target.itemId": Whose(PublicIdTag.ITEM),
    "mutation createAlertRule.input.target.variantId": Whose(PublicIdTag.ITEM_VARIANT),
    "mutation createAlertRule.input.target.cardSetId": Whose(PublicIdTag.CARD_SET),
    "mutation createAlertRule.input.target.watchlistId": Whose(PublicIdTag.WATCHLIST),
    "mutation createAlertRule.input.target.portfolioId": Whose(PublicIdTag.PORTFOLIO),
    "mutation createAlertRule.input.target.trackerId": Whose(PublicIdTag.TRACKER),
    "mutation createAlertRule.input.target.placeId": Whose(PublicIdTag.PLACE),
    "mutation createAlertRule.input.target.productionRunId": Whose(PublicIdTag.PRODUCTION_RUN),
    "mutation createAlertRule.input.target.preorderId": Whose(PublicIdTag.PREORDER),
    "mutation createAlertRule.input.target.wantId": Whose(PublicIdTag.WANT),
    "mutation previewAlertRule.input.target.itemId": Whose(PublicIdTag.ITEM),
    "mutation previewAlertRule.input.target.variantId": Whose(PublicIdTag.ITEM_VARIANT),
    "mutation previewAlertRule.input.target.cardSetId": Whose(PublicIdTag.CARD_SET),
    "mutation previewAlertRule.input.target.watchlistId": Whose(PublicIdTag.WATCHLIST),
    "mutation previewAlertRule.input.target.portfolioId": Whose(PublicIdTag.PORTFOLIO),
    "mutation previewAlertRule.input.target.trackerId": Whose(PublicIdTag.TRACKER),
    "mutation previewAlertRule.input.target.placeId": Whose(PublicIdTag.PLACE),
    "mutation previewAlertRule.input.target.productionRunId": Whose(PublicIdTag.PRODUCTION_RUN),
    "mutation previewAlertRule.input.target.preorderId": Whose(PublicIdTag.PREORDER),
    "mutation previewAlertRule.input.target.wantId": Whose(PublicIdTag.WANT),
    "query alertRules.filter.targetId": Whose(PublicIdTag.ITEM),
    "mutation editAlertRule.input.id": Whose(PublicIdTag.ALERT_RULE, is_not_found),
    "mutation pauseAlertRule.input.id": Whose(PublicIdTag.ALERT_RULE, is_not_found),
    "mutation resumeAlertRule.input.id": Whose(PublicIdTag.ALERT_RULE, is_not_found),
    "mutation deleteAlertRule.input.id": Whose(PublicIdTag.ALERT_RULE, is_not_found),
    "mutation markRead.input.ids": Whose(PublicIdTag.NOTIFICATION, is_not_found),
    "mutation markRead.input.upToId": Whose(PublicIdTag.NOTIFICATION, is_not_found),
    "mutation dismiss.input.ids": Whose(PublicIdTag.NOTIFICATION, is_not_found),
    "mutation snooze.input.ids": Whose(PublicIdTag.NOTIFICATION, is_not_found),
    "mutation removePushSubscription.input.id": Whose(PublicIdTag.PUSH_SUBSCRIPTION, is_not_found),
    "mutation editWebhook.input.id": Whose(PublicIdTag.WEBHOOK, is_not_found),
    "mutation rotateWebhookSecret.input.id": Whose(PublicIdTag.WEBHOOK, is_not_found),
    "mutation enableWebhook.input.id": Whose(PublicIdTag.WEBHOOK, is_not_found),
    "mutation disableWebhook.input.id": Whose(PublicIdTag.WEBHOOK, is_not_found),
    "mutation deleteWebhook.input.id": Whose(PublicIdTag.WEBHOOK, is_not_found),
    "mutation editNotificationService.input.id": Whose(PublicIdTag.NOTIFICATION_SERVICE, is_not_found),
    "mutation removeNotificationService.input.id": Whose(PublicIdTag.NOTIFICATION_SERVICE, is_not_found),
    "mutation sendTestNotification.input.destinationId": Whose(PublicIdTag.WEBHOOK, is_not_found),
    "mutation redeliver.input.id": Whose(PublicIdTag.DELIVERY, is_not_found),
    "subscription alertFired.ruleIds": Whose(PublicIdTag.ALERT_RULE),
}
TAGS = {path: whose.tag for path, whose in WHOSE.items()}
OF_SOMEBODY = [path for path, whose in WHOSE.items() if whose.otherwise is not None]
# What not even staff see of others.
FOR_OWNERS_ALONE = {
    PublicIdTag.PROVIDER_CREDENTIAL,
    PublicIdTag.PORTFOLIO,
    PublicIdTag.HOLDING,
    PublicIdTag.HOLDING_PHOTO,
    PublicIdTag.TRADE,
    PublicIdTag.LOT,
    PublicIdTag.STORE,
    PublicIdTag.WATCHLIST,
    PublicIdTag.WATCHLIST_ITEM,
    PublicIdTag.WANT,
    PublicIdTag.PREORDER,
    PublicIdTag.PORTFOLIO_IMPORT,
    PublicIdTag.PORTFOLIO_EXPORT,
    PublicIdTag.CLIENT,
    PublicIdTag.MEMBERSHIP,
    PublicIdTag.BRAND,
    PublicIdTag.PRODUCTION_RUN,
    PublicIdTag.PLACE,
    PublicIdTag.TRACKER,
    PublicIdTag.TRACKER_KEY,
    PublicIdTag.TRACKER_ATTACHMENT,
    PublicIdTag.ALERT_RULE,
    PublicIdTag.ALERT,
    PublicIdTag.NOTIFICATION,
    PublicIdTag.DELIVERY,
    PublicIdTag.PUSH_SUBSCRIPTION,
    PublicIdTag.WEBHOOK,
    PublicIdTag.NOTIFICATION_SERVICE,
}
# Where tables are somebody's, unless they are listed as everybody's.
PRIVATE_SCHEMAS = (
    *("identity.", "ingestion.", "operations.", "providers.", "portfolios.", "trackers.", "alerts.", "notifications."),
    "catalogue.item_revisions",
)
PRIVATE_NODES = [tag for tag, (_, access) in NODE_TYPES.items() if access != ANYBODY]
# Far less than a proof of who somebody is counts as recent.
KEPT_FOR = timedelta(minutes=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# What an answer must not be where nobody is refused.
REFUSALS = {"UNAUTHENTICATED", "FORBIDDEN", "INTERNAL_SERVER_ERROR"}


@dataclass(slots=True)
class Stage:
    """A database in which a scene stands for as long as the tests leave it as it was."""

    owner: AsyncEngine
    database: Database
    _scene: Scene | None = None
    _trace: Trace = field(default_factory=dict)
    _set_up_at: datetime = EPOCH

    async def scene(self) -> Scene:
        """The scene as it was set up, and not long ago: its people have just signed in."""
        if self._scene is None or utc_now() - self._set_up_at > KEPT_FOR or await self._is_changed():
            async with self.owner.begin() as connection:
                await connection.execute(EMPTY_TABLES)
            self._scene, self._set_up_at = await set_up(self.owner, self.database), utc_now()
            self._trace = await trace_of(self.owner)
        return self._scene

    async def _is_changed(self) -> bool:
        return changes_between(self._trace, await trace_of(self.owner)) != []


@pytest.fixture(scope="session")
async def matrix_settings(trove_settings: Settings) -> AsyncIterator[Settings]:
    """The settings of a server over a database of the matrix's own."""
    async with own_database(trove_settings, "matrix") as settings:
        yield settings


@pytest.fixture(scope="session")
async def stage(matrix_settings: Settings) -> AsyncIterator[Stage]:
    """That database, in which the scene stands."""
    assert matrix_settings.database_url is not None
    owner = create_engine(matrix_settings.database_url, role=None, pool_size=3, application_name="tests-matrix")
    await define_trace(owner)
    async with open_database(matrix_settings, DatabaseRole.API) as database:
        yield Stage(owner, database)
    await owner.dispose()


@pytest.fixture
def owner(stage: Stage) -> AsyncEngine:
    """That database as its owner, who sees and may do everything."""
    return stage.owner


@pytest.fixture
def api_database(stage: Stage) -> Database:
    """That database as the API's role."""
    return stage.database


@pytest.fixture
async def scene(stage: Stage) -> Scene:
    """The people of the matrix, over the database that the graph reads."""
    return await stage.scene()


@pytest.fixture
async def engine(api_database: Database, matrix_settings: Settings) -> AsyncIterator[Engine]:
    """A server that knows its address and can send mail, so that nobody is refused for that."""
    addressed = {
        "public_url": "http://127.0.0.1:8000",
        "smtp_url": SecretStr("smtp://127.0.0.1:9"),
        "mail_from": "trove@example.com",
    }
    settings = matrix_settings.model_copy(update=addressed)
    assert settings.redis_url is not None
    redis = connect_redis(settings.redis_url)
    events = EventBus(redis)
    identity = identity_services(settings, api_database, events)
    yield Engine(Resources(api_database, settings, Feeds(api_database, events), identity))
    await identity.stop()
    await redis.aclose()


@pytest.fixture
async def redis(trove_settings: Settings) -> AsyncIterator[Redis]:
    """The Redis that the graph uses."""
    assert trove_settings.redis_url is not None
    redis = Redis.from_url(trove_settings.redis_url)
    yield redis
    await redis.aclose()


# The last two in a partition, and by a table that was not there before.
CHANGES = {
    "identity.users": "UPDATE identity.users SET display_name = 'Changed' WHERE username = 'ada'",
    "identity.role_grants": "DELETE FROM identity.role_grants",
    "trackers.location_reports": """
        INSERT INTO trackers.location_reports
            (subject, reported_at, latitude_e7, longitude_e7, tracker_id, client_id, source)
        SELECT decode(repeat('00', 16), 'hex'), '1970-01-01Z', 0, 0, id, client_id, 'gateway'
        FROM trackers.trackers LIMIT 1
    """,
    "tables": "CREATE TABLE identity.unknown ()",
}


@pytest.mark.parametrize("table", CHANGES)
@pytest.mark.usefixtures("scene")
async def test_a_trace_tells_what_has_changed(owner: AsyncEngine, table: str) -> None:
    async with owner.begin() as connection:
        await ensure_report_partitions(connection, [EPOCH])
    before = await trace_of(owner)
    assert changes_between(before, await trace_of(owner)) == []
    async with owner.begin() as connection:
        await connection.execute(text(CHANGES[table]))
    try:
        assert changes_between(before, await trace_of(owner)) == [table]
    finally:
        async with owner.begin() as connection:
            await connection.execute(text("DROP TABLE IF EXISTS identity.unknown"))


@pytest.mark.parametrize("field", ROOT_FIELDS, ids=str)
async def test_who_may_not_ask_is_refused_and_leaves_no_trace(
    engine: Engine, scene: Scene, owner: AsyncEngine, redis: Redis, field: RootField
) -> None:
    keys = set(await redis.keys())
    assert await _wrongly_answered(engine, scene, owner, field) == []
    assert set(await redis.keys()) <= keys


async def _wrongly_answered(engine: Engine, scene: Scene, owner: AsyncEngine, field: RootField) -> list[str]:
    """Who is not refused as they should be, or is refused after something was done."""
    request = field.request(GIVEN, scene.ids, TAGS)
    found = []
    before = await trace_of(owner)
    for asker, code in _askers(scene, field):
        if code is None:
            continue
        answer = await ask(engine, request, asker.viewer)
        changed = changes_between(before, await trace_of(owner))
        # Of a list of ids each is refused by itself, and null in its place.
        if list(answer.codes) != [code] or answer.value not in (None, [None]) or changed:
            found.append(f"{field} for {asker.name}: {answer} instead of {code}; changed: {changed}")
    return found


@pytest.mark.parametrize("field", ROOT_FIELDS, ids=str)
async def test_who_may_ask_is_let_through(engine: Engine, scene: Scene, field: RootField) -> None:
    request = field.request(GIVEN, scene.ids, TAGS)
    let_through = [asker for asker, code in _askers(scene, field) if code is None]
    assert let_through
    for asker in let_through:
        answer = await ask(engine, request, asker.viewer)
        assert not REFUSALS & set(answer.codes), asker.name


def _askers(scene: Scene, field: RootField) -> list[tuple[Asker, str | None]]:
    """Everybody, each with the code that they are refused by."""
    inside = NEEDED_INSIDE.get(str(field), ANYBODY)
    found = []
    for asker in scene.askers(Access((*field.access.scopes, *inside.scopes))):
        is_shown_null = asker.viewer == ANYONE and str(field) in NULL_FOR_ANYBODY
        code = None if is_shown_null else asker.is_refused_by(field.access) or asker.is_refused_by(inside)
        found.append((asker, code))
    return found


@pytest.mark.parametrize("path", OF_SOMEBODY)
async def test_what_is_somebody_elses_is_not_there(engine: Engine, scene: Scene, owner: AsyncEngine, path: str) -> None:
    field, whose = _field_of(path), WHOSE[path]
    assert whose.otherwise is not None
    request = field.request(GIVEN | {path: _given(path, scene.ids[whose.tag])}, scene.ids, TAGS)
    before = await trace_of(owner)
    # Their credential says that they may, and nobody has granted it.
    answer = await ask(engine, request, replace(scene.bob, scopes=frozenset(Scope)))
    assert whose.otherwise(answer), answer
    assert changes_between(before, await trace_of(owner)) == []


@pytest.mark.parametrize("path", OF_SOMEBODY)
async def test_what_is_ones_own_is_there(engine: Engine, scene: Scene, path: str) -> None:
    field, whose = _field_of(path), WHOSE[path]
    assert whose.otherwise is not None
    request = field.request(GIVEN | {path: _given(path, scene.ids[whose.tag])}, scene.ids, TAGS)
    answer = await ask(engine, request, getattr(scene, whose.for_whom))
    assert not whose.otherwise(answer), answer
    assert not REFUSALS & set(answer.codes)


def _field_of(path: str) -> RootField:
    operation, name = path.partition(".")[0].split()
    return RootField(operation, name)


def _given(path: str, node_id: str) -> object:
    return [node_id] if path.endswith("s") else node_id


@pytest.mark.parametrize("tag", PRIVATE_NODES)
async def test_a_node_is_there_for_its_people_and_nobody_else(engine: Engine, scene: Scene, tag: PublicIdTag) -> None:
    for path in ("query node.id", "query nodes.ids"):
        request = _field_of(path).request(GIVEN | {path: _given(path, scene.ids[tag])}, scene.ids, TAGS)
        others = [scene.bob, replace(scene.bob, scopes=frozenset(Scope)), replace(scene.ada, user_id=scene.bob.user_id)]
        staff = [scene.support, scene.admin]
        for viewer in others + (staff if tag in FOR_OWNERS_ALONE else []):
            answer = await ask(engine, request, viewer)
            assert is_null(answer) or answer.codes == ["FORBIDDEN"], answer
        for viewer in [scene.ada] + ([] if tag in FOR_OWNERS_ALONE else staff):
            answer = await ask(engine, request, viewer)
            assert not is_null(answer), answer
            assert answer.codes == []


def test_every_id_that_a_field_takes_stands_for_something_of_somebodys() -> None:
    taken = {path for field in ROOT_FIELDS for path in field.ids_taken()}
    unknown = sorted(taken - set(WHOSE))
    assert unknown == [], f"{unknown[0]} takes an id: say in WHOSE what it is the id of, and whose"
    assert sorted(set(WHOSE) - taken) == []


def test_what_anybody_may_ask_is_listed() -> None:
    open_to_all = {str(field) for field in ROOT_FIELDS if field.access == ANYBODY}
    unlisted = sorted(open_to_all - FOR_ANYBODY)
    assert unlisted == [], f"anybody may ask for {unlisted[0]}: declare its `access`, or list it in FOR_ANYBODY"
    assert sorted(FOR_ANYBODY - open_to_all) == []


def test_every_field_that_needs_something_says_so() -> None:
    for graphql_type in core_schema.type_map.values():
        if isinstance(graphql_type, GraphQLObjectType | GraphQLInterfaceType):
            for name, field in graphql_type.fields.items():
                access = access_of(field)
                if access is not None and access != ANYBODY:
                    assert access.sentence, f"{graphql_type.name}.{name}"
                    assert access.sentence in (field.description or ""), f"{graphql_type.name}.{name}"


def test_every_type_over_rows_that_are_not_everybodys_says_who_sees_them() -> None:
    private_types = {
        name
        for name, tables in tables_shown(core_schema).items()
        if any(table.startswith(PRIVATE_SCHEMAS) for table in set(tables) - PUBLIC_TABLES)
    }
    assert {"Account", "Preferences", "Session", "AuditEntry", "IngestReject", "ProviderCredential"} <= private_types
    assert "ItemRevision" in private_types
    for name in private_types:
        privacy = privacy_of(core_schema.type_map[name])
        assert privacy is not None, name
        assert f"Private: seen by {privacy.seen_by}." in (core_schema.type_map[name].description or "")


@strawberry.type
@shows(models.Session, key=models.Session.id)
class Device:
    """A type over private rows whose author forgot to say so."""

    name: str = column(models.Session.device, "What it is.")


@strawberry.type
@shows(models.public_profiles, key=models.public_profiles.c.id)
class Name:
    """A type over what everybody may know."""

    name: str = column(models.public_profiles.c.username, "Their name.")


@strawberry.type
@private(OWNER_AND_STAFF)
@shows(models.Session, key=models.Session.id)
class PrivateDevice:
    """The same, by an author who did not."""

    name: str = column(models.Session.device, "What it is.")


def _schema_of(shown: type) -> GraphQLSchema:
    @strawberry.type
    class Query:
        @reference("One of them.", [], type=shown | None, access=ANYBODY)
        @staticmethod
        def one(_: object) -> Reference:
            return refer(shown, 1)

    schema: GraphQLSchema = strawberry.Schema(query=Query, execution_context_class=ReadExecutor)._schema
    ReadExecutor.prepare(schema)
    return schema


def test_a_type_over_private_rows_that_does_not_say_so_stops_the_start() -> None:
    schema = _schema_of(Device)
    with pytest.raises(TypeError, match=r"Device shows rows of identity\.sessions, which are not everybody's"):
        guard(schema, tables_shown(schema))


def test_a_type_that_says_so_or_shows_what_is_everybodys_does_not() -> None:
    for shown in (Name, PrivateDevice):
        schema = _schema_of(shown)
        guard(schema, tables_shown(schema))


async def test_a_field_that_forgets_to_check_is_found(
    engine: Engine, scene: Scene, owner: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Access, "check", lambda *_: None)
    for name in ("updateProfile", "createApiToken", "grantRole", "signOutEverywhere"):
        assert await _wrongly_answered(engine, scene, owner, RootField("mutation", name))
    for name in ("accounts", "auditLog", "ingestBatch", "viewer", "node"):
        assert await _wrongly_answered(engine, scene, owner, RootField("query", name))


async def test_a_refusal_that_leaves_something_behind_is_found(
    engine: Engine, scene: Scene, owner: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = Access.check
    writes = text("UPDATE identity.users SET display_name = display_name || '!' WHERE username = 'ada'")

    async def refuse(*_: object, **__: object) -> None:
        async with owner.begin() as connection:
            await connection.execute(writes)
        check(needs(Scope.ACCOUNT_WRITE), ANYONE, utc_now())

    field = RootField("mutation", "updateProfile")
    monkeypatch.setattr(field.field, "resolve", refuse)
    found = await _wrongly_answered(engine, scene, owner, field)
    assert "anybody: Answer(codes=['UNAUTHENTICATED']" in found[0]
    assert "changed: ['identity.users']" in found[0]
