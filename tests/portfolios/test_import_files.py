"""Files of trades are read row by row, and what cannot be read is named by its line."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from app.portfolios.errors import PortfolioErrorCode, PortfolioRefused
from app.portfolios.imports.cells import guarded, unguarded
from app.portfolios.imports.files import read_file
from app.portfolios.imports.mappings import FileSource, mapping_of
from app.portfolios.imports.rows import LARGEST_FILE_BYTES, MOST_ROWS, FileTrade, Subject, SubjectKind
from app.portfolios.models import TradeKind

HEADER = "kind,occurred_at,item,quantity,price,currency"
ROW = "buy,2024-03-01T18:30:00+01:00,bitcoin,0.5,40000.10,EUR"
COINBASE = """Transactions
User,somebody@example.com,1234

ID,Timestamp,Transaction Type,Asset,Quantity Transacted,Price Currency,Price at Transaction,Subtotal,\
Total (inclusive of fees and/or spread),Fees and/or Spread,Notes
a1,2024-01-05 10:22:33 UTC,Buy,BTC,0.1,EUR,"€40,000.50","€4,000.05","€4,010.05",€10.00,Bought 0.1 BTC
a2,2024-02-05 10:22:33 UTC,Advanced Trade Sell,BTC,-0.04,EUR,"€45,000.00","€1,800.00","-€1,795.00",€5.00,
a3,2024-02-06 10:22:33 UTC,Deposit,EUR,100,EUR,€1.00,€100.00,€100.00,€0.00,
a4,2024-02-07 10:22:33 UTC,Send,BTC,-0.01,EUR,"€44,000.00","-€440.00","-€440.00",€0.00,
a5,2024-02-08 10:22:33 UTC,Convert,BTC,-0.01,EUR,"€44,000.00","-€440.00","-€440.00",€0.00,Converted
"""
KRAKEN = """"txid","ordertxid","pair","time","type","ordertype","price","cost","fee","vol","margin","misc","ledgers"
"T1","O1","XXBTZEUR","2024-01-02 07:31:31.8234","buy","limit",7813.40000,625.07200,1.06262,0.08,0.0,"","L1,L2"
"T2","O2","ADA/USD","2024-01-03 07:31:31","sell","market",0.55,5.5,0.01,10,0.0,"","L3,L4"
"T3","O3","HUHWHAT","2024-01-03 07:31:31","sell","market",0.55,5.5,0.01,10,0.0,"","L5,L6"
"""
MFC = """ID;Title;Root;Category;Release date;Price;Scale;Barcode;Status;Count;Score;Payment date;Shipping date;\
Collecting date;Price;Shop;Note
101;Miku;Figures;Prepainted;2023-05-00;12800;1/7;4580416940108;Owned;1;8/10;2023-05-20;;2023-06-01;10,500;AmiAmi;box
102;Rem;Figures;Prepainted;2023-05-00;12800;1/7;;Owned;2;8/10;;;;;;
103;Ram;Figures;Prepainted;2023-05-00;12800;1/7;;Ordered;1;8/10;;;;;;
"""
CARDS = """Quantity\tName\tSet\tCard Number\tSet Code\tPrinting\tCondition\tProduct ID
3\tAbra\tBase\t43/102\tBS\tReverse Holofoil\tNear Mint\t42346
1\tMox\tAlpha\t12\tLEA\tNormal\tPlayed\t
"""


def trades(content: str, source: FileSource = FileSource.TROVE, currency: str = "EUR") -> list[FileTrade]:
    """The trades of a file of which every row is one."""
    rows = read_file(content.encode(), source, currency=currency)
    assert [row.reason for row in rows] == [None] * len(rows)
    return [row.trade for row in rows if row.trade is not None]


def reasons(content: str, source: FileSource = FileSource.TROVE) -> dict[int, str | None]:
    """Why rows are none, by their lines."""
    return {row.line: row.reason for row in read_file(content.encode(), source, currency="EUR") if row.trade is None}


def refusal(content: bytes, source: FileSource = FileSource.TROVE) -> str:
    """Why a whole file is refused."""
    with pytest.raises(PortfolioRefused) as refused:
        read_file(content, source, currency="EUR")
    assert refused.value.field == ["content"]
    return refused.value.message


def test_a_row_of_the_strict_shape_is_a_trade() -> None:
    columns = f"{HEADER},fee,exchange,tags,notes,may_lack_acquisitions,id,holding,exchange_rate,rate_currency,variant"
    (trade,) = trades(f"{columns}\n{ROW},1.5,Kraken,long|tax free,'=1+1,yes,77,first,1.1,USD,default\n")
    assert trade == FileTrade(
        subject=Subject(SubjectKind.ITEM, "bitcoin", None, ("default",)),
        kind=TradeKind.BUY,
        occurred_at=datetime(2024, 3, 1, 17, 30, tzinfo=UTC),
        quantity=Decimal("0.5"),
        price=Decimal("40000.10"),
        fee=Decimal("1.5"),
        currency="EUR",
        exchange_rate=Decimal("1.1"),
        rate_currency="USD",
        holding="first",
        exchange="Kraken",
        tags=("long", "tax free"),
        notes="=1+1",
        may_lack_acquisitions=True,
        external_id="77",
    )


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("before", ["", "\ufeff"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_any_usual_way_of_saving_a_table_reads_the_same(delimiter: str, before: str, ending: str) -> None:
    text = f"{HEADER}\n\n{ROW}\n".replace(",", delimiter).replace("\n", ending)
    assert trades(before + text) == trades(f"{HEADER}\n{ROW}\n")


def test_rows_without_an_id_are_told_apart_by_what_they_say_and_how_often() -> None:
    other = ROW.replace("0.5", "0.6")
    first, again, different = (trade.external_id for trade in trades(f"{HEADER}\n{ROW}\n{ROW}\n{other}\n"))
    assert len({first, again, different}) == 3
    # The same whatever stands before it, beside it, and in whichever column.
    turned = (
        "quantity,mine,item,kind,occurred_at,currency,price\n0.5,x,bitcoin,buy,2024-03-01T18:30:00+01:00,EUR,40000.10\n"
    )
    assert [trade.external_id for trade in trades(turned)] == [first]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (ROW.replace("0.5", "-0.5"), "“-0.5” in `quantity` is no plain number"),
        (ROW.replace("0.5", "NaN"), "“NaN” in `quantity` is no plain number"),
        (ROW.replace("0.5", "1e3"), "“1e3” in `quantity` is no plain number"),
        (ROW.replace("0.5", "٣"), "in `quantity` is no plain number"),
        (ROW.replace("0.5", "9" * 61), "in `quantity` is no plain number"),
        (ROW.replace("0.5", ""), "`quantity` is empty"),
        (ROW.replace("40000.10", '"40,000.10"'), "in `price` is no plain number"),
        (ROW.replace("buy", "bought"), "“bought” is no kind that Trove knows; known are: buy, sell"),
        (ROW.replace("bitcoin", ""), "It names no item; fill one of `item`"),
        (ROW.replace("+01:00", ""), "is no time such as 2024-03-01T18:30:00Z"),
        (ROW.replace("2024-03-01T", "2024-02-30T"), "is no time such as"),
        (ROW.replace("2024-03-01T", "0001-01-01T").replace("18:30", "00:30"), "is no time such as"),
        (ROW.replace("2024-03-01T", "9999-12-31T").replace("18:30:00+", "23:30:00-"), "is no time such as"),
        (f"{ROW},", None),
        (f"{ROW},surplus", "It has 7 cells, and the header has 6."),
        ("buy,2024-03-01", "It has 2 cells, and the header has 6."),
    ],
)
def test_a_row_that_cannot_be_is_named_by_its_line(row: str, reason: str | None) -> None:
    found = reasons(f"{HEADER}\n{ROW}\n{row}\n")
    assert list(found) == ([] if reason is None else [3])
    assert reason is None or reason in (found[3] or "")


def test_a_row_names_its_item_in_one_way() -> None:
    header = "kind,occurred_at,quantity,item,external_id,market_hash_name,coin,set_code,card_number,jan"
    ways = {
        "bitcoin,,,,,,": Subject(SubjectKind.ITEM, "bitcoin"),
        ",tcgplayer:12:3,,,,,": Subject(SubjectKind.EXTERNAL_ID, "12:3", "tcgplayer"),
        ",,AK-47 | Redline (Field-Tested),,,,": Subject(SubjectKind.MARKET_HASH_NAME, "AK-47 | Redline (Field-Tested)"),
        ",,,btc,,,": Subject(SubjectKind.COIN, "BTC"),
        ",,,,neo,12,": Subject(SubjectKind.CARD, "12", "neo"),
        ",,,,,,4580416940108": Subject(SubjectKind.JAN, "4580416940108"),
    }
    content = "\n".join([header, *(f"buy,2024-03-01,1,{way}" for way in ways)])
    assert [trade.subject for trade in trades(content)] == list(ways.values())
    several = reasons(
        f"{header}\nbuy,2024-03-01,1,bitcoin,,,BTC,,,\nbuy,2024-03-01,1,,12,,,,,\nbuy,2024-03-01,1,,,,,neo,,\n"
    )
    assert "several ways (item, coin)" in (several[2] or "")
    assert "no external id such as" in (several[3] or "")
    assert "It names no item" in (several[4] or "")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "This is no file of Trove: its header has at least `kind`, `occurred_at`, `quantity`"),
        (HEADER.encode(), "There are no rows below the header in line 1."),
        (f"{HEADER}\n{ROW}\n".encode("utf-16"), "Line 1 is not UTF-8"),
        (f"{HEADER}\n{ROW}\n{ROW} ä".encode("latin-1"), "Line 3 is not UTF-8"),
        (f"{HEADER}\n{ROW}\0\n".encode(), "Line 2 holds a null character"),
        (f'{HEADER}\n{ROW}\n"buy,2024'.encode(), "Line 3 cannot be read as CSV"),
        (b"x" * (LARGEST_FILE_BYTES + 1), "A file has at most 5 MB"),
        (COINBASE.encode(), "This is no file of Trove"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_whole(content: bytes, reason: str) -> None:
    assert reason in refusal(content)


def test_a_file_has_ten_thousand_rows_at_most() -> None:
    most = "\n".join([HEADER, *[ROW] * MOST_ROWS])
    assert len(trades(most)) == MOST_ROWS
    with pytest.raises(PortfolioRefused, match="at most 10,000 rows") as refused:
        read_file(f"{most}\n{ROW}".encode(), FileSource.TROVE, currency="EUR")
    assert refused.value.reason is PortfolioErrorCode.TOO_MANY


def test_coinbase_writes_of_the_account_first_and_prices_as_shops_do() -> None:
    rows = read_file(COINBASE.encode(), FileSource.COINBASE, currency="USD")
    bought, sold, deposit, sent, converted = rows
    assert bought.line == 5
    assert bought.trade is not None
    assert bought.trade.subject == Subject(SubjectKind.COIN, "BTC")
    assert (bought.trade.price, bought.trade.fee, bought.trade.currency) == (
        Decimal("40000.50"),
        Decimal("10.00"),
        "EUR",
    )
    assert (bought.trade.external_id, bought.trade.exchange) == ("a1", "Coinbase")
    assert sold.trade is not None
    assert (sold.trade.kind, sold.trade.quantity) == (TradeKind.SELL, Decimal("0.04"))
    assert (deposit.is_skipped, deposit.reason) == (True, "“Deposit” is no trade.")
    assert sent.trade is not None
    assert (sent.trade.kind, sent.trade.quantity) == (TradeKind.TRANSFER_OUT, Decimal("0.01"))
    assert (converted.is_skipped, converted.trade) == (False, None)
    assert "“Convert” is no kind" in (converted.reason or "")


def test_kraken_pairs_are_parted_into_the_coin_and_what_it_is_paid_in() -> None:
    first, second, third = read_file(KRAKEN.encode(), FileSource.KRAKEN, currency="EUR")
    assert first.trade is not None
    assert second.trade is not None
    assert (first.trade.subject.name, first.trade.currency) == ("BTC", "EUR")
    assert first.trade.occurred_at == datetime(2024, 1, 2, 7, 31, 31, 823400, tzinfo=UTC)
    assert (first.trade.price, first.trade.fee) == (Decimal("7813.40000"), Decimal("1.06262"))
    assert (second.trade.subject.name, second.trade.currency) == ("ADA", "USD")
    assert "“HUHWHAT” is no pair" in (third.reason or "")


def test_myfigurecollection_tells_what_is_owned_by_jan_or_by_its_own_id() -> None:
    owned, unpriced, ordered = read_file(MFC.encode(), FileSource.MYFIGURECOLLECTION, currency="JPY")
    assert owned.trade is not None
    assert owned.trade.subject == Subject(SubjectKind.JAN, "4580416940108")
    assert (owned.trade.price, owned.trade.currency) == (Decimal(10500), None)
    assert (owned.trade.occurred_at, owned.trade.exchange) == (datetime(2023, 5, 20, tzinfo=UTC), "AmiAmi")
    assert unpriced.trade is not None
    assert unpriced.trade.subject == Subject(SubjectKind.EXTERNAL_ID, "102", "myfigurecollection")
    assert (unpriced.trade.kind, unpriced.trade.price) == (TradeKind.TRANSFER_IN, None)
    assert (unpriced.trade.quantity, unpriced.trade.occurred_at) == (Decimal(2), None)
    assert ordered.is_skipped


def test_tcgplayer_tells_what_is_there_by_its_id_or_by_set_and_number() -> None:
    first, second = trades(CARDS, FileSource.TCGPLAYER)
    assert first.subject == Subject(SubjectKind.EXTERNAL_ID, "42346", "tcgplayer", ("reverse-holofoil",))
    assert second.subject == Subject(SubjectKind.CARD, "12", "LEA", ("nonfoil", "normal"))
    assert (first.kind, first.quantity, first.price) == (TradeKind.TRANSFER_IN, Decimal(3), None)


@pytest.mark.parametrize("source", FileSource)
def test_every_mapping_names_columns_for_what_it_needs(source: FileSource) -> None:
    mapping = mapping_of(source)
    assert {*mapping.required, *mapping.filled} <= mapping.columns.keys()
    assert mapping.kind is not None or "kind" in mapping.filled
    columns = {"card": ["set_code", "card_number"]}
    assert {column for way in mapping.subjects for column in columns.get(way, [way])} <= mapping.columns.keys()
    assert all(word == word.casefold() for word in mapping.kinds)


@pytest.mark.parametrize(
    ("written", "quantity"),
    [("1,234.5", "1234.5"), ("-1,234,567", "1234567"), ("0,5", None), ("12,34", None), ("1,2345", None)],
)
def test_a_comma_parts_thousands_of_a_quantity_and_no_fraction(written: str, quantity: str | None) -> None:
    last = read_file(COINBASE.replace(",-0.01,", f',"{written}",').encode(), FileSource.COINBASE, currency="USD")[3]
    assert (last.trade and last.trade.quantity) == (quantity and Decimal(quantity))
    assert last.trade or f"“{written}” in `Quantity Transacted` is no plain number" in (last.reason or "")


@pytest.mark.parametrize("text", ["-1", "-133.25", "'-1"])
def test_a_negative_number_is_no_formula(text: str) -> None:
    assert guarded(text).lstrip("'") == text.lstrip("'")
    assert (guarded(text) == text) == (not text.startswith("'"))
    assert unguarded(guarded(text)) == text


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1+1", "-a", "@a", "\t=", "'=1", "''@x", "plain", "'plain", "", "it's"]
)
def test_what_a_spreadsheet_takes_for_a_formula_is_guarded_and_comes_back(text: str) -> None:
    assert not guarded(text).startswith(("=", "+", "-", "@", "\t"))
    assert unguarded(guarded(text)) == text
