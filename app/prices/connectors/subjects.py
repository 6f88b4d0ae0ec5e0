"""What of the catalogue providers can price: by their own ids, by market hash names, by the symbols of coins."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import TypeVarTuple

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.catalogue.commands.coins import COIN_NAMES
from app.catalogue.models import Card, CardSet, Coin, ExternalId, Item, ItemVariant, Skin
from app.catalogue.slugs import slug_of
from app.core.database import among
from app.prices.connectors.interface import Subject
from app.prices.models import PriceSeries, Source
from app.prices.queries.quotes import LAST_SEEN

Columns = TypeVarTuple("Columns")

# An item without a price takes its turn as if it had been priced at some moment of these days. Were it always first,
# those that a provider does not know would use up every sweep that has a limit.
_AS_IF_PRICED_WITHIN = timedelta(days=7)


async def skins(connection: AsyncConnection, sources: Sequence[str]) -> list[Subject]:
    """All skins, by their market hash names."""
    rows = await connection.execute(
        _in_turn(select(Item.slug, Skin.market_hash_name, _variants()).join(Skin, Skin.item_id == Item.id), sources)
    )
    return [Subject(slug, name, variants=frozenset(keys or ())) for slug, name, keys in rows]


async def items_of(connection: AsyncConnection, provider: str, sources: Sequence[str]) -> list[Subject]:
    """The items that have an id of a provider."""
    rows = await connection.execute(
        _in_turn(
            select(Item.slug, ExternalId.external_id, _variants())
            .join(ExternalId, ExternalId.item_id == Item.id)
            .where(ExternalId.provider == provider),
            sources,
        )
    )
    return [Subject(slug, name, variants=frozenset(keys or ())) for slug, name, keys in rows]


async def cards_by_set(connection: AsyncConnection, provider: str, sources: Sequence[str]) -> list[Subject]:
    """The cards that have an id of a provider, grouped by the codes of their sets; those without a set stay out."""
    rows = await connection.execute(
        _in_turn(
            select(Item.slug, ExternalId.external_id, CardSet.code, _variants())
            .join(ExternalId, ExternalId.item_id == Item.id)
            .join(Card, Card.item_id == Item.id)
            .join(CardSet, CardSet.id == Card.set_id)
            .where(ExternalId.provider == provider),
            sources,
        )
    )
    return [Subject(slug, name, group=code, variants=frozenset(keys or ())) for slug, name, code, keys in rows]


async def coins(
    connection: AsyncConnection, provider: str, sources: Sequence[str], *, currency: str, separator: str
) -> list[Subject]:
    """The coins as an exchange names their markets in a currency: `BTC-USD`, `BTCUSDT`.

    An id of the exchange counts first, a symbol such as `BTC` or a whole market. Symbols are not unique: of several
    coins with one symbol, only the one that everybody means by it can be asked for, and none by a market that such an
    id gives to another coin.
    """
    own_id = (
        select(func.min(ExternalId.external_id))
        .where(ExternalId.item_id == Item.id, ExternalId.provider == provider)
        .scalar_subquery()
    )
    found = await connection.execute(
        _in_turn(select(Item.slug, Coin.symbol, own_id).join(Coin, Coin.item_id == Item.id), sources)
    )
    rows = [(slug, symbol.upper(), None if own is None else own.upper()) for slug, symbol, own in found]
    count = Counter(symbol for _, symbol, _ in rows)
    ending = f"{separator}{currency}"
    own_market = {slug: own if own.endswith(ending) else f"{own}{ending}" for slug, _, own in rows if own is not None}
    given_by_id = set(own_market.values())
    subjects = []
    for slug, symbol, own in rows:
        # Of a symbol nothing is a market already: AUSDT is a coin, and at Binance also the market of another, of A.
        by_symbol = f"{symbol}{ending}"
        is_meant = count[symbol] == 1 or slug == slug_of(COIN_NAMES.get(symbol, ""))
        market = own_market.get(slug) or (by_symbol if is_meant and by_symbol not in given_by_id else None)
        if market is not None and (own or symbol) != currency:
            subjects.append(Subject(slug, market))
    return subjects


def _variants() -> ColumnElement[Sequence[str]]:
    return (
        select(func.array_agg(ItemVariant.key))
        .where(ItemVariant.item_id == Item.id, ItemVariant.is_default.is_(False))
        .scalar_subquery()
    )


def _in_turn(query: Select[*Columns], sources: Sequence[str]) -> Select[*Columns]:
    """What was priced longest ago by one of the sources first; a price that stands counts as often as it is seen."""
    priced = (
        select(ItemVariant.item_id, func.max(LAST_SEEN).label("at"))
        .join(PriceSeries, PriceSeries.variant_id == ItemVariant.id)
        .join(Source, Source.id == PriceSeries.source_id)
        .where(among(Source.code, sources))
        .group_by(ItemVariant.item_id)
        .subquery("priced")
    )
    turn = func.coalesce(priced.c.at, func.now() - func.random() * _AS_IF_PRICED_WITHIN)
    return query.outerjoin(priced, priced.c.item_id == Item.id).order_by(turn, Item.slug)
