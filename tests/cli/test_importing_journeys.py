"""`trove import gpx`: what it prints, and with which code it ends."""

import asyncio
from pathlib import Path

from typer.testing import CliRunner

from app.cli.imports import CANNOT_BEGIN, NOTHING_READ, app
from app.core.database import Database
from app.core.ids import PublicIdTag, new_id, public_id
from app.core.settings import Settings
from tests.conftest import environment_of
from tests.trackers.sending import add_tag

POINTS = """<gpx><wpt lat="48.5" lon="2.5"><time>2026-01-02T03:04:05Z</time></wpt><wpt lat="1" lon="1"/>
<wpt lat="91" lon="1"><time>2026-01-02T03:04:05Z</time></wpt></gpx>"""


async def test_a_journey_is_counted_with_its_rejects_and_again_changes_nothing(
    database: Database, trove_settings: Settings, tmp_path: Path
) -> None:
    async def run(*arguments: str) -> tuple[int, list[str]]:
        runner = CliRunner(env=environment_of(trove_settings))
        result = await asyncio.to_thread(runner.invoke, app, ["gpx", *arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, [line for line in result.output.splitlines() if line.strip()]

    tag = await add_tag(database)
    journey, empty, other = tmp_path / "walk.gpx", tmp_path / "empty.gpx", tmp_path / "other.gpx"
    journey.write_text(POINTS)
    empty.write_text("<gpx/>")
    other.write_text("<kml/>")
    named = ("--tracker", tag.public_id)
    code, said = await run(str(journey), *named)
    assert code == 0
    assert said[0] == "walk.gpx: 3 points: 1 accepted, 0 duplicates, 2 rejected"
    assert [line.partition(":")[0] for line in said[1:]] == ["  point 2", "  point 3"]
    code, said = await run(str(journey), str(empty), *named)
    assert (code, said[0]) == (NOTHING_READ, "walk.gpx: 3 points: 0 accepted, 1 duplicates, 2 rejected")
    assert said[-1] == "empty.gpx: 0 points: 0 accepted, 0 duplicates, 0 rejected"
    for arguments, words in (
        ((str(other), *named), "begins with <kml>"),
        ((str(journey), "--tracker", "walk"), "not the id of a tracker"),
        ((str(journey), "--tracker", public_id(PublicIdTag.TRACKER, new_id())), "no tracker with this id"),
    ):
        code, said = await run(*arguments)
        assert code == CANNOT_BEGIN
        assert words in " ".join(said)
