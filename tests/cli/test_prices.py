"""`trove prices sweep` and `follow`: what they print, what they store, and with which code they end."""

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT

import pytest
from pydantic import SecretStr, ValidationError
from typer.testing import CliRunner, Result

from app.cli.prices import commands
from app.core.database import Database
from app.core.errors import BadUserInput
from app.core.settings import Settings
from app.prices.commands.sweeps import KeyMissing
from tests.catalogue.builders import saved
from tests.conftest import environment_of
from tests.prices.connectors.exchanges import open_exchange, says, ticker
from tests.prices.connectors.fakes import open_fake
from tests.prices.connectors.worlds import COINS, WORLDS, build, stored_prices


async def run(monkeypatch: pytest.MonkeyPatch, settings: Settings, *arguments: str, **keys: str) -> Result:
    """A command of `trove prices`, in this process, with these keys of providers."""
    filled = settings.model_copy(update={"provider_keys": {name: SecretStr(key) for name, key in keys.items()}})
    monkeypatch.setattr("app.cli.prices.current_settings", lambda: filled)
    return await asyncio.to_thread(CliRunner().invoke, commands, list(arguments))


async def test_a_sweep_says_what_it_found(
    database: Database, trove_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = WORLDS["csfloat"]
    async with open_fake(world.provider()) as fake:
        await build(database, world, fake)
        result = await run(monkeypatch, trove_settings, "sweep", "csfloat", csfloat="key-of-the-operator")
        assert result.exit_code == 0, result.output
        assert result.output.splitlines() == [
            "csfloat: 3 items asked for: 2 priced (0 as they were), 1 unknown there, 0 failed",
            "2 rows: 2 accepted, 0 duplicates, 0 rejected",
        ]
        assert {row.slug for row in await stored_prices(database)} == {"redline", "doppler"}
        refused = await run(monkeypatch, trove_settings, "sweep", "csfloat", "--limit", "1", csfloat="wrong")
    assert refused.exit_code == 1
    assert "1 items asked for: 0 priced" in refused.output
    assert "refused, or answered by a redirect (status 403)" in refused.output


async def test_a_sweep_that_cannot_begin_says_why(
    database: Database, trove_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert database is not None
    without_key = await run(monkeypatch, trove_settings, "sweep", "csfloat")
    assert isinstance(without_key.exception, KeyMissing)
    unknown = await run(monkeypatch, trove_settings, "sweep", "nobody")
    assert isinstance(unknown.exception, BadUserInput)
    assert "there are binance, binance-candles, coinbase" in unknown.exception.message


async def test_coins_are_followed_until_ctrl_c(database: Database, trove_settings: Settings) -> None:
    await saved(database, *COINS)
    said = asyncio.Event()
    async with open_exchange(says(ticker("BTC-USD", "60000.5"), all_said=said)) as exchange:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "app.cli.main", "prices", "follow", "coinbase"),
            *("--item", "bitcoin", "--url", exchange.url),
            env=environment_of(trove_settings),
            stdout=PIPE,
            stderr=STDOUT,
        )
        try:
            async with asyncio.timeout(60):
                await said.wait()
                process.send_signal(signal.SIGINT)
                output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
    assert process.returncode == 0, output
    assert output.decode().splitlines() == [
        "Following BTC-USD at coinbase; Ctrl-C ends it.",
        "1 ticks came, 0 could not be read; 1 prices went in by 1 batches over 1 connections",
    ]
    assert {row.slug for row in await stored_prices(database)} == {"bitcoin"}


def test_keys_of_providers_come_from_the_environment_and_are_shown_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TROVE_PROVIDER_KEYS", '{"csfloat": "very-secret"}')
    settings = Settings()
    assert settings.provider_keys["csfloat"].get_secret_value() == "very-secret"
    assert "very-secret" not in repr(settings)


@pytest.mark.parametrize("key", ["schlüssel", "two\\nlines", " ", ""])
def test_a_key_that_no_header_can_carry_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("TROVE_PROVIDER_KEYS", f'{{"csfloat": "{key}"}}')
    with pytest.raises(ValidationError, match="printable ASCII") as refusal:
        Settings()
    assert not key.strip() or key not in str(refusal.value)
