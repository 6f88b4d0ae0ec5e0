"""`trove keys`: the keys under which secrets are kept, and bringing the secrets from one key to the next."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from sqlalchemy.ext.asyncio import AsyncEngine

import app.alerts.models
import app.catalogue.models
import app.identity.models
import app.ingestion.models
import app.notifications.models
import app.operations.models
import app.portfolios.models
import app.prices.models
import app.providers.models
import app.trackers.models
from app.cli.resumable import run_over_database, settings_with_database
from app.core.database import Base
from app.core.embedded import default_directory
from app.core.errors import BadUserInput, Conflict
from app.core.key_rings import LOCAL_FILE, change_key_ring_file, create_key_ring_file, key_ring_of
from app.core.rotation import Outcome, check, count_secrets, encrypted_columns, keys_in_use, rotate
from app.core.secrets import InvalidKeyRing, KeyRing, Secrets, fresh_key_id
from app.core.settings import Settings, current_settings
from app.core.telemetry import configure_logging

# Every room, so that no encrypted column is overlooked: a table is known once its module was read.
ROOMS = (
    app.alerts.models,
    app.catalogue.models,
    app.identity.models,
    app.ingestion.models,
    app.notifications.models,
    app.operations.models,
    app.portfolios.models,
    app.prices.models,
    app.providers.models,
    app.trackers.models,
)
SOMETHING_IS_LEFT = 1
CONNECTIONS = 2

commands = typer.Typer(name="keys", help="Make, change and check the keys of what is encrypted.", no_args_is_help=True)
console = Console(soft_wrap=True, highlight=False, markup=False)
errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)

RingFile = Annotated[
    Path | None, typer.Option("--file", help="The file of keys; default: TROVE_SECRET_KEYS_FILE.", show_default=False)
]
Result = TypeVar("Result")
Work = Callable[[AsyncEngine, Secrets, Callable[[int], None]], Awaitable[Outcome]]


@commands.callback()
def configure() -> None:
    """Have warnings on standard error: on standard output stand keys."""
    configure_logging(level="WARNING", readable=True)


@commands.command("create")
def create(
    file: Annotated[Path | None, typer.Option("--file", help="A new file; default: standard output.")] = None,
) -> None:
    """Make a new ring of keys, with one key. An existing file is left alone."""
    if file is None:
        typer.echo(KeyRing.fresh().text())
        return
    ring = create_key_ring_file(file)
    console.print(f"Wrote {file} with the key {ring.current}. Keep a copy: without it nothing encrypted can be read.")


@commands.command("add")
def add(
    file: RingFile = None,
    standby: Annotated[
        bool, typer.Option("--standby", help="Let it decrypt only, until `trove keys use` makes it the current one.")
    ] = False,
) -> None:
    """Add a fresh key, which encrypts from now on. A ring of TROVE_SECRET_KEYS is printed with it instead."""
    key_id = fresh_key_id()
    _change(file, current_settings(), lambda ring: ring.with_new_key(key_id, is_current=not standby))
    then = f"`trove keys use {key_id}`" if standby else "`trove keys rotate`"
    errors.print(f"Added the key {key_id}. Keep a copy, restart the API and the workers, then run {then}.")


@commands.command("use")
def use(
    key_id: Annotated[str, typer.Argument(metavar="KEY", help="The id of a key of the ring.", show_default=False)],
    file: RingFile = None,
) -> None:
    """Make a key of the ring the current one, which encrypts from now on."""
    _change(file, current_settings(), lambda ring: ring.using(key_id))
    errors.print(f"{key_id} is the current key. Restart the API and the workers, then run `trove keys rotate`.")


@commands.command("remove")
def remove(
    key_id: Annotated[str, typer.Argument(metavar="KEY", help="The id of an old key.", show_default=False)],
    file: RingFile = None,
) -> None:
    """Take an old key out of the ring, unless something in the database is still encrypted under it."""
    with settings_with_database() as settings:
        in_use = _run(settings, lambda engine: keys_in_use(engine, encrypted_columns(Base.metadata)))
        if key_id in in_use:
            raise Conflict(f"{in_use[key_id]:,} secrets are encrypted under {key_id}: run `trove keys rotate` first.")
        _change(file, settings, lambda ring: ring.without(key_id))
    errors.print(f"Removed the key {key_id}. Backups made before need a copy of it.")


@commands.command("rotate")
def rotate_secrets() -> None:
    """Encrypt anew, under the current key, all that is not. May be ended at any time, and begun again."""
    columns = encrypted_columns(Base.metadata)

    async def work(engine: AsyncEngine, secrets: Secrets, progress: Callable[[int], None]) -> Outcome:
        return await rotate(engine, secrets, columns, on_progress=progress)

    outcome = _with_progress("secrets encrypted anew", work, counts_outstanding=True)
    console.print(f"{outcome.done:,} secrets encrypted anew; {outcome.outstanding:,} are not under the current key.")
    _print_rest(outcome)
    raise typer.Exit(SOMETHING_IS_LEFT if outcome.outstanding else 0)


@commands.command("check")
def check_secrets() -> None:
    """Read all that is encrypted, and say what cannot be read."""
    columns = encrypted_columns(Base.metadata)

    async def work(engine: AsyncEngine, secrets: Secrets, progress: Callable[[int], None]) -> Outcome:
        return await check(engine, secrets, columns, on_progress=progress)

    outcome = _with_progress("secrets read", work, counts_outstanding=False)
    console.print(f"{outcome.done:,} secrets can be read; {outcome.unreadable:,} cannot.")
    _print_rest(outcome)
    raise typer.Exit(SOMETHING_IS_LEFT if outcome.unreadable else 0)


def _print_rest(outcome: Outcome) -> None:
    """Which keys are in use, and what could not be read."""
    in_use = ", ".join(f"{key_id} ({count:,})" for key_id, count in outcome.keys_in_use.items())
    console.print(f"Keys in use: {in_use or 'none'}.")
    for example in outcome.examples:
        place = example.place
        row = place.row.replace("\0", ", ")
        console.print(f"  {place.table}.{place.column} of {row}: {example.reason}")
    if outcome.unreadable > len(outcome.examples):
        console.print(f"  … and {outcome.unreadable - len(outcome.examples):,} more")
    if outcome.outstanding > outcome.unreadable:
        console.print(
            f"{outcome.outstanding - outcome.unreadable:,} are to be encrypted anew: run `trove keys rotate`."
        )


def _with_progress(what: str, work: Work, *, counts_outstanding: bool) -> Outcome:
    """Run it over the database of the settings, with a bar on standard error."""
    with settings_with_database() as settings:
        secrets = Secrets(key_ring_of(settings))

        async def all_of_it(engine: AsyncEngine) -> Outcome:
            columns = encrypted_columns(Base.metadata)
            total = await count_secrets(engine, columns, besides=secrets if counts_outstanding else None)
            with _progress() as progress:
                task = progress.add_task(what, total=total)
                return await work(engine, secrets, lambda rows: progress.advance(task, rows))

        return _run(settings, all_of_it)


def _run(settings: Settings, work: Callable[[AsyncEngine], Awaitable[Result]]) -> Result:
    return run_over_database(settings, work, connections=CONNECTIONS, application_name="trove-keys")


def _change(given: Path | None, settings: Settings, change: Callable[[KeyRing], KeyRing]) -> None:
    """Change the ring in its file: the one given, that of the settings, or that of the private services.

    A ring of TROVE_SECRET_KEYS is printed as it is to be from now on.
    """
    if given is None and settings.secret_keys is not None:
        try:
            typer.echo(change(key_ring_of(settings)).text())
        except InvalidKeyRing as error:
            raise BadUserInput(f"The ring stays as it was: {error}.") from error
        return
    local = (settings.directory or default_directory()) / LOCAL_FILE
    file = given or settings.secret_keys_file or (local if local.exists() else None)
    if file is None:
        raise BadUserInput("There is no file of keys: name one with --file, or set TROVE_SECRET_KEYS_FILE.")
    change_key_ring_file(file, change)


def _progress() -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=errors,
        transient=True,
    )
