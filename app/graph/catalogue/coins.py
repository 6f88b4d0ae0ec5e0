"""Coins and tokens."""

import strawberry

from app.catalogue import models
from app.catalogue.models import ItemKind
from app.graph.catalogue.items import Item
from app.graph.reads.fields import column, shows_kind


@strawberry.type(description="A crypto coin or token.")
@shows_kind(ItemKind.COIN, details=models.Coin.item_id)
class Coin(Item):
    symbol: str | None = column(models.Coin.symbol, "The ticker symbol, such as BTC.")
    decimals: int | None = column(models.Coin.decimals, "Decimal places of its smallest unit; null where not known.")
    chain: str | None = column(
        models.Coin.chain, "The chain that it lives on, such as `ethereum`; null where not known."
    )
    contract_address: str | None = column(
        models.Coin.contract_address, "The address of a token's contract on its chain; null for a chain's own coin."
    )
