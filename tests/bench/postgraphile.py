"""PostGraphile as a peer: how its process is started, and what it says in the words of Trove's graph."""

import platform
import re
import shutil
import subprocess
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from asyncpg.connection import Connection

from app.core.ids import PublicIdTag, public_id
from app.graph.scalars import write_date_time

DIRECTORY = Path(__file__).parent / "postgraphile"
MODULES = DIRECTORY / "node_modules"
OLDEST_NODE = 22
HOW_TO_INSTALL = "`.ci/provision bench` installs it where there is npm"


async def make_price_function(connection: "Connection[Any]") -> None:
    """Give the database the computed column by which PostGraphile shows the best price of an item."""
    await connection.execute((DIRECTORY / "price.sql").read_text())


def command() -> list[str] | None:
    """The command that serves it, but for the port; None where it or a new enough Node is not installed."""
    node = _node()
    installed = (MODULES / "postgraphile" / "package.json").exists()
    return [node, str(DIRECTORY / "server.mjs")] if node and installed else None


def _node() -> str | None:
    """The Node that was installed with it, else that of the machine if it is new enough."""
    machine = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    own = MODULES / f"node-{platform.system().lower()}-{machine}" / "bin" / "node"
    for node in (str(own) if own.exists() else None, shutil.which("node")):
        if node and _major(node) >= OLDEST_NODE:
            return node
    return None


def _major(node: str) -> int:
    found = re.match(r"v(\d+)", subprocess.run([node, "--version"], capture_output=True, text=True).stdout)
    return int(found[1]) if found else 0


def list_as_trove(answer: Any) -> Any:
    """A list of items with their prices."""
    nodes = [_item_with_price(node) for node in answer["data"]["allItems"]["nodes"]]
    return {"data": {"items": {"nodes": nodes}}}


def point_as_trove(answer: Any) -> Any:
    """One item with its price."""
    item = answer["data"]["itemByRowId"]
    return {"data": {"node": {"id": public_id(PublicIdTag.ITEM, UUID(item["rowId"])), **_item_with_price(item)}}}


def walk_as_trove(answer: Any) -> Any:
    """Items with their variants, series and latest prices."""
    return {"data": {"items": {"nodes": [_walked_item(node) for node in answer["data"]["allItems"]["nodes"]]}}}


def holdings_as_trove(answer: Any) -> Any:
    """A portfolio with its holdings, their variants, items and best prices."""
    portfolio = answer["data"]["portfolioByRowId"]
    nodes = [_held(holding) for holding in portfolio["holdingsByPortfolioIdAndOwnerId"]["nodes"]]
    return {"data": {"node": {"name": portfolio["name"], "holdings": {"nodes": nodes}}}}


def candles_as_trove(answer: Any) -> Any:
    """Candles as rows."""
    nodes: Sequence[dict[str, Any]] = answer["data"]["allCandles"]["nodes"]
    candles = [
        {"start": _instant(node["bucket"]), **{name: value for name, value in node.items() if name != "bucket"}}
        for node in nodes
    ]
    return {"data": {"node": {"candles": candles}}}


def _held(holding: Any) -> dict[str, Any]:
    variant = holding["itemVariantByVariantId"]
    item = variant["itemByItemId"]
    shown_item = {
        "id": public_id(PublicIdTag.ITEM, UUID(item["rowId"])),
        **{name: item[name] for name in ("slug", "name", "imageUrl")},
        "kind": item["kind"].upper(),
        "createdAt": _instant(item["createdAt"]),
    }
    return {
        "id": public_id(PublicIdTag.HOLDING, UUID(holding["rowId"])),
        "quantity": holding["quantity"],
        "variant": {
            "id": public_id(PublicIdTag.ITEM_VARIANT, UUID(variant["rowId"])),
            "key": variant["key"],
            "name": variant["name"],
            "item": shown_item,
            "price": _best_price(variant),
        },
    }


def _item_with_price(item: Any) -> dict[str, Any]:
    return {**{name: item[name] for name in ("name", "slug", "imageUrl")}, "price": _best_price(item)}


def _best_price(priced: Any) -> dict[str, Any] | None:
    prices = [
        {**price, "kind": price["kind"].upper(), "observedAt": _instant(price["observedAt"])}
        for price in priced["bestPrice"]["nodes"]
    ]
    return prices[0] if prices else None


def _walked_item(item: Any) -> dict[str, Any]:
    return {
        "id": public_id(PublicIdTag.ITEM, UUID(item["rowId"])),
        **{name: item[name] for name in ("slug", "name", "imageUrl")},
        "kind": item["kind"].upper(),
        "createdAt": _instant(item["createdAt"]),
        "variants": [_walked_variant(node) for node in item["itemVariantsByItemId"]["nodes"]],
    }


def _walked_variant(variant: Any) -> dict[str, Any]:
    return {
        "id": public_id(PublicIdTag.ITEM_VARIANT, UUID(variant["rowId"])),
        **{name: variant[name] for name in ("key", "name", "isDefault")},
        "series": [_walked_series(node) for node in variant["priceSeriesByVariantId"]["nodes"]],
    }


def _walked_series(series: Any) -> dict[str, Any]:
    return {
        "id": public_id(PublicIdTag.PRICE_SERIES, series["rowId"]),
        "kind": series["kind"].upper(),
        "currency": series["currency"],
        "latest": {
            "amount": series["latestPrice"],
            "quantity": series["latestQuantity"],
            "observedAt": _instant(series["latestObservedAt"]),
        },
    }


def _instant(text: str) -> str:
    return write_date_time(datetime.fromisoformat(text))
