"""What the peers in Python share: uvicorn with the options of Trove's own server, and as many connections as it has."""

import os
from typing import Any
from uuid import UUID

import asyncpg
import uvicorn
from asyncpg.connection import Connection
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from app.core.database import DatabaseRole


async def ready(_: Request) -> Response:
    """It answers."""
    return PlainTextResponse("ok")


async def _keep(_: "Connection[Any]") -> None:
    """What a connection is reset with when it is given back: nothing, for a statement leaves nothing behind."""


def create_pool(database_url: str, *, pool_size: int, role: DatabaseRole = DatabaseRole.API) -> "asyncpg.Pool[Any]":
    """A pool that acts as the API does, or as the role; to be opened."""
    settings = {"role": role.value, "timezone": "UTC", "jit": "off"}
    return asyncpg.create_pool(
        database_url, min_size=pool_size, max_size=pool_size, server_settings=settings, reset=_keep
    )


def pool_of_environment() -> "asyncpg.Pool[Any]":
    """The pool that the bench asks for by BENCH_DATABASE_URL and TROVE_DATABASE_POOL_SIZE; to be opened.

    It sees what is anybody's: who asks through it says whose rows are wanted.
    """
    return create_pool(
        os.environ["BENCH_DATABASE_URL"],
        pool_size=int(os.environ["TROVE_DATABASE_POOL_SIZE"]),
        role=DatabaseRole.WORKER,
    )


def viewer_of(request: Request) -> UUID | None:
    """Who asks: the key of a person as a bearer, which is trusted as it stands."""
    bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
    return UUID(bearer) if bearer else None


def serve(application: Starlette, port: int) -> None:
    """Serve until SIGTERM."""
    config = uvicorn.Config(
        application,
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        log_config=None,
        access_log=False,
        server_header=False,
    )
    uvicorn.Server(config).run()
