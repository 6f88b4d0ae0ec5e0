"""Who may see what of a world, told a second time: not by the policies of the database but by its rows alone.

Both paths ask the same database, so a policy that is wrong would make no difference between them.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from app.alerts.models import Alert, Rule
from app.catalogue.models import Item
from app.core.database import Base
from app.core.ids import PublicIdTag, parse_public_id
from app.graph.execution import Response
from app.identity.models import (
    ApiToken,
    AuditEntry,
    DataExport,
    Identity,
    NsfwVisibility,
    Passkey,
    RoleGrant,
    Session,
    User,
)
from app.identity.scopes import GRANTABLE, Scope
from app.identity.viewer import Viewer
from app.ingestion.models import IngestBatch
from app.notifications.models import Delivery, Notification, PushSubscription, Service, Webhook
from app.operations.models import IMPORT_PREFIX, JobRun
from app.portfolios.models import Holding, HoldingPhoto, Lot, Portfolio, PortfolioExport, PortfolioImport, Store, Trade
from app.portfolios.wish_models import Preorder, Want, Watchlist, WatchlistItem
from app.providers.models import ProviderCredential
from app.trackers.models import (
    Brand,
    Client,
    Membership,
    Place,
    ProductionRun,
    Tracker,
    TrackerAttachment,
    TrackerKey,
)
from tests.graph.oracle.comparison import as_sent
from tests.graph.oracle.rows import TABLE_OF, Row, World, shown_key
from tests.graph.oracle.viewers import granted_scopes

Owns = Callable[[World, Row, Any], bool]


def _names(*columns: str) -> Owns:
    """A row belongs to whom one of these columns names."""
    return lambda _, row, user_id: user_id is not None and any(row[column] == user_id for column in columns)


def _of_client(column: str = "client_id") -> Owns:
    """A row belongs to the members of the client that the column names; what is somebody's own to them alone."""
    return lambda world, row, user_id: (
        row[column] in world.clients_of(user_id) and row.get("owner_id") in (None, user_id)
    )


# Whose a row is, and the permission by which staff see everybody's; None where they never do.
RULES: Mapping[type[Base], tuple[Owns, Scope | None]] = {
    User: (lambda _, row, user_id: row["id"] == user_id and row["deleted_at"] is None, Scope.ACCOUNTS_READ),
    Session: (_names("user_id"), Scope.ACCOUNTS_READ),
    Identity: (_names("user_id"), Scope.ACCOUNTS_READ),
    Passkey: (_names("user_id"), Scope.ACCOUNTS_READ),
    ApiToken: (_names("user_id"), Scope.ACCOUNTS_READ),
    RoleGrant: (_names("user_id"), Scope.ACCOUNTS_READ),
    DataExport: (_names("user_id"), Scope.ACCOUNTS_READ),
    AuditEntry: (_names("subject_id", "actor_id"), Scope.AUDIT_READ),
    ProviderCredential: (_names("user_id"), None),
    IngestBatch: (_names("sender_id"), Scope.INGESTION_READ),
    JobRun: (_names("requested_by"), Scope.OPERATIONS_READ),
    Portfolio: (_names("owner_id"), None),
    Holding: (_names("owner_id"), None),
    HoldingPhoto: (_names("owner_id"), None),
    Trade: (_names("owner_id"), None),
    Lot: (_names("owner_id"), None),
    Store: (_names("owner_id"), None),
    Watchlist: (_names("owner_id"), None),
    WatchlistItem: (_names("owner_id"), None),
    Want: (_names("owner_id"), None),
    Preorder: (_names("owner_id"), None),
    PortfolioImport: (_names("owner_id"), None),
    PortfolioExport: (_names("owner_id"), None),
    Client: (_of_client("id"), None),
    Membership: (_of_client(), None),
    Brand: (_of_client(), None),
    ProductionRun: (_of_client(), None),
    Place: (_of_client(), None),
    Tracker: (_of_client(), None),
    TrackerKey: (_of_client(), None),
    TrackerAttachment: (_of_client(), None),
    Rule: (_names("owner_id"), None),
    Alert: (_names("owner_id"), None),
    Notification: (_names("owner_id"), None),
    Delivery: (_names("owner_id"), None),
    PushSubscription: (_names("owner_id"), None),
    Webhook: (_names("owner_id"), None),
    Service: (_names("owner_id"), None),
}


# What stays in its table for a while after somebody has removed it.
_KEPT_AWHILE = {PublicIdTag.WANT, PublicIdTag.PLACE}


def may_see(world: World, viewer: Viewer, tag: PublicIdTag, key: object) -> bool:
    """Whether the world has this for the viewer."""
    rows = [row for row in world.rows[TABLE_OF[tag]] if row["id"] == key]
    if tag is PublicIdTag.USER:
        # What everybody may know of a person, for as long as there is one.
        return any(row["deleted_at"] is None for row in rows)
    if tag is PublicIdTag.SHARED_PORTFOLIO:
        # Anybody who knows by which key it is shared, unless its owner has gone.
        gone = {row["id"] for row in world.rows[User] if row["deleted_at"] is not None}
        shared = (row for row in world.rows[Portfolio] if row["owner_id"] not in gone)
        return any(shown_key(tag, row) == key for row in shared)
    if tag is PublicIdTag.IMPORT_RUN:
        rows = [row for row in rows if row["job"].startswith(IMPORT_PREFIX)]
    if TABLE_OF[tag] not in RULES:
        return bool(rows)
    owns, permission = RULES[TABLE_OF[tag]]
    return any(owns(world, row, viewer.user_id) or permission in permissions_of(world, viewer) for row in rows)


def may_find(world: World, viewer: Viewer, tag: PublicIdTag, key: object) -> bool:
    """Whether the viewer finds it by its id: of items those that they chose to see, of wants and places what stays."""
    if tag in _KEPT_AWHILE and any(row["id"] == key and row["deleted_at"] for row in world.rows[TABLE_OF[tag]]):
        return False
    if tag is PublicIdTag.ITEM and not _sees_nsfw(world, viewer):
        return any(row["id"] == key and not row["is_nsfw"] for row in world.rows[Item])
    return may_see(world, viewer, tag, key)


def _sees_nsfw(world: World, viewer: Viewer) -> bool:
    return any(
        row["id"] == viewer.user_id and row["deleted_at"] is None and row["nsfw_visibility"] != NsfwVisibility.HIDDEN
        for row in world.rows[User]
    )


def permissions_of(world: World, viewer: Viewer) -> frozenset[Scope]:
    """What the viewer may do beyond their own: what the credential says and a grant still says, too."""
    return viewer.scopes & GRANTABLE & granted_scopes(world, viewer.user_id)


def shown_to_the_wrong(world: World, viewer: Viewer, response: Response) -> str | None:
    """An id in the answer that the viewer may not see, in a sentence."""
    for text in texts_in(as_sent(response).get("data")):
        parsed = parse_public_id(text)
        if parsed is not None and not may_see(world, viewer, *parsed):
            return f"shown to somebody who may not see it: {parsed[0].name} {parsed[1]}"
    return None


def texts_in(value: Any) -> Iterator[str]:
    """Every text in a value of JSON, the keys of objects left aside."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from texts_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from texts_in(each)
