"""Who asks: what a checked token says of its holder."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from app.identity.scopes import GRANTABLE, Scope


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks, and what this credential of theirs allows; without a user it is anybody.

    `credential_id` is the session or the API token. `expires_at` is when the token they showed ends; a session shows a
    fresh one after that. `authenticated_at` is when they last proved who they are; an API token never does.
    """

    user_id: UUID | None = None
    credential_id: UUID | None = None
    scopes: frozenset[Scope] = field(default_factory=frozenset)
    is_session: bool = False
    issued_at: datetime | None = None
    expires_at: datetime | None = None
    authenticated_at: datetime | None = None

    @property
    def permissions(self) -> tuple[str, ...]:
        """What was granted beyond one's own, as the database is told."""
        return tuple(sorted(scope.value for scope in self.scopes & GRANTABLE))

    def may(self, scope: Scope) -> bool:
        """Whether this credential allows it."""
        return scope in self.scopes


ANYONE = Viewer()


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request came from, for the audit log and the list of sessions."""

    address: str | None = None
    user_agent: str = ""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and from where."""

    viewer: Viewer = ANYONE
    origin: Origin = field(default_factory=Origin)
