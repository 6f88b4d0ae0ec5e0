"""The sweeps that there are, by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import httpx
from pydantic import SecretStr

from app.core.database import Database
from app.core.errors import Conflict
from app.prices.commands.sweep import SweepOutcome, sweep
from app.prices.connectors.binance import Binance, BinanceCandles
from app.prices.connectors.coinbase import Coinbase
from app.prices.connectors.coingecko import CoinGecko, CoinGeckoCandles
from app.prices.connectors.csfloat import CsFloat
from app.prices.connectors.interface import Connector
from app.prices.connectors.pokemon_tcg import PokemonTcg
from app.prices.connectors.scryfall import Scryfall
from app.prices.connectors.skinport import Skinport, SkinportSales
from app.prices.connectors.steam_market import SteamMarket
from app.providers.client import ProviderClient

# Longer than the window of whoever is asked item by item, so that a full one is waited for; a pause is not.
PATIENCE_SECONDS = 120.0


class KeyMissing(Conflict):
    """A provider answers nobody without a key, and the operator gave none."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """One sweep: called, it asks the provider of its connector for all that it can price, at most `limit` items.

    `keys` are the operator's, by the codes of providers; `at` as `sweep` has it. Raises KeyMissing where the provider
    wants one, ProviderUnknown and ProviderDisabled.
    """

    connector: type[Connector]

    async def __call__(
        self,
        database: Database,
        http: httpx.AsyncClient,
        *,
        keys: Mapping[str, SecretStr],
        limit: int | None = None,
        at: datetime | None = None,
    ) -> SweepOutcome:
        """Run it; `http` is one that `provider_http` gives."""
        provider = self.connector.provider
        key = keys.get(provider)
        if key is None and self.connector.needs_key:
            raise KeyMissing(
                f'{provider} answers nobody without a key: give yours in TROVE_PROVIDER_KEYS, as {{"{provider}": "…"}}.'
            )
        client = ProviderClient(database, provider, http, patience_seconds=PATIENCE_SECONDS)
        return await sweep(database, client, self.connector(key), limit=limit, at=at)


SWEEPS: Mapping[str, Sweep] = {
    connector.name: Sweep(connector)
    for connector in (
        Binance,
        BinanceCandles,
        Coinbase,
        CoinGecko,
        CoinGeckoCandles,
        CsFloat,
        PokemonTcg,
        Scryfall,
        Skinport,
        SkinportSales,
        SteamMarket,
    )
}
