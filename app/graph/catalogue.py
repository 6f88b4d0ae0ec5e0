"""The catalogue in the graph: items of four kinds and their variants."""

from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from typing import Annotated
from uuid import UUID

import strawberry
from strawberry import Parent

from app.catalogue import queries
from app.catalogue.models import ItemKind
from app.catalogue.queries import (
    CardRow,
    CoinRow,
    ExternalIdRow,
    FigureRow,
    ItemOrderField,
    ItemRow,
    SkinRow,
    VariantRow,
)
from app.catalogue.queries import (
    ItemFilter as StoredFilter,
)
from app.core.errors import BadUserInput
from app.core.ids import PublicIdTag
from app.core.paging import PageRequest, decode_cursor, encode_cursor, instant_in_cursor, page_request
from app.graph.context import Info
from app.graph.fields import attribute, resolved, show_enum
from app.graph.prices.quotes import Price, best_quote
from app.graph.prices.series import PriceSeries
from app.graph.relay import Connection, Node, Page, key_of, page_of, shown_from
from app.graph.scalars import URL, CurrencyCode
from app.prices.models import PriceKind
from app.prices.queries.quotes import QuoteRow
from app.prices.queries.series import SeriesRow, series_by_item, series_by_variant

MAXIMUM_SLUGS = 250
MAXIMUM_NAME_LENGTH = 200


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
class ExternalId:
    provider: str = attribute("The service, such as `steam-market`.")
    external_id: str = attribute("Its name for the item, unique there.", name="id")


@strawberry.type(description="What is priced and held: an item in one finish, language, grade or phase.")
class ItemVariant(Node):
    is_type_of = shown_from(VariantRow)

    key: str = attribute("The short name, unique within the item.")
    name: str = attribute("The name to show.")
    is_default: bool = attribute("Whether this is meant where only the item is named.")

    @resolved("The item that this is a variant of.", type="Item")
    @staticmethod
    async def item(root: Parent[VariantRow], info: Info) -> ItemRow | None:
        return await info.context.loaders.one(queries.items_by_id, root.item_id)

    @resolved("The best current price of this variant, as for items; null when none is known.", type=Price | None)
    @staticmethod
    async def price(root: Parent[VariantRow], info: Info, currency: CurrencyCode | None = None) -> QuoteRow | None:
        return await best_quote(info, root, currency)

    @resolved("The series of this variant, of one kind, source or currency if given.", type=list[PriceSeries])
    @staticmethod
    async def series(
        root: Parent[VariantRow],
        info: Info,
        kind: PriceKind | None = None,
        source: str | None = None,
        currency: CurrencyCode | None = None,
    ) -> Sequence[SeriesRow]:
        return await info.context.loaders.many(
            series_by_variant, root.id, kind=kind, source_code=source, currency=currency
        )


@strawberry.interface(description="A thing that can be owned.")
class Item(Node):
    slug: str = attribute("The readable name in addresses, unique.")
    name: str = attribute("The name to show.")
    created_at: datetime = attribute("When the catalogue first had it.")
    updated_at: datetime = attribute("When its entry last changed.")

    @resolved("Which of the four kinds it is.")
    @staticmethod
    def kind(root: Parent[ItemRow]) -> ItemKind:
        return root.kind

    @resolved("A picture; null where none is known.", type=URL | None)
    @staticmethod
    def image_url(root: Parent[ItemRow]) -> str | None:
        return root.image_url

    @resolved("The names that outside services have for it.", type=list[ExternalId])
    @staticmethod
    async def external_ids(root: Parent[ItemRow], info: Info) -> Sequence[ExternalIdRow]:
        return await info.context.loaders.many(queries.external_ids_by_item, root.id)

    @resolved("Its variants, in their shown order.", type=list[ItemVariant])
    @staticmethod
    async def variants(root: Parent[ItemRow], info: Info) -> Sequence[VariantRow]:
        return await info.context.loaders.many(queries.variants_by_item, root.id)

    @resolved("The variant that is meant where only the item is named.", type=ItemVariant | None)
    @staticmethod
    async def default_variant(root: Parent[ItemRow], info: Info) -> VariantRow | None:
        return await info.context.loaders.one(queries.default_variant_by_item, root.id)

    @resolved(
        "The best current price of the default variant, in one currency if given: not older than 30 days where there "
        "is such a one; then a sale before a market price before an ask; then the newest. Null when none is known.",
        type=Price | None,
    )
    @staticmethod
    async def price(root: Parent[ItemRow], info: Info, currency: CurrencyCode | None = None) -> QuoteRow | None:
        variant = await info.context.loaders.one(queries.default_variant_by_item, root.id)
        return await best_quote(info, variant, currency)

    @resolved(
        "The price series of all its variants, the default variant's first, of one kind, source or currency if given.",
        type=list[PriceSeries],
    )
    @staticmethod
    async def series(
        root: Parent[ItemRow],
        info: Info,
        kind: PriceKind | None = None,
        source: str | None = None,
        currency: CurrencyCode | None = None,
    ) -> Sequence[SeriesRow]:
        return await info.context.loaders.many(
            series_by_item, root.id, kind=kind, source_code=source, currency=currency
        )


def _is(source: object, kind: ItemKind) -> bool:
    return isinstance(source, ItemRow) and source.kind is kind


async def _skin(root: ItemRow, info: Info) -> SkinRow | None:
    return await info.context.loaders.one(queries.skins_by_item, root.id)


@strawberry.type(description="A tradeable item of the CS2 market. What its market name does not tell is null.")
class Skin(Item):
    @classmethod
    def is_type_of(cls, source: object, _: object) -> bool:
        return _is(source, ItemKind.SKIN)

    @resolved("The name by which the market knows it.")
    @staticmethod
    async def market_hash_name(root: Parent[ItemRow], info: Info) -> str | None:
        skin = await _skin(root, info)
        return skin.market_hash_name if skin else None

    @resolved("What sort of item it is, such as Rifle, Knife, Sticker or Container.")
    @staticmethod
    async def category(root: Parent[ItemRow], info: Info) -> str | None:
        skin = await _skin(root, info)
        return skin.category if skin else None

    @resolved("The weapon that is painted; null for cases, stickers and the like.")
    @staticmethod
    async def weapon(root: Parent[ItemRow], info: Info) -> str | None:
        skin = await _skin(root, info)
        return skin.weapon if skin else None

    @resolved("The name of the paint; null where there is none.")
    @staticmethod
    async def skin(root: Parent[ItemRow], info: Info) -> str | None:
        skin = await _skin(root, info)
        return skin.skin if skin else None

    @resolved("How worn it is, such as Factory New; null where wear does not apply.")
    @staticmethod
    async def wear(root: Parent[ItemRow], info: Info) -> str | None:
        skin = await _skin(root, info)
        return skin.wear if skin else None

    @resolved("How rare it is, such as Covert.")
    @staticmethod
    async def rarity(root: Parent[ItemRow], info: Info) -> str | None:
        skin = await _skin(root, info)
        return skin.rarity if skin else None

    @resolved("Whether it counts kills.")
    @staticmethod
    async def is_stattrak(root: Parent[ItemRow], info: Info) -> bool | None:
        skin = await _skin(root, info)
        return skin.stattrak if skin else None

    @resolved("Whether it is a souvenir of a tournament.")
    @staticmethod
    async def is_souvenir(root: Parent[ItemRow], info: Info) -> bool | None:
        skin = await _skin(root, info)
        return skin.souvenir if skin else None

    @resolved("The least float value that the paint comes in, 0 to 1.")
    @staticmethod
    async def float_minimum(root: Parent[ItemRow], info: Info) -> float | None:
        skin = await _skin(root, info)
        return skin.float_minimum if skin else None

    @resolved("The greatest float value that the paint comes in, 0 to 1.")
    @staticmethod
    async def float_maximum(root: Parent[ItemRow], info: Info) -> float | None:
        skin = await _skin(root, info)
        return skin.float_maximum if skin else None


async def _coin(root: ItemRow, info: Info) -> CoinRow | None:
    return await info.context.loaders.one(queries.coins_by_item, root.id)


@strawberry.type(description="A crypto coin or token.")
class Coin(Item):
    @classmethod
    def is_type_of(cls, source: object, _: object) -> bool:
        return _is(source, ItemKind.COIN)

    @resolved("The ticker symbol, such as BTC.")
    @staticmethod
    async def symbol(root: Parent[ItemRow], info: Info) -> str | None:
        coin = await _coin(root, info)
        return coin.symbol if coin else None

    @resolved("Decimal places of its smallest unit; null where not known.")
    @staticmethod
    async def decimals(root: Parent[ItemRow], info: Info) -> int | None:
        coin = await _coin(root, info)
        return coin.decimals if coin else None


async def _card(root: ItemRow, info: Info) -> CardRow | None:
    return await info.context.loaders.one(queries.cards_by_item, root.id)


@strawberry.type(description="A trading card: one print in one set.")
class Card(Item):
    @classmethod
    def is_type_of(cls, source: object, _: object) -> bool:
        return _is(source, ItemKind.CARD)

    @resolved("The game it belongs to.")
    @staticmethod
    async def game(root: Parent[ItemRow], info: Info) -> str | None:
        card = await _card(root, info)
        return card.game if card else None

    @resolved("The code of its set, unique within the game.")
    @staticmethod
    async def set_code(root: Parent[ItemRow], info: Info) -> str | None:
        card = await _card(root, info)
        return card.set_code if card else None

    @resolved("The collector number within the set; not always a number.")
    @staticmethod
    async def number(root: Parent[ItemRow], info: Info) -> str | None:
        card = await _card(root, info)
        return card.number if card else None

    @resolved("How rare the print is.")
    @staticmethod
    async def rarity(root: Parent[ItemRow], info: Info) -> str | None:
        card = await _card(root, info)
        return card.rarity if card else None


async def _figure(root: ItemRow, info: Info) -> FigureRow | None:
    return await info.context.loaders.one(queries.figures_by_item, root.id)


@strawberry.type(description="A collectible figure.")
class Figure(Item):
    @classmethod
    def is_type_of(cls, source: object, _: object) -> bool:
        return _is(source, ItemKind.FIGURE)

    @resolved("Who made it.")
    @staticmethod
    async def manufacturer(root: Parent[ItemRow], info: Info) -> str | None:
        figure = await _figure(root, info)
        return figure.manufacturer if figure else None

    @resolved("The series its character comes from.")
    @staticmethod
    async def series_name(root: Parent[ItemRow], info: Info) -> str | None:
        figure = await _figure(root, info)
        return figure.series if figure else None

    @resolved("Its scale, such as 1/7; null for figures without one.")
    @staticmethod
    async def scale(root: Parent[ItemRow], info: Info) -> str | None:
        figure = await _figure(root, info)
        return figure.scale if figure else None


@strawberry.input(description="Which items to list; what is left out does not narrow the list.")
class ItemFilter:
    kind: ItemKind | None = strawberry.field(default=None, description="Only items of this kind.")
    name_contains: str | None = strawberry.field(
        default=None, description="Only items whose name holds this text, in any case; 1 to 200 characters."
    )
    slugs: list[str] | None = strawberry.field(
        default=None, description="Only items with one of these slugs; up to 250."
    )


@strawberry.enum(description="From small to great, or from great to small.")
class OrderDirection(Enum):
    ASC = "asc"
    DESC = "desc"


@strawberry.input(description="An order of items; ties are broken by the id.")
class ItemOrder:
    field: ItemOrderField = strawberry.field(description="What to order by.")
    direction: OrderDirection = strawberry.field(default=OrderDirection.ASC, description="Which way.")


@strawberry.type
class CatalogueQueries:
    @resolved("One item, by its `id` or its `slug`; null when there is none.", type=Item | None)
    @staticmethod
    async def item(info: Info, id: strawberry.ID | None = None, slug: str | None = None) -> ItemRow | None:
        if (id is None) == (slug is None):
            raise BadUserInput("Give `id` or `slug`, one of them.", argument="id", allowed=["id", "slug"])
        if slug is not None:
            return await info.context.loaders.one(queries.items_by_slug, slug)
        key = key_of(str(id), PublicIdTag.ITEM, argument="id")
        return await info.context.loaders.one(queries.items_by_id, key) if isinstance(key, UUID) else None

    @resolved("Items, by name unless ordered otherwise.", type=Connection[Item] | None)
    @staticmethod
    async def items(
        info: Info,
        filter: ItemFilter | None = None,
        order_by: Annotated[
            list[ItemOrder] | None, strawberry.argument(description="One order; default: NAME ascending.")
        ] = None,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Page[ItemRow]:
        request = page_request(first=first, after=after, last=last, before=before)
        wanted = _stored_filter(filter)
        order, descending = _stored_order(order_by)
        name = f"items-by-{order.value}-{'desc' if descending else 'asc'}"
        rows = await info.context.snapshot.read(
            queries.list_items,
            wanted=wanted,
            order=order,
            descending=descending != request.backward,
            beyond=_position(request, order, name),
            limit=request.limit + 1,
        )
        return page_of(
            rows,
            request,
            cursor=lambda item: _cursor(item, order, name),
            count=lambda: info.context.snapshot.read(queries.count_items, wanted=wanted),
        )


def _stored_filter(wanted: ItemFilter | None) -> StoredFilter:
    if wanted is None:
        return StoredFilter()
    if wanted.name_contains is not None and not 1 <= len(wanted.name_contains) <= MAXIMUM_NAME_LENGTH:
        raise BadUserInput(
            f"`filter.nameContains` must have 1 to {MAXIMUM_NAME_LENGTH} characters.",
            argument="filter.nameContains",
            allowed=[f"1..{MAXIMUM_NAME_LENGTH} characters"],
        )
    if wanted.slugs is not None and len(wanted.slugs) > MAXIMUM_SLUGS:
        raise BadUserInput(
            f"`filter.slugs` may hold {MAXIMUM_SLUGS} slugs, and holds {len(wanted.slugs)}.",
            argument="filter.slugs",
            allowed=[f"0..{MAXIMUM_SLUGS} slugs"],
        )
    return StoredFilter(
        kind=wanted.kind,
        name_contains=wanted.name_contains,
        slugs=None if wanted.slugs is None else tuple(wanted.slugs),
    )


def _stored_order(orders: list[ItemOrder] | None) -> tuple[ItemOrderField, bool]:
    if not orders:
        return ItemOrderField.NAME, False
    if len(orders) > 1:
        raise BadUserInput(
            "`orderBy` takes one order; the id breaks ties.",
            argument="orderBy",
            allowed=[f"[{{field: {field.name}}}]" for field in ItemOrderField],
        )
    return orders[0].field, orders[0].direction is OrderDirection.DESC


def _cursor(item: ItemRow, order: ItemOrderField, name: str) -> str:
    value = item.name if order is ItemOrderField.NAME else item.created_at.isoformat()
    return encode_cursor(name, [value, item.public_id])


def _position(request: PageRequest, order: ItemOrderField, name: str) -> tuple[str | datetime, UUID] | None:
    argument = "before" if request.backward else "after"
    cursor = request.before if request.backward else request.after
    if cursor is None:
        return None
    value, item_id = decode_cursor(cursor, order=name, argument=argument, types=[str, str])
    key = key_of(str(item_id), PublicIdTag.ITEM, argument=argument)
    by_name = order is ItemOrderField.NAME
    position = str(value) if by_name else instant_in_cursor(value, argument=argument)
    if not isinstance(key, UUID):
        raise BadUserInput(f"`{argument}` is not a cursor of this list; use one that it gave you.", argument=argument)
    return position, key
