"""`POST /uploads/imports`: what it takes in, and what it says to everything else."""

from collections.abc import AsyncIterator
from uuid import UUID

import httpx
import pytest
from sqlalchemy import insert, select

from app.core.database import Database
from app.core.ids import PublicIdTag, new_id, parse_public_id, public_id
from app.core.settings import Settings
from app.identity.commands.api_tokens import API_TOKEN
from app.identity.models import ApiToken
from app.identity.scopes import Scope
from app.identity.tokens import new_token
from app.main import create_application
from app.portfolios.imports.rows import LARGEST_FILE_BYTES
from app.portfolios.models import PortfolioImport
from tests.portfolios.builders import Possessions, possessions
from tests.portfolios.import_builders import import_of

WRITES, READS = new_token(API_TOKEN), new_token(API_TOKEN)
PATH = "/uploads/imports"
ROW = "buy,2024-01-01T00:00:00Z,aurum,1,2,USD,"
FILE = f"kind,occurred_at,item,quantity,price,currency,notes\n{ROW}\n".encode()
LARGE = FILE + b"\n".join(ROW.encode() + b"x" * 9_000 for _ in range(150))


@pytest.fixture
async def own(database: Database) -> Possessions:
    """Somebody's empty portfolio, and two tokens of theirs."""
    own = await possessions(database)
    async with database.transaction() as transaction:
        for token, scope in ((WRITES, Scope.PORTFOLIOS_WRITE), (READS, Scope.PORTFOLIOS_READ)):
            await transaction.connection.execute(
                insert(ApiToken).values(
                    id=new_id(),
                    user_id=own.owner_id,
                    name=scope.value,
                    prefix=token.shown_prefix,
                    token_hash=token.hash,
                    scopes=[scope.value],
                )
            )
    return own


@pytest.fixture
async def client(trove_settings: Settings, own: Possessions) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the whole application."""
    application = create_application(trove_settings)
    async with application.router.lifespan_context(application):
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8000") as client:
            yield client


async def sent(
    client: httpx.AsyncClient, portfolio_id: UUID, content: bytes = FILE, *, token: str = WRITES.text, **more: str
) -> httpx.Response:
    """The answer to a file."""
    params = {"portfolioId": public_id(PublicIdTag.PORTFOLIO, portfolio_id), "source": "TROVE"} | more
    return await client.post(PATH, params=params, content=content, headers={"Authorization": f"Bearer {token}"})


async def test_a_file_that_is_too_large_for_the_graph_is_previewed(
    client: httpx.AsyncClient, own: Possessions, database: Database
) -> None:
    assert len(LARGE) > 1024 * 1024
    answer = await sent(client, own.portfolio_id, LARGE)
    assert answer.status_code == 201
    parsed = parse_public_id(answer.json()["importId"])
    assert parsed is not None
    assert parsed[0] is PublicIdTag.PORTFOLIO_IMPORT
    assert isinstance(parsed[1], UUID)
    found = await import_of(database, parsed[1])
    assert (found.owner_id, found.status, found.trades, found.bad) == (own.owner_id, "previewed", 151, 0)


async def test_everything_else_is_refused_with_what_to_do(
    client: httpx.AsyncClient, own: Possessions, database: Database
) -> None:
    portfolio = own.portfolio_id
    answers = [
        (await sent(client, portfolio, token="x"), 401, "UNAUTHENTICATED", ""),  # no token
        (await sent(client, portfolio, token=READS.text), 403, "FORBIDDEN", "portfolios:write"),
        (await sent(client, new_id()), 404, "NOT_FOUND", "no such portfolio"),
        (await sent(client, portfolio, portfolioId="x"), 400, "BAD_USER_INPUT", "`portfolioId`"),
        (await sent(client, portfolio, source="STEAM"), 400, "BAD_USER_INPUT", "TROVE, COINBASE"),
        (await sent(client, portfolio, b""), 400, "BAD_USER_INPUT", "--data-binary"),
        (await sent(client, portfolio, b"a,b\n1,2"), 400, "BAD_USER_INPUT", "no file of Trove"),
        (await sent(client, portfolio, currency="QQQ"), 400, "BAD_USER_INPUT", "currency by its code"),
        (await sent(client, portfolio, b"x" * (LARGEST_FILE_BYTES + 1)), 413, "BAD_USER_INPUT", "at most 5 MB"),
    ]
    for answer, status, code, words in answers:
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        assert words in answer.json()["error"]["message"]
    async with database.transaction() as transaction:
        assert (await transaction.connection.scalars(select(PortfolioImport.id))).all() == []
