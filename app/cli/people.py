"""`trove people`: what the operator does for people: the first administrator, partners and their tokens."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, TypeVar
from uuid import UUID

import typer
from rich.console import Console

from app.cli.database import first_line, require_current_database
from app.cli.services import private_services
from app.core.clock import utc_now
from app.core.database import DATABASE_FAILURES, Database, Transaction, is_database_away
from app.core.errors import BadUserInput, NotFound, ServiceUnavailable
from app.core.ids import PublicIdTag, parse_public_id, public_id
from app.core.key_rings import key_ring_of
from app.core.secrets import Secrets
from app.core.settings import Settings, current_settings
from app.core.telemetry import configure_logging
from app.core.worker_database import worker_database
from app.identity.commands.api_tokens import create_api_token
from app.identity.commands.people import MAGIC_LINK, PASSWORD, WayIn, add_way_in, create_person
from app.identity.commands.roles import grant_role, revoke_role
from app.identity.models import Role
from app.identity.names import EmailAddress, normalise_email
from app.identity.passwords import Passwords
from app.identity.queries.people import PersonSummary, people_by_username, person_of_username
from app.identity.scopes import Scope
from app.identity.sign_in import store_password_hash
from app.identity.viewer import Caller, ClientInfo

OPERATOR = Caller(client=ClientInfo(user_agent="trove people"))

commands = typer.Typer(name="people", help="Add people, grant them roles, make them tokens.", no_args_is_help=True)
console = Console(soft_wrap=True, highlight=False, markup=False)
errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)

Result = TypeVar("Result")
Username = Annotated[str, typer.Argument(help="Their username.", show_default=False)]
Expires = Annotated[
    str | None, typer.Option("--expires", help="When it ends by itself: 2027-01-31, or with a time and its offset.")
]


@commands.callback()
def configure() -> None:
    """Have warnings on standard error: on standard output stand tokens."""
    configure_logging(level="WARNING", readable=True)


@commands.command("add")
def add(
    username: Username,
    email: Annotated[str | None, typer.Option(help="Their address, known to be theirs; they sign in by it.")] = None,
    *,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read a first password from standard input.")
    ] = False,
) -> None:
    """Add a person. Without an address there is no way to sign in: such a person has tokens alone."""
    if password_stdin and email is None:
        raise BadUserInput("One signs in by address and password: give the address too, with --email.")
    address = None if email is None else normalise_email(email)
    password = sys.stdin.readline().rstrip("\r\n") if password_stdin else None

    async def work(database: Database, settings: Settings) -> None:
        secrets = Secrets(key_ring_of(settings))
        password_hash = None if password is None else await _hashed(password, username, address)
        async with database.transaction() as transaction:
            await _add(transaction, secrets, username, address, password_hash)

    _run(work)
    errors.print(f"Added {username}. Roles are granted with `trove people grant {username} --role … --reason …`.")


async def _hashed(password: str, username: str, address: EmailAddress | None) -> str:
    passwords = Passwords()
    try:
        own_words = [username] if address is None else [username, address.shown]
        await passwords.check_strength(password, own_words=own_words)
        return await passwords.hash(password)
    finally:
        passwords.close()


async def _add(
    transaction: Transaction, secrets: Secrets, username: str, address: EmailAddress | None, password_hash: str | None
) -> None:
    user_id = await create_person(
        transaction,
        caller=OPERATOR,
        username=username,
        email=None if address is None else address.shown,
        email_verified_at=None if address is None else utc_now(),
    )
    if address is None:
        return
    providers = [MAGIC_LINK] if password_hash is None else [MAGIC_LINK, PASSWORD]
    for provider in providers:
        way_in = WayIn(provider, "", address.key, email=address.shown)
        await add_way_in(transaction, user_id=user_id, way_in=way_in)
    if password_hash is not None:
        await store_password_hash(transaction, secrets, user_id, password_hash)


@commands.command("grant")
def grant(
    username: Username,
    role: Annotated[Role, typer.Option(help="What they are to be.")],
    reason: Annotated[str, typer.Option(help="Why; it stands in the audit log.")],
    permission: Annotated[
        list[Scope] | None, typer.Option(help="What it is to let them do; again for more. Default: the role's own.")
    ] = None,
    expires: Expires = None,
) -> None:
    """Grant a role, at once. Prints the grant's id."""
    expires_at = _moment(expires)

    async def work(database: Database, _: Settings) -> UUID:
        async with database.transaction() as transaction:
            return await grant_role(
                transaction,
                caller=OPERATOR,
                user_id=await _person(transaction, username),
                role=role,
                permissions=permission or None,
                reason=reason,
                expires_at=expires_at,
            )

    typer.echo(public_id(PublicIdTag.ROLE_GRANT, _run(work)))
    errors.print(f"{username} is {role.value} now; `trove people list` shows every grant.")


@commands.command("revoke")
def revoke(
    grant_id: Annotated[
        str, typer.Argument(metavar="GRANT", help="The id that `trove people list` shows.", show_default=False)
    ],
) -> None:
    """Take a grant back, at once."""
    parsed = parse_public_id(grant_id)
    if parsed is None or parsed[0] is not PublicIdTag.ROLE_GRANT or not isinstance(parsed[1], UUID):
        raise BadUserInput("This is no id of a grant; `trove people list` shows them.")
    key = parsed[1]

    async def work(database: Database, _: Settings) -> None:
        async with database.transaction() as transaction:
            await revoke_role(transaction, key, caller=OPERATOR)

    _run(work)
    errors.print("The grant is taken back.")


@commands.command("token")
def token(
    username: Username,
    name: Annotated[str, typer.Option(help="What to know it by.")],
    scope: Annotated[list[Scope], typer.Option(help="What it is to allow; again for more.")],
    expires: Expires = None,
    allow: Annotated[
        list[str] | None, typer.Option(help="An address or network it may be used from; again for more.")
    ] = None,
) -> None:
    """Make an API token, and print it; it is not shown again."""
    expires_at = _moment(expires)

    async def work(database: Database, _: Settings) -> str:
        async with database.transaction() as transaction:
            issued = await create_api_token(
                transaction,
                caller=OPERATOR,
                user_id=await _person(transaction, username),
                name=name,
                scopes=scope,
                expires_at=expires_at,
                allowed_addresses=allow or (),
            )
        return issued.text

    typer.echo(_run(work))
    errors.print("Keep it: it is not shown again.")


@commands.command("list")
def list_people() -> None:
    """List the people, with their roles."""

    async def work(database: Database, _: Settings) -> Sequence[PersonSummary]:
        async with database.transaction() as transaction:
            return await people_by_username(transaction.connection)

    people = _run(work)
    for person in people:
        console.print(f"{person.username}  {person.email or 'no address'}  {person.api_tokens:,} API tokens")
        for held in person.grants:
            until = "" if held.expires_at is None else f", until {held.expires_at:%Y-%m-%d %H:%M} UTC"
            shown = public_id(PublicIdTag.ROLE_GRANT, held.id)
            console.print(f"    {held.role}: {' '.join(held.permissions)}{until}  (grant {shown})")
    errors.print(f"{len(people):,} people.")


async def _person(transaction: Transaction, username: str) -> UUID:
    found = await person_of_username(transaction.connection, username)
    if found is None:
        raise NotFound(f"There is nobody called {username}; `trove people add {username}` adds them.")
    return found


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadUserInput("--expires is a day such as 2027-01-31, or a time such as 2027-01-31T12:00+01:00.") from None


def _run(work: Callable[[Database, Settings], Awaitable[Result]]) -> Result:
    """Run it over the database of the settings, as the worker's role; what it announces reaches every process."""

    async def over_the_database(settings: Settings) -> Result:
        async with worker_database(settings, application_name="trove-people") as database:
            return await work(database, settings)

    with private_services(current_settings()) as settings:
        require_current_database(settings)
        try:
            return asyncio.run(over_the_database(settings))
        except DATABASE_FAILURES as error:
            if not is_database_away(error):
                raise
            raise ServiceUnavailable(
                f"The database went away ({first_line(error)}), and nothing was changed; try again."
            ) from error
