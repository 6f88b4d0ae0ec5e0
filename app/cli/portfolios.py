"""`trove portfolios`: upkeep of what is derived from portfolios."""

from datetime import date, timedelta
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from sqlalchemy.ext.asyncio import AsyncEngine

from app.cli.resumable import run_over_database, settings_with_database
from app.core.clock import utc_now
from app.core.database import Transaction
from app.core.errors import BadUserInput
from app.core.ids import PublicIdTag, parse_public_id
from app.core.telemetry import configure_logging
from app.portfolios.commands.snapshots import DuePortfolio, due_portfolios, make_snapshots, mark_snapshots

commands = typer.Typer(name="portfolios", help="Look after what follows from portfolios.", no_args_is_help=True)
console = Console(soft_wrap=True, highlight=False, markup=False)
errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
_DAY = timedelta(days=1)


@commands.callback()
def configure() -> None:
    """Have warnings on standard error."""
    configure_logging(level="WARNING", readable=True)


@commands.command("backfill")
def backfill(
    portfolio: Annotated[
        str | None, typer.Option(help="The id of one portfolio; default: all.", show_default=False)
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--from", help="Make those from this day on anew, as 2026-01-31; default: only what is missing or outdated."
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", help="The last day; default: yesterday.", show_default=False)
    ] = None,
) -> None:
    """Make the daily snapshots of portfolios from the history of trades, prices and exchange rates.

    May be ended at any time: begun again, without `--from`, it goes on where it was. Made twice they are the same.
    """
    portfolio_id, first, last = _portfolio(portfolio), _day(since, "--from"), _day(until, "--to")
    today = utc_now().date()
    end = today if last is None or last >= today else last + _DAY
    if first is not None and first >= end:
        raise BadUserInput("--from must not lie after --to, and --to not after yesterday.")

    async def work(engine: AsyncEngine) -> tuple[int, int]:
        async with engine.begin() as connection:
            transaction = Transaction(connection)
            if first is not None:
                await mark_snapshots(transaction, since=first, portfolio_id=portfolio_id)
            due = await due_portfolios(transaction, until=end, portfolio_id=portfolio_id)
        with _progress() as bar:
            task = bar.add_task("portfolios", total=len(due))
            made = 0
            for one in due:
                made += await _make(engine, one, end)
                bar.advance(task)
        return len(due), made

    with settings_with_database() as settings:
        count, made = run_over_database(settings, work, connections=1, application_name="trove-portfolios")
    console.print(f"{made:,} snapshots of {count:,} portfolios were made.")


async def _make(engine: AsyncEngine, due: DuePortfolio, end: date) -> int:
    made = 0
    while True:
        async with engine.begin() as connection:
            step = await make_snapshots(Transaction(connection), due.id, until=end, now=utc_now())
        made += step.made
        if step.is_finished:
            return made


def _portfolio(given: str | None) -> UUID | None:
    if given is None:
        return None
    parsed = parse_public_id(given)
    if parsed is None or parsed[0] is not PublicIdTag.PORTFOLIO or not isinstance(parsed[1], UUID):
        raise BadUserInput(f"`{given}` is not the id of a portfolio; take the `id` of a portfolio from the API.")
    return parsed[1]


def _day(given: str | None, option: str) -> date | None:
    if given is None:
        return None
    try:
        return date.fromisoformat(given)
    except ValueError:
        raise BadUserInput(f"{option} takes a day such as 2026-01-31, and not `{given}`.") from None


def _progress() -> Progress:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=errors)
