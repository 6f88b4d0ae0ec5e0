"""Who comes through a door."""

from starlette.requests import Request

from app.core.clock import utc_now
from app.identity.access import Access
from app.identity.services import IdentityServices
from app.identity.viewer import ClientInfo, Viewer


def client_of(request: Request) -> ClientInfo:
    """From where a request comes, and by which program."""
    peer = request.client.host if request.client else None
    return ClientInfo.of_peer(peer, request.headers.get("user-agent", ""))


async def sender_of(request: Request, access: Access) -> Viewer:
    """Who sends something in, by their token alone; raises NotSignedIn and Forbidden where `access` lets them not.

    A cookie, which a page elsewhere could send along, says nothing here.
    """
    identity: IdentityServices = request.app.state.identity
    caller = await identity.authentication.caller_of(request.headers.getlist("authorization"), client_of(request))
    access.check(caller.viewer, utc_now())
    return caller.viewer
