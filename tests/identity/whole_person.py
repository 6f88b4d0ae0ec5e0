"""A person with something in every table that can hold something of people, each with marks to be found by."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from ipaddress import ip_address, ip_network
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.alerts.models import Alert, PriceState, Rule, SubjectState
from app.catalogue.models import CreationKey, Item, ItemRevision, ItemVariant, PhotoUpload
from app.core.clock import utc_now
from app.core.database import Transaction
from app.core.ids import new_id
from app.core.secrets import place_of
from app.identity.models import (
    ApiToken,
    AuditEntry,
    Challenge,
    Credential,
    DataExport,
    Identity,
    OutgoingMail,
    Passkey,
    RecoveryCode,
    RefreshToken,
    RoleGrant,
    Session,
    TotpSecret,
    UnlinkedIdentity,
    User,
)
from app.identity.tokens import hash_of_token
from app.ingestion.models import IngestBatch, IngestReject
from app.notifications.models import (
    Delivery,
    Notification,
    Preferences,
    PushSubscription,
    Route,
    Service,
    Webhook,
)
from app.operations.models import JobRun, RuntimeSetting
from app.portfolios.models import CreationKey as PortfolioKey
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
    TradeLotChoice,
    TradeRevision,
    TurntableFrame,
)
from app.portfolios.wish_models import (
    Preorder,
    PreorderDateChange,
    PreorderStatusChange,
    Want,
    Watchlist,
    WatchlistItem,
)
from app.prices.models import PriceSeries, Source
from app.providers.commands.save_known import save_known_providers
from app.providers.models import ProviderCall, ProviderCredential
from app.trackers.history_models import LocationFix, LocationReport, OrphanReport, StatusChange, TrackerEvent, Visit
from app.trackers.models import (
    Brand,
    Client,
    Membership,
    Place,
    ProductionRun,
    ProductionRunPlace,
    Tracker,
    TrackerAttachment,
    TrackerKey,
)
from tests.identity.builders import SECRETS

CREATED_AT = datetime(2025, 2, 3, 4, 5, 6, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class WholePerson:
    """Their key, and the words that may stand nowhere once they are erased."""

    id: UUID
    word: str
    email: str
    address: str

    @property
    def marks(self) -> tuple[str, ...]:
        """What to look for: their names, their address, and where they came from."""
        return (self.word, self.email, self.address)


async def add_whole_person(
    connection: AsyncConnection, word: str, *, address: str = "203.0.113.77", granted_by: UUID | None = None
) -> WholePerson:
    """Somebody whose texts all hold the word; their password, seed and tokens are `secret` and the word."""
    person = WholePerson(new_id(), word, f"{word}@example.com", address)
    user_id, where = person.id, ip_address(address)
    session_id, challenge_id, mail_id, export_id, batch_id, credential_id = (new_id() for _ in range(6))
    upload_id, item_id = new_id(), new_id()
    secret = f"secret-{word}".encode()
    rows: list[tuple[type[Any], dict[str, Any]]] = [
        (
            User,
            {
                "id": user_id,
                "username": word,
                "display_name": f"The {word}",
                "avatar_url": f"https://pictures.example/{word}.png",
                "email": person.email,
                "email_verified_at": CREATED_AT,
                "currency": "CHF",
                "timezone": "Europe/Zurich",
                "locale": "gsw",
                "notifies_by_push": False,
                "nsfw_visibility": "shown",
                "is_inventory_public": True,
                "last_login_at": CREATED_AT,
            },
        ),
        (
            Identity,
            {
                "user_id": user_id,
                "provider": "github",
                "issuer": "https://github.example",
                "subject": f"subject-{word}",
                "email": person.email,
                "display_name": f"The {word}",
            },
        ),
        (
            UnlinkedIdentity,
            {
                "user_id": user_id,
                "provider": "github",
                "issuer": "https://github.example",
                "subject": f"unlinked-{word}",
            },
        ),
        (
            Credential,
            {
                "user_id": user_id,
                "password_hash": SECRETS.encrypt(secret, place_of(Credential.password_hash, user_id)),
                "changed_at": CREATED_AT,
            },
        ),
        (
            TotpSecret,
            {"user_id": user_id, "secret": SECRETS.encrypt(secret, place_of(TotpSecret.secret, user_id))},
        ),
        (RecoveryCode, {"user_id": user_id, "code_hash": hash_of_token(f"code-{word}")}),
        (
            Passkey,
            {
                "user_id": user_id,
                "credential_id": secret,
                "public_key": b"public",
                "sign_count": 3,
                "name": f"Passkey of {word}",
                "transports": ["usb"],
                "is_backed_up": True,
            },
        ),
        (
            Challenge,
            {
                "id": challenge_id,
                "kind": "magic_link",
                "token_hash": hash_of_token(f"challenge-{word}"),
                "user_id": user_id,
                "content": SECRETS.encrypt(secret, place_of(Challenge.content, challenge_id)),
                "expires_at": utc_now() + timedelta(minutes=5),
            },
        ),
        (
            Session,
            {
                "id": session_id,
                "user_id": user_id,
                "method": "password",
                "device": f"Phone of {word}",
                "user_agent": f"Agent of {word}",
                "address": where,
                "expires_at": utc_now() + timedelta(days=7),
            },
        ),
        (
            RefreshToken,
            {
                "token_hash": hash_of_token(f"refresh-{word}"),
                "session_id": session_id,
                "expires_at": utc_now() + timedelta(days=7),
            },
        ),
        (
            ApiToken,
            {
                "user_id": user_id,
                "name": f"Token of {word}",
                "prefix": f"trove_api_{word[:6]}",
                "token_hash": hash_of_token(f"token-{word}"),
                "scopes": ["account:read"],
                "allowed_addresses": [ip_network(address)],
                "last_used_address": where,
            },
        ),
        (
            RoleGrant,
            {
                "user_id": user_id,
                "role": "support",
                "permissions": ["audit:read"],
                "reason": f"{word} helps us.",
                "granted_by": granted_by or user_id,
                "revoked_by": granted_by or user_id,
            },
        ),
        (
            AuditEntry,
            {
                "action": "signed_up",
                "actor_id": user_id,
                "subject_id": user_id,
                "credential_id": session_id,
                "address": where,
                "user_agent": f"Agent of {word}",
                "before": {"username": f"before-{word}"},
                "after": {"username": word},
            },
        ),
        (
            OutgoingMail,
            {
                "id": mail_id,
                "user_id": user_id,
                "content": SECRETS.encrypt(secret, place_of(OutgoingMail.content, mail_id)),
                # Not to be sent while the test looks at it.
                "next_attempt_at": utc_now() + timedelta(days=1),
            },
        ),
        (
            DataExport,
            {
                "id": export_id,
                "user_id": user_id,
                "status": "ready",
                "archive": SECRETS.encrypt(secret, place_of(DataExport.archive, export_id)),
                "archive_bytes": len(secret),
                "requested_at": CREATED_AT,
                "expires_at": utc_now() + timedelta(days=1),
            },
        ),
        (
            IngestBatch,
            {
                "id": batch_id,
                "kind": "price_points",
                "sender_id": user_id,
                "idempotency_key": f"key-of-{word}",
                "content_hash": b"hash",
                "status": "processed",
                "row_count": 1,
                "rejected_count": 1,
                "accepted_count": 0,
                "duplicate_count": 0,
            },
        ),
        (
            IngestReject,
            {"batch_id": batch_id, "row_number": 1, "reason": f"`{word}` is no price.", "content": f"{word}!"},
        ),
        (
            PhotoUpload,
            {
                "id": upload_id,
                "uploaded_by": user_id,
                "content_type": "image/png",
                "width": 16,
                "height": 16,
                "bytes": 100,
                "sha256": "00",
                "storage_key": f"photos/{upload_id.hex}",
                "idempotency_key": f"photo-of-{word}",
            },
        ),
        (
            ProviderCredential,
            {
                "id": credential_id,
                "user_id": user_id,
                "provider": "steam",
                "label": f"Key of {word}",
                "secret": SECRETS.encrypt(secret, place_of(ProviderCredential.secret, credential_id)),
                "shown_as": f"…{word[-4:]}",
            },
        ),
        (
            ProviderCall,
            {
                "provider": "steam",
                "endpoint": "inventory",
                "user_id": user_id,
                "credential_id": credential_id,
                "started_at": CREATED_AT,
            },
        ),
        (Item, {"id": item_id, "kind": "coin", "slug": f"item-{item_id}", "name": "An item"}),
        (
            ItemRevision,
            {"item_id": item_id, "number": 1, "user_id": user_id, "action": "created", "changes": {"name": {}}},
        ),
        (CreationKey, {"user_id": user_id, "key": f"key-of-{word}", "content_hash": "hash", "item_id": item_id}),
        (
            JobRun,
            {
                "job": "import:figures",
                "requested_by": user_id,
                "source": f"https://files.example/{word}.json",
                "arguments": {"url": f"https://files.example/{word}.json?key=1"},
                "error": f"{word}.json is no file of figures.",
            },
        ),
        *_possessions(user_id, item_id, word),
        (RuntimeSetting, {"key": f"schedule:{user_id}", "value": {"isEnabled": False}, "updated_by": user_id}),
    ]
    await save_known_providers(Transaction(connection))
    for parent in ("location_reports", "location_fixes"):
        await connection.execute(
            text("SELECT trackers.ensure_partitions(:parent, CAST(ARRAY[:instant] AS timestamptz[]))"),
            {"parent": parent, "instant": CREATED_AT},
        )
    for table, values in rows:
        # The tables make their own ids where none is named.
        await connection.execute(insert(table).values(**values))
    return person


def _possessions(owner_id: UUID, item_id: UUID, word: str) -> list[tuple[type[Any], dict[str, Any]]]:
    """A portfolio with a holding that was bought and partly sold, and all that is kept of both."""
    portfolio_id, store_id, variant_id, holding_id, bought_id, sold_id, import_id = (new_id() for _ in range(7))
    photo_id, frame_id = new_id(), new_id()
    photo = {
        "position": 0,
        "content_type": "image/png",
        "width": 16,
        "height": 16,
        "bytes": 100,
        "sha256": f"hash-of-{word}",
    }
    of_owner = {"owner_id": owner_id, "portfolio_id": portfolio_id}
    of_holding = of_owner | {"holding_id": holding_id}
    trade = of_holding | {
        "occurred_at": CREATED_AT,
        "quantity": 1,
        "price": 10,
        "currency": "CHF",
        "exchange_rate": 1,
        "exchange": f"Exchange of {word}",
        "tags": [word],
        "notes": f"Trade of {word}",
    }
    return [
        (
            Portfolio,
            {
                "id": portfolio_id,
                "owner_id": owner_id,
                "name": f"Portfolio of {word}",
                "description": f"What {word} owns",
                "base_currency": "CHF",
                "visibility": "link",
                "link_key": f"link-{word}",
            },
        ),
        (Store, {"id": store_id, "owner_id": owner_id, "name": f"Shop of {word}", "slug": word}),
        (ItemVariant, {"id": variant_id, "item_id": item_id, "key": "default", "name": "Default", "is_default": True}),
        (Holding, of_owner | {"id": holding_id, "variant_id": variant_id, "position": 0}),
        (
            HoldingDetails,
            of_holding
            | {
                "serial": f"serial-{word}",
                "place": f"Shelf of {word}",
                "store_id": store_id,
                "notes": f"Notes of {word}",
            },
        ),
        (HoldingPhoto, of_holding | {"id": photo_id, "storage_key": f"photos/{photo_id.hex}"} | photo),
        (HoldingTurntable, of_holding),
        (
            TurntableFrame,
            {"owner_id": owner_id, "holding_id": holding_id, "id": frame_id}
            | {"storage_key": f"photos/{frame_id.hex}"}
            | photo,
        ),
        (Trade, trade | {"id": bought_id, "kind": "buy"}),
        (Trade, trade | {"id": sold_id, "kind": "sell"}),
        (TradeLotChoice, {"trade_id": sold_id, "lot_id": bought_id, "owner_id": owner_id, "quantity": 1}),
        (
            TradeRevision,
            of_owner | {"trade_id": sold_id, "number": 1, "action": "edited", "before": {"notes": f"Before, {word}"}},
        ),
        (
            Lot,
            of_holding
            | {"id": bought_id, "acquired_at": CREATED_AT, "quantity": 1, "cost": 10, "remaining_quantity": 0}
            | {"remaining_cost": 0},
        ),
        (
            LotDisposal,
            of_holding
            | {"trade_id": sold_id, "number": 1, "lot_id": bought_id, "acquired_at": CREATED_AT}
            | {"disposed_at": CREATED_AT, "quantity": 1, "cost": 10, "proceeds": 10, "gain": 0},
        ),
        (
            PortfolioKey,
            {"owner_id": owner_id, "key": f"portfolio-of-{word}", "content_hash": "hash", "result_id": portfolio_id},
        ),
        (
            Snapshot,
            of_owner
            | {"day": CREATED_AT.date(), "currency": "CHF", "value": 10, "cost": 10, "realized_gain": 0, "net_flow": 0}
            | {"holding_count": 1, "unpriced_count": 0, "stale_count": 0, "computed_at": CREATED_AT}
            | {"parts": {"place": {f"Shelf of {word}": {"value": "10", "cost": "10", "holdings": 1, "unpriced": 0}}}},
        ),
        (PortfolioExport, of_owner | {"id": new_id(), "format": "csv", "what": "trades", "last_error": f"Of {word}"}),
        (PortfolioImport, of_owner | {"id": import_id, "source": "trove", "status": "applied"}),
        (
            ImportRow,
            {"import_id": import_id, "number": 1, "owner_id": owner_id, "change": "trade", "subject": f"Row of {word}"}
            | {"kind": "buy", "quantity": 1, "notes": f"Imported by {word}", "trade_id": bought_id},
        ),
        *_wishes(owner_id, item_id, variant_id, word),
        *_organisation(owner_id, holding_id, word),
        *_alerts(owner_id, portfolio_id, variant_id, word),
        *_notifications(owner_id, word),
    ]


def _alerts(owner_id: UUID, portfolio_id: UUID, variant_id: UUID, word: str) -> list[tuple[type[Any], dict[str, Any]]]:
    """A rule that remembers something of a portfolio and of a price, and fired once."""
    rule_id = new_id()
    code = f"shop-{rule_id.hex[:12]}"
    source_id = select(Source.id).where(Source.code == code).scalar_subquery()
    series_id = select(PriceSeries.id).where(PriceSeries.variant_id == variant_id).scalar_subquery()
    of_rule = {"owner_id": owner_id, "rule_id": rule_id}
    return [
        (
            Rule,
            {"id": rule_id, "owner_id": owner_id, "target": "portfolio", "portfolio_id": portfolio_id}
            | {"condition": "crosses_above", "threshold": 10, "currency": "CHF", "notes": f"Rule of {word}"}
            | {"next_look_at": CREATED_AT},
        ),
        (Source, {"code": code, "name": "Shop"}),
        (PriceSeries, {"variant_id": variant_id, "source_id": source_id, "kind": "ask", "currency": "CHF"}),
        (PriceState, of_rule | {"series_id": series_id, "subject_id": rule_id, "is_triggered": True}),
        (SubjectState, of_rule | {"subject_id": portfolio_id, "is_triggered": True}),
        (
            Alert,
            of_rule
            | {"crossing": f"value-of-{word}", "condition": "crosses_above", "severity": "info"}
            | {"title": f"Everything of {word} is worth more", "notes": f"Rule of {word}", "observed_at": CREATED_AT},
        ),
    ]


def _wishes(owner_id: UUID, item_id: UUID, variant_id: UUID, word: str) -> list[tuple[type[Any], dict[str, Any]]]:
    """A watchlist with an item in it, a want, and a preorder that was put off and moved along."""
    watchlist_id, preorder_id = new_id(), new_id()
    of_preorder = {"owner_id": owner_id, "preorder_id": preorder_id}
    return [
        (Watchlist, {"id": watchlist_id, "owner_id": owner_id, "name": f"List of {word}", "position": 0}),
        (
            WatchlistItem,
            {"owner_id": owner_id, "watchlist_id": watchlist_id, "item_id": item_id, "position": 0}
            | {"notes": f"Watched by {word}"},
        ),
        (Want, {"owner_id": owner_id, "variant_id": variant_id, "notes": f"Wanted by {word}"}),
        (
            Preorder,
            {
                "id": preorder_id,
                "owner_id": owner_id,
                "variant_id": variant_id,
                "status": "shipped",
                "tracking_url": f"https://parcels.example/{word}",
                "notes": f"Ordered by {word}",
                "request_key": f"key-{word}",
                "request_hash": "00",
            },
        ),
        (PreorderStatusChange, of_preorder | {"status": "shipped", "note": f"Sent to {word}"}),
        (PreorderDateChange, of_preorder | {"source": f"A mail to {word}", "note": f"Put off for {word}"}),
    ]


def _organisation(owner_id: UUID, holding_id: UUID, word: str) -> list[tuple[type[Any], dict[str, Any]]]:
    """A client of theirs alone with all that a client can have, and a tracker that rides with their holding."""
    client_id, brand_id, run_id, place_id, tracker_id, key_id = (new_id() for _ in range(6))
    of_client = {"client_id": client_id}
    of_tracker = of_client | {"tracker_id": tracker_id}
    secret = SECRETS.encrypt(f"secret-{word}".encode(), place_of(TrackerKey.private_key, key_id))
    here = "SRID=4326;POINT(9.9661 53.5461)"
    key = hash_of_token(f"tag-{word}")
    return [
        (Client, {"id": client_id, "name": f"Client of {word}", "logo_url": f"https://pictures.example/{word}.png"}),
        (Membership, of_client | {"user_id": owner_id, "role": "owner"}),
        (Brand, of_client | {"id": brand_id, "name": f"Brand of {word}"}),
        (
            ProductionRun,
            of_client
            | {"id": run_id, "brand_id": brand_id, "description": f"Made for {word}", "started_at": CREATED_AT},
        ),
        (
            Place,
            of_client
            | {"id": place_id, "kind": "storage", "name": f"Shed of {word}", "shape": here, "center": here}
            | {"reach_meters": 100},
        ),
        (ProductionRunPlace, of_client | {"production_run_id": run_id, "place_id": place_id}),
        (Tracker, of_client | {"id": tracker_id, "production_run_id": run_id, "name": f"Box of {word}"}),
        (
            TrackerKey,
            of_tracker | {"id": key_id, "advertised_key": key[:28], "hashed_key": key, "private_key": secret},
        ),
        (TrackerAttachment, of_tracker | {"holding_id": holding_id, "owner_id": owner_id}),
        (StatusChange, of_tracker | {"status": "created", "started_at": CREATED_AT}),
        (Visit, of_tracker | {"place_id": place_id, "arrived_at": CREATED_AT, "fix_count": 1}),
        (TrackerEvent, of_tracker | {"kind": "entered", "occurred_at": CREATED_AT, "place_id": place_id}),
        (
            LocationReport,
            of_tracker
            | {"subject": key, "reported_at": CREATED_AT, "latitude_e7": 535461000, "longitude_e7": 99661000}
            | {"source": "partner"},
        ),
        (
            LocationFix,
            of_tracker
            | {"bucket": CREATED_AT, "position": here, "accuracy_meters": 10, "last_reported_at": CREATED_AT}
            | {"report_count": 1, "dropped_count": 0, "is_anomalous": False},
        ),
        (
            OrphanReport,
            {"hashed_key": key, "content_hash": key, "sender_id": owner_id, "content": f'{{"from": "{word}"}}'},
        ),
    ]


def _notifications(owner_id: UUID, word: str) -> list[tuple[type[Any], dict[str, Any]]]:
    """What they were told, where that went, and how they want it."""
    told_id, browser_id, webhook_id, service_id = (new_id() for _ in range(4))
    of_owner, of_told = {"owner_id": owner_id}, {"owner_id": owner_id, "notification_id": told_id}
    secret = f"secret-{word}".encode()
    browser = SECRETS.encrypt(secret, place_of(PushSubscription.subscription, browser_id))
    address = SECRETS.encrypt(secret, place_of(Service.address, service_id))
    return [
        (Preferences, of_owner | {"quiet_from": time(22), "quiet_until": time(7)}),
        (Route, of_owner | {"event_type": "price", "channel": "email", "minimum_severity": "critical"}),
        (
            PushSubscription,
            of_owner
            | {"id": browser_id, "endpoint_hash": hash_of_token(f"browser-{word}"), "host": "push.example"}
            | {"subscription": browser, "name": f"Browser of {word}"},
        ),
        (
            Webhook,
            of_owner
            | {"id": webhook_id, "name": f"Webhook of {word}", "url": f"https://hooks.example/{word}"}
            | {"secret": SECRETS.encrypt(secret, place_of(Webhook.secret, webhook_id)), "document": f"# Of {word}"},
        ),
        (Service, of_owner | {"id": service_id, "name": f"Service of {word}", "kind": "ntfys", "address": address}),
        (
            Notification,
            of_owner
            | {"id": told_id, "key": f"told-{word}", "event_type": "price", "severity": "info"}
            # Not to be routed while the test looks at it.
            | {"title": f"Told to {word}", "body": f"More for {word}", "routed_at": CREATED_AT},
        ),
        *(
            (Delivery, of_told | values | {"status": "failed", "last_error": f"Not told to {word}"})
            for values in (
                {"channel": "email"},
                {"channel": "web_push", "push_subscription_id": browser_id},
                {"channel": "webhook", "webhook_id": webhook_id},
                {"channel": "service", "service_id": service_id},
            )
        ),
    ]


# Every table of ours, and every column of it that can hold a text, whatever the type is called.
_TEXTS = """
SELECT c.relnamespace::regnamespace || '.' || c.relname AS name, array_agg(a.attname::text) AS columns
FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_type element ON element.oid = t.typelem AND t.typcategory = 'A'
WHERE c.relkind IN ('r', 'p', 'm') AND NOT c.relispartition
    AND c.relnamespace::regnamespace::text
        IN ('identity', 'operations', 'providers', 'ingestion', 'catalogue', 'prices', 'portfolios', 'trackers',
            'alerts', 'notifications')
    AND coalesce(element.typname, t.typname)
        IN ('text', 'varchar', 'bpchar', 'name', 'citext', 'json', 'jsonb', 'xml', 'inet', 'cidr')
GROUP BY 1
ORDER BY 1
"""


async def places_of(connection: AsyncConnection, marks: tuple[str, ...]) -> set[str]:
    """Every column of every table that holds one of the marks, as `schema.table.column`."""
    found = set()
    for name, columns in (await connection.execute(text(_TEXTS))).all():
        for column in columns:
            for mark in marks:
                statement = text(f"SELECT EXISTS (SELECT FROM {name} WHERE {column}::text ILIKE '%' || :mark || '%')")
                if (await connection.execute(statement, {"mark": mark})).scalar_one():
                    found.add(f"{name}.{column}")
    return found
