"""Posting to addresses that people gave: bounded in time and size, to the public network alone, and never elsewhere."""

from collections.abc import Mapping
from datetime import timedelta

import httpx

from app.core.clock import utc_now
from app.core.outbound import TOTAL_SECONDS, OutsideFailure, OutsideServiceFailed, client_options
from app.core.public_addresses import PublicAddresses, is_public
from app.core.retrying import retry_after_of
from app.core.settings import Settings
from app.notifications.sending import NotDelivered

# Whoever is told something has little to say to it.
LARGEST_ANSWER_BYTES = 16 * 1024
GONE_STATUSES = frozenset({404, 410})
PASSING_STATUSES = frozenset({408, 425, 429})


def addresses_of(settings: Settings) -> PublicAddresses:
    """Where may be posted to: the public network, and on a developer's own server this very machine too."""
    if settings.is_development:
        return PublicAddresses(is_allowed=lambda address: is_public(address) or address.is_loopback)
    return PublicAddresses()


def posting_client(
    addresses: PublicAddresses | None = None, *, total_seconds: float = TOTAL_SECONDS
) -> httpx.AsyncClient:
    """The client that posts, with so many seconds for each; whoever makes it closes it."""
    return httpx.AsyncClient(
        **client_options(
            total_seconds=total_seconds,
            largest_answer_bytes=LARGEST_ANSWER_BYTES,
            addresses=addresses or PublicAddresses(),
        )
    )


async def post(http: httpx.AsyncClient, url: str, *, content: bytes, headers: Mapping[str, str]) -> None:
    """Post something; every 2xx is success. Raises NotDelivered, which leaves open whether it is to be tried again.

    It is permanent only where the URL leads to no server of the public network.
    """
    try:
        answer = await http.post(url, content=content, headers=dict(headers))
    except OutsideServiceFailed as failed:
        failure = failed
    except httpx.InvalidURL:
        raise NotDelivered("The address is none that can be called.", is_permanent=True) from None
    else:
        if answer.is_success:
            return
        raise _refusal_of(answer)
    # Raised out here: what was caught knows the address.
    raise NotDelivered(
        f"The other side {failure.failure.value}.",
        is_permanent=failure.failure is OutsideFailure.PRIVATE,
        status=None if failure.answer is None else failure.answer.status_code,
    )


def _refusal_of(answer: httpx.Response) -> NotDelivered:
    seconds = retry_after_of(answer.headers, now=utc_now())
    what = "answered by a redirect, which is not followed" if answer.is_redirect else "did not take it"
    return NotDelivered(
        f"The other side {what} (status {answer.status_code}).",
        status=answer.status_code,
        retry_after=None if seconds is None else timedelta(seconds=seconds),
    )
