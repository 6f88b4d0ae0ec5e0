"""The world of identity providers, for the tests of their doors."""

import io
import logging
from collections.abc import AsyncIterator, Iterator

import pytest

from app.core.database import Database
from app.core.settings import Settings
from tests.doors.provider_world import World, open_world


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """All that is logged while the test goes on, as an operator would read it at the level DEBUG."""
    heard = io.StringIO()
    handler = logging.StreamHandler(heard)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel("DEBUG")
    yield heard
    root.setLevel(level)
    root.removeHandler(handler)


@pytest.fixture
async def world(
    database: Database, api_database: Database, trove_settings: Settings, log: io.StringIO
) -> AsyncIterator[World]:
    """A server with its providers; nothing secret of what goes on there stands in the log."""
    async with open_world(database, api_database, trove_settings) as running:
        yield running
        secrets = running.secrets
    assert not [secret for secret in secrets if secret in log.getvalue()]
