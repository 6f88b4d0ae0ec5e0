"""Browsers that people allow to be told by Web Push."""

import base64
from hashlib import sha256
from urllib.parse import urlsplit
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from sqlalchemy import delete, func, insert, select, update

from app.core.database import Transaction
from app.core.ids import new_id
from app.core.secrets import Secrets
from app.identity.actions import AuditAction
from app.identity.viewer import Caller
from app.notifications.commands.audit import record_destination
from app.notifications.commands.held import only_writer_of, refuse_more_than
from app.notifications.given import not_found, read_optional_name, read_public_url, refused
from app.notifications.models import PushSubscription
from app.notifications.sealed import BrowserEndpoint, seal_browser

MOST_PUSH_SUBSCRIPTIONS = 20
LONGEST_KEY = 100
POINT_BYTES, AUTH_BYTES = 65, 16


async def add_push_subscription(
    transaction: Transaction,
    secrets: Secrets,
    *,
    caller: Caller,
    endpoint: str,
    p256dh: str,
    auth: str,
    name: str | None = None,
    is_development: bool = False,
) -> UUID:
    """Keep what a browser gave when it was allowed to be told; gives the subscription's key.

    The same endpoint again replaces its keys and its name. A browser tells one person only: whose it was before loses
    it, and neither of the two is told of the other. Raises NotificationRefused for what no browser gives, and for more
    than 20.
    """
    connection, owner_id = transaction.connection, caller.viewer.own_id
    url = read_public_url(endpoint, "endpoint", is_development=is_development)
    browser = BrowserEndpoint(url, _decoded(p256dh, "p256dh"), _decoded(auth, "auth"))
    _check_point(browser.p256dh)
    if len(browser.auth) != AUTH_BYTES:
        raise refused(f"It is {AUTH_BYTES} bytes in base64url, as the browser gives them.", "auth")
    name = read_optional_name(name, "name")
    endpoint_hash = sha256(url.encode()).digest()
    await only_writer_of(connection, owner_id)
    # Of two who give the same endpoint at once the later one has it: each must see what the other has stored.
    await connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"browser {url}", 0))))
    await connection.execute(select(func.notifications.take_over_endpoint(endpoint_hash)))
    of_owner = (PushSubscription.owner_id == owner_id, PushSubscription.endpoint_hash == endpoint_hash)
    stored: UUID | None = await connection.scalar(select(PushSubscription.id).where(*of_owner))
    if stored is None:
        await refuse_more_than(connection, PushSubscription, MOST_PUSH_SUBSCRIPTIONS, "browsers", owner_id=owner_id)
    key = stored or new_id()
    encrypted = seal_browser(secrets, key, browser)
    host = urlsplit(url).hostname
    if stored is None:
        await connection.execute(
            insert(PushSubscription).values(
                id=key, owner_id=owner_id, endpoint_hash=endpoint_hash, host=host, subscription=encrypted, name=name
            )
        )
    else:
        changes = {"subscription": encrypted, "name": name, "refusals": 0}
        await connection.execute(update(PushSubscription).where(PushSubscription.id == key).values(**changes))
    after = {"host": host, "name": name, "isNew": stored is None}
    await record_destination(
        transaction, AuditAction.PUSH_SUBSCRIPTION_ADDED, "pushSubscription", key, caller=caller, after=after
    )
    return key


async def remove_push_subscription(transaction: Transaction, key: UUID, *, caller: Caller) -> None:
    """Tell a browser no more; raises NotificationRefused where it is none of the owner's."""
    is_own = (PushSubscription.id == key, PushSubscription.owner_id == caller.viewer.own_id)
    shown = (PushSubscription.host, PushSubscription.name)
    removed = (
        await transaction.connection.execute(delete(PushSubscription).where(*is_own).returning(*shown))
    ).one_or_none()
    if removed is None:
        raise not_found("browser", "id")
    before = {"host": removed.host, "name": removed.name}
    await record_destination(
        transaction, AuditAction.PUSH_SUBSCRIPTION_REMOVED, "pushSubscription", key, caller=caller, before=before
    )


def _decoded(value: str, field: str) -> bytes:
    """The bytes behind a text of base64url, as browsers write it."""
    if len(value) > LONGEST_KEY:
        raise refused(f"It has {LONGEST_KEY} characters at most.", field)
    text = value.rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise refused("It is base64url, as the browser gives it.", field) from None


def _check_point(point: bytes) -> None:
    no_point = refused(
        f"It is a public key on P-256: {POINT_BYTES} bytes in base64url, as the browser gives them.", "p256dh"
    )
    if len(point) != POINT_BYTES:
        raise no_point
    try:
        EllipticCurvePublicKey.from_encoded_point(SECP256R1(), point)
    except ValueError:
        raise no_point from None
