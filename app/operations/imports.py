"""Imports that staff start: what each may read, and the counts that every import ends with."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx

from app.core.database import Transaction
from app.core.public_addresses import is_public
from app.identity.viewer import Caller
from app.operations.commands.runs import request_run
from app.operations.errors import OperationsErrorCode, OperationsRefused
from app.operations.models import Importer
from app.operations.recording import Run

REJECTS_TOLD = 20
LONGEST_URL = 2_000
# What these read is known without being told: Scryfall's bulk file, and the rates of the European Central Bank.
WITHOUT_URL = frozenset({Importer.SCRYFALL, Importer.FX})
# What these read is no single file, or needs words that an address does not say.
BY_COMMAND_ALONE = frozenset({Importer.CS2, Importer.PRICES})


@dataclass(frozen=True, slots=True)
class RejectedLine:
    """A row that stays out, by its number in the file."""

    number: int
    reason: str


def import_result(
    *, read: int, created: int, updated: int, unchanged: int, rejected: int, rejects: Iterable[RejectedLine] = ()
) -> dict[str, object]:
    """The result of an import's run: counts of rows, and the first that were rejected."""
    told = sorted(rejects, key=lambda line: line.number)[:REJECTS_TOLD]
    return {
        "read": read,
        "created": created,
        "updated": updated,
        "unchanged": unchanged,
        "rejected": rejected,
        "rejects": [{"row": line.number, "reason": line.reason} for line in told],
    }


def conclude_import(run: Run, result: Mapping[str, Any], *, breaks_off: str | None = None) -> None:
    """Have a run tell the result of its import, and fail where the file broke off or every row was rejected."""
    run.result = result
    failure = breaks_off or _why_nothing_went_in(result)
    if failure is not None:
        run.end_as_failed(failure)


def _why_nothing_went_in(result: Mapping[str, Any]) -> str | None:
    if result["rejected"] == 0 or result["rejected"] < result["read"]:
        return None
    first = "".join(f" Row {line['row']}: {line['reason']}" for line in result["rejects"][:1])
    return f"Nothing went in: every row was rejected.{first}"


async def request_import(transaction: Transaction, *, caller: Caller, importer: Importer, url: str | None) -> UUID:
    """Ask for an import, of a file at a public address where one is given; gives the run's id.

    Raises OperationsRefused for who may not, an importer that cannot be started so, and an address that cannot be.
    """
    if importer in BY_COMMAND_ALONE:
        raise OperationsRefused(
            OperationsErrorCode.INVALID_INPUT,
            f"This is imported by `trove import {importer.value}` alone; prices also come by POST /ingest/prices.",
            field=["importer"],
        )
    if url is None:
        if importer not in WITHOUT_URL:
            raise OperationsRefused(OperationsErrorCode.INVALID_INPUT, "Say by `url` where the file is.", field=["url"])
        return await request_run(transaction, caller=caller, job=importer.job, field="importer")
    return await request_run(transaction, caller=caller, job=importer.job, source=_shown(url), arguments={"url": url})


def _shown(url: str) -> str:
    """The address without what may be secret: neither its query nor a name and password."""
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in {"http", "https"} and parts.hostname and parts.username is None and parts.port != 0
        # Whoever fetches it reads it once more, and knows names that are none.
        is_address = is_address and bool(httpx.URL(url).host)
    except (ValueError, httpx.InvalidURL):
        is_address = False
    if not is_address or len(url) > LONGEST_URL or not url.isascii() or not url.isprintable():
        raise OperationsRefused(
            OperationsErrorCode.INVALID_INPUT,
            "`url` has to be the public address of a file, such as https://example.org/cards.json.gz.",
            field=["url"],
        )
    if parts.hostname is not None and _is_private(parts.hostname):
        raise OperationsRefused(
            OperationsErrorCode.INVALID_INPUT,
            "`url` leads to an address that is not public; have the file where everybody may fetch it, or import it by "
            "`trove import` on the machine where it is.",
            field=["url"],
        )
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path}"


def _is_private(host: str) -> bool:
    """Whether a host is written as an address, and not a public one; where a name leads, the worker finds out."""
    try:
        return not is_public(ip_address(host))
    except ValueError:
        return False
