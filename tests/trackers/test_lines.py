"""Lines as GeoJSON: in one part, cut at the antimeridian, and of those that go nowhere."""

from collections.abc import Sequence
from itertools import pairwise

import pytest

from app.trackers.lines import Position, geojson_line

SUVA, APIA, TONGA = (178.4, -18.1), (-171.8, -13.8), (-175.2, -21.1)


@pytest.mark.parametrize("positions", [[], [(1.0, 2.0)]])
def test_one_position_is_no_line(positions: Sequence[Position]) -> None:
    assert geojson_line(positions) is None


def test_what_stands_still_is_a_line_without_length() -> None:
    here = (1.0, 2.0)
    assert geojson_line([here, here, here]) == {"type": "LineString", "coordinates": [here, here]}


def test_a_line_that_crosses_nothing_is_in_one_part_and_does_not_stand_still() -> None:
    line = geojson_line([(-1.0, 0.0), (-1.0, 0.0), (1.0, 2.0), (-1.0, 0.0)])
    assert line == {"type": "LineString", "coordinates": [(-1.0, 0.0), (1.0, 2.0), (-1.0, 0.0)]}


def test_a_line_is_cut_where_it_crosses_the_antimeridian_eastward_and_back() -> None:
    line = geojson_line([(170.0, 0.0), (-170.0, 10.0), (170.0, 20.0)])
    assert line == {
        "type": "MultiLineString",
        "coordinates": [
            [(170.0, 0.0), (180.0, 5.0)],
            [(-180.0, 5.0), (-170.0, 10.0), (-180.0, 15.0)],
            [(180.0, 15.0), (170.0, 20.0)],
        ],
    }


@pytest.mark.parametrize(
    ("positions", "parts"),
    [
        ([(180.0, 1.0), (-170.0, 2.0)], [[(-180.0, 1.0), (-170.0, 2.0)]]),
        ([(170.0, 1.0), (-180.0, 2.0)], [[(170.0, 1.0), (180.0, 2.0)]]),
        ([(180.0, 1.0), (-180.0, 1.0), (-179.0, 1.0)], [[(-180.0, 1.0), (-179.0, 1.0)]]),
    ],
)
def test_a_line_that_begins_or_ends_on_the_antimeridian_has_no_part_without_length(
    positions: Sequence[Position], parts: list[list[Position]]
) -> None:
    assert geojson_line(positions) == {"type": "LineString", "coordinates": parts[0]}


def test_no_part_of_a_cut_line_goes_half_around_the_earth() -> None:
    line = geojson_line([SUVA, APIA, TONGA, SUVA, TONGA])
    assert line is not None
    assert len(line["coordinates"]) == 4
    for part in line["coordinates"]:
        assert all(abs(end[0] - begin[0]) < 180 for begin, end in pairwise(part))
