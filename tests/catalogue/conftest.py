"""Who edits the catalogue in tests."""

from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.database import Database
from tests.identity.builders import add_person


@pytest.fixture
async def editor(owner: AsyncEngine, database: Database) -> UUID:
    """Somebody of the staff."""
    async with owner.begin() as connection:
        return await add_person(connection)
