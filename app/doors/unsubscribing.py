"""`/notifications/unsubscribe`: ends mails of a kind by the link in one of them, without signing in.

A GET asks, since programs open links to look behind them; a POST does it, of the page or of a program of mail by one
click (RFC 8058). The link is signed and good for nothing else, and the answer is the same whoever it is of.
"""

from html import escape

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from app.core.cookies import Cookies
from app.core.database import Database, DatabaseViewer
from app.core.errors import NotFound
from app.doors.browsers import page
from app.doors.sign_in import ASKED_BY_POST, door
from app.identity.services import IdentityServices
from app.notifications.commands.unsubscribe import unsubscribe
from app.notifications.senders.email import ABOUT
from app.notifications.unsubscribing import PATH, read_unsubscribe_token


async def _end_mails(request: Request, cookies: Cookies) -> Response:
    identity: IdentityServices = request.app.state.identity
    database: Database = request.app.state.database
    token = request.query_params.get("token", "")
    unsubscription = read_unsubscribe_token(identity.secrets, token)
    if unsubscription is None:
        raise NotFound("This link does not hold; open the one in your newest mail, or sign in and choose there.")
    about = "anything" if unsubscription.event_type is None else ABOUT[unsubscription.event_type]
    if request.method != ASKED_BY_POST:
        form = f'<form method="post" action="?token={escape(token)}"><button>No more mails</button></form>'
        return page(f"Get no more mails from Trove about {about}?", cookies=cookies, form=form)
    async with database.transaction(viewer=DatabaseViewer(unsubscription.owner_id)) as transaction:
        await unsubscribe(transaction, unsubscription)
    return page(f"You get no more mails from Trove about {about}. You can close this page.", cookies=cookies)


def routes() -> list[BaseRoute]:
    """The door by which mails end."""
    return [Route(PATH, door(_end_mails), methods=["GET", "POST"])]
