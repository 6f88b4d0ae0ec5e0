"""`trove trackers`: reports of trackers from the operator's gateway."""

import asyncio

import typer
from rich.console import Console

from app.cli.database import require_current_database
from app.cli.resumable import ending_at_ctrl_c
from app.cli.services import private_services
from app.core.key_rings import key_ring_of
from app.core.secrets import Secrets
from app.core.settings import Settings, current_settings
from app.core.telemetry import configure_logging
from app.core.worker_database import worker_database
from app.ingestion.delivery import Delivery, process_batches
from app.notifications.commands.tracker_alerts import tell_of_trackers
from app.trackers.commands.location_batches import location_batches
from app.trackers.commands.poll_gateway import PollOutcome, poll_gateway
from app.trackers.gateway import Gateway, require_gateway

commands = typer.Typer(name="trackers", help="Ask for reports of trackers.", no_args_is_help=True)
console = Console(soft_wrap=True, highlight=False, markup=False)
errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)


@commands.callback()
def configure() -> None:
    """Have warnings on standard error."""
    configure_logging(level="WARNING", readable=True)


@commands.command("poll")
def poll() -> None:
    """Ask the gateway of TROVE_TRACKER_GATEWAY_URL for the trackers that are due, once, and take in what it says."""
    settings = current_settings()
    gateway = require_gateway(settings)
    with ending_at_ctrl_c(), private_services(settings) as filled:
        require_current_database(filled)
        outcome, delivery = asyncio.run(_poll(filled, gateway))
    _print(outcome, delivery)
    raise typer.Exit(0 if outcome.failure is None else 1)


async def _poll(settings: Settings, gateway: Gateway) -> tuple[PollOutcome, Delivery]:
    handlers = location_batches(Secrets(key_ring_of(settings)), tell_of_trackers)
    async with worker_database(settings, application_name="trove-trackers") as database:
        outcome = await poll_gateway(database, gateway)
        return outcome, await process_batches(database, handlers, outcome.batch_ids)


def _print(outcome: PollOutcome, delivery: Delivery) -> None:
    console.print(f"{outcome.due:,} trackers were due: {outcome.asked:,} asked for, {outcome.failed:,} failed")
    console.print(
        f"{delivery.rows:,} reports: {delivery.accepted:,} accepted, {delivery.duplicates:,} duplicates, "
        f"{delivery.rejected_count:,} rejected"
    )
    for row in delivery.rejected:
        console.print(f"  row {row.number:,}: {row.reason}")
    if outcome.foreign or outcome.unreadable:
        console.print(f"  {outcome.foreign:,} of other keys, {outcome.unreadable:,} that are no reports")
    if outcome.first_failure is not None:
        console.print(f"  the first failure: {outcome.first_failure}")
    if outcome.cut_short is not None:
        errors.print(f"It ended early: {outcome.cut_short}", style="red")
