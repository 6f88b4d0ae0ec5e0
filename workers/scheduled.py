"""The jobs that the server runs by itself, and on request: each is one line of `JOBS`.

A job is a coroutine that takes a `JobContext` and gives its result, counts by their names, or nothing:

    async def sweep_shop(job: JobContext) -> JobResult:
        answer = await job.provider("shop").ask_json(Question(endpoint="prices", path="/prices"))
        for done, row in enumerate(answer, start=1):
            …
            job.run.report(done, total=len(answer))
        return {"read": len(answer)}

and its line says when it runs unless staff choose otherwise:

    ScheduledJob("sweep:shop", sweep_shop, "Prices of the shop.", cron="*/30 * * * *"),

What it raises ends the run as failed: the sentence of a Refusal or of OutsideServiceFailed is shown to staff, of
anything else only its name. A job runs once at a time, may be stopped at any moment, and is begun anew where its worker
stops: what it does twice must come to the same. Its transactions are its own.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from app.core.database import Database
from app.operations.models import Importer
from app.prices.commands.sweeps import SWEEPS
from app.trackers.commands.poll_gateway import poll_gateway
from app.trackers.gateway import gateway_of, require_gateway
from workers.alerts import prune_old_alerts
from workers.deliveries import prune_old_deliveries
from workers.identity import make_signing_keys_ahead, prune_what_is_over
from workers.imports import fetch_ecb_rates, import_scryfall
from workers.jobs import JobContext, JobResult, RunJob, ScheduledJob
from workers.photos import tidy_photos
from workers.portfolios import make_due_snapshots
from workers.prices import make_partitions_ahead, prune_old_prices, prune_price_changes
from workers.providers import prune_provider_calls
from workers.trackers import make_partitions_ahead as make_partitions_of_trackers
from workers.trackers import prune_tracker_events
from workers.valuations import mark_moved_windows


def _upkeep(work: Callable[[Database], Awaitable[None]]) -> RunJob:
    """A job that needs nothing but the database, and has no counts to tell."""

    async def run(job: JobContext) -> JobResult:
        await work(job.database)
        return None

    return run


async def _make_keys(job: JobContext) -> JobResult:
    await make_signing_keys_ahead(job.database, job.secrets)
    return None


async def _tidy_photos(job: JobContext) -> JobResult:
    return {"deleted": await tidy_photos(job.database, job.storage)}


async def _prune_prices(job: JobContext) -> JobResult:
    await prune_old_prices(job.database, job.settings)
    return None


async def _make_partitions(job: JobContext) -> JobResult:
    await make_partitions_ahead(job.database)
    await make_partitions_of_trackers(job.database)
    return None


async def _poll_gateway(job: JobContext) -> JobResult:
    outcome = await poll_gateway(
        job.database,
        require_gateway(job.settings),
        addresses=job.addresses,
        on_progress=lambda done, total: job.run.report(done, total=total, unit="trackers"),
    )
    if outcome.failure is not None:
        job.run.end_as_failed(outcome.failure)
    return outcome.result


# How often each source is asked once staff enable it; what is asked item by item, less often.
_SWEPT_AT: Mapping[str, str] = {
    "binance": "*/5 * * * *",
    "binance-candles": "7 * * * *",
    "coinbase": "12 * * * *",
    "coingecko": "*/10 * * * *",
    "coingecko-candles": "17 */4 * * *",
    "csfloat": "0 2 * * *",
    "pokemon-tcg": "0 5 * * *",
    "scryfall": "0 10 * * *",
    "skinport": "*/30 * * * *",
    "skinport-sales": "37 */6 * * *",
    "steam-market": "0 0 * * *",
}


def _sweep(name: str) -> ScheduledJob:
    async def run(job: JobContext) -> JobResult:
        outcome = await SWEEPS[name](job.database, job.http, keys=job.settings.provider_keys)
        if outcome.failure is not None:
            job.run.end_as_failed(outcome.failure)
        return outcome.result

    description = f"Prices of `{name}`, as docs/price-sources.md tells; by itself once it is enabled."
    return ScheduledJob(f"sweep:{name}", run, description, cron=_SWEPT_AT[name], is_enabled=False, asks_outside=True)


JOBS: Sequence[ScheduledJob] = (
    *(_sweep(name) for name in SWEEPS),
    ScheduledJob(
        "ecb-rates",
        fetch_ecb_rates,
        "Reference rates of the European Central Bank, which come about 16:00 on working days.",
        cron="15 16,17 * * 1-5",
        time_zone="Europe/Berlin",
        asks_outside=True,
    ),
    ScheduledJob(
        Importer.SCRYFALL.job,
        import_scryfall,
        "Magic cards and sets, of Scryfall's bulk file; only when asked, unless it is given a `cron`.",
    ),
    ScheduledJob(
        "make-partitions",
        _make_partitions,
        "The partitions of the coming months, before the first row for them comes.",
        cron="10 3 * * *",
    ),
    ScheduledJob(
        "mark-moved-windows",
        _upkeep(mark_moved_windows),
        "Valuations whose sales have grown too old are marked, to be made anew.",
        cron="30 3 * * *",
    ),
    ScheduledJob(
        "prune-old-prices",
        _prune_prices,
        "Points and candles that are older than they are to be kept go.",
        cron="30 3 * * *",
    ),
    ScheduledJob(
        "prune-price-changes",
        _upkeep(prune_price_changes),
        "Changes of prices that nobody can ask for any more go.",
        cron="20 * * * *",
    ),
    ScheduledJob(
        "prune-tracker-events",
        _upkeep(prune_tracker_events),
        "What was told of trackers a week ago goes, and reports that no tracker claimed in 90 days.",
        cron="25 * * * *",
    ),
    ScheduledJob(
        "poll-gateway",
        _poll_gateway,
        "Reports of trackers, from the gateway of TROVE_TRACKER_GATEWAY_URL; at rest without one.",
        cron="*/5 * * * *",
        asks_outside=True,
        is_set_up=lambda settings: gateway_of(settings) is not None,
    ),
    ScheduledJob(
        "portfolio-snapshots",
        make_due_snapshots,
        "What portfolios were at the end of yesterday, and of days whose trades have changed since.",
        cron="*/15 * * * *",
    ),
    ScheduledJob(
        "prune-alerts",
        _upkeep(prune_old_alerts),
        "Alerts and notifications that are older than a year go, and all but somebody's newest 10,000 notifications.",
        cron="35 4 * * *",
    ),
    ScheduledJob("make-signing-keys", _make_keys, "The next key that signs access tokens, in time.", cron="5 * * * *"),
    ScheduledJob(
        "tidy-photos",
        _tidy_photos,
        "Photos that nobody added to anything go after a day, and files after the photos they were of.",
        cron="*/5 * * * *",
    ),
    ScheduledJob(
        "prune-identity",
        _upkeep(prune_what_is_over),
        "Challenges, sessions, mails and the like that are over go.",
        cron="40 * * * *",
    ),
    ScheduledJob(
        "prune-deliveries",
        _upkeep(prune_old_deliveries),
        "Deliveries of notifications that were over 90 days ago go.",
        cron="45 3 * * *",
    ),
    ScheduledJob(
        "prune-providers",
        _upkeep(prune_provider_calls),
        "Old calls to providers go, and answers that are kept no longer.",
        cron="50 * * * *",
    ),
)
