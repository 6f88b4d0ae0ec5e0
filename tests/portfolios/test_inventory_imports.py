"""A Steam inventory is read page by page, and comes in as what has changed in it since the last time."""

from decimal import Decimal
from uuid import UUID

import pytest
from sqlalchemy import func, select, text, update

from app.core.database import Database
from app.core.retrying import ONCE
from app.portfolios.commands.apply_import import apply_import, undo_import
from app.portfolios.commands.import_rows import COST_UNKNOWN
from app.portfolios.commands.inventory_imports import MAXIMUM_ATTEMPTS, next_inventory, request_inventory
from app.portfolios.errors import PortfolioErrorCode
from app.portfolios.models import Holding, PortfolioImport
from app.providers.client import provider_http
from tests.catalogue.builders import saved, skin
from tests.portfolios.builders import Possessions, change, portfolio_of, possessions, refusal_of, trades_of
from tests.portfolios.fake_steam_inventory import FORBIDDEN, TOO_MANY, FakeInventories, cut
from tests.portfolios.import_builders import import_of, rows_of
from tests.prices.connectors.fakes import open_fake, said
from tests.providers.builders import add_provider, answer, provider_row
from workers.inventories import read_inventories

ADA, BOB = "76561198000000001", "76561198000000002"
TIDE, DUNE = "AK-47 | Tide (Factory New)", "AWP | Dune (Well-Worn)"
ASSET = {"assetid": "1", "classid": "2", "instanceid": "3", "amount": "1"}
NAMED = {"classid": "2", "instanceid": "3", "market_hash_name": TIDE}


@pytest.fixture
async def own(database: Database) -> Possessions:
    """An empty portfolio, and two skins in the catalogue."""
    own = await possessions(database)
    await saved(database, skin("tide", TIDE), skin("dune", DUNE))
    return own


async def asked(database: Database, own: Possessions, steam_id: str = ADA) -> UUID:
    """The id of an import that waits."""
    found: UUID = await change(database, request_inventory, own.portfolio_id, steam_id, owner_id=own.owner_id)
    return found


async def read(database: Database) -> int:
    """How many inventories a worker reads."""
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            update(PortfolioImport).where(PortfolioImport.status == "waiting").values(next_attempt_at=func.now())
        )
    async with provider_http() as http:
        return await read_inventories(database, http, retries=ONCE, patience_seconds=1)


async def previewed(database: Database, own: Possessions, steam_id: str = ADA) -> UUID:
    """The id of an import that was read."""
    import_id = await asked(database, own, steam_id)
    assert await read(database) == 1
    return import_id


async def applied(database: Database, own: Possessions, steam_id: str = ADA) -> UUID:
    """The id of an import that was read and applied."""
    import_id = await previewed(database, own, steam_id)
    await change(database, apply_import, import_id, owner_id=own.owner_id)
    return import_id


async def changes(database: Database, import_id: UUID) -> dict[str, tuple[str, int]]:
    """What each asset of an import is, and where."""
    return {row.asset_id: (row.change, row.context) for row in await rows_of(database, import_id)}


async def held(database: Database) -> dict[str, Decimal]:
    """How much is held of each asset."""
    async with database.transaction() as transaction:
        rows = await transaction.connection.execute(
            select(Holding.external_id, Holding.quantity).where(Holding.external_source == "steam")
        )
        return {row[0]: row[1] for row in rows if row[0] is not None}


async def test_an_inventory_of_several_pages_and_contexts_comes_in_whole(database: Database, own: Possessions) -> None:
    fake = FakeInventories(things={(ADA, 2): {"11": TIDE, "12": DUNE, "13": TIDE}, (ADA, 16): {"14": DUNE}})
    async with open_fake(fake):
        await add_provider(database, fake.port, code="steam")
        import_id = await previewed(database, own)
        assert [(one.path, one.params.get("start_assetid")) for one in fake.asked] == [
            (f"/inventory/{ADA}/730/2", None),
            (f"/inventory/{ADA}/730/2", "12"),
            (f"/inventory/{ADA}/730/16", None),
        ]
    found = await import_of(database, import_id)
    assert (found.status, found.acquired, found.skipped, found.bad) == ("previewed", 4, 0, 0)
    assert await held(database) == {}
    await change(database, apply_import, import_id, owner_id=own.owner_id)
    assert await held(database) == dict.fromkeys(("11", "12", "13", "14"), Decimal(1))
    trades = await trades_of(database)
    assert {(trade.kind, trade.price, tuple(trade.tags)) for trade in trades} == {
        ("transfer_in", Decimal(0), (COST_UNKNOWN,))
    }
    await change(database, undo_import, import_id, owner_id=own.owner_id)
    assert await held(database) == {}
    assert await trades_of(database) == []


async def test_the_next_time_only_what_has_changed_is_recorded(database: Database, own: Possessions) -> None:
    fake = FakeInventories(things={(ADA, 2): {"11": TIDE, "12": DUNE, "15": TIDE}, (ADA, 16): {"14": DUNE}})
    async with open_fake(fake):
        await add_provider(database, fake.port, code="steam")
        await applied(database, own)
        # 11 stays, 12 goes, 14 has come out of its protection, 16 is new.
        fake.things = {(ADA, 2): {"11": TIDE, "14": DUNE, "15": TIDE, "16": DUNE}}
        second = await previewed(database, own)
        assert await changes(database, second) == {
            "11": ("unchanged", 2),
            "14": ("moved", 2),
            "15": ("unchanged", 2),
            "16": ("acquired", 2),
            "12": ("gone", 2),
        }
        await change(database, apply_import, second, owner_id=own.owner_id)
        assert await held(database) == {"11": 1, "12": 0, "14": 1, "15": 1, "16": 1}
        third = await applied(database, own)
        assert {change for change, _ in (await changes(database, third)).values()} == {"unchanged"}
        # What comes back is the same holding again.
        fake.things[ADA, 2]["12"] = DUNE
        await applied(database, own)
    assert await held(database) == dict.fromkeys(("11", "12", "14", "15", "16"), Decimal(1))


async def test_two_previews_of_one_change_are_not_both_applied(database: Database, own: Possessions) -> None:
    fake = FakeInventories(things={(ADA, 2): {"11": TIDE}})
    async with open_fake(fake):
        await add_provider(database, fake.port, code="steam")
        first, second = [await previewed(database, own) for _ in range(2)]
    await change(database, apply_import, first, owner_id=own.owner_id)
    reason, _, message = await refusal_of(change(database, apply_import, second, owner_id=own.owner_id))
    assert reason is PortfolioErrorCode.CONFLICT
    assert f"Row 1 ({TIDE})" in message
    assert await held(database) == {"11": 1}


async def test_another_profile_or_portfolio_takes_nothing_away(database: Database, own: Possessions) -> None:
    async with database.transaction() as transaction:
        elsewhere = await portfolio_of(transaction.connection, own.owner_id)
    fake = FakeInventories(things={(ADA, 2): {"11": TIDE}, (BOB, 2): {"21": DUNE}})
    async with open_fake(fake):
        await add_provider(database, fake.port, code="steam")
        await applied(database, own)
        await applied(database, own, BOB)
        other = await applied(database, Possessions(own.owner_id, elsewhere, own.variant_id))
    assert await held(database) == {"11": 1, "21": 1}
    (row,) = await rows_of(database, other)
    assert (row.change, row.reason) == ("duplicate", "Another portfolio of yours holds it.")


async def test_what_the_catalogue_does_not_know_is_skipped_with_its_name(database: Database, own: Possessions) -> None:
    fake = FakeInventories(things={(ADA, 2): {"11": TIDE, "12": "2023 Service Medal"}})
    async with open_fake(fake):
        await add_provider(database, fake.port, code="steam")
        import_id = await applied(database, own)
    _, skipped = await rows_of(database, import_id)
    assert (skipped.change, skipped.subject) == ("skipped", "2023 Service Medal")
    assert "no item by the market hash name" in skipped.reason
    assert await held(database) == {"11": 1}


PRIVATE = "The inventory of this profile is private."
NONSENSE = "Steam answered something that is no inventory:"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (FORBIDDEN, PRIVATE),
        (answer(b"null"), PRIVATE),
        (answer(b"", status="404 Not Found"), "Steam knows no profile with this number"),
        (
            answer(b"<!doctype html><title>Sorry</title>"),
            "answered something that is not JSON",
        ),
        (cut({"assets": [ASSET], "descriptions": [NAMED], "success": 1}), "Steam could not be asked"),
        (said([]), f"{NONSENSE} The inventory should be an object"),
        (said({"success": False, "Error": "EYldRefreshAppIfNecessary failed"}), f"{NONSENSE} It does not say"),
        (said({"success": 1, "assets": [ASSET], "descriptions": []}), f"{NONSENSE} Nothing describes the asset 1."),
        (said({"success": 1, "assets": [ASSET | {"amount": "-1"}], "descriptions": [NAMED]}), "`amount` is no number"),
        (said({"success": 1, "assets": [ASSET | {"amount": "0"}], "descriptions": [NAMED]}), "is there 0 times"),
        (said({"success": 1, "assets": [ASSET | {"assetid": "x"}], "descriptions": [NAMED]}), "`assetid` is no number"),
        (said({"success": 1, "assets": {}, "descriptions": []}), "`assets` should be a list"),
        (
            said({"success": 1, "assets": [ASSET], "descriptions": [NAMED], "more_items": 1}),
            "`last_assetid` is missing",
        ),
    ],
)
async def test_what_is_no_inventory_fails_with_the_reason(
    database: Database, own: Possessions, content: bytes, reason: str
) -> None:
    import_id = await asked(database, own)
    async with open_fake(FakeInventories(faults=[content])) as fake:
        await add_provider(database, fake.port, code="steam")
        assert await read(database) == 0
    found = await import_of(database, import_id)
    assert found.status == "failed"
    assert reason in found.failure
    assert await rows_of(database, import_id) == []
    message = (await refusal_of(change(database, apply_import, import_id, owner_id=own.owner_id)))[2]
    assert message == "It could not be read; preview it again."


async def test_pages_that_lead_in_a_circle_end(database: Database, own: Possessions) -> None:
    page = {"success": 1, "assets": [ASSET], "descriptions": [NAMED], "more_items": 1, "last_assetid": "1"}
    import_id = await asked(database, own)
    async with open_fake(FakeInventories(faults=[said(page)] * 9)) as fake:
        await add_provider(database, fake.port, code="steam")
        assert await read(database) == 0
        assert len(fake.asked) == 2
    assert "without an end" in (await import_of(database, import_id)).failure


async def test_steam_is_asked_again_later_where_that_may_help(database: Database, own: Possessions) -> None:
    import_id = await asked(database, own)
    fake = FakeInventories(things={(ADA, 2): {"11": TIDE}}, faults=[TOO_MANY, answer(b"", status="503 Busy")])
    async with open_fake(fake):
        await add_provider(database, fake.port, code="steam", pause_seconds=1)
        assert await read(database) == 0
        waiting = await import_of(database, import_id)
        assert (waiting.status, waiting.attempts, waiting.failure) == ("waiting", 1, None)
        assert (await provider_row(database)).blocked_until is not None
        await _unblock(database)
        assert await read(database) == 0
        await _unblock(database)
        assert await read(database) == 1
    assert (await import_of(database, import_id)).status == "previewed"


async def test_it_is_given_up_after_so_many_attempts(database: Database, own: Possessions) -> None:
    import_id = await asked(database, own)
    async with open_fake(FakeInventories(faults=[TOO_MANY] * MAXIMUM_ATTEMPTS)) as fake:
        await add_provider(database, fake.port, code="steam")
        for _ in range(MAXIMUM_ATTEMPTS):
            await read(database)
            await _unblock(database)
    found = await import_of(database, import_id)
    assert (found.status, found.failure) == ("failed", "Steam is being asked too much; try again later.")


async def test_it_is_given_up_where_its_workers_end_without_a_word(database: Database, own: Possessions) -> None:
    import_id = await asked(database, own)
    for _ in range(MAXIMUM_ATTEMPTS):
        assert await change(database, next_inventory) is not None
        async with database.transaction() as transaction:
            await transaction.connection.execute(update(PortfolioImport).values(next_attempt_at=func.now()))
    assert await change(database, next_inventory) is None
    assert (await import_of(database, import_id)).status == "failed"


@pytest.mark.parametrize(
    "steam_id", ["", "7656119800000000", "76561198000000001a", "٧٦٥٦١١٩٨٠٠٠٠٠٠٠٠١", "1" * 17, "9" * 17]
)
async def test_only_numbers_of_people_are_asked_for(database: Database, own: Possessions, steam_id: str) -> None:
    reason, field, _ = await refusal_of(asked(database, own, steam_id))
    assert (reason, field) == (PortfolioErrorCode.INVALID_INPUT, ["steamId"])


async def test_assets_are_joined_by_class_and_instance(database: Database, own: Possessions) -> None:
    first, second = ASSET | {"assetid": "1"}, ASSET | {"assetid": "2", "instanceid": "4"}
    other = NAMED | {"instanceid": "4", "market_hash_name": DUNE}
    page = {"success": 1, "assets": [first, second], "descriptions": [other, NAMED]}
    import_id = await asked(database, own)
    async with open_fake(FakeInventories(faults=[said(page)])) as fake:
        await add_provider(database, fake.port, code="steam")
        assert await read(database) == 1
    assert [row.subject for row in await rows_of(database, import_id)] == [TIDE, DUNE]


async def _unblock(database: Database) -> None:
    """Let the pause be over that the provider asked for."""
    async with database.transaction() as transaction:
        await transaction.connection.execute(text("UPDATE providers.providers SET blocked_until = NULL"))
