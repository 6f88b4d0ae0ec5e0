"""A file is previewed as what it would bring, applied whole or not at all, and undone to the last digit."""

from decimal import Decimal
from typing import Any

from sqlalchemy import func, insert, select, update

from app.catalogue.models import ItemVariant
from app.catalogue.new_items import CardDetails, NewCardSet, NewExternalId, NewItem, NewRelease, NewVariant
from app.core.database import Database
from app.core.ids import PublicIdTag, new_id, public_id
from app.portfolios.commands.apply_import import apply_import, undo_import
from app.portfolios.commands.edit_trade import delete_trade, edit_trade
from app.portfolios.commands.import_rows import COST_UNKNOWN
from app.portfolios.commands.preview_import import MOST_PREVIEWS, FileToImport
from app.portfolios.commands.record_trade import record_trade
from app.portfolios.errors import PortfolioErrorCode
from app.portfolios.imports.mappings import FileSource
from app.portfolios.ledger import LotChoice
from app.portfolios.models import (
    CostBasisMethod,
    Holding,
    HoldingDetails,
    ImportStatus,
    PortfolioImport,
    SnapshotMark,
    Trade,
)
from tests.catalogue.builders import coin, figure, saved, skin
from tests.portfolios.builders import (
    Possessions,
    buy,
    change,
    portfolio_of,
    possessions,
    recorded,
    refusal_of,
    sell,
    stored,
    trades_of,
    with_variant,
)
from tests.portfolios.import_builders import COLUMNS, applied, file_of, import_of, line, previewed, rows_of

GAIN = Decimal("133.3333333333333333335")
BUY_AND_SELL = (line("buy", "2", "100", fee="1"), line("sell", "0.5", "300", day=2))


async def holdings(database: Database) -> list[tuple[Any, ...]]:
    """What is held, by quantity."""
    async with database.transaction() as transaction:
        rows = await transaction.connection.execute(
            select(Holding.quantity, Holding.cost, Holding.realized_gain).order_by(Holding.quantity)
        )
        return [tuple(row) for row in rows]


async def test_a_preview_changes_nothing_but_is_there_to_be_looked_at(database: Database) -> None:
    own = await possessions(database)
    import_id = await previewed(database, own, file_of(*BUY_AND_SELL))
    found = await import_of(database, import_id)
    assert (found.status, found.trades, found.bad, found.duplicates) == ("previewed", 2, 0, 0)
    rows = await rows_of(database, import_id)
    assert [(row.line, row.change, row.kind, row.quantity) for row in rows] == [
        (2, "trade", "buy", Decimal(2)),
        (3, "trade", "sell", Decimal("0.5")),
    ]
    assert {row.variant_id for row in rows} == {own.variant_id}
    assert await trades_of(database) == []
    assert await holdings(database) == []


async def test_what_was_previewed_is_applied_and_undone_to_the_last_digit(database: Database) -> None:
    own = await possessions(database)
    await recorded(database, own, buy("1", "33.333333333333333333"))
    before = await stored(database)
    import_id = await applied(database, own, file_of(*BUY_AND_SELL))
    assert (await import_of(database, import_id)).status == ImportStatus.APPLIED
    assert await holdings(database) == [(Decimal("2.5"), Decimal("217.6666666666666666665"), GAIN)]
    rows = await rows_of(database, import_id)
    assert {row.trade_id for row in rows} < {trade.id for trade in await trades_of(database)}
    assert [row.made_holding for row in rows] == [False, False]
    await change(database, undo_import, import_id, owner_id=own.owner_id)
    assert await stored(database) == before
    assert (await import_of(database, import_id)).status == ImportStatus.UNDONE


async def test_a_whole_file_is_one_statement_and_so_one_change_of_what_is_to_be_valued(database: Database) -> None:
    own = await possessions(database)
    await applied(database, own, file_of(*(line("buy", "1", "2", id=str(number)) for number in range(50))))
    async with database.transaction() as transaction:
        assert list(await transaction.connection.scalars(select(SnapshotMark.version))) == [1]


async def test_the_same_file_again_brings_nothing_new(database: Database) -> None:
    own = await possessions(database)
    await applied(database, own, file_of(*BUY_AND_SELL))
    once = await stored(database)
    third = line("buy", "1", "7", day=3)
    again = await previewed(database, own, file_of(*BUY_AND_SELL, third, third))
    assert [row.change for row in await rows_of(database, again)] == ["duplicate", "duplicate", "trade", "trade"]
    unchanged = await applied(database, own, file_of(*BUY_AND_SELL))
    assert (await import_of(database, unchanged)).duplicates == 2
    assert await stored(database) == once
    # What was undone is new again.
    await change(database, undo_import, unchanged, owner_id=own.owner_id)
    assert await stored(database) == once


async def test_what_was_undone_can_come_again(database: Database) -> None:
    own = await possessions(database)
    first = await applied(database, own, file_of(*BUY_AND_SELL))
    once = await holdings(database)
    await change(database, undo_import, first, owner_id=own.owner_id)
    assert await holdings(database) == []
    await applied(database, own, file_of(*BUY_AND_SELL))
    assert await holdings(database) == once


async def test_one_bad_row_in_ten_thousand_keeps_all_out_and_is_named(database: Database) -> None:
    own = await possessions(database)
    lines = [line("buy", "1", "2", id=str(number)) for number in range(10_000)]
    lines[7_776] = line("buy", "1", "2", id="7776", item="argentum")
    import_id = await previewed(database, own, file_of(*lines))
    found = await import_of(database, import_id)
    assert (found.trades, found.bad) == (9_999, 1)
    reason, field, message = await refusal_of(change(database, apply_import, import_id, owner_id=own.owner_id))
    assert (reason, field) == (PortfolioErrorCode.HAS_BAD_ROWS, ["id"])
    assert "line 7,778: The catalogue has no item by the slug or id “argentum”." in message
    assert await trades_of(database) == []


async def test_a_row_that_sells_more_than_is_held_is_bad_unless_acquisitions_are_missing(database: Database) -> None:
    own = await possessions(database)
    lines = (line("buy", "1", "100"), line("sell", "3", "200", day=2), line("sell", "9", "1", day=3))
    import_id = await previewed(database, own, file_of(*lines))
    rows = await rows_of(database, import_id)
    assert [row.change for row in rows] == ["trade", "bad", "trade"]
    assert "more" in rows[1].reason
    assert await trades_of(database) == []
    await applied(database, own, file_of(*lines, may_lack_acquisitions=True))
    async with database.transaction() as transaction:
        missing = await transaction.connection.scalar(select(Holding.missing_quantity))
    assert missing == Decimal(11)


async def test_a_row_that_takes_what_a_later_trade_needs_is_bad(database: Database) -> None:
    own = await possessions(database)
    await recorded(database, own, buy("1", "10", day=4), sell("1", "20", day=9))
    lines = (line("buy", "1", "1", day=6), line("sell", "1", "1", day=7), line("sell", "1", "1", day=8))
    first, second, third = await rows_of(database, await previewed(database, own, file_of(*lines)))
    assert (first.change, second.change, third.change) == ("trade", "trade", "bad")
    assert third.reason.startswith("It takes what a trade of the portfolio needs. The sale of 1 on 2024-01-10 takes")


async def test_a_row_of_several_holdings_is_told_to_name_one_by_its_column(database: Database) -> None:
    own = await possessions(database)
    lines = (line("buy", "1", "1", holding="a"), line("buy", "1", "1", holding="b"), line("buy", "1", "1"))
    last = (await rows_of(database, await previewed(database, own, file_of(*lines))))[-1]
    assert (last.change, last.reason.rpartition("; ")[2]) == ("bad", "name one by `holding`.")


async def test_what_cannot_be_a_trade_is_named_with_its_reason(database: Database) -> None:
    own = await possessions(database)
    columns = f"{COLUMNS},exchange_rate,rate_currency"
    lines = [
        line("buy", "0", "1"),
        line("buy", "1", "1", currency="QQQ"),
        line("buy", "1." + "1" * 19, "1"),
        line("buy", "1", "1").replace("2024-01-01", "2999-01-01"),
        line("buy", "1", "1", variant="holo"),
        line("buy", "1", "1", id="x"),
        line("buy", "1", "1", id="x"),
        line("buy", "1", "1", currency="JPY") + ",0.01,EUR",
    ]
    lines = [each if each.endswith("EUR") else f"{each},," for each in lines]
    rows = await rows_of(database, await previewed(database, own, file_of(*lines, columns=columns)))
    assert [row.change == "bad" for row in rows] == [True, True, True, True, True, False, True, True]
    expected = ["more than 0", "currency by its code", "18 decimal places", "not come yet"]
    expected += ["no variant `holo`; it has: default", "", "Line 7 has the same id", "leads to EUR"]
    for row, words in zip(rows, expected, strict=True):
        assert words in (row.reason or "")


def _print(language: str) -> CardDetails:
    return CardDetails(game="Tidewatch", card_set=NewCardSet("Tidewatch", "TW1"), number="7", language=language)


async def test_items_are_named_in_every_way_that_the_documentation_tells(database: Database) -> None:
    own = await possessions(database)
    ids = await saved(
        database,
        coin("bitcoin", symbol="BTC"),
        coin("bitcoin-copy", symbol="BTC"),
        skin("tide", "AK-47 | Tide (Factory New)"),
        NewItem("wave", "Wave", _print("en"), variants=(NewVariant("foil", "Foil"),)),
        NewItem("welle", "Welle", _print("de")),
        figure("miku", releases=(NewRelease(jan="4580416940108"),)),
        NewItem("known", "Known", coin("known").details, external_ids=(NewExternalId("shop", "a:b"),)),
    )
    ways = [
        ("item", "bitcoin", "bitcoin"),
        ("item", public_id(PublicIdTag.ITEM, ids["tide"]), "tide"),
        ("item", public_id(PublicIdTag.ITEM_VARIANT, own.variant_id), "aurum"),
        ("coin", "btc", "bitcoin"),
        ("market_hash_name", "AK-47 | Tide (Factory New)", "tide"),
        ("external_id", "shop:a:b", "known"),
        ("jan", "4580416940108", "miku"),
        ("set_code", "tw1", "wave"),
    ]
    names = ["kind", "occurred_at", "quantity", "card_number", *dict.fromkeys(way for way, *_ in ways)]
    lines = []
    for way, value, _ in ways:
        cells = {"kind": "buy", "occurred_at": "2024-01-01", "quantity": "1", way: value}
        cells |= {"card_number": "007/12"} if way == "set_code" else {}
        lines.append(",".join(cells.get(name, "") for name in names))
    rows = await rows_of(database, await previewed(database, own, file_of(*lines, columns=",".join(names))))
    assert [row.reason for row in rows] == [None] * len(ways)
    async with database.transaction() as transaction:
        found = await transaction.connection.execute(select(ItemVariant.id, ItemVariant.item_id))
        items = {row.id: row.item_id for row in found}
    assert [items[row.variant_id] for row in rows] == [ids[slug] for *_, slug in ways]


async def test_a_symbol_of_two_coins_is_ambiguous(database: Database) -> None:
    own = await possessions(database)
    await saved(database, coin("one", symbol="XYZ"), coin("two", symbol="XYZ"))
    file = file_of("buy,2024-01-01,1,xyz", columns="kind,occurred_at,quantity,coin")
    (row,) = await rows_of(database, await previewed(database, own, file))
    assert row.reason == "2 items have the symbol “XYZ”; name one by its slug in `item`."


async def test_holdings_of_one_variant_are_told_apart_by_their_names(database: Database) -> None:
    own = await possessions(database)
    lines = (
        line("buy", "1", "10", holding="graded"),
        line("buy", "2", "5", holding="raw"),
        line("sell", "1", "9", holding="raw", day=2),
    )
    import_id = await applied(database, own, file_of(*lines))
    assert [row[0] for row in await holdings(database)] == [Decimal(1), Decimal(1)]
    more = (*lines, line("buy", "5", "1", holding="graded", day=3))
    again = await applied(database, own, file_of(*more))
    assert [row[0] for row in await holdings(database)] == [Decimal(1), Decimal(6)]
    reason, _, message = await refusal_of(
        change(database, undo_import, (await import_of(database, import_id)).id, owner_id=new_id())
    )
    assert reason is PortfolioErrorCode.NOT_FOUND
    for each in (again, import_id):
        await change(database, undo_import, each, owner_id=own.owner_id)
    assert await holdings(database) == []
    assert message == "You have no such import."


async def test_what_came_without_a_price_is_marked(database: Database) -> None:
    own = await possessions(database)
    await applied(database, own, file_of(line("transfer_in", "1"), line("gift_in", "1"), line("buy", "1", "0")))
    assert [trade.tags for trade in await trades_of(database)] == [[COST_UNKNOWN], [], []]


async def test_a_preview_that_the_portfolio_has_overtaken_is_refused(database: Database) -> None:
    own = await possessions(database)
    await recorded(database, own, buy("1", "100"))
    file = file_of(line("sell", "1", "200", day=2))
    selling = await previewed(database, own, file)
    other = await previewed(database, own, file)
    await change(database, apply_import, selling, owner_id=own.owner_id)
    after = await stored(database)
    for import_id, words in ((other, "The portfolio has this trade meanwhile."), (selling, "applied already")):
        reason, field, message = await refusal_of(change(database, apply_import, import_id, owner_id=own.owner_id))
        assert (reason, field) == (PortfolioErrorCode.CONFLICT, ["id"])
        assert words in message
    assert await stored(database) == after


async def test_a_preview_is_good_for_a_day(database: Database) -> None:
    own = await possessions(database)
    import_id = await previewed(database, own, file_of(*BUY_AND_SELL))
    async with database.transaction() as transaction:
        await transaction.connection.execute(update(PortfolioImport).values(expires_at=func.now()))
    reason, _, message = await refusal_of(change(database, apply_import, import_id, owner_id=own.owner_id))
    assert reason is PortfolioErrorCode.CONFLICT
    assert "older than a day" in message
    assert await trades_of(database) == []


async def test_an_import_is_not_undone_while_later_sales_rest_on_it(database: Database) -> None:
    own = await possessions(database)
    import_id = await applied(database, own, file_of(line("buy", "2", "100")))
    (sale,) = await recorded(database, own, buy("1", "1", day=1))
    (sold,) = (await change(database, _sell_all, own),)
    before = await stored(database)
    reason, _, message = await refusal_of(change(database, undo_import, import_id, owner_id=own.owner_id))
    assert reason is PortfolioErrorCode.INSUFFICIENT_QUANTITY
    assert message.startswith("A later trade rests on what it brought.")
    assert await stored(database) == before
    await change(database, delete_trade, sold, owner_id=own.owner_id)
    await change(database, undo_import, import_id, owner_id=own.owner_id)
    assert [trade.id for trade in await trades_of(database)] == [sale]


async def _sell_all(transaction: Any, own: Possessions) -> Any:
    trade = with_variant(sell("3", "500", day=20), own.variant_id)
    return await record_trade(transaction, trade, owner_id=own.owner_id, portfolio_id=own.portfolio_id)


async def test_an_import_is_not_undone_while_a_sale_names_its_lot(database: Database) -> None:
    own = await possessions(database, method=CostBasisMethod.SPECIFIC)
    await recorded(database, own, buy("5", "1"))
    import_id = await applied(database, own, file_of(line("buy", "2", "100")))
    (row,) = await rows_of(database, import_id)
    await recorded(database, own, sell("1", "500", day=20, lots=[LotChoice(row.trade_id, Decimal(1))]))
    reason, _, message = await refusal_of(change(database, undo_import, import_id, owner_id=own.owner_id))
    assert reason is PortfolioErrorCode.UNKNOWN_LOT
    assert "2024-01-21 names a lot" in message


async def test_edited_trades_are_not_undone_and_deleted_ones_do_not_matter(database: Database) -> None:
    own = await possessions(database)
    import_id = await applied(database, own, file_of(line("buy", "2", "100"), line("buy", "3", "50", day=2)))
    first, second = [row.trade_id for row in await rows_of(database, import_id)]
    await change(database, edit_trade, first, {"price": Decimal(90)}, owner_id=own.owner_id)
    reason, _, message = await refusal_of(change(database, undo_import, import_id, owner_id=own.owner_id))
    assert reason is PortfolioErrorCode.CONFLICT
    assert "1 of its trades were edited since, the first of 2024-01-01" in message
    await change(database, delete_trade, first, owner_id=own.owner_id)
    await change(database, undo_import, import_id, owner_id=own.owner_id)
    assert await trades_of(database) == []
    assert await holdings(database) == []
    assert second is not None


async def test_a_holding_that_its_owner_describes_outlives_the_import(database: Database) -> None:
    own = await possessions(database)
    import_id = await applied(database, own, file_of(line("buy", "2", "100")))
    async with database.transaction() as transaction:
        row = (await transaction.connection.execute(select(*Holding.__table__.columns))).one()
        details = {"holding_id": row.id, "owner_id": row.owner_id, "portfolio_id": row.portfolio_id, "place": "safe"}
        await transaction.connection.execute(insert(HoldingDetails).values(**details))
    await change(database, undo_import, import_id, owner_id=own.owner_id)
    assert await holdings(database) == [(Decimal(0), Decimal(0), Decimal(0))]


async def test_imports_are_their_owners_alone(database: Database) -> None:
    own = await possessions(database)
    import_id = await previewed(database, own, file_of(*BUY_AND_SELL))
    stranger = new_id()
    for command in (apply_import, undo_import):
        reason, field, _ = await refusal_of(change(database, command, import_id, owner_id=stranger))
        assert (reason, field) == (PortfolioErrorCode.NOT_FOUND, ["id"])
    theirs = Possessions(stranger, own.portfolio_id, own.variant_id)
    reason, field, _ = await refusal_of(previewed(database, theirs, file_of(*BUY_AND_SELL)))
    assert (reason, field) == (PortfolioErrorCode.NOT_FOUND, ["portfolioId"])


async def test_so_many_previews_wait_at_most(database: Database) -> None:
    own = await possessions(database)
    for _ in range(MOST_PREVIEWS):
        await previewed(database, own, file_of(*BUY_AND_SELL))
    reason, _, _ = await refusal_of(previewed(database, own, file_of(*BUY_AND_SELL)))
    assert reason is PortfolioErrorCode.TOO_MANY


async def test_an_exporters_file_is_paid_in_its_own_currency_or_in_the_given_one(database: Database) -> None:
    own = await possessions(database, base_currency="EUR")
    await saved(database, coin("bitcoin", symbol="BTC"), figure("miku", releases=(NewRelease(jan="4580416940108"),)))
    kraken = "txid,pair,time,type,price,fee,vol\nT1,XXBTZEUR,2024-01-02 07:31:31.8,buy,7813.40000,1.06262,0.08"
    await applied(database, own, FileToImport(content=kraken.encode(), source=FileSource.KRAKEN))
    bought = "ID;Status;Count;Price;Barcode;Price\n1;Owned;1;99;4580416940108;80"
    file = FileToImport(content=bought.encode(), source=FileSource.MYFIGURECOLLECTION, currency="EUR")
    await applied(database, own, file)
    trades = await trades_of(database)
    assert [(trade.external_source, trade.external_id, trade.currency, trade.price) for trade in trades] == [
        ("kraken", "T1", "EUR", Decimal("7813.40000")),
        ("myfigurecollection", "1", "EUR", Decimal(80)),
    ]
    wrong = FileToImport(content=bought.encode(), source=FileSource.MYFIGURECOLLECTION, currency="QQQ")
    assert (await refusal_of(previewed(database, own, wrong)))[1] == ["currency"]


async def test_trades_that_the_portfolio_wrote_itself_are_not_recorded_again(database: Database) -> None:
    own = await possessions(database)
    (trade_id,) = await recorded(database, own, buy("1", "100"))
    async with database.transaction() as transaction:
        holding_id = (await transaction.connection.execute(select(Trade.holding_id))).scalar_one()
        elsewhere = await portfolio_of(transaction.connection, own.owner_id)
    own_id, label = public_id(PublicIdTag.TRADE, trade_id), public_id(PublicIdTag.HOLDING, holding_id)
    written = file_of(line("buy", "1", "100", id=own_id, holding=label))
    assert [row.change for row in await rows_of(database, await previewed(database, own, written))] == ["duplicate"]
    other = Possessions(own.owner_id, elsewhere, own.variant_id)
    await applied(database, other, written)
    assert (await holdings(database)) == [(Decimal(1), Decimal(100), Decimal(0))] * 2
