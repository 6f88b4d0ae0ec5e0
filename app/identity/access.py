"""What it takes to ask for something: a scope, a session, a proof of who one is."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from app.core.errors import Forbidden, NotSignedIn
from app.identity.scopes import Scope
from app.identity.viewer import Viewer

# How long ago somebody may have proved who they are, for what a stolen session must not do.
RECENTLY = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Access:
    """What a viewer needs for a field: a scope, a session rather than an API token, a recent proof of who they are.

    Of several scopes one is enough.
    """

    scopes: tuple[Scope, ...] = ()
    needs_session: bool = False
    needs_recent_proof: bool = False

    @property
    def sentence(self) -> str:
        """What the description says of it; empty where anybody may ask."""
        if not self.scopes and not self.needs_session:
            return ""
        what = [f"with {self._words}"] if self.scopes else []
        if self.needs_recent_proof:
            what.append(f"with a proof of who it is from the last {RECENTLY.seconds // 60} minutes")
        session = "a session" if self.needs_session else "a session or an API token"
        return " ".join(["Needs", session, " and ".join(what)]).strip() + "."

    @property
    def _words(self) -> str:
        return " or ".join(f"`{scope}`" for scope in self.scopes)

    def check(self, viewer: Viewer, now: datetime) -> None:
        """Refuse a viewer who lacks something, and say what."""
        if not self.scopes and not self.needs_session:
            return
        if viewer.user_id is None:
            raise NotSignedIn("Sign in first: send an access token or an API token as `Authorization: Bearer …`.")
        if self.needs_session and not viewer.is_session:
            raise Forbidden("This needs a session; an API token may not do it.")
        if self.scopes and viewer.scopes.isdisjoint(self.scopes):
            raise Forbidden(f"This needs {self._words}, which you, or the token you sent, do not have.")
        if self.needs_recent_proof and (viewer.authenticated_at is None or now - viewer.authenticated_at > RECENTLY):
            raise Forbidden(
                f"This needs a proof of who you are from the last {RECENTLY.seconds // 60} minutes: sign in again."
            )


ANYBODY = Access()
# What changes how one gets in: for people, who have proved lately that it is they.
OWN_CREDENTIALS = Access((Scope.ACCOUNT_WRITE,), needs_session=True, needs_recent_proof=True)
OWN_SESSIONS = Access((Scope.ACCOUNT_WRITE,), needs_session=True)


def needs(*scopes: Scope) -> Access:
    """Needs a credential with one of these scopes, of either sort."""
    return Access(scopes)
