"""Whatever a provider answers instead of prices, a sweep ends, says what failed, and takes in the rest."""

import asyncio
import json
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import brotli
import httpx
import pytest
from sqlalchemy import func, select, text, update

from app.core.database import Database
from app.core.outbound import client_options
from app.core.retrying import ONCE
from app.ingestion.models import IngestBatch
from app.prices.commands.sweep import sweep
from app.providers.client import ProviderClient
from app.providers.errors import ProviderDisabled
from app.providers.models import Provider
from tests.prices.connectors.fakes import (
    FakeBinance,
    FakeCoinbase,
    FakeCoinGecko,
    FakeCsFloat,
    FakeScryfall,
    FakeSkinport,
    FakeSteam,
    Fault,
    open_fake,
    said,
)
from tests.prices.connectors.worlds import (
    AT_ONCE,
    COINS,
    DOPPLER,
    HOUR,
    MAGIC,
    NOON,
    NOON_SECONDS,
    REDLINE,
    SKINS,
    WORLDS,
    World,
    build,
    stored_candles,
    stored_prices,
    swept,
)
from tests.providers.builders import answer, calls, provider_row

FAULTS: dict[str, tuple[Fault, str]] = {
    "404": (answer(b"<html>", status="404 Not Found"), "refused"),
    "403": (answer(b"{}", status="403 Forbidden"), "refused"),
    "HTML": (answer(b"<!doctype html><title>One moment</title>"), "not JSON"),
    "nothing": (answer(b""), "not JSON"),
    "null": (said("null"), "null"),
    "another shape": (said('"prices"'), "a text"),
    "NaN": (said('{"price": NaN}'), "not JSON"),
    "cut in the middle": (answer(b'[{"price":', length=1000), "not HTTP"),
    "brotli cut in the middle": (
        answer(brotli.compress(b"[1, 2, 3]" * 100)[:-3], headers="Content-Encoding: br\r\n"),
        "not HTTP",
    ),
}


def is_how_unknown_is_said(name: str, fault: str) -> bool:
    """Whether the fault is how the provider says that it does not know what it was asked for."""
    return fault == "404" and name in {"coinbase", "coingecko-candles"}


@pytest.mark.parametrize("name", WORLDS)
async def test_a_bad_answer_fails_its_question_and_no_other(database: Database, name: str) -> None:
    world = WORLDS[name]
    # Of those that list first what they have, the list is whole; Coinbase's is kept from the sweep that went well.
    before = [b""] if name == "binance-candles" else []
    questions = world.questions - (name in {"coinbase", "binance-candles"})
    async with open_fake(world.provider()) as fake:
        connector = await build(database, world, fake)
        assert (await swept(database, connector)).failed == 0
        for fault, (content, reason) in FAULTS.items():
            fake.faults = [*before, content]
            outcome = await swept(database, connector)
            assert (outcome.asked, outcome.cut_short) == (3, None), fault
            if is_how_unknown_is_said(name, fault):
                assert outcome.failed == 0
            elif questions == 1:
                assert (outcome.failed, outcome.priced) == (3, 0), fault
                assert reason in outcome.failures[0].reason
            else:
                assert outcome.failed in {1, 2}, fault
                assert outcome.priced >= 1, fault
                assert outcome.failed + outcome.priced + outcome.unknown == 3, fault
                assert reason in outcome.failures[0].reason


@pytest.mark.parametrize("name", WORLDS)
async def test_what_passes_is_tried_again_and_nothing_is_missing(database: Database, name: str) -> None:
    world = WORLDS[name]
    async with open_fake(world.provider()) as fake:
        connector = await build(database, world, fake)
        fake.faults = [answer(status="500 Oh No"), b"\r\n"]
        outcome = await swept(database, connector, retries=AT_ONCE)
        assert len(fake.asked) == world.questions + 2
    assert (outcome.asked, outcome.failed, outcome.cut_short) == (3, 0, None)
    assert outcome.priced >= 1


async def test_steam_without_a_word_of_when_ends_the_sweep_and_is_left_alone(database: Database) -> None:
    world = WORLDS["steam-market"]
    async with open_fake(world.provider()) as fake:
        connector = await build(database, world, fake, pause_seconds=300)
        fake.faults = [b"", answer(b"null", status="429 Too Many Requests")]
        outcome = await swept(database, connector, retries=AT_ONCE)
        assert outcome.asked == 1
        assert outcome.cut_short is not None
        assert "steam" in outcome.cut_short
        again = await swept(database, connector, retries=AT_ONCE)
        assert (again.asked, again.cut_short is not None) == (0, True)
        assert len(fake.asked) == 2
    assert (await provider_row(database)).refusals == 1


async def test_a_provider_that_says_when_is_asked_again_then(database: Database) -> None:
    world = WORLDS["csfloat"]
    async with open_fake(world.provider()) as fake:
        connector = await build(database, world, fake, pause_seconds=3600)
        fake.faults = [answer(b"{}", status="429 Too Many Requests", headers="Retry-After: 1\r\n")]
        outcome = await swept(database, connector, retries=AT_ONCE)
    assert (outcome.asked, outcome.priced, outcome.failed, outcome.cut_short) == (3, 2, 0, None)
    assert [call.status for call in await calls(database)] == [429, 200, 200, 200]


@pytest.mark.parametrize("fault", [answer(b"<html>"), said({"products": []}), said([5])])
async def test_a_provider_that_does_not_list_what_it_has_cuts_the_sweep_short(database: Database, fault: bytes) -> None:
    async with open_fake(FakeCoinbase(faults=[fault])) as fake:
        connector = await build(database, WORLDS["coinbase"], fake)
        outcome = await swept(database, connector)
        assert len(fake.asked) == 1
    assert outcome.asked == 0
    assert outcome.cut_short is not None


async def test_an_answer_that_drips_ends_and_the_next_question_is_asked(database: Database) -> None:
    world = WORLDS["steam-market"]
    async with open_fake(world.provider()) as fake:
        connector = await build(database, world, fake)
        fake.faults = [None]
        async with httpx.AsyncClient(**client_options(total_seconds=0.4)) as http:
            client = ProviderClient(database, connector.provider, http, retries=ONCE)
            outcome = await sweep(database, client, connector, at=NOON)
    assert (outcome.asked, outcome.failed) == (3, 1)
    assert "did not answer in time" in outcome.failures[0].reason


async def test_a_provider_that_is_turned_off_is_not_asked(database: Database) -> None:
    world = WORLDS["binance"]
    async with open_fake(world.provider()) as fake:
        connector = await build(database, world, fake, is_enabled=False)
        with pytest.raises(ProviderDisabled):
            await swept(database, connector)
        assert fake.asked == []


def klines(**values: Any) -> list[list[Any]]:
    """One candle of Binance, and one of an hour before, whose values are changed."""
    good = [(NOON_SECONDS - HOUR) * 1000, "2", "4", "1", "3", "9", 0, "27"]
    places = {"label": 0, "open": 1, "high": 2, "low": 3, "close": 4, "volume": 5}
    odd = [(NOON_SECONDS - 2 * HOUR) * 1000, *good[1:]]
    for name, value in values.items():
        odd[places[name]] = value
    return [odd, good]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"open": "NaN"}, "`open` is “NaN”, and not an amount"),
        ({"open": "-1"}, "`open` is “-1”, below zero"),
        ({"open": None}, "`open` is no price"),
        ({"open": "5"}, "do not lie between"),
        ({"high": "1e99"}, "`high` is “1e99”, and not an amount"),
        ({"low": "1e-19"}, "beyond what a price can be"),
        ({"label": 12}, "before the year 2000"),
        ({"label": "soon"}, "not a time since 1970"),
        ({"label": 10**30}, "not a time since 1970"),
        ({"label": (NOON_SECONDS - 100) * 1000}, "is not the start of a candle of 1h"),
    ],
)
async def test_an_odd_candle_is_told_and_the_others_go_in(
    database: Database, values: dict[str, Any], reason: str
) -> None:
    async with open_fake(FakeBinance(prices={"BTCUSDT": "1"}, klines={"BTCUSDT": klines(**values)})) as fake:
        connector = await build(database, World(WORLDS["binance-candles"].connector, COINS[:1], lambda: fake, 2), fake)
        outcome = await swept(database, connector)
        again = await swept(database, connector, at=NOON + timedelta(minutes=1))
    assert (outcome.asked, outcome.failed, outcome.priced) == (1, 1, 0)
    assert reason in outcome.failures[0].reason
    assert len(await stored_candles(database)) == 1
    assert (again.failed, again.priced, again.unchanged) == (1, 0, 0)


@pytest.mark.parametrize(
    ("price", "stored", "reason"),
    [
        ("NaN", None, "and not an amount"),
        ("Infinity", None, "and not an amount"),
        ("-5", None, "below zero"),
        ("1e-9", "0.000000001", None),
        ("1E+3", "1000", None),
        ("1e-19", None, "beyond what a price can be"),
        ("10000000000000000", None, "beyond what a price can be"),
        ("1234567890.1234567890123456789", None, "beyond what a price can be"),
        ("1.5000000000000000000000", "1.5", None),
        ("", None, None),
        ("—", None, None),
        ("0.00000000", None, None),
    ],
)
async def test_an_odd_price_fails_alone_and_no_price_is_none(
    database: Database, price: str, stored: str | None, reason: str | None
) -> None:
    async with open_fake(FakeBinance(prices={"BTCUSDT": price, "ETHUSDT": "2"})) as fake:
        connector = await build(database, WORLDS["binance"], fake)
        outcome = await swept(database, connector)
    found = {row.slug: row.price for row in await stored_prices(database)}
    assert found == {"ethereum": Decimal(2), **({} if stored is None else {"bitcoin": Decimal(stored)})}
    assert outcome.failed == (reason is not None)
    if reason is not None:
        assert (outcome.failures[0].subject, reason in outcome.failures[0].reason) == ("BTCUSDT", True)


@pytest.mark.parametrize(
    ("overview", "reason"),
    [
        ({"success": True, "lowest_price": "1,20€"}, "is in EUR, and USD was asked for"),
        ({"success": True, "lowest_price": "soon"}, "holds no number"),
        ({"success": True, "lowest_price": 5}, "is “5”, and not a text"),
        ({"success": True, "median_price": "$1.00", "volume": "many"}, "`volume` is “many”"),
        ([], "should be an object, and is a list of 0"),
        ({"success": True}, None),
        ({"success": True, "lowest_price": "--"}, None),
    ],
)
async def test_odd_overviews_of_steam(database: Database, overview: object, reason: str | None) -> None:
    async with open_fake(FakeSteam(overviews={REDLINE: overview})) as fake:
        connector = await build(database, World(WORLDS["steam-market"].connector, SKINS[:1], lambda: fake, 1), fake)
        outcome = await swept(database, connector)
    assert (outcome.priced, outcome.failed) == (0, reason is not None)
    if reason is not None:
        assert reason in outcome.failures[0].reason
    assert await stored_prices(database) == set()


@pytest.mark.parametrize(
    ("coin", "reason"),
    [
        ('{"usd": -1, "last_updated_at": 1714560000}', "below zero"),
        ('{"usd": 1, "last_updated_at": "soon"}', "not a time since 1970"),
        ('{"usd": 1e-9, "last_updated_at": 99999999999999}', "not a time since 1970"),
        ("[]", "should be an object"),
        ('{"usd": null}', None),
        ("{}", None),
    ],
)
async def test_odd_coins_of_coingecko(database: Database, coin: str, reason: str | None) -> None:
    async with open_fake(FakeCoinGecko(coins={"bitcoin": coin, "ethereum": '{"usd": 1e-9}'})) as fake:
        connector = await build(database, WORLDS["coingecko"], fake)
        outcome = await swept(database, connector)
    assert (outcome.priced, outcome.failed) == (1, reason is not None)
    if reason is not None:
        assert reason in outcome.failures[0].reason
    (stored,) = await stored_prices(database)
    assert (stored.slug, stored.price, stored.observed_at) == ("ethereum", Decimal("1e-9"), NOON)


async def test_a_clock_that_is_ahead_does_not_date_a_price_in_the_future(database: Database) -> None:
    ahead = f'{{"usd": 5, "last_updated_at": {NOON_SECONDS + 3600}}}'
    async with open_fake(FakeCoinGecko(coins={"bitcoin": ahead})) as fake:
        connector = await build(database, WORLDS["coingecko"], fake)
        await swept(database, connector)
    assert {row.observed_at for row in await stored_prices(database)} == {NOON}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"currency": "XXX"}, "no currency that Trove knows"),
        ({"min_price": "NaN"}, "and not an amount"),
        ({"updated_at": None}, "`updated_at` is missing"),
    ],
)
async def test_odd_items_of_skinport(database: Database, row: dict[str, object], reason: str) -> None:
    good = {"market_hash_name": DOPPLER, "currency": "EUR", "min_price": 5, "updated_at": NOON_SECONDS, "quantity": 1}
    async with open_fake(FakeSkinport(items=[{**good, "market_hash_name": REDLINE, **row}, good])) as fake:
        connector = await build(database, WORLDS["skinport"], fake)
        outcome = await swept(database, connector)
    assert (outcome.priced, outcome.failed, outcome.unknown) == (1, 1, 1)
    assert reason in outcome.failures[0].reason
    assert {row.slug for row in await stored_prices(database)} == {"doppler"}


async def test_a_listing_of_another_item_is_not_taken_for_this_ones(database: Database) -> None:
    other = said({"data": [{"price": 5, "item": {"market_hash_name": DOPPLER}}]})
    async with open_fake(FakeCsFloat(faults=[other])) as fake:
        connector = await build(database, World(WORLDS["csfloat"].connector, SKINS[:1], lambda: fake, 1), fake)
        outcome = await swept(database, connector)
    assert outcome.failures[0].reason == "The listing is of another item."


async def test_an_offer_of_half_a_cent_is_not_understood(database: Database) -> None:
    async with open_fake(FakeCsFloat(prices={REDLINE: "0.000000000000000001"})) as fake:
        connector = await build(database, World(WORLDS["csfloat"].connector, SKINS[:1], lambda: fake, 1), fake)
        outcome = await swept(database, connector)
    assert (outcome.priced, outcome.failures[0].reason) == (0, "`price` is no whole number of cents.")


async def test_a_price_of_a_card_that_is_none_fails_that_card(database: Database) -> None:
    cards: dict[str, dict[str, Any]] = {
        "id-1": {"id": "id-1", "prices": {"usd": "a lot"}},
        "id-2": {"id": "id-2", "prices": {"usd": "—", "eur": "1.00"}},
        "id-3": {"id": "id-3", "prices": None},
    }
    async with open_fake(FakeScryfall(cards=cards)) as fake:
        connector = await build(database, World(WORLDS["scryfall"].connector, MAGIC, lambda: fake, 1), fake)
        outcome = await swept(database, connector)
    assert (outcome.priced, outcome.failed, outcome.unknown) == (1, 1, 0)
    assert outcome.failures[0].reason == "usd “a lot” is not an amount"
    assert json.loads(fake.asked[0].body)["identifiers"][0].keys() == {"id"}


@dataclass(slots=True)
class SteamUntilTurnedOff(FakeSteam):
    """Steam, which staff turn off while they wait for its second answer."""

    database: Database | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        if self.asked and self.database is not None:
            async with self.database.transaction() as transaction:
                await transaction.connection.execute(text("SET LOCAL ROLE trove_migrator"))
                await transaction.connection.execute(update(Provider).values(is_enabled=False))
        await FakeSteam.serve(self, reader, writer)


async def test_what_was_found_before_its_provider_was_turned_off_goes_in(database: Database) -> None:
    prices: dict[str, object] = {name: {"success": True, "lowest_price": "$1.00"} for name in (REDLINE, DOPPLER)}
    async with open_fake(SteamUntilTurnedOff(overviews=prices, database=database)) as fake:
        connector = await build(database, World(WORLDS["steam-market"].connector, SKINS[:2], lambda: fake, 2), fake)
        fake.faults = [b"", answer(status="500 Oh No")]
        with pytest.raises(ProviderDisabled):
            await swept(database, connector, retries=AT_ONCE)
    assert await accepted_rows(database) == 1


async def accepted_rows(database: Database) -> int:
    """How many rows were accepted for ingestion, whether they are taken in or wait."""
    async with database.transaction() as transaction:
        return await transaction.connection.scalar(select(func.coalesce(func.sum(IngestBatch.row_count), 0))) or 0


async def test_a_sweep_that_is_cancelled_has_sent_nothing_by_halves(database: Database) -> None:
    world = WORLDS["steam-market"]
    async with open_fake(world.provider()) as fake:
        connector = await build(database, world, fake)
        fake.faults = [b"", None]
        sweeping = asyncio.create_task(swept(database, connector))
        await fake.is_dripping.wait()
        sweeping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sweeping
    assert await accepted_rows(database) == 0
