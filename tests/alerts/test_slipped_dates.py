"""Rules over preorders fire when a release is put off, as the one who puts it off."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from app.core.clock import utc_now
from app.core.database import Database, DatabaseViewer
from app.notifications.commands.preorder_alerts import tell_of_release
from app.portfolios.commands.preorders import add_preorder, reschedule_preorder
from app.portfolios.given_wishes import ReleaseDate, release_day, release_month
from tests.alerts.watching import alerts, rule, rule_row
from tests.portfolios.wishes_builders import Scene, scene_of


@pytest.fixture
async def scene(database: Database) -> Scene:
    """Two people, a portfolio in euros, and a catalogue."""
    return await scene_of(database)


def on(text: str | None) -> ReleaseDate | None:
    """A day or a month."""
    if text is None:
        return None
    return release_day(date.fromisoformat(text), "release") if len(text) == 10 else release_month(text, "release")


async def ordered(database: Database, scene: Scene, release: str | None) -> UUID:
    """A preorder of Ada's."""
    given = {} if release is None else {"release": on(release)}
    async with database.transaction() as transaction:
        return await add_preorder(transaction, given, owner_id=scene.ada, variant_id=scene.variant("keeper"))


async def put_off(api: Database, scene: Scene, preorder_id: UUID, release: str | None) -> None:
    """Move the date as Ada does, who sees her own rows alone."""
    async with api.transaction(viewer=DatabaseViewer(scene.ada)) as transaction:
        change = await reschedule_preorder(transaction, preorder_id, on(release), owner_id=scene.ada)
        await tell_of_release(transaction, change)


@pytest.mark.parametrize(
    ("releases", "threshold", "expected"),
    [
        (["2027-03-01", "2027-03-02"], None, [1]),
        (["2027-03-01", "2027-02-28"], None, []),
        (["2027-03-01", "2027-03-31", "2027-04-30", "2027-05-29"], 30, [30, 30]),
        # A month stands for any of its days.
        (["2027-03-20", "2027-03", "2027-04", "2027-04-01"], None, [31]),
        ([None, "2027-03-01", None, "2027-05-01", "2027-06-01"], None, [31]),
        # Put off, brought forward, and put off again to the same day: that is twice.
        (["2027-03-01", "2027-04-01", "2027-03-01", "2027-04-01"], None, [31, 31]),
    ],
)
async def test_a_date_that_slips_by_enough_days_fires_each_time(
    database: Database,
    api_database: Database,
    scene: Scene,
    releases: list[str | None],
    threshold: int | None,
    expected: list[int],
) -> None:
    preorder_id = await ordered(database, scene, releases[0])
    columns: dict[str, Any] = {} if threshold is None else {"threshold": Decimal(threshold)}
    rule_id = await rule(database, scene.ada, "preorder", preorder_id, "date_slipped", **columns)
    other = await rule(
        database, scene.ada, "preorder", await ordered(database, scene, "2027-01-01"), "date_slipped", **columns
    )
    for release in releases[1:]:
        await put_off(api_database, scene, preorder_id, release)
    found = await alerts(database, rule_id)
    assert [(alert.new_value, alert.preorder_id) for alert in found] == [
        (Decimal(days), preorder_id) for days in expected
    ]
    assert await alerts(database, other) == []
    assert (await rule_row(database, rule_id))["fired_count"] == len(expected)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({}, 2),
        ({"is_recurring": False}, 1),
        ({"cooldown_minutes": 1}, 1),
        ({"is_active": False}, 0),
        ({"watches_from": utc_now() + timedelta(days=1)}, 0),
        ({"expires_at": utc_now() - timedelta(days=1)}, 0),
    ],
)
async def test_what_a_rule_says_of_itself_holds_of_dates(
    database: Database, api_database: Database, scene: Scene, columns: dict[str, Any], expected: int
) -> None:
    preorder_id = await ordered(database, scene, "2027-03-01")
    rule_id = await rule(database, scene.ada, "preorder", preorder_id, "date_slipped", **columns)
    for release in ("2027-04-01", "2027-05-01"):
        await put_off(api_database, scene, preorder_id, release)
    assert len(await alerts(database, rule_id)) == expected
    assert (await rule_row(database, rule_id))["is_active"] == (
        bool(columns.get("is_active", True)) and bool(columns.get("is_recurring", True))
    )


async def test_what_is_refused_fires_nothing(database: Database, api_database: Database, scene: Scene) -> None:
    preorder_id = await ordered(database, scene, "2027-03-01")
    rule_id = await rule(database, scene.ada, "preorder", preorder_id, "date_slipped")

    async def put_off_and_fail() -> None:
        async with api_database.transaction(viewer=DatabaseViewer(scene.ada)) as transaction:
            change = await reschedule_preorder(transaction, preorder_id, on("2027-06-01"), owner_id=scene.ada)
            await tell_of_release(transaction, change)
            raise RuntimeError("at the last moment")

    with pytest.raises(RuntimeError, match="at the last moment"):
        await put_off_and_fail()
    assert await alerts(database, rule_id) == []
    await put_off(api_database, scene, preorder_id, "2027-03-03")
    assert [alert.new_value for alert in await alerts(database, rule_id)] == [Decimal(2)]
