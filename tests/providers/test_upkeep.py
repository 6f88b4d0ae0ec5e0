"""The providers that we know are added once, and what is old goes."""

from datetime import timedelta

import pytest
from sqlalchemy import insert, select, update

from app.core.clock import utc_now
from app.core.database import Database
from app.core.ids import new_id
from app.providers.known import KNOWN_PROVIDERS
from app.providers.models import Provider, ProviderCall, ProviderLookup
from tests.providers.builders import CODE, add_provider, calls
from workers.beginning import BeginningRunner
from workers.providers import add_known_providers, prune_provider_calls


async def test_known_providers_are_added_and_what_an_operator_changed_stays(database: Database) -> None:
    await add_known_providers(database)
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            update(Provider).where(Provider.code == "coingecko").values(request_count=500, is_enabled=False)
        )
    await add_known_providers(database)
    async with database.transaction() as transaction:
        rows = {row.code: row for row in await transaction.connection.execute(select(*Provider.__table__.columns))}
    assert rows.keys() == {provider.code for provider in KNOWN_PROVIDERS}
    assert (rows["coingecko"].request_count, rows["coingecko"].is_enabled) == (500, False)
    limits = {code: (rows[code].request_count, rows[code].window_seconds) for code in rows}
    assert limits["steam"] == (20, 60)
    assert limits["skinport"] == (8, 300)
    assert limits["scryfall"] == (10, 1)
    assert limits["anilist"] == (30, 60)


async def test_a_worker_that_starts_before_its_database_adds_them_as_soon_as_it_can(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = []

    async def refuse_once(_: Database) -> None:
        begun.append(True)
        if len(begun) == 1:
            raise ConnectionRefusedError

    monkeypatch.setattr("workers.beginning.make_partitions_ahead", refuse_once)
    beginning = BeginningRunner(database)
    codes = []
    for _ in range(3):
        await beginning.run()
        async with database.transaction() as transaction:
            codes.append(set(await transaction.connection.scalars(select(Provider.code))))
    known = {provider.code for provider in KNOWN_PROVIDERS}
    assert (codes, len(begun)) == ([set(), known, known], 2)


async def test_old_calls_and_answers_go_and_others_stay(database: Database) -> None:
    await add_provider(database)
    now = utc_now()
    async with database.transaction() as transaction:
        for days in (29, 31):
            await transaction.connection.execute(
                insert(ProviderCall).values(
                    id=new_id(), provider=CODE, endpoint=f"{days}", started_at=now - timedelta(days=days)
                )
            )
        for days in (6, 8):
            await transaction.connection.execute(
                insert(ProviderLookup).values(
                    provider=CODE, key=f"{days}", content=b"{}", expires_at=now - timedelta(days=days)
                )
            )
    await prune_provider_calls(database)
    assert [call.endpoint for call in await calls(database)] == ["29"]
    async with database.transaction() as transaction:
        assert list(await transaction.connection.scalars(select(ProviderLookup.key))) == ["6"]
