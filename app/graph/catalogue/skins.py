"""Items of the CS2 market."""

import strawberry

from app.catalogue import models
from app.catalogue.models import ItemKind
from app.graph.catalogue.items import Item
from app.graph.reads.fields import column, shows_kind


@strawberry.type(description="A tradeable item of the CS2 market. What its market name does not tell is null.")
@shows_kind(ItemKind.SKIN, details=models.Skin.item_id)
class Skin(Item):
    market_hash_name: str | None = column(models.Skin.market_hash_name, "The name by which the market knows it.")
    category: str | None = column(
        models.Skin.category, "What sort of item it is, such as Rifle, Knife, Sticker or Container."
    )
    weapon: str | None = column(
        models.Skin.weapon, "The weapon that is painted; null for cases, stickers and the like."
    )
    skin: str | None = column(models.Skin.skin, "The name of the paint; null where there is none.")
    wear: str | None = column(models.Skin.wear, "How worn it is, such as Factory New; null where wear does not apply.")
    rarity: str | None = column(models.Skin.rarity, "How rare it is, such as Covert.")
    is_stattrak: bool | None = column(models.Skin.stattrak, "Whether it counts kills.")
    is_souvenir: bool | None = column(models.Skin.souvenir, "Whether it is a souvenir of a tournament.")
    float_minimum: float | None = column(
        models.Skin.float_minimum, "The least float value that the paint comes in, 0 to 1."
    )
    float_maximum: float | None = column(
        models.Skin.float_maximum, "The greatest float value that the paint comes in, 0 to 1."
    )
    collection: str | None = column(models.Skin.collection, "The collection that its paint belongs to.")
    crates: list[str] | None = column(
        models.Skin.crates, "The names of the cases and packages that it comes out of; null where not known."
    )
