"""What items of every kind have: their variants, photos, prices, and the names by which others know them."""

from datetime import datetime
from enum import Enum
from typing import Any
from uuid import UUID

import strawberry

from app.catalogue import models
from app.catalogue.models import ItemKind
from app.catalogue.queries.redirects import MOVED_IDS, MOVED_SLUGS
from app.catalogue.queries.visibility import IS_SHOWN_TO_VIEWER
from app.core.errors import BadUserInput
from app.core.ids import PublicIdTag
from app.graph.catalogue.photos import Photo
from app.graph.catalogue.revisions import REVISION_ORDERS, ItemRevision
from app.graph.fields import show_enum
from app.graph.prices.quotes import BEST_PRICE, IN_CURRENCY, OF_KINDS, Price
from app.graph.prices.series import SERIES_ARGUMENTS, SERIES_ORDER, PriceSeries
from app.graph.prices.valuations import AS_OF, VALUATION_CURRENCY, VALUATION_ORDERS, Valuation
from app.graph.reads.arguments import OperationContext, Orders, graphql_argument, narrow, narrow_to_any
from app.graph.reads.fields import Reference, column, connection, edge, edges, refer, reference, shows
from app.graph.reads.tables import join
from app.graph.relay import Connection, Node, key_of
from app.graph.scalars import URL
from app.identity.access import ANYBODY
from app.prices.models import PriceSeries as Series
from app.prices.models import Valuation as StoredValuation
from app.prices.queries.quotes import BEST_SHOWN_FIRST
from app.prices.queries.valuations import CURRENT_FIRST

MAXIMUM_SLUGS = 250
MAXIMUM_NAME_LENGTH = 200
OF_VARIANT = join(models.ItemVariant, models.ItemVariant.id == Series.variant_id)


class ItemOrderField(Enum):
    """What a list of items can be ordered by; the id breaks ties."""

    NAME = "name"
    CREATED_AT = "created_at"


show_enum(
    ItemKind,
    "The four kinds of things.",
    {
        ItemKind.SKIN: "A tradeable item of the CS2 market.",
        ItemKind.COIN: "A crypto coin or token.",
        ItemKind.CARD: "A trading card.",
        ItemKind.FIGURE: "A collectible figure.",
    },
)
show_enum(
    ItemOrderField,
    "What items can be ordered by.",
    {ItemOrderField.NAME: "The name.", ItemOrderField.CREATED_AT: "When the catalogue first had it."},
)


@strawberry.type(description="The name that an outside service has for an item.")
@shows(models.ExternalId)
class ExternalId:
    provider: str = column(models.ExternalId.provider, "The service, such as `steam-market`.")
    external_id: str = column(models.ExternalId.external_id, "Its name for the item, unique there.", name="id")


@strawberry.type(description="What is priced and held: an item in one finish, language, grade or phase.")
@shows(models.ItemVariant, PublicIdTag.ITEM_VARIANT)
class ItemVariant(Node):
    key: str = column(models.ItemVariant.key, "The short name, unique within the item.")
    name: str = column(models.ItemVariant.name, "The name to show.")
    is_default: bool = column(models.ItemVariant.is_default, "Whether this is meant where only the item is named.")
    item: "Item" = edge("The item that this is a variant of.", on=models.ItemVariant.item_id, to=models.Item.id)
    price: Price | None = edge(
        f"The best current price of this variant, of some kinds if given. {BEST_PRICE}",
        on=models.ItemVariant.id,
        to=Series.variant_id,
        where=Series.latest_price.is_not(None),
        order=BEST_SHOWN_FIRST,
        arguments=[IN_CURRENCY, OF_KINDS],
    )
    series: list[PriceSeries] = edges(
        "The series of this variant, of one kind, source or currency if given.",
        on=models.ItemVariant.id,
        to=Series.variant_id,
        order=SERIES_ORDER,
        arguments=SERIES_ARGUMENTS,
    )
    valuation: Valuation | None = edge(
        "What it is worth, in the currency with most sales unless one is named: as last computed, or with `asOf` "
        "computed now by what had been observed until then; refused where sales of the 90 days before are no longer "
        "kept. Null where it has no sale, ask or list price in that currency, or was not valued yet.",
        on=models.ItemVariant.id,
        to=StoredValuation.variant_id,
        where=StoredValuation.is_current,
        order=CURRENT_FIRST,
        arguments=[VALUATION_CURRENCY],
        computed=AS_OF,
    )
    valuation_history: Connection[Valuation] | None = connection(
        "What it was worth, each time that changed, the newest first; in one currency if given.",
        on=models.ItemVariant.id,
        to=StoredValuation.variant_id,
        orders=VALUATION_ORDERS,
        arguments=[VALUATION_CURRENCY],
    )


@strawberry.interface(description="A thing that can be owned.")
@shows(
    models.Item,
    PublicIdTag.ITEM,
    kind=models.Item.kind,
    listed=IS_SHOWN_TO_VIEWER,
    moved={models.Item.id: MOVED_IDS, models.Item.slug: MOVED_SLUGS},
)
class Item(Node):
    slug: str = column(models.Item.slug, "The readable name in addresses, unique.")
    name: str = column(models.Item.name, "The name to show.")
    created_at: datetime = column(models.Item.created_at, "When the catalogue first had it.")
    updated_at: datetime = column(models.Item.updated_at, "When its entry last changed.")
    kind: ItemKind = column(models.Item.kind, "Which of the four kinds it is.")
    image_url: URL | None = column(
        models.Item.image_url, "A picture that somebody else keeps; null where none is known. Our own are `photos`."
    )
    is_nsfw: bool = column(
        models.Item.is_nsfw,
        "Whether it is not safe for work. Only who chose to see such items finds them, by `nsfwVisibility`.",
    )
    external_ids: list[ExternalId] = edges(
        "The names that outside services have for it.",
        on=models.Item.id,
        to=models.ExternalId.item_id,
        order=[models.ExternalId.provider, models.ExternalId.external_id],
    )
    variants: list[ItemVariant] = edges(
        "Its variants, in their shown order.",
        on=models.Item.id,
        to=models.ItemVariant.item_id,
        order=[models.ItemVariant.position, models.ItemVariant.id],
    )
    photos: list[Photo] = edges(
        "Its photos in their shown order, 50 at most.",
        on=models.Item.id,
        to=models.ItemPhoto.item_id,
        order=[models.ItemPhoto.position, models.ItemPhoto.id],
    )
    primary_photo: Photo | None = edge(
        "The photo that stands for it; null where it has none.",
        on=models.Item.id,
        to=models.ItemPhoto.item_id,
        where=models.ItemPhoto.is_primary,
    )
    default_variant: ItemVariant | None = edge(
        "The variant that is meant where only the item is named.",
        on=models.Item.id,
        to=models.ItemVariant.item_id,
        where=models.ItemVariant.is_default,
    )
    price: Price | None = edge(
        f"The best current price of the default variant, of some kinds if given. {BEST_PRICE}",
        on=models.Item.id,
        to=models.ItemVariant.item_id,
        joins=[OF_VARIANT],
        where=models.ItemVariant.is_default & Series.latest_price.is_not(None),
        order=BEST_SHOWN_FIRST,
        arguments=[IN_CURRENCY, OF_KINDS],
    )
    series: list[PriceSeries] = edges(
        "The price series of all its variants, the default variant's first, of one kind, source or currency if given.",
        on=models.Item.id,
        to=models.ItemVariant.item_id,
        joins=[OF_VARIANT],
        order=[models.ItemVariant.is_default.desc(), models.ItemVariant.position, *SERIES_ORDER],
        arguments=SERIES_ARGUMENTS,
    )
    revisions: Connection[ItemRevision] | None = connection(
        "What staff changed of it, the newest first; of items merged into it, too.",
        on=models.Item.id,
        to=models.ItemRevision.item_id,
        orders=REVISION_ORDERS,
    )


def like_pattern(text: str, path: str) -> str:
    """A pattern that finds the text anywhere; refuses one that is empty or too long."""
    if not 1 <= len(text) <= MAXIMUM_NAME_LENGTH:
        raise BadUserInput(
            f"`{path}` must have 1 to {MAXIMUM_NAME_LENGTH} characters.",
            argument=path,
            allowed=[f"1..{MAXIMUM_NAME_LENGTH} characters"],
        )
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def some_slugs(slugs: list[str], path: str) -> list[str]:
    """The slugs, if there are not too many of them."""
    if len(slugs) > MAXIMUM_SLUGS:
        raise BadUserInput(
            f"`{path}` may hold {MAXIMUM_SLUGS} slugs, and holds {len(slugs)}.",
            argument=path,
            allowed=[f"0..{MAXIMUM_SLUGS} slugs"],
        )
    return slugs


@strawberry.input(description="Which items to list; what is left out does not narrow the list.")
class ItemFilter:
    kind: ItemKind | None = narrow("Only items of this kind.", models.Item.kind, lambda kind: models.Item.kind == kind)
    name_contains: str | None = narrow(
        "Only items whose name holds this text, in any case; 1 to 200 characters.",
        models.Item.name,
        models.Item.name.ilike,
        check=like_pattern,
    )
    slugs: list[str] | None = narrow_to_any(
        "Only items with one of these slugs; up to 250.", models.Item.slug, check=some_slugs
    )


@strawberry.enum(description="From small to great, or from great to small.")
class OrderDirection(Enum):
    ASC = "asc"
    DESC = "desc"


@strawberry.input(description="An order of items; ties are broken by the id.")
class ItemOrder:
    field: ItemOrderField = strawberry.field(description="What to order by.")
    direction: OrderDirection = strawberry.field(default=OrderDirection.ASC, description="Which way.")


ITEM_ORDERS = Orders(
    "items",
    {ItemOrderField.NAME: models.Item.name, ItemOrderField.CREATED_AT: models.Item.created_at},
    tie=models.Item.id,
    input_type=ItemOrder,
)


@strawberry.type
class CatalogueQueries:
    items: Connection[Item] | None = connection(
        "Items, by name unless ordered otherwise.", orders=ITEM_ORDERS, filter=ItemFilter, access=ANYBODY
    )

    @reference(
        "One item, by its `id` or its `slug`, or by one that it had before or got by a merge; null when there is none.",
        [graphql_argument("id", strawberry.ID | None), graphql_argument("slug", str | None)],
        type=Item | None,
        access=ANYBODY,
    )
    @staticmethod
    def item(_: OperationContext, id: str | None = None, slug: str | None = None) -> Reference | None:
        if (id is None) == (slug is None):
            raise BadUserInput("Give `id` or `slug`, one of them.", argument="id", allowed=["id", "slug"])
        if slug is not None:
            return refer(Item, slug, by=models.Item.slug)
        key: Any = key_of(str(id), PublicIdTag.ITEM, argument="id")
        return refer(Item, key) if isinstance(key, UUID) else None
