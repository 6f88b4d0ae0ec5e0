"""Accounts: what everybody sees of a person, and what they see of themselves."""

from datetime import datetime
from enum import Enum

import strawberry
from strawberry import UNSET

from app.alerts.models import Alert as AlertRow
from app.alerts.models import Rule as RuleRow
from app.core.ids import PublicIdTag
from app.graph.access import OWNER_AND_STAFF, private
from app.graph.alerts.alerts import Alert, alerts_of
from app.graph.alerts.rules import AlertRule, rules_of
from app.graph.fields import show_enum
from app.graph.identity import scopes  # noqa: F401  # shows the enum
from app.graph.identity.audit import AUDIT_ORDERS, AuditEntry, AuditFilter
from app.graph.ingestion import BATCH_ORDERS, BATCHES_READ, IngestBatch, IngestBatchFilter
from app.graph.notifications.account import (
    deliveries_of_account,
    notification_counts_of_account,
    notification_preferences_of_account,
    notification_services_of_account,
    notifications_of_account,
    push_subscriptions_of_account,
    webhooks_of_account,
)
from app.graph.notifications.destinations import NotificationService, PushSubscription, Webhook
from app.graph.notifications.notifications import Notification, NotificationDelivery
from app.graph.notifications.preferences import NotificationCounts, NotificationPreferences
from app.graph.portfolios.errors import PORTFOLIOS_READ
from app.graph.portfolios.holdings import STORE_ORDERS, Store
from app.graph.portfolios.portfolios import PORTFOLIO_ORDERS, Portfolio
from app.graph.providers import ProviderCredential
from app.graph.reads.arguments import OperationContext, Orders, graphql_argument
from app.graph.reads.fields import Reference, column, connection, edge, edges, embedded, refer, reference, shows
from app.graph.relay import Connection, Node, key_of
from app.graph.scalars import URL, CurrencyCode, EmailAddress
from app.graph.sharing.portfolios import SHARED_PORTFOLIO_ORDERS, SharedPortfolio
from app.graph.trackers.clients import Membership
from app.graph.trackers.errors import TRACKERS_READ
from app.graph.wishes.preorders import (
    PREORDER_ORDERS,
    MakerSlips,
    Preorder,
    PreorderFilter,
    PreordersDue,
    preorder_slips_of_account,
    preorders_due_of_account,
)
from app.graph.wishes.wants import WANT_ORDERS, Want, WantFilter
from app.graph.wishes.watchlists import WATCHLIST_ORDERS, Watchlist
from app.identity import models
from app.identity.access import ANYBODY, needs
from app.identity.models import NsfwVisibility, Role, public_profiles
from app.identity.queries.expressions import (
    ALLOWED_ADDRESSES,
    IS_EMAIL_VERIFIED,
    IS_OPEN,
    LAST_USED_ADDRESS,
    SESSION_ADDRESS,
    USERNAME_KEY,
)
from app.identity.scopes import Scope
from app.ingestion.models import IngestBatch as BatchRow
from app.portfolios.models import Portfolio as PortfolioRow
from app.portfolios.models import Store as StoreRow
from app.portfolios.models import shared_portfolios
from app.portfolios.wish_models import Preorder as PreorderRow
from app.portfolios.wish_models import Want as WantRow
from app.portfolios.wish_models import Watchlist as WatchlistRow
from app.providers.models import ProviderCredential as CredentialRow
from app.trackers.models import Membership as MembershipRow

show_enum(
    NsfwVisibility,
    "What becomes of pictures that are not safe for work.",
    {
        NsfwVisibility.HIDDEN: "They are not shown.",
        NsfwVisibility.BLURRED: "They are blurred until one asks.",
        NsfwVisibility.SHOWN: "They are shown like others.",
    },
)
show_enum(
    Role,
    "What a person is to Trove.",
    {
        Role.USER: "Somebody who uses it, maybe with a permission of their own.",
        Role.SUPPORT: "Helps users with their accounts.",
        Role.MODERATOR: "Looks after what users say and offer.",
        Role.ADMIN: "Runs it.",
    },
)


class SessionOrder(Enum):
    """What sessions are ordered by."""

    LAST_SEEN_AT = "last_seen_at"


class CreationOrder(Enum):
    """What tokens and exports are ordered by."""

    CREATED_AT = "created_at"


SESSION_ORDERS = Orders(
    "sessions", {SessionOrder.LAST_SEEN_AT: models.Session.last_seen_at}, tie=models.Session.id, newest_first=True
)
API_TOKEN_ORDERS = Orders(
    "api-tokens", {CreationOrder.CREATED_AT: models.ApiToken.created_at}, tie=models.ApiToken.id, newest_first=True
)
EXPORT_ORDERS = Orders(
    "exports",
    {CreationOrder.CREATED_AT: models.DataExport.requested_at},
    tie=models.DataExport.id,
    newest_first=True,
)
ACCOUNT_ORDERS = Orders("accounts", {CreationOrder.CREATED_AT: models.User.created_at}, tie=models.User.id)


@strawberry.type(description="What everybody may see of a person.")
@shows(public_profiles, PublicIdTag.USER)
class User(Node):
    username: str = column(public_profiles.c.username, "Their name in addresses, unique whatever the case.")
    display_name: str | None = column(public_profiles.c.display_name, "The name to show, if they gave one.")
    avatar_url: URL | None = column(public_profiles.c.avatar_url, "A picture of theirs.")
    joined_at: datetime = column(public_profiles.c.created_at, "Since when they are here.")
    shared_portfolios: Connection[SharedPortfolio] | None = connection(
        "Their public portfolios, the oldest first.",
        on=public_profiles.c.id,
        to=shared_portfolios.c.public_owner_id,
        orders=SHARED_PORTFOLIO_ORDERS,
    )


@strawberry.type(description="How a person wants things shown and told.")
@private(OWNER_AND_STAFF)
@shows(models.User)
class Preferences:
    currency: CurrencyCode = column(models.User.currency, "The currency to show values in.")
    timezone: str = column(models.User.timezone, "The time zone to show times in, by its IANA name.")
    locale: str = column(models.User.locale, "The language and region to write in (BCP 47).")
    notifies_by_email: bool = column(models.User.notifies_by_email, "Whether news come by e-mail unless chosen apart.")
    notifies_by_push: bool = column(models.User.notifies_by_push, "Whether news come by push unless chosen apart.")
    nsfw_visibility: NsfwVisibility = column(models.User.nsfw_visibility, "What becomes of pictures not safe for work.")


@strawberry.type(description="What a person lets others see.")
@private(OWNER_AND_STAFF)
@shows(models.User)
class PrivacySettings:
    is_inventory_public: bool = column(models.User.is_inventory_public, "Whether everybody may see what they own.")
    is_marketplace_enabled: bool = column(models.User.is_marketplace_enabled, "Whether they take part in the market.")
    shares_analytics: bool = column(models.User.shares_analytics, "Whether their use may be counted.")


@strawberry.type(description="An account that will be erased, unless its owner says otherwise until then.")
@private(OWNER_AND_STAFF)
@shows(models.User)
class AccountDeletion:
    requested_at: datetime = column(models.User.deletion_requested_at, "When its owner asked for it.", present=True)
    erased_after: datetime = column(models.User.erase_after, "Until when it can be cancelled.", present=True)


@strawberry.type(description="A signed-in device.")
@private(OWNER_AND_STAFF)
@shows(models.Session, PublicIdTag.SESSION)
class Session(Node):
    device: str = column(models.Session.device, "What it is, as far as it says: a name, or “Firefox on Windows”.")
    method: str = column(models.Session.method, "How its owner signed in.")
    address: str | None = column(SESSION_ADDRESS, "The network address that it was last refreshed from.")
    created_at: datetime = column(models.Session.created_at, "When it signed in.")
    last_seen_at: datetime = column(models.Session.last_seen_at, "When it was last refreshed.")
    expires_at: datetime = column(models.Session.expires_at, "Until when it can be refreshed.")
    ended_at: datetime | None = column(models.Session.ended_at, "When it ended; null where nobody ended it.")
    is_open: bool = column(IS_OPEN, "Whether it is still signed in.")


@strawberry.type(description="A way in: what somebody is known as to a provider.")
@private(OWNER_AND_STAFF)
@shows(models.Identity, PublicIdTag.IDENTITY)
class Identity(Node):
    provider: str = column(
        models.Identity.provider, "The provider: `password`, `magic_link`, or the code of an outside one."
    )
    email: EmailAddress | None = column(models.Identity.email, "The address that the provider gave.")
    display_name: str | None = column(models.Identity.display_name, "The name that the provider gave.")
    created_at: datetime = column(models.Identity.created_at, "When it was linked.")
    last_used_at: datetime | None = column(models.Identity.last_used_at, "When it last let somebody in.")


@strawberry.type(description="A passkey: a device or an app that proves who one is.")
@private(OWNER_AND_STAFF)
@shows(models.Passkey, PublicIdTag.PASSKEY)
class Passkey(Node):
    name: str = column(models.Passkey.name, "The name that its owner gave it.")
    is_backed_up: bool = column(models.Passkey.is_backed_up, "Whether its provider keeps a copy.")
    created_at: datetime = column(models.Passkey.created_at, "When it was registered.")
    last_used_at: datetime | None = column(models.Passkey.last_used_at, "When it was last used.")


@strawberry.type(description="One-time codes by an app.")
@private(OWNER_AND_STAFF)
@shows(models.TotpSecret, key=models.TotpSecret.user_id)
class Totp:
    created_at: datetime = column(models.TotpSecret.created_at, "When it was set up.")
    confirmed_at: datetime | None = column(
        models.TotpSecret.confirmed_at, "When it was confirmed by a code; null where it is not asked for yet."
    )


@strawberry.type(description="A token for a program. Its text was shown once.")
@private(OWNER_AND_STAFF)
@shows(models.ApiToken, PublicIdTag.API_TOKEN)
class ApiToken(Node):
    name: str = column(models.ApiToken.name, "What its owner calls it.")
    prefix: str = column(models.ApiToken.prefix, "How its text begins, to recognise it by.")
    scopes: list[Scope] = column(models.ApiToken.scopes, "What it allows, as long as its owner may do it too.")
    allowed_addresses: list[str] = column(
        ALLOWED_ADDRESSES, "The networks it may be used from (CIDR); from anywhere where there are none."
    )
    created_at: datetime = column(models.ApiToken.created_at, "When it was made.")
    expires_at: datetime | None = column(models.ApiToken.expires_at, "When it ends by itself; null where it does not.")
    last_used_at: datetime | None = column(models.ApiToken.last_used_at, "When it was last used, to the minute.")
    last_used_address: str | None = column(LAST_USED_ADDRESS, "The network address it was last used from.")
    revoked_at: datetime | None = column(models.ApiToken.revoked_at, "When it was revoked; null where it was not.")


@strawberry.type(description="A role that somebody was given, with what it lets them do.")
@private(OWNER_AND_STAFF)
@shows(models.RoleGrant, PublicIdTag.ROLE_GRANT)
class RoleGrant(Node):
    role: Role = column(models.RoleGrant.role, "The role.")
    permissions: list[Scope] = column(models.RoleGrant.permissions, "What this grant lets them do.")
    reason: str = column(models.RoleGrant.reason, "Why it was given.")
    granted_at: datetime = column(models.RoleGrant.granted_at, "When it was given.")
    granted_by: User | None = edge(
        "Who gave it; null where it was the operator of the server, or somebody who has left.",
        on=models.RoleGrant.granted_by,
        to=public_profiles.c.id,
    )
    expires_at: datetime | None = column(models.RoleGrant.expires_at, "When it ends by itself; null where it does not.")
    revoked_at: datetime | None = column(models.RoleGrant.revoked_at, "When it was taken back; null where it was not.")


show_enum(
    models.ExportStatus,
    "How far an export has come.",
    {
        models.ExportStatus.WAITING: "It is being put together.",
        models.ExportStatus.READY: "It can be fetched.",
        models.ExportStatus.FAILED: "It was given up after repeated errors; ask again.",
        models.ExportStatus.EXPIRED: "It was there and is gone; ask again.",
    },
)


@strawberry.type(description="One archive of everything that Trove keeps of a person.")
@private(OWNER_AND_STAFF)
@shows(models.DataExport, PublicIdTag.DATA_EXPORT)
class DataExport(Node):
    status: models.ExportStatus = column(models.DataExport.status, "How far it has come.")
    parts_done: int = column(models.DataExport.parts_done, "How many of its parts are in it.")
    parts_total: int | None = column(models.DataExport.parts_total, "How many there are; null until it has begun.")
    archive_bytes: int | None = column(models.DataExport.archive_bytes, "Its size; null until it is ready.")
    requested_at: datetime = column(models.DataExport.requested_at, "When it was asked for.")
    finished_at: datetime | None = column(models.DataExport.finished_at, "When it was ready.")
    expires_at: datetime | None = column(models.DataExport.expires_at, "Until when it can be fetched.")


@strawberry.type(description="A person's account: what they see of themselves.")
@private(OWNER_AND_STAFF)
@shows(models.User, PublicIdTag.ACCOUNT)
class Account(Node):
    username: str = column(models.User.username, "Their name in addresses, unique whatever the case.")
    display_name: str | None = column(models.User.display_name, "The name to show, if they gave one.")
    avatar_url: URL | None = column(models.User.avatar_url, "A picture of theirs.")
    email: EmailAddress | None = column(models.User.email, "Their address; null where none is known.")
    is_email_verified: bool = column(IS_EMAIL_VERIFIED, "Whether it is known to be theirs.")
    created_at: datetime = column(models.User.created_at, "Since when they are here.")
    updated_at: datetime = column(models.User.updated_at, "When the account last changed.")
    last_signed_in_at: datetime | None = column(models.User.last_login_at, "When they last signed in.")
    preferences: Preferences = embedded("How they want things shown and told.")
    privacy: PrivacySettings = embedded("What they let others see.")
    deletion: AccountDeletion | None = embedded(
        "When it will be erased; null where its owner has not asked for that.",
        when=models.User.erase_after.is_not(None),
    )
    profile: User | None = edge("What everybody sees of them.", on=models.User.id, to=public_profiles.c.id)
    identities: list[Identity] = edges(
        "The ways in that are linked, the oldest first.",
        on=models.User.id,
        to=models.Identity.user_id,
        order=[models.Identity.created_at, models.Identity.id],
    )
    totp: Totp | None = edge(
        "One-time codes by an app; null where none are set up.", on=models.User.id, to=models.TotpSecret.user_id
    )
    passkeys: list[Passkey] = edges(
        "Their passkeys, the oldest first.",
        on=models.User.id,
        to=models.Passkey.user_id,
        order=[models.Passkey.created_at, models.Passkey.id],
    )
    sessions: Connection[Session] | None = connection(
        "Their sessions, the one last seen first.",
        on=models.User.id,
        to=models.Session.user_id,
        orders=SESSION_ORDERS,
    )
    api_tokens: Connection[ApiToken] | None = connection(
        "Their API tokens, the newest first.",
        on=models.User.id,
        to=models.ApiToken.user_id,
        orders=API_TOKEN_ORDERS,
    )
    role_grants: list[RoleGrant] = edges(
        "The roles they were given, the oldest first.",
        on=models.User.id,
        to=models.RoleGrant.user_id,
        order=[models.RoleGrant.granted_at, models.RoleGrant.id],
    )
    exports: Connection[DataExport] | None = connection(
        "The archives of their data, the newest first.",
        on=models.User.id,
        to=models.DataExport.user_id,
        orders=EXPORT_ORDERS,
    )
    provider_credentials: list[ProviderCredential] = edges(
        "Their keys for outside services, the oldest first; empty for everybody but their owner.",
        on=models.User.id,
        to=CredentialRow.user_id,
        order=[CredentialRow.created_at, CredentialRow.id],
    )
    portfolios: Connection[Portfolio] | None = connection(
        "Their portfolios, the oldest first; empty for everybody but their owner.",
        on=models.User.id,
        to=PortfolioRow.owner_id,
        orders=PORTFOLIO_ORDERS,
        access=PORTFOLIOS_READ,
    )
    stores: Connection[Store] | None = connection(
        "Where they acquire things, by name; empty for everybody but their owner.",
        on=models.User.id,
        to=StoreRow.owner_id,
        orders=STORE_ORDERS,
        access=PORTFOLIOS_READ,
    )
    watchlists: Connection[Watchlist] | None = connection(
        "The lists of what they watch, in their order; empty for everybody but their owner.",
        on=models.User.id,
        to=WatchlistRow.owner_id,
        orders=WATCHLIST_ORDERS,
        access=PORTFOLIOS_READ,
    )
    wants: Connection[Want] | None = connection(
        "What they wish to own and do not, the most wanted first; empty for everybody but their owner. What they own "
        "that meets a want fulfils it, and `filter` shows such wants too.",
        on=models.User.id,
        to=WantRow.owner_id,
        orders=WANT_ORDERS,
        filter=WantFilter,
        access=PORTFOLIOS_READ,
    )
    preorders: Connection[Preorder] | None = connection(
        "What they have ordered ahead, the newest first; empty for everybody but their owner.",
        on=models.User.id,
        to=PreorderRow.owner_id,
        orders=PREORDER_ORDERS,
        filter=PreorderFilter,
        access=PORTFOLIOS_READ,
    )
    memberships: list[Membership] = edges(
        "The clients that they belong to, the longest first; only those that one belongs to oneself.",
        on=models.User.id,
        to=MembershipRow.user_id,
        order=[MembershipRow.created_at, MembershipRow.id],
        access=TRACKERS_READ,
    )
    ingest_batches: Connection[IngestBatch] | None = connection(
        "The batches of prices and of reports that they sent, the newest first; empty for everybody but them, and "
        f"staff with `{Scope.INGESTION_READ}`.",
        on=models.User.id,
        to=BatchRow.sender_id,
        orders=BATCH_ORDERS,
        filter=IngestBatchFilter,
        access=BATCHES_READ,
    )
    alert_rules: Connection[AlertRule] | None = rules_of(
        "Their rules, the oldest first unless ordered otherwise; empty for everybody but their owner.",
        on=models.User.id,
        to=RuleRow.owner_id,
    )
    alerts: Connection[Alert] | None = alerts_of(
        "Their alerts, the newest first; empty for everybody but their owner.",
        on=models.User.id,
        to=AlertRow.owner_id,
    )
    preorders_due: list[PreordersDue] | None = preorders_due_of_account()
    preorder_slips: list[MakerSlips] | None = preorder_slips_of_account()
    notifications: Connection[Notification] | None = notifications_of_account()
    notification_counts: NotificationCounts | None = notification_counts_of_account()
    notification_preferences: NotificationPreferences | None = notification_preferences_of_account()
    push_subscriptions: list[PushSubscription] = push_subscriptions_of_account()
    webhooks: list[Webhook] = webhooks_of_account()
    notification_services: list[NotificationService] = notification_services_of_account()
    deliveries: Connection[NotificationDelivery] | None = deliveries_of_account()
    audit_log: Connection[AuditEntry] | None = connection(
        "What was done to the account, the newest first.",
        on=models.User.id,
        to=models.AuditEntry.subject_id,
        orders=AUDIT_ORDERS,
        filter=AuditFilter,
    )


VIEWER_READS = needs(Scope.ACCOUNT_READ)
STAFF_READS = needs(Scope.ACCOUNTS_READ)
ACCOUNT_READS = needs(Scope.ACCOUNT_READ, Scope.ACCOUNTS_READ)


@strawberry.type
class IdentityQueries:
    @reference(
        f"Who is signed in, with everything that is theirs; null for anybody else. An API token needs "
        f"`{Scope.ACCOUNT_READ}`.",
        [],
        type=Account | None,
        access=ANYBODY,
    )
    @staticmethod
    def viewer(context: OperationContext) -> Reference | None:
        if context.viewer.user_id is None:
            return None
        VIEWER_READS.check(context.viewer, context.now)
        return refer(Account, context.viewer.user_id)

    @reference(
        "A person by their username, in any case; null where there is none.",
        [graphql_argument("username", str, default=UNSET)],
        type=User | None,
        access=ANYBODY,
    )
    @staticmethod
    def user(_: OperationContext, username: str) -> Reference | None:
        return refer(User, username.lower(), by=USERNAME_KEY)

    @reference(
        "Anybody's account by its id, for staff; null where there is none.",
        [graphql_argument("id", strawberry.ID, default=UNSET)],
        type=Account | None,
        access=STAFF_READS,
    )
    @staticmethod
    def account(_: OperationContext, id: str) -> Reference | None:
        key = key_of(id, PublicIdTag.ACCOUNT, argument="id")
        return None if key is None else refer(Account, key)

    accounts: Connection[Account] | None = connection(
        "All accounts, for staff, the oldest first.", orders=ACCOUNT_ORDERS, access=STAFF_READS
    )
    audit_log: Connection[AuditEntry] | None = connection(
        "What was done to any account, the newest first.",
        orders=AUDIT_ORDERS,
        filter=AuditFilter,
        access=needs(Scope.AUDIT_READ),
    )
