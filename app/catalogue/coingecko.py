"""Coins, as the list of CoinGecko has them. No tables in here."""

from app.catalogue.errors import RowNotUnderstood
from app.catalogue.fields import Fields
from app.catalogue.new_items import CoinDetails, NewExternalId, NewItem
from app.catalogue.slugs import slug_of

PROVIDER = "coingecko"


def read_coin_row(row: object) -> NewItem:
    """The coin that a row tells of. Of several platforms the first with a contract is the coin's; the rest stay out.

    Raises `RowNotUnderstood` for a row without an id, a symbol or a name, or with a field of another type.
    """
    fields = Fields(row)
    coin_id, symbol, name = (fields.required_text(field) for field in ("id", "symbol", "name"))
    if "object" in fields.names():
        raise RowNotUnderstood(f"it is a {fields.text('object')}, not a coin")
    chain, contract = _first_platform(fields)
    return NewItem(
        slug=slug_of(coin_id),
        name=name,
        details=CoinDetails(symbol=symbol.upper(), chain=chain, contract_address=contract),
        external_ids=(NewExternalId(PROVIDER, coin_id),),
    )


def _first_platform(fields: Fields) -> tuple[str, str] | tuple[None, None]:
    platforms = fields.object("platforms")
    for chain in () if platforms is None else platforms.names():
        contract = platforms.text(chain) if platforms is not None else None
        if chain and contract is not None:
            return chain, contract
    return None, None
