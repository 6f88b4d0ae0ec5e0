"""The live view of a portfolio: at once, and as prices and holdings move."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import strawberry
import structlog

from app.core.database import DATABASE_FAILURES, Database, DatabaseViewer
from app.core.errors import NotFound
from app.core.events import EventBus, Topic
from app.core.ids import PublicIdTag
from app.core.tasks import end_tasks
from app.graph.context import Info
from app.graph.fields import streamed
from app.graph.portfolios.errors import PORTFOLIOS_READ
from app.graph.portfolios.portfolios import Portfolio
from app.graph.reads.fields import Reference, refer
from app.graph.relay import key_of
from app.portfolios.queries.live import PortfolioState, portfolio_state
from app.prices.queries.changes import last_change_position

logger = structlog.get_logger(__name__)

# A lost hint is caught up within this time; trades and fair values are noticed as late.
LOOK_AT_LEAST_EVERY_SECONDS = 2.0
SHORTEST_PAUSE_SECONDS = 1.0


@strawberry.type
class PortfolioSubscriptions:
    @streamed(
        "One's own portfolio, to ask for its `value`: at once as it is, then as prices and holdings move, at most once "
        "a second. The stream ends as the portfolio is deleted.",
        type=Portfolio,
        access=PORTFOLIOS_READ,
    )
    @staticmethod
    async def portfolio_value(info: Info, portfolio_id: strawberry.ID) -> AsyncIterator[Reference]:
        key = key_of(portfolio_id, PublicIdTag.PORTFOLIO, argument="portfolioId")
        database, viewer = info.context.resources.database, info.context.viewer.in_database
        position = await info.context.snapshot.read(last_change_position)
        state = await _state(database, viewer, key, position) if isinstance(key, UUID) else None
        if not isinstance(key, UUID) or state is None:
            raise NotFound("There is no such portfolio among your own; `portfolios` lists them.")
        return _follow(database, viewer, key, state)


async def _follow(
    database: Database, viewer: DatabaseViewer | None, portfolio_id: UUID, first: PortfolioState
) -> AsyncIterator[Reference]:
    told = first
    yield refer(Portfolio, portfolio_id, version=told)
    hinted = asyncio.Event()
    # However many hints come within a second, they are one.
    listening = asyncio.create_task(_note_hints(database.events, hinted), name="portfolio-hints")
    try:
        while True:
            await asyncio.sleep(SHORTEST_PAUSE_SECONDS)
            await hinted.wait()
            hinted.clear()
            try:
                state = await _state(database, viewer, portfolio_id, told.position)
            except DATABASE_FAILURES as error:
                logger.warning("portfolio_value_waits_for_database", reason=type(error).__name__)
                continue
            if state is None:
                return
            if state != told:
                told = state
                yield refer(Portfolio, portfolio_id, version=told)
    finally:
        await end_tasks([listening])


async def _note_hints(events: EventBus, hinted: asyncio.Event) -> None:
    async for _ in events.listen(Topic.PRICES_CHANGED, at_least_every=LOOK_AT_LEAST_EVERY_SECONDS):
        hinted.set()


async def _state(
    database: Database, viewer: DatabaseViewer | None, portfolio_id: UUID, position: int
) -> PortfolioState | None:
    snapshot = database.snapshot(viewer=viewer)
    try:
        return await snapshot.read(portfolio_state, portfolio_id=portfolio_id, position=position)
    finally:
        await snapshot.close()
