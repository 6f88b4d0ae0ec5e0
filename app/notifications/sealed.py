"""What destinations keep secret, as it is encrypted: endpoints of browsers, keys of webhooks, addresses of services."""

import base64
import binascii
import secrets as random
from dataclasses import dataclass, field
from uuid import UUID

import orjson

from app.core.secrets import Secrets, place_of
from app.notifications.models import PushSubscription, Service, Webhook

WEBHOOK_SECRET_PREFIX = "whsec_"  # noqa: S105  # what a secret begins with
WEBHOOK_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class BrowserEndpoint:
    """Where a browser is pushed to, and for whom what is pushed is encrypted.

    `p256dh` is the browser's key, a point of P-256 in 65 bytes; `auth` has 16 bytes.
    """

    url: str = field(repr=False)
    p256dh: bytes = field(repr=False)
    auth: bytes = field(repr=False)

    @property
    def as_subscription(self) -> dict[str, object]:
        """The same as browsers write it: the JSON of a `PushSubscription`."""
        keys = {"p256dh": _base64url(self.p256dh), "auth": _base64url(self.auth)}
        return {"endpoint": self.url, "keys": keys}


def seal_browser(secrets: Secrets, subscription_id: UUID, endpoint: BrowserEndpoint) -> bytes:
    """The ciphertext of `PushSubscription.subscription`."""
    place = place_of(PushSubscription.subscription, subscription_id)
    return secrets.encrypt(orjson.dumps(endpoint.as_subscription), place)


def open_browser(secrets: Secrets, subscription_id: UUID, ciphertext: bytes) -> BrowserEndpoint:
    """What `seal_browser` sealed; raises SecretUnreadable."""
    read = orjson.loads(secrets.decrypt(ciphertext, place_of(PushSubscription.subscription, subscription_id)))
    keys = read["keys"]
    return BrowserEndpoint(read["endpoint"], _from_base64url(keys["p256dh"]), _from_base64url(keys["auth"]))


def new_webhook_secret() -> str:
    """A fresh secret of a webhook, as its owner is shown it: once."""
    return WEBHOOK_SECRET_PREFIX + base64.b64encode(random.token_bytes(WEBHOOK_SECRET_BYTES)).decode()


def webhook_key(secret: str) -> bytes:
    """The key within a secret; raises ValueError for what is none."""
    if not secret.startswith(WEBHOOK_SECRET_PREFIX):
        raise ValueError("a secret of a webhook begins with whsec_")
    try:
        return base64.b64decode(secret.removeprefix(WEBHOOK_SECRET_PREFIX), validate=True)
    except binascii.Error:
        raise ValueError("a secret of a webhook is base64") from None


def seal_webhook_secret(secrets: Secrets, webhook_id: UUID, secret: str) -> bytes:
    """The ciphertext of `Webhook.secret`."""
    return secrets.encrypt(secret.encode(), place_of(Webhook.secret, webhook_id))


def open_webhook_secret(secrets: Secrets, webhook_id: UUID, ciphertext: bytes) -> str:
    """What `seal_webhook_secret` sealed; raises SecretUnreadable."""
    return secrets.decrypt(ciphertext, place_of(Webhook.secret, webhook_id)).decode()


def seal_service_address(secrets: Secrets, service_id: UUID, address: str) -> bytes:
    """The ciphertext of `Service.address`."""
    return secrets.encrypt(address.encode(), place_of(Service.address, service_id))


def open_service_address(secrets: Secrets, service_id: UUID, ciphertext: bytes) -> str:
    """What `seal_service_address` sealed; raises SecretUnreadable."""
    return secrets.decrypt(ciphertext, place_of(Service.address, service_id)).decode()


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _from_base64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
