"""The demo's person: somebody who may do what is their own and send prices, with a token for the pages and the feed."""

import asyncio
from pathlib import Path
from uuid import UUID

from sqlalchemy import func, select

from app.core.database import Database, Transaction
from app.core.settings import Settings
from app.identity.commands.api_tokens import API_TOKEN, create_api_token, viewer_of_api_token
from app.identity.commands.people import create_person
from app.identity.commands.roles import grant_role
from app.identity.commands.sessions import scopes_of
from app.identity.models import Role, User
from app.identity.scopes import OWN, Scope
from app.identity.tokens import is_token
from app.identity.viewer import Caller, Origin
from app.prices.delivery import delivering_database

USERNAME = "demo-collector"
DISPLAY_NAME = "Demo collector"
TOKEN_NAME = "GraphiQL and the price feed of this machine"  # noqa: S105  # what it is called
SCOPES = OWN | {Scope.PRICES_WRITE}
OPERATOR = Caller(origin=Origin(user_agent="trove up"))


def ensure_demo_token(settings: Settings, file: Path) -> str:
    """The demo person's API token, kept in a file of this machine; the person and the token are made where missing."""

    async def ensure(kept: str) -> str:
        async with delivering_database(settings) as database:
            return await demo_token_in(database, kept)

    token = asyncio.run(ensure(file.read_text(encoding="ascii").strip() if file.exists() else ""))
    file.touch(mode=0o600)
    file.write_text(token, encoding="ascii")
    return token


async def demo_token_in(database: Database, kept: str) -> str:
    """The token that was kept, where it still holds, or a new one."""
    async with database.transaction() as transaction:
        if is_token(kept, API_TOKEN):
            held = await viewer_of_api_token(transaction, kept, origin=OPERATOR.origin)
            if held is not None and held[0].scopes >= SCOPES:
                return kept
        user_id = await _person(transaction)
        token = await create_api_token(
            transaction, caller=OPERATOR, user_id=user_id, name=TOKEN_NAME, scopes=sorted(SCOPES)
        )
    return token.text


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
