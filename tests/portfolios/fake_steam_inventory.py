"""Steam's inventories on loopback: pages of assets with their descriptions, as the real endpoint answers."""

import json
from dataclasses import dataclass, field
from typing import Any

from tests.prices.connectors.fakes import NOT_FOUND, Asked, FakeProvider, said
from tests.providers.builders import answer

FORBIDDEN = answer(b"null", status="403 Forbidden")
TOO_MANY = answer(b"null", status="429 Too Many Requests")


@dataclass(slots=True)
class FakeInventories(FakeProvider):
    """`things` by profile and context: asset ids with their market hash names, `page_size` to a page."""

    things: dict[tuple[str, int], dict[str, str]] = field(default_factory=dict)
    page_size: int = 2

    def says(self, asked: Asked) -> bytes:
        """A page, as its parameters ask for it."""
        match asked.path.split("/"):
            case ["", "inventory", steam_id, "730", context]:
                things = self.things.get((steam_id, int(context)), {})
                assert asked.params["count"] == "2000"
                return said(
                    _page(list(things.items()), asked.params.get("start_assetid"), int(context), self.page_size)
                )
        return NOT_FOUND


def _page(things: list[tuple[str, str]], after: str | None, context: int, size: int) -> dict[str, Any]:
    if not things:
        return {"total_inventory_count": 0, "success": 1, "rwgrsn": -2}
    ids = [asset_id for asset_id, _ in things]
    first = 0 if after is None else ids.index(after) + 1
    shown = things[first : first + size]
    page = {
        "assets": [
            {
                "appid": 730,
                "contextid": str(context),
                "assetid": asset_id,
                "classid": class_of(name),
                "instanceid": "188530139",
                "amount": "1",
            }
            for asset_id, name in shown
        ],
        "descriptions": [description(name) for name in dict.fromkeys(name for _, name in shown)],
        "total_inventory_count": len(things),
        "success": 1,
        "rwgrsn": -2,
    }
    if first + size < len(things):
        page |= {"more_items": 1, "last_assetid": shown[-1][0]}
    return page


def class_of(name: str) -> str:
    """A class id of a name, always the same."""
    return str(5_000_000_000 + sum(name.encode()))


def description(name: str) -> dict[str, Any]:
    """What Steam says of all things of one class."""
    return {
        "appid": 730,
        "classid": class_of(name),
        "instanceid": "188530139",
        "currency": 0,
        "tradable": 1,
        "name": name,
        "market_name": name,
        "market_hash_name": name,
        "commodity": 0,
        "marketable": 1,
        "tags": [{"category": "Type", "internal_name": "CSGO_Type_Rifle", "localized_tag_name": "Rifle"}],
    }


def cut(content: dict[str, Any]) -> bytes:
    """An answer that breaks off in the middle, though it says that it is whole."""
    whole = json.dumps(content).encode()
    return answer(whole[: len(whole) // 2])
