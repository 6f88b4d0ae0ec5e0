"""Coins by their ticker symbols, and items by the names that people type."""

from collections.abc import Sequence

from sqlalchemy import exists, func, select

from app.catalogue.commands.save_items import save_items
from app.catalogue.errors import ItemsContradict
from app.catalogue.models import Coin, ExternalId, Item
from app.catalogue.new_items import CoinDetails, NewItem
from app.catalogue.slugs import slug_of
from app.core.database import Transaction
from app.core.money import MINOR_UNITS

COIN_NAMES = {
    "ADA": "Cardano",
    "AVAX": "Avalanche",
    "BCH": "Bitcoin Cash",
    "BNB": "BNB",
    "BTC": "Bitcoin",
    "DAI": "Dai",
    "DOGE": "Dogecoin",
    "DOT": "Polkadot",
    "ETH": "Ethereum",
    "LTC": "Litecoin",
    "SOL": "Solana",
    "TRX": "TRON",
    "USDC": "USD Coin",
    "USDT": "Tether",
    "XLM": "Stellar",
    "XMR": "Monero",
    "XRP": "XRP",
}


async def coins_of_symbol(transaction: Transaction, symbol: str) -> Sequence[str]:
    """The slugs of the coins with this symbol; symbols are not unique among coins."""
    rows = await transaction.connection.execute(
        select(Item.slug)
        .join(Coin, Coin.item_id == Item.id)
        .where(func.upper(Coin.symbol) == symbol.upper())
        .order_by(Item.slug)
    )
    return rows.scalars().all()


async def add_coin(transaction: Transaction, symbol: str, *, slug: str | None = None) -> str:
    """Add a coin unless there is one of that slug (else made from its name), and give its slug.

    Raises `ItemsContradict` when the slug belongs to an item of another kind or to a coin of another symbol.
    """
    name = COIN_NAMES.get(symbol, symbol)
    slug = slug or slug_of(name)
    stored = await transaction.connection.scalar(
        select(Coin.symbol).join(Item, Item.id == Coin.item_id).where(Item.slug == slug)
    )
    if stored is not None and stored.upper() != symbol.upper():
        raise ItemsContradict(f"`{slug}` is the coin {stored}, not {symbol}; give the new one another slug.")
    if stored is None:
        details = CoinDetails(symbol=symbol, decimals=MINOR_UNITS.get(symbol))
        await save_items(transaction, [NewItem(slug=slug, name=name, details=details)])
    return slug


async def has_item(transaction: Transaction, reference: str) -> bool:
    """Whether there is an item of this slug, or of this `provider:id`."""
    provider, separator, external_id = reference.partition(":")
    query = (
        select(exists().where(ExternalId.provider == provider, ExternalId.external_id == external_id))
        if separator
        else select(exists().where(Item.slug == reference))
    )
    return bool(await transaction.connection.scalar(query))
