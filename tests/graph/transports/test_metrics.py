"""What operators see of operations in the metrics: how each of them ended, and by which path queries were answered."""

import asyncio
from dataclasses import dataclass

import httpx
import pytest
from prometheus_client import REGISTRY

from app.core.database import Database
from tests.graph.transports.conftest import Serve, Trove, until, until_waiting
from tests.graph.transports.sockets import ready

OUTCOMES = ("ok", "error", "refused", "cancelled")
PATHS = ("compiled", "mixed", "resolvers")
ITEM = '{ item(slug: "aurum") { id variants { id } } }'
BY_SLUG = "($slug: String!) { item(slug: $slug) { id } }"


@dataclass(frozen=True, slots=True)
class Counted:
    """What was counted since it was made; each test gives its operations a name of their own."""

    name: str
    read_before: dict[str, float]

    @property
    def outcomes(self) -> dict[str, float]:
        """How the queries of this name ended, without those that never happened."""
        labels = {"operation": self.name, "type": "query"}
        found = {
            outcome: REGISTRY.get_sample_value("trove_graphql_operations_total", {**labels, "outcome": outcome})
            for outcome in OUTCOMES
        }
        return {outcome: times for outcome, times in found.items() if times}

    @property
    def paths(self) -> dict[str, float]:
        """By which paths queries were answered."""
        return {
            path: times - self.read_before[path] for path, times in _read().items() if times > self.read_before[path]
        }


def _read() -> dict[str, float]:
    return {path: REGISTRY.get_sample_value("trove_graphql_read_paths_total", {"path": path}) or 0 for path in PATHS}


def _timed() -> float:
    return REGISTRY.get_sample_value("trove_graphql_operation_seconds_count", {"type": "query"}) or 0


def counting(name: str) -> Counted:
    """Counts from now on."""
    return Counted(name, _read())


@pytest.mark.usefixtures("aurum")
async def test_an_answered_query_counts_with_its_path(client: httpx.AsyncClient) -> None:
    counted = counting("Answered")
    await client.post("/graphql", json={"query": f"query Answered {ITEM}"})
    assert (counted.outcomes, counted.paths) == ({"ok": 1}, {"compiled": 1})


@pytest.mark.usefixtures("locked")
async def test_a_query_whose_client_hangs_up_counts_as_cancelled_and_for_no_path(
    trove: Trove, database: Database, api_database: Database
) -> None:
    counted, timed = counting("HungUp"), _timed()
    async with httpx.AsyncClient(base_url=trove.url) as client:
        asking = asyncio.create_task(client.post("/graphql", json={"query": f"query HungUp {ITEM}"}))
        await until_waiting(database, 1)
        asking.cancel()
        await asyncio.wait({asking})
    await until(lambda: bool(counted.outcomes) and api_database.connections_in_use == 0)
    assert (counted.outcomes, counted.paths) == ({"cancelled": 1}, {})
    assert _timed() == timed + 1


@pytest.mark.usefixtures("locked")
async def test_a_query_that_its_socket_completes_counts_as_cancelled(
    trove: Trove, database: Database, api_database: Database
) -> None:
    counted = counting("Completed")
    async with ready(trove.websocket_url) as socket:
        await socket.subscribe(f"query Completed {ITEM}")
        await until_waiting(database, 1)
        await socket.send(id="1", type="complete")
        await until(lambda: bool(counted.outcomes) and api_database.connections_in_use == 0)
    assert (counted.outcomes, counted.paths) == ({"cancelled": 1}, {})


@pytest.mark.usefixtures("locked")
async def test_a_query_past_its_deadline_is_an_error_of_no_path(serve: Serve) -> None:
    counted = counting("PastDeadline")
    async with (
        serve(operation_timeout_seconds=0.2) as trove,
        httpx.AsyncClient(base_url=trove.url) as client,
    ):
        response = (await client.post("/graphql", json={"query": f"query PastDeadline {ITEM}"})).json()
    assert response["errors"][0]["extensions"]["code"] == "TIMEOUT"
    assert response["extensions"]["trove"]["path"] is None
    assert (counted.outcomes, counted.paths) == ({"error": 1}, {})


async def test_a_query_whose_variables_are_refused_is_an_error_of_no_path(client: httpx.AsyncClient) -> None:
    counted = counting("WrongVariables")
    response = await client.post("/graphql", json={"query": f"query WrongVariables {BY_SLUG}", "variables": {}})
    assert response.json()["extensions"] == {"trove": {"path": None, "statements": 0}}
    assert (counted.outcomes, counted.paths) == ({"error": 1}, {})


async def test_a_refused_document_counts_under_no_name_and_no_type(client: httpx.AsyncClient) -> None:
    labels = {"operation": "(other)", "type": "unknown", "outcome": "refused"}
    before = REGISTRY.get_sample_value("trove_graphql_operations_total", labels) or 0
    counted = counting("Refused")
    await client.post("/graphql", json={"query": "query Refused { nothing }"})
    assert REGISTRY.get_sample_value("trove_graphql_operations_total", labels) == before + 1
    assert (counted.outcomes, counted.paths) == ({}, {})
