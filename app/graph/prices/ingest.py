"""The mutation by which small batches of prices come in."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum

import orjson
import strawberry

from app.core.errors import Conflict, ReasonedRefusal
from app.graph.context import Info
from app.graph.fields import attribute
from app.graph.ingestion import IngestBatch
from app.graph.reads.fields import Reference, refer
from app.graph.scalars import CurrencyCode, write_decimal
from app.graph.user_errors import CODE, REFUSAL, Done, Mutations, UserError
from app.identity.access import needs
from app.identity.scopes import Scope
from app.ingestion.commands import accept_batch
from app.ingestion.models import BatchKind
from app.prices.models import PriceKind

MAXIMUM_POINTS_PER_MUTATION = 250


@strawberry.input(description="One observed price. Name the item by `itemId` or by `slug`.")
class PricePointInput:
    item_id: strawberry.ID | None = strawberry.field(default=None, description="The item's global id.")
    slug: str | None = strawberry.field(default=None, description="The item's slug.")
    variant: str | None = strawberry.field(default=None, description="The variant's key; default: the default variant.")
    source: str = strawberry.field(description="Code of the source: 2 to 40 of a-z, 0-9 and -. A new one is kept.")
    kind: PriceKind = strawberry.field(default=PriceKind.MARKET, description="What the price says.")
    currency: CurrencyCode = strawberry.field(description="The currency of the price.")
    price: Decimal = strawberry.field(description="The price of one unit; not negative.")
    quantity: Decimal | None = strawberry.field(default=None, description="How many units it was for; above 0.")
    observed_at: datetime | None = strawberry.field(
        default=None, description="When the source showed it, not in the future; default: when the batch is stored."
    )
    key: str | None = strawberry.field(
        default=None,
        description="The source's own id of the sale or listing; makes the point unique at its time.",
    )

    @property
    def names_its_item(self) -> bool:
        """Whether the item is named, and once."""
        return (self.item_id is None) != (self.slug is None)


@strawberry.input(description="A small batch of prices.")
class IngestPricesInput:
    points: list[PricePointInput] = strawberry.field(description="1 to 250 points.")
    idempotency_key: str | None = strawberry.field(
        default=None, description="A repeat with the same key and points gives the first batch again."
    )


@strawberry.enum(description="Why `ingestPrices` did not store the batch.")
class IngestPricesErrorCode(Enum):
    INVALID_POINTS = "invalid_points"
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused"


@strawberry.type(description=REFUSAL)
class IngestPricesError(UserError):
    field: list[str] = attribute("The path to the input that is at fault.")
    code: IngestPricesErrorCode = attribute(CODE)


@strawberry.type(description="What became of the batch.")
class IngestPricesPayload:
    batch: IngestBatch | None = attribute("The stored batch; a worker processes it within moments. Null when refused.")
    user_errors: list[IngestPricesError] = attribute("Why it was refused; empty when it was stored.")


@dataclass(frozen=True, slots=True)
class Ingested(Done):
    """The payload of `ingestPrices`."""

    batch: Reference


class IngestPricesRefused(ReasonedRefusal[IngestPricesErrorCode]):
    """A refusal of a batch that the caller can act on."""


_changes = Mutations(IngestPricesRefused, IngestPricesError)


def _line(point: PricePointInput) -> dict[str, object]:
    return {
        "item": point.slug,
        "itemId": point.item_id,
        "variant": point.variant,
        "source": point.source,
        "kind": point.kind.value,
        "currency": point.currency,
        "price": write_decimal(point.price),
        "quantity": None if point.quantity is None else write_decimal(point.quantity),
        "observedAt": None if point.observed_at is None else point.observed_at.isoformat(),
        "key": point.key,
    }


@strawberry.type
class PriceMutations:
    @_changes(
        "Store a small batch of prices (1 to 250). It is acknowledged once stored; follow it with `ingestBatch(id)`.",
        type=IngestPricesPayload,
        access=needs(Scope.PRICES_WRITE),
    )
    @staticmethod
    async def ingest_prices(info: Info, input: IngestPricesInput) -> Ingested:
        if not 1 <= len(input.points) <= MAXIMUM_POINTS_PER_MUTATION:
            raise IngestPricesRefused(
                IngestPricesErrorCode.INVALID_POINTS,
                f"Send 1 to {MAXIMUM_POINTS_PER_MUTATION} points at a time, and not {len(input.points)}; "
                "larger batches go to POST /ingest/prices.",
                field=["points"],
            )
        nameless = [place for place, point in enumerate(input.points) if not point.names_its_item]
        if nameless:
            raise IngestPricesRefused(
                IngestPricesErrorCode.INVALID_POINTS,
                "Name the item of each point by `itemId` or by `slug`, one of them.",
                field=["points", str(nameless[0])],
            )
        lines = [orjson.dumps(_line(point)) for point in input.points]
        try:
            async with info.context.transaction() as transaction:
                accepted = await accept_batch(
                    transaction,
                    kind=BatchKind.PRICE_POINTS,
                    payload=b"\n".join(lines),
                    idempotency_key=input.idempotency_key,
                    sender_id=info.context.viewer.user_id,
                )
        except Conflict as conflict:
            raise IngestPricesRefused(
                IngestPricesErrorCode.IDEMPOTENCY_KEY_REUSED, conflict.message, field=["idempotencyKey"]
            ) from None
        return Ingested(refer(IngestBatch, accepted.id))
