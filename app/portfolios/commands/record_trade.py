"""People record what happened to what they own: one trade, or thousands at once, all of them or none."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from uuid import UUID

from sqlalchemy import exists, insert, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.clock import utc_now
from app.core.database import Transaction, among, insert_at_once
from app.core.ids import new_id
from app.portfolios.commands.creation_keys import claim_key
from app.portfolios.commands.frozen_rates import frozen_rate, rate_to_freeze, rates_to_freeze
from app.portfolios.commands.holdings_of_variants import (
    add_empty_holdings,
    holdings_of_variants,
    known_variants,
    portfolio_of,
)
from app.portfolios.commands.holds import HeldPortfolio, hold_holdings, hold_portfolio
from app.portfolios.commands.recompute import append_trade, recompute_holdings
from app.portfolios.commands.trade_rows import (
    at_its_field,
    insert_choices,
    ledger_trade,
    paid_in,
    refuse_lots_unless_specific,
    refuse_unknown_lots,
    trade_values,
)
from app.portfolios.errors import PortfolioErrorCode, PortfolioRefused
from app.portfolios.ledger import ACQUIRING, TradeImpossible
from app.portfolios.models import Holding, Trade
from app.portfolios.new_trades import NewTrade, refuse_impossible, refused
from app.portfolios.texts import no_such

ExternalName = tuple[str | None, str | None]


@dataclass(frozen=True, slots=True)
class RecordedTrade:
    """A trade of an import, and the holding that it is of; `is_new` unless it had been imported before."""

    id: UUID
    holding_id: UUID
    is_new: bool


async def record_trade(
    transaction: Transaction,
    trade: NewTrade,
    *,
    owner_id: UUID,
    portfolio_id: UUID | None = None,
    idempotency_key: str | None = None,
) -> UUID:
    """Record a trade of a holding, or of a variant in a portfolio; gives its id.

    Of a variant without a holding one is made. The same key and trade by the same person within 24 hours give the
    first one again. Raises `PortfolioRefused`; the transaction must then be rolled back.
    """
    connection = transaction.connection
    refuse_impossible(trade, now=utc_now())
    trade_id = new_id()
    request = [portfolio_id, {each.name: getattr(trade, each.name) for each in fields(trade)}]
    first = await claim_key(connection, idempotency_key, request, owner_id=owner_id, made=Trade.id, new_id=trade_id)
    if first != trade_id:
        return first
    portfolio, holding_id = await _place_of(connection, trade, portfolio_id, owner_id)
    held = await hold_holdings(connection, [holding_id])
    if not held:
        raise no_such("holding", "holdingId")
    refuse_lots_unless_specific(trade, portfolio.method)
    await refuse_unknown_lots(connection, trade.lots, holding_id)
    rate = await frozen_rate(connection, paid_in(trade), portfolio.base_currency)
    is_last = await _is_last(connection, holding_id, trade, trade_id)
    names = {"id": trade_id, "owner_id": owner_id, "portfolio_id": portfolio.id, "holding_id": holding_id}
    await _refuse_imported_before(connection, portfolio.id, trade)
    await connection.execute(insert(Trade).values(names | trade_values(trade, rate)))
    await insert_choices(connection, {trade_id: trade.lots}, owner_id=owner_id)
    try:
        if is_last:
            await append_trade(connection, held[0], portfolio.method, ledger_trade(trade, trade_id, rate))
        else:
            await recompute_holdings(connection, [holding_id])
    except TradeImpossible as impossible:
        raise at_its_field(impossible, trade_id, trade.lots) from None
    return trade_id


async def record_trades(
    transaction: Transaction, portfolio_id: UUID, trades: Sequence[NewTrade], *, owner_id: UUID
) -> Sequence[RecordedTrade]:
    """Record many trades of a portfolio, all or none; where times are equal, the order of the rows decides.

    One with an external name that a trade of the portfolio has already is left as it is. Raises `PortfolioRefused`,
    also where a trade that is there already would lack what a row takes; its `field` begins with `trades` and the place
    of the row from 0, and its message names the row, from 1; the transaction must then be rolled back.
    """
    connection = transaction.connection
    portfolio = await hold_portfolio(connection, portfolio_id, owner_id=owner_id, field=["portfolioId"], alone=True)
    now = utc_now()
    for place, trade in enumerate(trades):
        with _row(place):
            refuse_impossible(trade, now=now)
            refuse_lots_unless_specific(trade, portfolio.method)
    _refuse_doubles(trades)
    known = await _imported_before(connection, portfolio_id, trades)
    new = {place: trade for place, trade in enumerate(trades) if _external_name(trade) not in known}
    ids = {place: new_id() for place in new}
    holdings = await _holdings_of_rows(connection, portfolio, new)
    await _insert_rows(connection, portfolio, new, ids, holdings)
    await _recompute_rows(connection, new, ids, holdings)
    return [
        RecordedTrade(ids[place], holdings[place], is_new=True) if place in ids else known[_external_name(trade)]
        for place, trade in enumerate(trades)
    ]


async def _place_of(
    connection: AsyncConnection, trade: NewTrade, portfolio_id: UUID | None, owner_id: UUID
) -> tuple[HeldPortfolio, UUID]:
    """The portfolio and the holding of a trade, the portfolio held; a holding is made where there is none."""
    if trade.holding_id is not None:
        if portfolio_id is not None or trade.variant_id is not None:
            raise refused("Name a holding, or else a portfolio and a variant.", "holdingId")
        found = await portfolio_of(connection, trade.holding_id, owner_id=owner_id, field=["holdingId"])
        portfolio = await hold_portfolio(connection, found, owner_id=owner_id, field=["holdingId"])
        return portfolio, trade.holding_id
    if portfolio_id is None:
        raise refused("Name a holding, or a portfolio and a variant.", "holdingId")
    if trade.variant_id is None:
        await hold_portfolio(connection, portfolio_id, owner_id=owner_id, field=["portfolioId"])
        raise refused("Name the variant too; the portfolio may have many holdings.", "variantId")
    # Who makes a holding keeps others away: two at once must not make two.
    makes_one = not await holdings_of_variants(connection, portfolio_id, [trade.variant_id])
    portfolio = await hold_portfolio(
        connection, portfolio_id, owner_id=owner_id, field=["portfolioId"], alone=makes_one
    )
    stored = await holdings_of_variants(connection, portfolio_id, [trade.variant_id])
    if not stored and not makes_one:
        raise PortfolioRefused(
            PortfolioErrorCode.CONFLICT,
            "The holding of this variant was deleted or archived at this moment; try again.",
            field=["variantId"],
        )
    known = await known_variants(connection, [trade.variant_id])
    holding_id = _only_holding(trade.variant_id, stored, known)
    if holding_id is None:
        holding_id = (await add_empty_holdings(connection, portfolio, [trade.variant_id]))[trade.variant_id]
    return portfolio, holding_id


def _only_holding(
    variant_id: UUID, stored: Mapping[UUID, Sequence[UUID]], known: Collection[UUID], *, name: str = "holdingId"
) -> UUID | None:
    """The holding of a variant; None where one is to be made. `name` is by what one of several can be named."""
    holdings = stored.get(variant_id, ())
    if len(holdings) > 1:
        raise PortfolioRefused(
            PortfolioErrorCode.AMBIGUOUS_HOLDING,
            f"There are {len(holdings)} holdings of this variant in the portfolio; name one by `{name}`.",
            field=["variantId"],
        )
    if not holdings and variant_id not in known:
        raise PortfolioRefused(
            PortfolioErrorCode.NOT_FOUND, "There is no such variant of an item.", field=["variantId"]
        )
    return holdings[0] if holdings else None


async def _is_last(connection: AsyncConnection, holding_id: UUID, trade: NewTrade, trade_id: UUID) -> bool:
    later = exists().where(
        Trade.holding_id == holding_id, tuple_(Trade.occurred_at, Trade.id) > tuple_(trade.occurred_at, trade_id)
    )
    return not await connection.scalar(select(later))


@contextmanager
def _row(place: int) -> Iterator[None]:
    """Have refusals name the row."""
    try:
        yield
    except PortfolioRefused as refusal:
        raise PortfolioRefused(
            refusal.reason, f"Row {place + 1:,}: {refusal.message}", field=["trades", str(place), *refusal.field]
        ) from None


def _external_name(trade: NewTrade) -> ExternalName:
    return trade.external_source, trade.external_id


def _refuse_doubles(trades: Sequence[NewTrade]) -> None:
    first: dict[ExternalName, int] = {}
    for place, trade in enumerate(trades):
        before = first.setdefault(_external_name(trade), place)
        if trade.external_id is not None and before != place:
            with _row(place):
                raise refused(f"Row {before + 1:,} has the same external name.", "externalId")


async def _imported_before(
    connection: AsyncConnection, portfolio_id: UUID, trades: Iterable[NewTrade]
) -> dict[ExternalName, RecordedTrade]:
    names = {_external_name(trade) for trade in trades if trade.external_id is not None}
    rows = await connection.execute(
        select(Trade.external_source, Trade.external_id, Trade.id, Trade.holding_id).where(
            Trade.portfolio_id == portfolio_id,
            among(Trade.external_source, {source for source, _ in names}),
            among(Trade.external_id, {name for _, name in names}),
        )
    )
    found = {(row[0], row[1]): RecordedTrade(row.id, row.holding_id, is_new=False) for row in rows}
    return {name: trade for name, trade in found.items() if name in names}


async def _holdings_of_rows(
    connection: AsyncConnection, portfolio: HeldPortfolio, trades: Mapping[int, NewTrade]
) -> dict[int, UUID]:
    """The holding of each row; new ones for variants without one."""
    named = {trade.holding_id for trade in trades.values() if trade.holding_id is not None}
    rows = await connection.execute(
        select(Holding.id).where(Holding.portfolio_id == portfolio.id, among(Holding.id, named))
    )
    there = set(rows.scalars())
    variants = {trade.variant_id for trade in trades.values() if trade.variant_id is not None}
    stored = await holdings_of_variants(connection, portfolio.id, variants)
    known = await known_variants(connection, variants - stored.keys())
    found: dict[int, UUID] = {}
    lacking: dict[int, UUID] = {}
    for place, trade in trades.items():
        with _row(place):
            if (trade.holding_id is None) == (trade.variant_id is None):
                raise refused("Name a holding or a variant.", "holdingId")
            if trade.variant_id is not None:
                holding_id = _only_holding(trade.variant_id, stored, known, name="holding")
                if holding_id is None:
                    lacking[place] = trade.variant_id
                else:
                    found[place] = holding_id
            elif trade.holding_id in there:
                found[place] = trade.holding_id
            else:
                raise no_such("holding", "holdingId")
    made = await add_empty_holdings(connection, portfolio, list(dict.fromkeys(lacking.values())))
    return found | {place: made[variant_id] for place, variant_id in lacking.items()}


async def _insert_rows(
    connection: AsyncConnection,
    portfolio: HeldPortfolio,
    trades: Mapping[int, NewTrade],
    ids: Mapping[int, UUID],
    holdings: Mapping[int, UUID],
) -> None:
    rates = await rates_to_freeze(connection, [paid_in(trade) for trade in trades.values()], portfolio.base_currency)
    rows = []
    for place, trade in trades.items():
        with _row(place):
            rate = rate_to_freeze(paid_in(trade), portfolio.base_currency, rates)
            await refuse_unknown_lots(connection, trade.lots, holdings[place])
        names = {"id": ids[place], "owner_id": portfolio.owner_id, "portfolio_id": portfolio.id}
        rows.append(names | {"holding_id": holdings[place]} | trade_values(trade, rate))
    await insert_at_once(connection, Trade, rows)
    lots = {ids[place]: trade.lots for place, trade in trades.items()}
    await insert_choices(connection, lots, owner_id=portfolio.owner_id)


async def _recompute_rows(
    connection: AsyncConnection, trades: Mapping[int, NewTrade], ids: Mapping[int, UUID], holdings: Mapping[int, UUID]
) -> None:
    try:
        await recompute_holdings(connection, list(holdings.values()))
    except TradeImpossible as impossible:
        places = {trade_id: place for place, trade_id in ids.items()}
        if impossible.trade_id in places:
            with _row(places[impossible.trade_id]):
                raise at_its_field(impossible, impossible.trade_id) from None
        of_other = select(Trade.holding_id).where(Trade.id == impossible.trade_id)
        holding_id: UUID | None = await connection.scalar(of_other)
        taking = [place for place in ids if holdings[place] == holding_id and trades[place].kind not in ACQUIRING]
        if not taking:
            raise
        with _row(max(taking, key=lambda place: trades[place].occurred_at)):
            raise PortfolioRefused(
                impossible.reason, f"It takes what a trade of the portfolio needs. {impossible.message}"
            ) from None


async def _refuse_imported_before(connection: AsyncConnection, portfolio_id: UUID, trade: NewTrade) -> None:
    if trade.external_id is not None and await _imported_before(connection, portfolio_id, [trade]):
        raise PortfolioRefused(
            PortfolioErrorCode.CONFLICT, "A trade of the portfolio has this external name.", field=["externalId"]
        )
