"""One box, from the report that comes in through one process to those who follow it on another."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import httpx
import orjson

from app.core.clock import utc_now
from app.core.database import Database
from app.core.ids import PublicIdTag, public_id
from app.trackers.models import MembershipRole, PlaceKind
from tests.conftest import Server
from tests.graph.transports.sockets import Socket, ready
from tests.identity.builders import PARTNER_ID
from tests.trackers.builders import CUSTOMER, WAREHOUSE, client_of, place_of_client, tracker_of

MOVED = """
subscription ($ids: [ID!]!) {
  trackerMoved(trackerIds: $ids) { position { latitude longitude } tracker { name } }
}
"""
CHANGED = "subscription ($ids: [ID!]!) { trackerStatusChanged(trackerIds: $ids) { status place { name } } }"
BOX = """
query ($id: ID!) { node(id: $id) { ... on Tracker {
  status place { name } lastFix { position { latitude longitude } } path statusChanges { nodes { status } }
} } }
"""
SECONDS_TO_ARRIVE = 20


async def report(client: httpx.AsyncClient, tracker: str, at: tuple[float, float], seen: datetime) -> None:
    """Send in where a tracker was seen."""
    row = {
        "tracker": tracker,
        "latitude": at[0],
        "longitude": at[1],
        "accuracy": 10,
        "reportedAt": seen.isoformat(),
    }
    answer = await client.post("/ingest/locations", content=orjson.dumps(row))
    assert answer.status_code == 202, answer.text


async def next_of(socket: Socket, within: float) -> dict[str, Any]:
    """The next update of any of the subscriptions; raises TimeoutError."""
    async with asyncio.timeout(within):
        while True:
            message = orjson.loads(await socket.connection.recv())
            if message["type"] == "next":
                assert "errors" not in message["payload"], message
                (update,) = message["payload"]["data"].values()
                return dict(update)


async def test_a_box_is_followed_from_its_report_to_a_subscription_on_another_process(
    database: Database, live_server: Server, second_server: Server, live_worker: object
) -> None:
    async with database.transaction() as transaction:
        connection = transaction.connection
        client_id = await client_of(connection, members={PARTNER_ID: MembershipRole.OPERATOR})
        await place_of_client(connection, client_id, "Warehouse")
        await place_of_client(connection, client_id, "Customer", kind=PlaceKind.DELIVERY, at=CUSTOMER)
        tracker = public_id(PublicIdTag.TRACKER, await tracker_of(connection, client_id, "Box 1"))
    authorization = f"Bearer {live_server.partner_token}"
    start = utc_now() - timedelta(hours=20)
    async with (
        httpx.AsyncClient(base_url=live_server.url, headers={"Authorization": authorization}) as client,
        ready(second_server.websocket_url, authorization=authorization) as socket,
    ):
        await socket.subscribe(MOVED, id="moved", ids=[tracker])
        await socket.subscribe(CHANGED, id="changed", ids=[tracker])
        # A subscription gives no sign when it has begun: the box waits in the warehouse until it is heard of.
        for number in range(30):
            await report(client, tracker, WAREHOUSE, start + number * timedelta(minutes=10))
            try:
                await next_of(socket, within=2)
            except TimeoutError:
                continue
            break
        delivered = utc_now() - timedelta(minutes=30)
        for minutes in (0, 10, 20):
            await report(client, tracker, CUSTOMER, delivered + timedelta(minutes=minutes))
        moved = {"position": {"latitude": CUSTOMER[0], "longitude": CUSTOMER[1]}, "tracker": {"name": "Box 1"}}
        arrived = {"status": "DELIVERED", "place": {"name": "Customer"}}
        updates: list[dict[str, Any]] = []
        while moved not in updates or arrived not in updates:
            updates.append(await next_of(socket, within=SECONDS_TO_ARRIVE))
        question = {"query": BOX, "variables": {"id": tracker}}
        box = (await client.post("/graphql", json=question)).json()["data"]["node"]
    assert box["place"] == {"name": "Customer"}
    assert box["lastFix"]["position"] == moved["position"]
    assert box["path"]["coordinates"][-1] == [CUSTOMER[1], CUSTOMER[0]]
    assert box["statusChanges"]["nodes"][0] == {"status": "DELIVERED"}
