"""The demo's person: somebody who may do what is their own and send prices, with a token for the pages and the feed.

They have a password too, so that signing in can be tried. Both are made anew for each machine.
"""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_urlsafe
from uuid import UUID

from sqlalchemy import func, select, update

from app.core.database import Database, Transaction
from app.core.key_rings import key_ring_of
from app.core.secrets import Secrets, SecretUnreadable, place_of
from app.core.settings import Settings
from app.core.worker_database import worker_database
from app.identity.actions import AuditAction
from app.identity.commands.api_tokens import API_TOKEN, create_api_token, viewer_of_api_token
from app.identity.commands.audit import record
from app.identity.commands.people import PASSWORD, WayIn, add_way_in, create_person
from app.identity.commands.roles import grant_role, scopes_of
from app.identity.models import Credential, Identity, Role, User
from app.identity.passwords import Passwords
from app.identity.scopes import OWN, Scope
from app.identity.sign_in import store_password_hash
from app.identity.tokens import is_token
from app.identity.viewer import Caller, ClientInfo

EMAIL = "collector@demo.example"
TOKEN_FILE = "demo-token"  # noqa: S105  # the name of a file
PASSWORD_FILE = "demo-password"  # noqa: S105  # the name of a file
PASSWORD_BYTES = 12
USERNAME = "demo-collector"
DISPLAY_NAME = "Demo collector"
TOKEN_NAME = "GraphiQL and the price feed of this machine"  # noqa: S105  # what it is called
SCOPES = OWN | {Scope.PRICES_WRITE}
OPERATOR = Caller(client=ClientInfo(user_agent="trove up"))


@dataclass(frozen=True, slots=True)
class DemoSecrets:
    """What the demo person signs in with."""

    token: str = field(repr=False)
    password: str = field(repr=False)


def ensure_demo_person(settings: Settings, directory: Path) -> DemoSecrets:
    """The demo person's API token and password, kept in files of this machine; what is missing is made."""
    token_file, password_file = directory / TOKEN_FILE, directory / PASSWORD_FILE

    async def ensure() -> DemoSecrets:
        async with worker_database(settings, application_name="trove-demo") as database:
            return await demo_secrets_in(
                database,
                Secrets(key_ring_of(settings)),
                kept_token=_read(token_file),
                kept_password=_read(password_file),
            )

    secrets = asyncio.run(ensure())
    _write(token_file, secrets.token)
    _write(password_file, secrets.password)
    return secrets


def _read(file: Path) -> str:
    return file.read_text(encoding="ascii").strip() if file.exists() else ""


def _write(file: Path, text: str) -> None:
    file.touch(mode=0o600)
    file.write_text(text, encoding="ascii")


async def demo_secrets_in(database: Database, secrets: Secrets, *, kept_token: str, kept_password: str) -> DemoSecrets:
    """The token and the password that were kept, where they still hold, or new ones."""
    token = await demo_token_in(database, kept_token)
    return DemoSecrets(token, await demo_password_in(database, secrets, kept_password))


async def demo_token_in(database: Database, kept: str) -> str:
    """The token that was kept, where it still holds, or a new one."""
    async with database.transaction() as transaction:
        if is_token(kept, API_TOKEN):
            held = await viewer_of_api_token(transaction, kept, client=OPERATOR.client)
            if held is not None and held[0].scopes >= SCOPES:
                return kept
        user_id = await _person(transaction)
        token = await create_api_token(
            transaction, caller=OPERATOR, user_id=user_id, name=TOKEN_NAME, scopes=sorted(SCOPES)
        )
    return token.text


async def demo_password_in(database: Database, secrets: Secrets, kept: str) -> str:
    """The password that was kept, where it still holds, or a new one."""
    passwords = Passwords()
    try:
        async with database.transaction() as transaction:
            user_id = await _person(transaction)
            sealed = await transaction.connection.scalar(
                select(Credential.password_hash).where(Credential.user_id == user_id)
            )
        if kept and sealed is not None and (await passwords.verify(kept, _opened(secrets, sealed, user_id))).is_right:
            return kept
        password = token_urlsafe(PASSWORD_BYTES)
        password_hash = await passwords.hash(password)
    finally:
        passwords.close()
    async with database.transaction() as transaction:
        await _give_address(transaction, user_id)
        await store_password_hash(transaction, secrets, user_id, password_hash)
        await record(transaction, AuditAction.PASSWORD_CHANGED, caller=OPERATOR, subject_id=user_id)
    return password


def _opened(secrets: Secrets, sealed: bytes, user_id: UUID) -> str | None:
    """The hash; none where it was sealed by keys that this machine no longer has."""
    try:
        return secrets.decrypt(sealed, place_of(Credential.password_hash, user_id)).decode()
    except SecretUnreadable:
        return None


async def _give_address(transaction: Transaction, user_id: UUID) -> None:
    """Make the demo's address theirs, and a password a way in."""
    await transaction.connection.execute(
        update(User).where(User.id == user_id).values(email=EMAIL, email_verified_at=func.now())
    )
    known = await transaction.connection.scalar(
        select(Identity.id).where(Identity.user_id == user_id, Identity.provider == PASSWORD)
    )
    if known is None:
        await add_way_in(
            transaction, user_id=user_id, way_in=WayIn(provider=PASSWORD, issuer="", subject=EMAIL, email=EMAIL)
        )


async def _person(transaction: Transaction) -> UUID:
    found = await transaction.connection.scalar(select(User.id).where(func.lower(User.username) == USERNAME))
    user_id = found or await create_person(transaction, caller=OPERATOR, username=USERNAME, display_name=DISPLAY_NAME)
    if not await scopes_of(transaction, user_id) >= SCOPES:
        await grant_role(
            transaction,
            caller=OPERATOR,
            user_id=user_id,
            role=Role.USER,
            permissions=[Scope.PRICES_WRITE],
            reason="The demo sends prices.",
        )
    return user_id
