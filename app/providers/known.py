"""The providers that we know, with the limits that they document or are known to hold."""

from dataclasses import dataclass

from app.providers.models import AuthMethod


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownProvider:
    """A provider as we ship it: at most `request_count` calls in any `window_seconds`."""

    code: str
    name: str
    base_url: str
    docs_url: str | None
    window_seconds: int
    request_count: int
    pause_seconds: int = 60
    auth_method: AuthMethod = AuthMethod.NONE


KNOWN_PROVIDERS = (
    KnownProvider(
        code="steam",
        name="Steam Community Market",
        base_url="https://steamcommunity.com",
        docs_url=None,
        window_seconds=60,
        request_count=20,
        # It says no `Retry-After`, and counts what comes during its pause.
        pause_seconds=300,
    ),
    KnownProvider(
        code="skinport",
        name="Skinport",
        base_url="https://api.skinport.com",
        docs_url="https://docs.skinport.com",
        window_seconds=300,
        request_count=8,
        # Who asks too often is shut out for near an hour.
        pause_seconds=3600,
        auth_method=AuthMethod.BASIC,
    ),
    KnownProvider(
        code="scryfall",
        name="Scryfall",
        base_url="https://api.scryfall.com",
        docs_url="https://scryfall.com/docs/api",
        window_seconds=1,
        request_count=10,
    ),
    # The same service, which allows two a second of what it has to look for.
    KnownProvider(
        code="scryfall-search",
        name="Scryfall, searches",
        base_url="https://api.scryfall.com",
        docs_url="https://scryfall.com/docs/api",
        window_seconds=1,
        request_count=2,
    ),
    KnownProvider(
        code="anilist",
        name="AniList",
        base_url="https://graphql.anilist.co",
        docs_url="https://docs.anilist.co",
        window_seconds=60,
        # Served, though 90 are documented.
        request_count=30,
    ),
    KnownProvider(
        code="coingecko",
        name="CoinGecko",
        base_url="https://api.coingecko.com/api/v3",
        docs_url="https://docs.coingecko.com",
        window_seconds=60,
        request_count=10,
        auth_method=AuthMethod.HEADER_KEY,
    ),
    KnownProvider(
        code="binance",
        name="Binance",
        base_url="https://api.binance.com",
        docs_url="https://developers.binance.com/docs/binance-spot-api-docs",
        window_seconds=60,
        # Of weight, of which a call has one or more; its answers say how much is used.
        request_count=1200,
        pause_seconds=120,
    ),
    KnownProvider(
        code="coinbase",
        name="Coinbase Exchange",
        base_url="https://api.exchange.coinbase.com",
        docs_url="https://docs.cdp.coinbase.com/exchange/docs/welcome",
        window_seconds=1,
        # Of public endpoints, for each address.
        request_count=10,
    ),
    KnownProvider(
        code="csfloat",
        name="CSFloat",
        base_url="https://csfloat.com",
        docs_url="https://docs.csfloat.com",
        window_seconds=60,
        # Not documented; its answers say how much is left.
        request_count=20,
        auth_method=AuthMethod.HEADER_KEY,
    ),
    KnownProvider(
        code="pokemontcg",
        name="Pokémon TCG API",
        base_url="https://api.pokemontcg.io",
        docs_url="https://docs.pokemontcg.io",
        window_seconds=60,
        # Without a key, and then 1,000 a day.
        request_count=30,
        auth_method=AuthMethod.HEADER_KEY,
    ),
    KnownProvider(
        code="ecb",
        name="European Central Bank",
        base_url="https://www.ecb.europa.eu",
        docs_url="https://www.ecb.europa.eu/stats/policy_and_exchange_rates/euro_reference_exchange_rates",
        window_seconds=60,
        request_count=10,
    ),
)
