"""The worker takes in batches of reports, and orphans once their keys have trackers."""

import io

from app.core.database import Database
from app.trackers.find_my import make_key_pair
from tests.catalogue.builders import coin, saved
from tests.identity.builders import SECRETS
from tests.prices.builders import accepted as accepted_prices
from tests.prices.builders import point
from tests.trackers.sending import (
    accepted,
    add_key,
    add_tag,
    hashed,
    ndjson,
    rows_of,
    sealed,
    sealed_payload,
    sent,
    sighting,
    stored,
)
from workers.ingestion import BatchRunner
from workers.orphans import OrphanRunner


async def test_orphans_are_taken_in_by_the_worker_which_says_what_was_none(
    database: Database, log: io.StringIO
) -> None:
    tag, pair = await add_tag(database), make_key_pair()
    payload = sealed_payload(pair)
    broken = payload[:-1] + bytes([payload[-1] ^ 1])
    assert await sent(database, ndjson(sealed(pair, payload), sealed(pair, broken))) == (2, 0, 0)
    runner = OrphanRunner(database, SECRETS)
    await runner.run()
    assert await stored(database) == []
    await add_key(database, tag, pair)
    await runner.run()
    await runner.stop()
    assert [report.tracker_id for report in await stored(database)] == [tag.id]
    assert await rows_of(database, "SELECT * FROM trackers.orphan_reports") == []
    # What follows from it follows at once.
    assert len(await rows_of(database, "SELECT * FROM trackers.location_fixes")) == 1
    said = log.getvalue()
    assert "orphans_attached" in said
    assert "orphans_refused" in said
    assert "tag of `payload` does not hold" in said
    assert hashed(pair) in said
    assert str(int.from_bytes(pair.private_key, "big")) not in said


async def test_the_worker_takes_batches_of_reports_in_beside_those_of_prices(database: Database) -> None:
    await saved(database, coin("aurum"))
    tag = await add_tag(database)
    await accepted(database, ndjson(sighting(tag)))
    await accepted_prices(database, [point("aurum", "1")])
    runner = BatchRunner(database, SECRETS)
    await runner.run()
    await runner.stop()
    assert len(await stored(database)) == 1
    assert len(await rows_of(database, "SELECT * FROM prices.price_points")) == 1
