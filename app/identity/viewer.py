"""Who asks: what a checked token says of its holder."""

from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network, ip_address
from uuid import UUID

from app.core.database import DatabaseViewer
from app.core.errors import NotSignedIn
from app.identity.scopes import GRANTABLE, Scope

# What one customer of a provider gets of IPv6: whoever has one address of it has them all.
IPV6_PREFIX = 64
# Who comes by a socket of files has no address.
NOWHERE = "nowhere"


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks, and what this credential of theirs allows; without a user it is anybody.

    `credential_id` is the session or the API token. `expires_at` is when the token they showed ends, or the first of
    its scopes that ends by itself; a session shows a fresh one after that. `authenticated_at` is when they last proved
    who they are; an API token never does.
    """

    user_id: UUID | None = None
    credential_id: UUID | None = None
    scopes: frozenset[Scope] = field(default_factory=frozenset)
    is_session: bool = False
    issued_at: datetime | None = None
    expires_at: datetime | None = None
    authenticated_at: datetime | None = None

    @property
    def own_id(self) -> UUID:
        """Who asks, where access lets nobody ask who has not signed in; raises NotSignedIn."""
        if self.user_id is None:
            raise NotSignedIn("Sign in first.")
        return self.user_id

    @property
    def permissions(self) -> tuple[str, ...]:
        """What was granted beyond one's own, as the database is told."""
        return tuple(sorted(scope.value for scope in self.scopes & GRANTABLE))

    @property
    def in_database(self) -> DatabaseViewer | None:
        """The viewer as row-level security knows them; none for anybody."""
        return None if self.user_id is None else DatabaseViewer(self.user_id, self.permissions)


ANYONE = Viewer()


@dataclass(frozen=True, slots=True)
class ClientInfo:
    """Where a request came from and by which program, for the audit log and the list of sessions."""

    address: str | None = None
    user_agent: str = ""

    @classmethod
    def of_peer(cls, peer: str | None, user_agent: str) -> "ClientInfo":
        """The client behind a request from this peer, by its address where it has one: a socket of files has none."""
        return cls(None if peer is None else _address(peer), user_agent)

    @property
    def limit_key(self) -> str:
        """What tries from here are counted under: the address, or of IPv6 its network of /64."""
        if self.address is None:
            return NOWHERE
        address = ip_address(self.address)
        if isinstance(address, IPv6Address):
            return str(IPv6Network((address, IPV6_PREFIX), strict=False))
        return self.address


@lru_cache(maxsize=10_000)
def _address(text: str) -> str | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address).partition("%")[0]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and from where."""

    viewer: Viewer = ANYONE
    client: ClientInfo = field(default_factory=ClientInfo)
