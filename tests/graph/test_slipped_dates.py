"""Whoever puts a preorder off is told by their rules in the same moment."""

from decimal import Decimal
from uuid import UUID

from app.core.database import Database
from app.core.ids import PublicIdTag, parse_public_id
from tests.alerts.watching import alerts, rule
from tests.graph.changing import code_of, done
from tests.graph.conftest import Graph
from tests.identity.builders import session_of
from tests.portfolios.wishes_builders import scene_of


async def test_putting_a_preorder_off_makes_the_alert_of_its_rule(database: Database, graph: Graph) -> None:
    scene = await scene_of(database)
    ada, bob = await session_of(database, scene.ada), await session_of(database, scene.bob)
    item = await graph.ask('{ item(slug: "keeper") { id } }')
    added = await done(
        graph,
        ada,
        "addPreorder",
        "preorder { id }",
        itemId=item["item"]["id"],
        release={"day": "2027-03-01"},
    )
    public = added["preorder"]["id"]
    named = parse_public_id(public)
    assert named is not None
    tag, preorder_id = named
    assert tag is PublicIdTag.PREORDER
    assert isinstance(preorder_id, UUID)
    rule_id = await rule(database, scene.ada, "preorder", preorder_id, "date_slipped", notes="Tell the others.")

    assert await code_of(graph, bob, "reschedulePreorder", id=public, release={"day": "2027-04-01"}) == "NOT_FOUND"
    assert await alerts(database, rule_id) == []
    await done(graph, ada, "reschedulePreorder", "preorder { slipDays }", id=public, release={"day": "2027-04-01"})

    (alert,) = await alerts(database, rule_id)
    assert (alert.owner_id, alert.preorder_id, alert.new_value) == (scene.ada, preorder_id, Decimal(31))
    assert alert.notes == "Tell the others."
