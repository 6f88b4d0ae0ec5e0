"""Files of trades: bytes become rows, by the mapping of the source that they come from."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from app.catalogue.slugs import slug_of
from app.portfolios.imports.cells import (
    CellNotUnderstood,
    read_amount,
    read_choice,
    read_number,
    read_quantity,
    read_time,
    unguarded,
)
from app.portfolios.imports.mappings import SKIPPED, FileMapping, FileSource, mapping_of
from app.portfolios.imports.rows import FileRow, FileTrade, Subject, SubjectKind
from app.portfolios.imports.tables import FileTable, TableRow, read_table
from app.portfolios.models import TradeKind

_SUBJECTS = {
    "item": SubjectKind.ITEM,
    "market_hash_name": SubjectKind.MARKET_HASH_NAME,
    "coin": SubjectKind.COIN,
    "jan": SubjectKind.JAN,
}


def read_file(content: bytes, source: FileSource, *, currency: str) -> Sequence[FileRow]:
    """The rows of a file, in their order; amounts without a currency are in `currency`.

    A row that cannot be read says why; raises `PortfolioRefused` for a file that cannot be read at all.
    """
    mapping = mapping_of(source)
    table = read_table(content, mapping)
    cells_of = _CellsOf(mapping, table)
    seen: Counter[str] = Counter()
    return [_read_row(row, mapping, cells_of, seen, currency) for row in table.rows]


@dataclass(slots=True)
class _CellsOf:
    """Where the words of a mapping stand in the rows of a table."""

    places: Mapping[str, Sequence[int]]
    width: int

    def __init__(self, mapping: FileMapping, table: FileTable) -> None:
        place_of = {name: place for place, name in enumerate(table.columns) if name}
        self.width = len(table.columns)
        self.places = {
            word: [place_of[name.casefold()] for name in names if name.casefold() in place_of]
            for word, names in mapping.columns.items()
        }

    def __call__(self, row: TableRow) -> dict[str, str]:
        """What a row says by our words, without what says nothing."""
        if len(row.cells) < self.width or any(cell.strip() for cell in row.cells[self.width :]):
            raise CellNotUnderstood(f"It has {len(row.cells):,} cells, and the header has {self.width:,}.")
        found = {}
        for word, places in self.places.items():
            said = [cell for place in places if (cell := unguarded(row.cells[place].strip()))]
            if said:
                found[word] = said[0]
        return found


def _read_row(row: TableRow, mapping: FileMapping, cells_of: _CellsOf, seen: Counter[str], currency: str) -> FileRow:
    try:
        cells = cells_of(row)
        _require(mapping, cells)
        kind = _kind_of(cells, mapping)
        if kind is None:
            return FileRow(row.line, reason=f"“{cells['kind']}” is no trade.", is_skipped=True)
        return FileRow(row.line, _trade_of(cells, kind, mapping, seen, currency))
    except CellNotUnderstood as error:
        return FileRow(row.line, reason=str(error))


def _require(mapping: FileMapping, cells: Mapping[str, str]) -> None:
    for word in mapping.filled:
        if word not in cells:
            raise CellNotUnderstood(f"`{mapping.columns[word][0]}` is empty.")


def _kind_of(cells: Mapping[str, str], mapping: FileMapping) -> TradeKind | None:
    """The kind of trade; None of a row to skip."""
    if mapping.kind is not None:
        return mapping.kind
    meant = mapping.kinds.get(cells["kind"].casefold())
    if meant is None:
        known = ", ".join(mapping.kinds)
        raise CellNotUnderstood(f"“{cells['kind'][:40]}” is no kind that Trove knows; known are: {known}.")
    return None if meant == SKIPPED else TradeKind(meant)


def _trade_of(
    cells: Mapping[str, str], kind: TradeKind, mapping: FileMapping, seen: Counter[str], currency: str
) -> FileTrade:
    subject, paid_in = _subject_of(cells, mapping)
    paid_in = _symbol(cells["currency"], mapping) if "currency" in cells else paid_in
    named = mapping.columns
    amounts = {
        word: read_amount(cells[word], named[word][0], mapping.amounts, mapping.sign, paid_in or currency)
        for word in ("price", "fee")
        if word in cells
    }
    if kind is TradeKind.BUY and amounts.get("price") is None and mapping.kind_without_price is not None:
        kind = mapping.kind_without_price
    return FileTrade(
        subject=subject,
        kind=kind,
        quantity=read_quantity(cells["quantity"], named["quantity"][0], mapping.sign, mapping.amounts),
        external_id=_external_id(cells, seen),
        occurred_at=_time_of(cells, mapping),
        price=amounts.get("price"),
        fee=amounts.get("fee"),
        currency=paid_in,
        exchange_rate=read_number(cells["exchange_rate"], "exchange_rate") if "exchange_rate" in cells else None,
        rate_currency=cells.get("rate_currency"),
        holding=cells.get("holding"),
        exchange=cells.get("exchange", mapping.exchange),
        tags=tuple(tag for part in cells.get("tags", "").split("|") if (tag := part.strip())),
        notes=cells.get("notes"),
        may_lack_acquisitions=read_choice(cells.get("may_lack_acquisitions", ""), "may_lack_acquisitions"),
    )


def _time_of(cells: Mapping[str, str], mapping: FileMapping) -> datetime | None:
    if "occurred_at" not in cells:
        return None
    return read_time(cells["occurred_at"], mapping.columns["occurred_at"][0], mapping.times)


def _external_id(cells: Mapping[str, str], seen: Counter[str]) -> str:
    """The id that the source gave the row; else what it says, and its place among rows that say the same."""
    if "id" in cells:
        return cells["id"]
    said = "\0".join(f"{word}={cell}" for word, cell in sorted(cells.items()))
    digest = sha256(said.encode()).hexdigest()
    seen[digest] += 1
    return f"{digest}-{seen[digest]}"


def _subject_of(cells: Mapping[str, str], mapping: FileMapping) -> tuple[Subject, str | None]:
    """What a row is about, and the currency that its pair is paid in."""
    ways = [way for way in mapping.subjects if _is_named(way, cells)]
    if not ways:
        columns = ", ".join(_columns_of(way, mapping) for way in mapping.subjects)
        raise CellNotUnderstood(f"It names no item; fill one of {columns}.")
    if mapping.has_one_subject and len(ways) > 1:
        raise CellNotUnderstood(f"It names its item in several ways ({', '.join(ways)}); fill one of them.")
    return _named(ways[0], cells, mapping, _variants_of(cells, mapping))


def _columns_of(way: str, mapping: FileMapping) -> str:
    words = ("set_code", "card_number") if way == "card" else (way,)
    return " with ".join(f"`{mapping.columns[word][0]}`" for word in words)


def _is_named(way: str, cells: Mapping[str, str]) -> bool:
    return {"set_code", "card_number"} <= cells.keys() if way == "card" else way in cells


def _named(
    way: str, cells: Mapping[str, str], mapping: FileMapping, variants: tuple[str, ...]
) -> tuple[Subject, str | None]:
    if way == "card":
        return Subject(SubjectKind.CARD, cells["card_number"], cells["set_code"], variants), None
    if way == "pair":
        coin, currency = _parted(cells["pair"], mapping)
        return Subject(SubjectKind.COIN, coin), currency
    if way == "external_id":
        written = cells[way] if mapping.provider is None else f"{mapping.provider}:{cells[way]}"
        provider, _, name = written.partition(":")
        if not provider or not name:
            raise CellNotUnderstood(f"“{cells[way][:40]}” is no external id such as `tcgplayer:12345`.")
        return Subject(SubjectKind.EXTERNAL_ID, name, provider, variants), None
    name = _symbol(cells[way], mapping) if way == "coin" else cells[way]
    return Subject(_SUBJECTS[way], name, None, variants), None


def _variants_of(cells: Mapping[str, str], mapping: FileMapping) -> tuple[str, ...]:
    word = cells.get("variant")
    if word is None:
        return ()
    return tuple(mapping.variants.get(word, (slug_of(word),))) if mapping.variants else (word,)


def _symbol(word: str, mapping: FileMapping) -> str:
    return mapping.symbols.get(word.upper(), word.upper())


def _parted(pair: str, mapping: FileMapping) -> tuple[str, str]:
    """The coin of a pair and what it is paid in."""
    written = pair.upper().replace("/", "")
    for quote in mapping.quotes:
        coin = written.removesuffix(quote)
        if coin and coin != written:
            return _symbol(coin, mapping), _symbol(quote, mapping)
    raise CellNotUnderstood(f"“{pair[:40]}” is no pair that Trove can part; it knows what is paid in money or a coin.")
