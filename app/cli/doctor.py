"""`trove doctor`: what this machine and these settings lack, one line each."""

import asyncio
import sys
from collections.abc import Callable

import typer
from redis.exceptions import RedisError
from rich.console import Console

from app.cli.database import require_current_database
from app.core.embedded import find_postgres, find_redis
from app.core.errors import Refusal, ServiceUnavailable
from app.core.jobs import connect_redis
from app.core.key_rings import key_ring_of
from app.core.settings import Settings, current_settings

commands = typer.Typer()
console = Console()


@commands.command("doctor")
def doctor() -> None:
    """Look at this machine and say what is missing."""
    sys.exit(examine(current_settings()))


def _python() -> str:
    return f"Python {sys.version.split()[0]}"


def _postgres() -> str:
    installation = find_postgres()
    return f"PostgreSQL {'.'.join(map(str, installation.version))} with PostGIS in {installation.bin_directory}"


def _redis() -> str:
    return f"Redis at {find_redis().binary}"


def _database(settings: Settings) -> str:
    require_current_database(settings)
    return "DATABASE_URL answers, and is at this version's migration"


async def _ping(url: str) -> None:
    redis = connect_redis(url)
    try:
        await redis.ping()
    finally:
        await redis.aclose()


def require_redis(url: str) -> None:
    """Refuse to work with a Redis that does not answer."""
    try:
        asyncio.run(_ping(url))
    except (RedisError, OSError, ValueError) as error:
        raise ServiceUnavailable(
            f"REDIS_URL does not answer ({error}): check it, and that Redis is running."
        ) from error


def _redis_server(settings: Settings) -> str:
    require_redis(settings.redis_url or "")
    return "REDIS_URL answers"


def _keys(settings: Settings) -> str:
    ring = key_ring_of(settings)
    return f"the ring of keys can be read ({', '.join(ring.keys)}; current: {ring.current})"


def examine(settings: Settings) -> int:
    """Print one line for each check; the exit code is the number of those that failed."""
    checks: list[Callable[[], str]] = [_python]
    checks.append((lambda: _database(settings)) if settings.database_url else _postgres)
    checks.append((lambda: _redis_server(settings)) if settings.redis_url else _redis)
    if settings.database_url or settings.secret_keys or settings.secret_keys_file:
        checks.append(lambda: _keys(settings))
    failed = 0
    for check in checks:
        try:
            console.print(f"[green]ok[/]      {check()}", highlight=False)
        except Refusal as refusal:
            failed += 1
            console.print(f"[red]missing[/] {refusal.message}", highlight=False)
    return failed
