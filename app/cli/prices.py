"""`trove prices`: prices from outside sources, and upkeep of the tables of prices."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from sqlalchemy.ext.asyncio import AsyncEngine

from app.cli.database import require_current_database
from app.cli.resumable import ending_at_ctrl_c, run_over_database, settings_with_database
from app.cli.services import private_services
from app.core.database import Transaction
from app.core.errors import BadUserInput
from app.core.ids import PublicIdTag, parse_public_id
from app.core.settings import Settings, current_settings
from app.core.telemetry import configure_logging
from app.core.worker_database import worker_database
from app.ingestion.delivery import Delivery, process_batches
from app.notifications.commands.price_alerts import WATCHED_PRICE_BATCHES
from app.prices.commands.rebuild_candles import (
    RebuildProgress,
    begin_rebuild,
    continue_rebuild,
    count_series_to_rebuild,
)
from app.prices.commands.sweep import SweepOutcome
from app.prices.commands.sweeps import SWEEPS
from app.prices.connectors.tickers import FEEDS, Followed, feed_of
from app.prices.connectors.tickers import follow as follow_feed
from app.providers.client import provider_http
from app.providers.commands.save_known import save_known_providers

commands = typer.Typer(name="prices", help="Look after stored prices.", no_args_is_help=True)
console = Console(soft_wrap=True, highlight=False, markup=False)
errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)


@commands.callback()
def configure() -> None:
    """Have warnings on standard error."""
    configure_logging(level="WARNING", readable=True)


@commands.command("rebuild-candles")
def rebuild_candles(
    series: Annotated[str | None, typer.Option(help="The id of one series; default: all.", show_default=False)] = None,
    since: Annotated[
        str | None, typer.Option("--from", help="The first day, as 2026-01-31; default: from the beginning.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", help="The day before which it ends; default: to the end.")
    ] = None,
) -> None:
    """Compute candles of a minute, an hour and a day anew from points. May be ended at any time, and begun again.

    What a source provided is left alone, and so is what comes of points that are kept no more.
    """
    series_id, first, last = _series(series), _instant(since, "--from"), _instant(until, "--to")

    async def work(engine: AsyncEngine) -> RebuildProgress:
        async with engine.begin() as connection:
            rebuild = await begin_rebuild(Transaction(connection), series_id=series_id, since=first, until=last)
            total = await count_series_to_rebuild(connection, series_id=series_id, first=rebuild.next_series_id)
        if rebuild.is_resumed:
            errors.print("It was begun before, and goes on where it was.")
        with _progress() as bar:
            task = bar.add_task("series rebuilt", total=total)
            done = rebuild
            while not done.is_finished:
                async with engine.begin() as connection:
                    step = await continue_rebuild(Transaction(connection), rebuild.id)
                if step.next_series_id > done.next_series_id:
                    bar.advance(task)
                done = step
        return done

    with settings_with_database() as settings:
        done = run_over_database(settings, work, connections=1, application_name="trove-prices")
    console.print(
        f"{done.changed:,} candles were wrong or missing; {done.removed:,} were removed that no point is behind."
    )


@commands.command("sweep")
def sweep(
    source: Annotated[str, typer.Argument(help=f"One of {', '.join(SWEEPS)}.", show_default=False)],
    limit: Annotated[
        int | None, typer.Option(min=1, help="How many items at most; default: all.", show_default=False)
    ] = None,
) -> None:
    """Ask one outside source for the prices of all that it can price, and take them in."""
    if source not in SWEEPS:
        raise BadUserInput(f"There is no source `{source}`; there are {', '.join(SWEEPS)}.", allowed=list(SWEEPS))
    settings = current_settings()
    with ending_at_ctrl_c(), _services(settings) as filled:
        outcome, delivery = asyncio.run(_sweep(filled, source, limit))
    _print_sweep(outcome, delivery)
    raise typer.Exit(0 if outcome.failure is None else 1)


async def _sweep(settings: Settings, source: str, limit: int | None) -> tuple[SweepOutcome, Delivery]:
    async with worker_database(settings, application_name="trove-prices") as database, provider_http() as http:
        async with database.transaction() as transaction:
            await save_known_providers(transaction)
        outcome = await SWEEPS[source](database, http, keys=settings.provider_keys, limit=limit)
        return outcome, await process_batches(database, WATCHED_PRICE_BATCHES, outcome.batch_ids)


@commands.command("follow")
def follow(
    source: Annotated[str, typer.Argument(help=f"One of {', '.join(FEEDS)}.", show_default=False)],
    items: Annotated[list[str], typer.Option("--item", help="The slug of a coin; once for each.", show_default=False)],
    url: Annotated[
        str | None, typer.Option(help="Another address of the same feed, as wss://…", show_default=False)
    ] = None,
) -> None:
    """Take in what coins cost as they trade, until Ctrl-C; each coin at most once a second."""
    with _services(current_settings()) as settings:
        followed = asyncio.run(_follow(settings, source, items, url))
    console.print(
        f"{followed.ticks:,} ticks came, {followed.misread:,} could not be read; {followed.rows:,} prices went in by "
        f"{followed.batches:,} batches over {followed.reconnects + 1:,} connections"
    )


async def _follow(settings: Settings, source: str, items: list[str], url: str | None) -> Followed:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    async with worker_database(settings, application_name="trove-prices") as database:
        feed = await feed_of(database, source, items, url=url)
        console.print(f"Following {', '.join(feed.subjects)} at {source}; Ctrl-C ends it.")
        return await follow_feed(database, feed, stopping=stopping, handlers=WATCHED_PRICE_BATCHES)


def _print_sweep(outcome: SweepOutcome, delivery: Delivery) -> None:
    console.print(
        f"{outcome.source}: {outcome.asked:,} items asked for: {outcome.priced:,} priced "
        f"({outcome.unchanged:,} as they were), {outcome.unknown:,} unknown there, {outcome.failed:,} failed"
    )
    console.print(
        f"{delivery.rows:,} rows: {delivery.accepted:,} accepted, {delivery.duplicates:,} duplicates, "
        f"{delivery.rejected_count:,} rejected"
    )
    for row in delivery.rejected:
        console.print(f"  row {row.number:,}: {row.reason}")
    for failure in outcome.failures:
        console.print(f"  {failure.subject}: {failure.reason}")
    if outcome.failed > len(outcome.failures):
        console.print(f"  … and {outcome.failed - len(outcome.failures):,} more")
    if outcome.cut_short is not None:
        errors.print(f"It ended early: {outcome.cut_short}", style="red")


@contextmanager
def _services(settings: Settings) -> Iterator[Settings]:
    """The settings with the addresses of services that run, over a database that is up to date."""
    with private_services(settings) as filled:
        require_current_database(filled)
        yield filled


def _series(public_id: str | None) -> int | None:
    if public_id is None:
        return None
    parsed = parse_public_id(public_id)
    if parsed is None or parsed[0] is not PublicIdTag.PRICE_SERIES or not isinstance(parsed[1], int):
        raise BadUserInput(f"`{public_id}` is not the id of a series; take the `id` of a series from the API.")
    return parsed[1]


def _instant(text: str | None, option: str) -> datetime | None:
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise BadUserInput(f"{option} takes a day such as 2026-01-31, and not `{text}`.") from None
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def _progress() -> Progress:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=errors)
