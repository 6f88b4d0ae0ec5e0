"""Wants by their commands, and what fulfils them: what is held, and nothing that is stored with them."""

import asyncio
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert, select, update

from app.core.clock import utc_now
from app.core.database import Database
from app.core.ids import new_id
from app.portfolios.commands import wants
from app.portfolios.commands.record_trade import record_trade
from app.portfolios.errors import PortfolioErrorCode, PortfolioRefused
from app.portfolios.models import Holding, HoldingDetails, TradeKind
from app.portfolios.new_trades import NewTrade
from app.portfolios.queries.wants import IS_FULFILLED, WORDS
from app.portfolios.wish_models import Condition, Want
from tests.portfolios.wishes_builders import Scene, refusal_of, row_of, scene_of

INVALID = PortfolioErrorCode.INVALID_INPUT
TOO_LONG = Decimal("1." + "3" * 39)


@pytest.fixture
async def scene(database: Database) -> Scene:
    """Two people and a catalogue."""
    return await scene_of(database)


async def wanted(database: Database, owner_id: UUID, variant_id: UUID, **given: Any) -> UUID:
    """A new want."""
    async with database.transaction() as transaction:
        return await wants.add_want(transaction, given, owner_id=owner_id, variant_id=variant_id)


async def edited(database: Database, owner_id: UUID, want_id: UUID, version: int | None = None, **changes: Any) -> None:
    """Change a want."""
    async with database.transaction() as transaction:
        await wants.edit_want(transaction, want_id, changes, owner_id=owner_id, expected_version=version)


async def removed(database: Database, owner_id: UUID, want_id: UUID) -> None:
    """Remove a want."""
    async with database.transaction() as transaction:
        await wants.remove_want(transaction, want_id, owner_id=owner_id)


async def held(
    database: Database, scene: Scene, variant_id: UUID, *, quantity: str = "1", condition: str | None = None
) -> UUID:
    """A holding of Ada's."""
    holding_id = new_id()
    names = {"owner_id": scene.ada, "portfolio_id": scene.portfolio_id}
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            insert(Holding).values(
                id=holding_id, variant_id=variant_id, position=0, quantity=Decimal(quantity), **names
            )
        )
        if condition is not None:
            await transaction.connection.execute(
                insert(HoldingDetails).values(holding_id=holding_id, condition=condition, **names)
            )
    return holding_id


async def is_fulfilled(database: Database, want_id: UUID) -> bool:
    """Whether a want is fulfilled."""
    async with database.transaction() as transaction:
        found = await transaction.connection.scalar(select(IS_FULFILLED).where(Want.id == want_id))
        assert isinstance(found, bool)
        return found


async def test_a_want_of_one_variant_is_fulfilled_by_it_until_it_is_sold(database: Database, scene: Scene) -> None:
    want = await wanted(database, scene.ada, scene.variant("lantern-old"))
    await held(database, scene, scene.variant("lantern-old", "foil"))
    await held(database, scene, scene.variant("lantern-new"))
    assert not await is_fulfilled(database, want)
    holding = await held(database, scene, scene.variant("lantern-old"))
    assert await is_fulfilled(database, want)
    async with database.transaction() as transaction:
        await transaction.connection.execute(update(Holding).where(Holding.id == holding).values(quantity=0))
    assert not await is_fulfilled(database, want)


@pytest.mark.parametrize(
    ("slug", "key", "meets"),
    [
        ("lantern-old", "default", True),
        ("lantern-old", "foil", True),
        ("lantern-new", "default", True),
        ("harbour", "default", False),
        ("keeper", "default", False),
    ],
)
async def test_a_want_that_accepts_any_print_is_fulfilled_by_any_of_the_same_card(
    database: Database, scene: Scene, slug: str, key: str, meets: bool
) -> None:
    want = await wanted(database, scene.ada, scene.variant("lantern-old"), accepts_any_print=True)
    await held(database, scene, scene.variant(slug, key))
    assert await is_fulfilled(database, want) is meets


async def test_what_another_person_holds_fulfils_nothing(database: Database, scene: Scene) -> None:
    want = await wanted(database, scene.bob, scene.variant("lantern-old"), accepts_any_print=True)
    await held(database, scene, scene.variant("lantern-old"))
    assert not await is_fulfilled(database, want)


async def worst_that_is_met(database: Database, want_id: UUID, holding_id: UUID, words: str | None) -> int:
    """How many of the conditions, from the worst, a holding in this one meets as a minimum."""
    met = 0
    async with database.transaction() as transaction:
        connection = transaction.connection
        details = update(HoldingDetails).where(HoldingDetails.holding_id == holding_id)
        await connection.execute(details.values(condition=words))
        for minimum in Condition:
            want = update(Want).where(Want.id == want_id)
            await connection.execute(want.values(minimum_condition=minimum.value))
            met += bool(await connection.scalar(select(IS_FULFILLED).where(Want.id == want_id)))
    return met


async def test_a_minimum_is_met_by_what_is_no_worse_and_known(database: Database, scene: Scene) -> None:
    want = await wanted(database, scene.ada, scene.variant("keeper"))
    holding = await held(database, scene, scene.variant("keeper"), condition="?")
    for place, condition in enumerate(Condition):
        words = condition.name.replace("_", " ").title()
        assert await worst_that_is_met(database, want, holding, words) == len(Condition) - place, condition
    assert await worst_that_is_met(database, want, holding, None) == 0


async def test_a_holding_without_details_meets_no_minimum(database: Database, scene: Scene) -> None:
    want = await wanted(database, scene.ada, scene.variant("keeper"), minimum_condition=Condition.POOR)
    await held(database, scene, scene.variant("keeper"))
    assert not await is_fulfilled(database, want)


async def test_the_words_of_collectors_are_understood(database: Database, scene: Scene) -> None:
    want = await wanted(database, scene.ada, scene.variant("keeper"))
    holding = await held(database, scene, scene.variant("keeper"), condition="?")
    for words, condition in {
        "NM": Condition.NEAR_MINT,
        "  near-mint ": Condition.NEAR_MINT,
        "NM/M": Condition.NEAR_MINT,
        "Lightly Played": Condition.EXCELLENT,
        "light played": Condition.GOOD,
        "Factory sealed": Condition.MINT,
        "DMG": Condition.POOR,
    }.items():
        place = list(Condition).index(condition)
        assert await worst_that_is_met(database, want, holding, words) == len(Condition) - place, words
    for words in ("a bit dusty", "", "nm?mint?"):
        assert await worst_that_is_met(database, want, holding, words) == 0, words


def test_each_word_stands_for_one_condition() -> None:
    words = [word for known in WORDS.values() for word in known]
    assert sorted(words) == sorted(set(words))
    assert list(WORDS) == list(Condition)
    assert all(condition.value.replace("_", " ") in WORDS[condition] for condition in Condition)


async def test_a_want_that_was_removed_comes_back_as_it_is_said_now(database: Database, scene: Scene) -> None:
    variant = scene.variant("keeper")
    want = await wanted(database, scene.ada, variant, notes="Old", priority=3)
    again = refusal_of(wanted(database, scene.ada, variant))
    assert await again == (PortfolioErrorCode.ALREADY_LISTED, ["variantId"])
    await removed(database, scene.ada, want)
    gone = (PortfolioErrorCode.NOT_FOUND, ["id"])
    assert await refusal_of(removed(database, scene.ada, want)) == gone
    assert await refusal_of(edited(database, scene.ada, want, priority=1)) == gone
    price: dict[str, Any] = {"maximum_price": Decimal("12.50"), "currency": "EUR"}
    assert await wanted(database, scene.ada, variant, **price) == want
    stored = await row_of(database, Want, want)
    assert (stored["deleted_at"], stored["notes"], stored["priority"], stored["version"]) == (None, None, 0, 3)
    assert (stored["maximum_price"], stored["currency"]) == (Decimal("12.50"), "EUR")
    await wanted(database, scene.bob, variant)


IMPOSSIBLE: tuple[tuple[dict[str, Any], str], ...] = (
    ({"maximum_price": Decimal("NaN"), "currency": "EUR"}, "maximumPrice"),
    ({"maximum_price": Decimal("Infinity"), "currency": "EUR"}, "maximumPrice"),
    ({"maximum_price": Decimal(-1), "currency": "EUR"}, "maximumPrice"),
    ({"maximum_price": TOO_LONG, "currency": "EUR"}, "maximumPrice"),
    ({"maximum_price": Decimal(10) ** 15 + 1, "currency": "EUR"}, "maximumPrice"),
    ({"maximum_price": Decimal(1), "currency": "XXX"}, "currency"),
    ({"maximum_price": Decimal(1)}, "currency"),
    ({"currency": "EUR"}, "maximumPrice"),
    ({"priority": 11}, "priority"),
    ({"priority": -1}, "priority"),
    ({"notes": "x" * 2_001}, "notes"),
    ({"notes": "a\x00b"}, "notes"),
)


async def test_what_no_want_can_have_is_refused_and_changes_nothing(database: Database, scene: Scene) -> None:
    want = await wanted(database, scene.ada, scene.variant("keeper"))
    for given, field in IMPOSSIBLE:
        assert await refusal_of(wanted(database, scene.ada, scene.variant("heron"), **given)) == (INVALID, [field]), (
            field
        )
        assert await refusal_of(edited(database, scene.ada, want, **given)) == (INVALID, [field]), field
    assert (await row_of(database, Want, want))["version"] == 1


async def test_a_want_is_changed_by_what_is_given_alone(database: Database, scene: Scene) -> None:
    price: dict[str, Any] = {"maximum_price": Decimal("12.50"), "currency": "EUR"}
    want = await wanted(database, scene.ada, scene.variant("keeper"), notes="Any", priority=2, **price)
    await edited(database, scene.ada, want, priority=10, variant_id=scene.variant("warden"))
    stored = await row_of(database, Want, want)
    assert (stored["variant_id"], stored["priority"], stored["notes"]) == (scene.variant("warden"), 10, "Any")
    await edited(database, scene.ada, want, maximum_price=None, currency=None)
    assert (await row_of(database, Want, want))["currency"] is None
    half = refusal_of(edited(database, scene.ada, want, currency="EUR"))
    assert await half == (INVALID, ["maximumPrice"])
    await wanted(database, scene.ada, scene.variant("heron"))
    taken = refusal_of(edited(database, scene.ada, want, variant_id=scene.variant("heron")))
    assert await taken == (PortfolioErrorCode.ALREADY_LISTED, ["variantId"])


@pytest.mark.parametrize(
    "text", ["全角\u3000スペース", "12\u00a0€", "👨\u200d👩\u200d👧", "می\u200cخواهم", "two\r\nlines"], ids=ascii
)
async def test_notes_are_of_any_script_and_any_emoji(database: Database, scene: Scene, text: str) -> None:
    want = await wanted(database, scene.ada, scene.variant("keeper"), notes=text)
    assert (await row_of(database, Want, want))["notes"] == text.replace("\r\n", "\n")
    trade = NewTrade(
        kind=TradeKind.BUY,
        occurred_at=utc_now(),
        quantity=Decimal(1),
        currency="EUR",
        variant_id=scene.variant("keeper"),
        notes=text,
    )
    async with database.transaction() as transaction:
        await record_trade(transaction, trade, owner_id=scene.ada, portfolio_id=scene.portfolio_id)


async def test_the_wants_of_others_are_not_there(database: Database, scene: Scene) -> None:
    want = await wanted(database, scene.ada, scene.variant("keeper"))
    missing = (PortfolioErrorCode.NOT_FOUND, ["id"])
    assert await refusal_of(edited(database, scene.bob, want, priority=1)) == missing
    assert await refusal_of(removed(database, scene.bob, want)) == missing
    unknown = refusal_of(wanted(database, scene.ada, new_id()))
    assert await unknown == (PortfolioErrorCode.NOT_FOUND, ["variantId"])


async def test_of_two_who_edit_the_same_version_one_is_told(database: Database, scene: Scene) -> None:
    want = await wanted(database, scene.ada, scene.variant("keeper"))
    outcomes = await asyncio.gather(
        *(edited(database, scene.ada, want, 1, priority=priority) for priority in (1, 2, 3)), return_exceptions=True
    )
    refused = [outcome.reason for outcome in outcomes if isinstance(outcome, PortfolioRefused)]
    assert refused == [PortfolioErrorCode.CONFLICT] * 2
    assert (await row_of(database, Want, want))["version"] == 2


async def test_what_is_wanted_by_two_at_once_is_wanted_once(database: Database, scene: Scene) -> None:
    adding = [wanted(database, scene.ada, scene.variant("keeper")) for _ in range(3)]
    outcomes = await asyncio.gather(*adding, return_exceptions=True)
    refused = [outcome.reason for outcome in outcomes if isinstance(outcome, PortfolioRefused)]
    assert refused == [PortfolioErrorCode.ALREADY_LISTED] * 2


async def test_there_are_no_more_wants_than_there_may_be(
    database: Database, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wants, "MOST_WANTS", 1)
    want = await wanted(database, scene.ada, scene.variant("keeper"))
    assert await refusal_of(wanted(database, scene.ada, scene.variant("heron"))) == (PortfolioErrorCode.TOO_MANY, [])
    await removed(database, scene.ada, want)
    await wanted(database, scene.ada, scene.variant("heron"))
