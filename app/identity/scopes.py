"""What one may do, in the words that tokens, grants and the graph share."""

from collections.abc import Mapping
from enum import StrEnum

from app.identity.models import Role


class Scope(StrEnum):
    """One thing that one may do. Everybody may do what is their own; the rest somebody has to grant."""

    ACCOUNT_READ = "account:read"
    ACCOUNT_WRITE = "account:write"
    PORTFOLIOS_READ = "portfolios:read"
    PORTFOLIOS_WRITE = "portfolios:write"
    TRACKERS_READ = "trackers:read"
    TRACKERS_WRITE = "trackers:write"
    LOCATIONS_WRITE = "locations:write"
    ALERTS_READ = "alerts:read"
    ALERTS_WRITE = "alerts:write"
    NOTIFICATIONS_READ = "notifications:read"
    NOTIFICATIONS_WRITE = "notifications:write"
    PRICES_WRITE = "prices:write"
    INGESTION_READ = "ingestion:read"
    ACCOUNTS_READ = "accounts:read"
    AUDIT_READ = "audit:read"
    ROLES_WRITE = "roles:write"
    PROVIDERS_READ = "providers:read"
    CATALOGUE_WRITE = "catalogue:write"
    OPERATIONS_READ = "operations:read"
    OPERATIONS_WRITE = "operations:write"


MEANINGS: Mapping[Scope, str] = {
    Scope.ACCOUNT_READ: "Read one's own account.",
    Scope.ACCOUNT_WRITE: "Change one's own account.",
    Scope.PORTFOLIOS_READ: "Read one's own portfolios, with what is held, wanted and ordered.",
    Scope.PORTFOLIOS_WRITE: "Change one's own portfolios, with what is held, wanted and ordered, and photos of it.",
    Scope.TRACKERS_READ: "See the trackers and places of the clients that one is a member of, and where they are.",
    Scope.TRACKERS_WRITE: "Change trackers, places and members of the clients whose operator or owner one is.",
    Scope.LOCATIONS_WRITE: "Send reports of where trackers are, of the clients whose operator or owner one is.",
    Scope.ALERTS_READ: "Read one's own rules and alerts, also what alerts say of portfolios and trackers.",
    Scope.ALERTS_WRITE: "Change one's own rules.",
    Scope.NOTIFICATIONS_READ: "Read what one was told, and where one wants to be told it.",
    Scope.NOTIFICATIONS_WRITE: "Choose where one is told what, with webhooks and browsers, and mark it as read.",
    Scope.PRICES_WRITE: "Send prices in, and read what became of one's own batches. Has to be granted.",
    Scope.INGESTION_READ: "Read what became of anybody's batches. Has to be granted.",
    Scope.ACCOUNTS_READ: "Read anybody's account. Has to be granted.",
    Scope.AUDIT_READ: "Read the audit log of everybody. Has to be granted.",
    Scope.ROLES_WRITE: "Grant and revoke roles. Has to be granted.",
    Scope.PROVIDERS_READ: "Read which calls to outside services were made. Has to be granted.",
    Scope.CATALOGUE_WRITE: "Create, edit and merge items, and change their photos. Has to be granted.",
    Scope.OPERATIONS_READ: "Read which jobs and imports ran, and what became of them. Has to be granted.",
    Scope.OPERATIONS_WRITE: "Start jobs and imports, and change when they run. Has to be granted.",
}
# Of one's own things, which nobody has to grant.
OWN = frozenset(
    {
        Scope.ACCOUNT_READ,
        Scope.ACCOUNT_WRITE,
        Scope.PORTFOLIOS_READ,
        Scope.PORTFOLIOS_WRITE,
        Scope.TRACKERS_READ,
        Scope.TRACKERS_WRITE,
        Scope.LOCATIONS_WRITE,
        Scope.ALERTS_READ,
        Scope.ALERTS_WRITE,
        Scope.NOTIFICATIONS_READ,
        Scope.NOTIFICATIONS_WRITE,
    }
)
GRANTABLE = frozenset(Scope) - OWN
# What a grant of the role carries when it names no permissions itself.
PERMISSIONS_OF_ROLES: Mapping[Role, frozenset[Scope]] = {
    Role.USER: frozenset(),
    Role.SUPPORT: frozenset(
        {Scope.ACCOUNTS_READ, Scope.AUDIT_READ, Scope.INGESTION_READ, Scope.PROVIDERS_READ, Scope.OPERATIONS_READ}
    ),
    Role.MODERATOR: frozenset({Scope.ACCOUNTS_READ, Scope.CATALOGUE_WRITE}),
    Role.ADMIN: GRANTABLE,
}


def scopes_table() -> str:
    """The Markdown table of all scopes, and of the roles that carry them, that stands in the README."""
    lines = ["| scope | what it allows | who has it |", "|---|---|---|"]
    for scope in Scope:
        roles = [f"`{role}`" for role, carried in PERMISSIONS_OF_ROLES.items() if scope in carried]
        holders = "everybody, of their own" if scope in OWN else ", ".join(roles)
        lines.append(f"| `{scope}` | {MEANINGS[scope]} | {holders} |")
    return "\n".join(lines)
