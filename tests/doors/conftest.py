"""The world of identity providers, for the tests of their doors."""

import io
from collections.abc import AsyncIterator

import pytest

from app.core.database import Database
from app.core.settings import Settings
from tests.doors.provider_world import World, open_world


@pytest.fixture
async def world(
    database: Database, api_database: Database, trove_settings: Settings, log: io.StringIO
) -> AsyncIterator[World]:
    """A server with its providers; nothing secret of what goes on there stands in the log."""
    async with open_world(database, api_database, trove_settings) as running:
        yield running
        secrets = running.secrets
    assert not [secret for secret in secrets if secret in log.getvalue()]
