"""Import the CS2 market: each market hash name becomes one item."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.catalogue.commands.save_items import SavedItems, save_items
from app.catalogue.cs2 import MarketItem, phase_variants
from app.catalogue.models import Skin
from app.catalogue.new_items import NewExternalId, NewItem, SkinDetails
from app.catalogue.queries.redirects import items_of_slugs
from app.catalogue.slugs import distinct_slug_of, slug_of
from app.core.database import Transaction, among

MARKET_PROVIDER = "steam-market"
NAME_ID_PROVIDER = "steam-nameid"


@dataclass(frozen=True, slots=True)
class ImportedMarket:
    """What became of the names: how many items of each shape there were, and how many were new or changed."""

    saved: SavedItems
    shapes: Mapping[str, int]


async def import_cs2(transaction: Transaction, market: Sequence[MarketItem]) -> ImportedMarket:
    """Save the market's items as skins, with their names and numbers on Steam as external ids.

    An item keeps its slug for good. Names that share a plain slug, with each other or with an item of the catalogue,
    get one that ends in a hash of the name. Raises `ItemsContradict` as `save_items` does.
    """
    slugs = await market_slugs(transaction.connection, [item.market_hash_name for item in market])
    items = [_new_item(item, slugs[item.market_hash_name]) for item in market]
    return ImportedMarket(await save_items(transaction, items), Counter(item.shape for item in market))


async def market_slugs(connection: AsyncConnection, names: Sequence[str]) -> dict[str, str]:
    """A slug for each market name: its plain one, or one with a hash at its end where others have, had or want it."""
    plain = {name: slug_of(name) for name in names}
    sharing = Counter(plain.values())
    owners = await items_of_slugs(connection, plain.values())
    rows = await connection.execute(
        select(Skin.item_id, Skin.market_hash_name).where(among(Skin.item_id, set(owners.values())))
    )
    names_of_skins = {row.item_id: row.market_hash_name for row in rows}
    holders = {slug: names_of_skins.get(item_id, "") for slug, item_id in owners.items()}
    return {
        name: slug if slug and sharing[slug] == 1 and holders.get(slug, name) == name else distinct_slug_of(name)
        for name, slug in plain.items()
    }


def _new_item(item: MarketItem, slug: str) -> NewItem:
    return NewItem(
        slug=slug,
        name=item.market_hash_name,
        details=SkinDetails(
            market_hash_name=item.market_hash_name,
            category=item.category,
            weapon=item.weapon,
            skin=item.skin,
            wear=item.wear,
            rarity=item.rarity,
            stattrak=item.stattrak,
            souvenir=item.souvenir,
            float_minimum=item.float_minimum,
            float_maximum=item.float_maximum,
            collection=item.collection,
            crates=item.crates,
        ),
        image_url=item.image_url,
        external_ids=(
            NewExternalId(MARKET_PROVIDER, item.market_hash_name),
            NewExternalId(NAME_ID_PROVIDER, str(item.name_id)),
        ),
        variants=phase_variants(item.phases),
    )
