"""What is in a portfolio as rows of texts, in the strict shape that can be imported again, and as lines of JSON."""

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Row, Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.catalogue.models import Item, ItemVariant
from app.core.ids import PublicIdTag, public_id
from app.portfolios.imports.cells import guarded
from app.portfolios.ledger import plain
from app.portfolios.models import ExportedRows, ExportFormat, Holding, HoldingDetails, Portfolio, Store, Trade

Values = Mapping[str, Any]

_HOLDING = "holding"
_RATE = "exchange_rate"


def select_rows(what: ExportedRows, portfolio_id: UUID) -> Select[*tuple[Any, ...]]:
    """The rows of an export, in their order; each column has the name that it has in the file."""
    return _trades(portfolio_id) if what is ExportedRows.TRADES else _holdings(portfolio_id)


async def count_rows(connection: AsyncConnection, what: ExportedRows, portfolio_id: UUID) -> int:
    """How many rows an export has."""
    return await connection.scalar(select(func.count()).select_from(select_rows(what, portfolio_id).subquery())) or 0


class FileWriter:
    """Writes rows one after another; `content` is the file so far."""

    def __init__(self, what: ExportedRows, format_: ExportFormat) -> None:
        self._columns = COLUMNS[what]
        self._is_csv = format_ is ExportFormat.CSV
        self._written = io.StringIO(newline="")
        self._csv = csv.writer(self._written)
        if self._is_csv:
            self._csv.writerow(self._columns)

    @property
    def content(self) -> bytes:
        """The file so far, in UTF-8."""
        return self._written.getvalue().encode()

    @property
    def size(self) -> int:
        """How many characters there are so far."""
        return self._written.tell()

    def write(self, row: Row[*tuple[Any, ...]]) -> None:
        """Write a row."""
        values = _values(dict(row._mapping))
        if self._is_csv:
            self._csv.writerow([_cell(values[name]) for name in self._columns])
        else:
            self._written.write(orjson.dumps({name: values[name] for name in self._columns}).decode() + "\n")


def _trades(portfolio_id: UUID) -> Select[*tuple[Any, ...]]:
    return (
        select(
            *(Trade.id, Trade.kind, Trade.occurred_at, Item.slug.label("item"), ItemVariant.key.label("variant")),
            *(Trade.holding_id.label(_HOLDING), Trade.quantity, Trade.price, Trade.fee, Trade.currency),
            *(Trade.exchange_rate, Portfolio.base_currency.label("rate_currency"), Trade.exchange, Trade.tags),
            *(Trade.notes, Trade.may_lack_acquisitions),
        )
        .join(Portfolio, Portfolio.id == Trade.portfolio_id)
        .join(Holding, Holding.id == Trade.holding_id)
        .join(ItemVariant, ItemVariant.id == Holding.variant_id)
        .join(Item, Item.id == ItemVariant.item_id)
        .where(Trade.portfolio_id == portfolio_id)
        .order_by(Trade.occurred_at, Trade.id)
    )


def _holdings(portfolio_id: UUID) -> Select[*tuple[Any, ...]]:
    details = HoldingDetails
    return (
        select(
            *(Holding.id.label(_HOLDING), Item.slug.label("item"), ItemVariant.key.label("variant"), Item.name),
            *(Holding.quantity, Holding.cost, Holding.realized_gain, Portfolio.base_currency.label("currency")),
            *(Holding.missing_quantity, details.condition, details.grade, details.grader, details.serial),
            *(details.float_value, details.pattern, details.place, Store.name.label("store"), details.acquired_on),
            *(details.notes, Holding.archived_at),
        )
        .join(Portfolio, Portfolio.id == Holding.portfolio_id)
        .join(ItemVariant, ItemVariant.id == Holding.variant_id)
        .join(Item, Item.id == ItemVariant.item_id)
        .join(details, details.holding_id == Holding.id, isouter=True)
        .join(Store, Store.id == details.store_id, isouter=True)
        .where(Holding.portfolio_id == portfolio_id)
        .order_by(Holding.position, Holding.id)
    )


COLUMNS: Mapping[ExportedRows, Sequence[str]] = {
    what: [column.name for column in select_rows(what, UUID(int=0)).selected_columns] for what in ExportedRows
}


def _values(row: Values) -> dict[str, Any]:
    """A row as the file has it: numbers as plain digits, times in UTC, ids as everybody knows them."""
    values = {name: _text(value) for name, value in row.items()}
    values[_HOLDING] = public_id(PublicIdTag.HOLDING, row[_HOLDING])
    if "id" in values:
        values["id"] = public_id(PublicIdTag.TRADE, row["id"])
        if row["currency"] == row["rate_currency"]:
            # Of the base currency itself no rate is given.
            values[_RATE] = values["rate_currency"] = None
    return values


def _text(value: Any) -> Any:
    if isinstance(value, Decimal):
        return format(plain(value), "f")
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, date) else value


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return guarded("|".join(value) if isinstance(value, list) else str(value))
