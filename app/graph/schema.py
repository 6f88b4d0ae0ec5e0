"""The schema: the root types, put together from the rooms."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import UUID

import strawberry
from graphql import GraphQLSchema
from strawberry.schema.config import StrawberryConfig

from app.catalogue import queries as catalogue
from app.core.errors import BadUserInput
from app.core.ids import PublicIdTag, parse_public_id
from app.graph.catalogue import Card, CatalogueQueries, Coin, Figure, ItemVariant, Skin
from app.graph.context import Context, Info
from app.graph.fields import resolved
from app.graph.ingestion import IngestBatch
from app.graph.operations import OperationsQueries
from app.graph.prices.ingest import PriceMutations
from app.graph.prices.series import PriceSeries
from app.graph.prices.updates import PriceSubscriptions
from app.graph.relay import Node, key_of
from app.graph.scalars import SCALARS
from app.ingestion import queries as ingestion
from app.ingestion.queries import BatchRow
from app.prices.queries.series import series_by_id

MAXIMUM_NODES = 100

NODE_QUERIES: dict[PublicIdTag, Callable[..., Awaitable[Any]]] = {
    PublicIdTag.ITEM: catalogue.items_by_id,
    PublicIdTag.ITEM_VARIANT: catalogue.variants_by_id,
    PublicIdTag.PRICE_SERIES: series_by_id,
    PublicIdTag.INGEST_BATCH: ingestion.batches_by_id,
}


async def _node(context: Context, id: str, argument: str) -> Any:
    parsed = parse_public_id(id)
    if parsed is None:
        raise BadUserInput(
            f"`{argument}` holds something that is not an id of Trove; use one that the API gave you.",
            argument=argument,
            allowed=["an `id` that the API gave"],
        )
    tag, key = parsed
    if tag is PublicIdTag.INGEST_BATCH:
        context.require_ingest()
    return await context.loaders.one(NODE_QUERIES[tag], key)


@strawberry.type(description="Where every question begins.")
class Query(CatalogueQueries, OperationsQueries):
    @resolved("Anything with an id; null when it is gone.", type=Node | None)
    @staticmethod
    async def node(info: Info, id: strawberry.ID) -> Any:
        return await _node(info.context, id, "id")

    @resolved(
        "Things by their ids (100 at most), in the order asked for; null for what is gone.",
        type=list[Node | None],
    )
    @staticmethod
    async def nodes(info: Info, ids: list[strawberry.ID]) -> Sequence[Any]:
        if len(ids) > MAXIMUM_NODES:
            raise BadUserInput(
                f"`ids` may hold {MAXIMUM_NODES} ids, and holds {len(ids)}.",
                argument="ids",
                allowed=[f"0..{MAXIMUM_NODES} ids"],
            )
        return await asyncio.gather(*(_node(info.context, node_id, "ids") for node_id in ids))

    @resolved("A batch that was sent in; null when there is none. Needs the ingest token.", type=IngestBatch | None)
    @staticmethod
    async def ingest_batch(info: Info, id: strawberry.ID) -> BatchRow | None:
        info.context.require_ingest()
        key = key_of(id, PublicIdTag.INGEST_BATCH, argument="id")
        return await info.context.loaders.one(ingestion.batches_by_id, key) if isinstance(key, UUID) else None


@strawberry.type(description="What changes something. Each field is a transaction of its own.")
class Mutation(PriceMutations):
    pass


@strawberry.type(description="What happens, as it happens.")
class Subscription(PriceSubscriptions):
    pass


schema = strawberry.Schema(
    query=Query,
    mutation=Mutation,
    subscription=Subscription,
    types=[Skin, Coin, Card, Figure, ItemVariant, PriceSeries, IngestBatch],
    config=StrawberryConfig(scalar_map=SCALARS, relay_max_results=MAXIMUM_NODES),
)

core_schema: GraphQLSchema = schema._schema


def print_graph() -> str:
    """The schema in GraphQL's own language, as it stands in `schema.graphql`."""
    return schema.as_str() + "\n"
