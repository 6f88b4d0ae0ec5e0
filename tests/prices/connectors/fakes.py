"""Providers of prices on loopback: each answers what the real one answers to the same request, and refuses the rest."""

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import brotli

from tests.providers.builders import answer

Fault = bytes | None


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, as it came over the wire; header names in lower case."""

    method: str
    path: str
    params: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


def said(content: object, *, status: str = "200 OK", headers: str = "") -> bytes:
    """An answer of JSON; text is taken as it stands."""
    body = content if isinstance(content, str) else json.dumps(content)
    return answer(body.encode(), status=status, headers=f"Content-Type: application/json\r\n{headers}")


NOT_FOUND = said({"message": "NotFound"}, status="404 Not Found")


@dataclass(slots=True)
class FakeProvider(ABC):
    """Answers requests one by one. The first answers are its `faults`, as raw bytes; None drips without an end."""

    faults: list[Fault] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    port: int = 0
    is_dripping: asyncio.Event = field(default_factory=asyncio.Event)

    @abstractmethod
    def says(self, asked: Asked) -> bytes:
        """What the provider answers."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            asked = await _request(reader)
            self.asked.append(asked)
            fault = self.faults.pop(0) if self.faults else b""
            if fault is None:
                self.is_dripping.set()
                await _drip(writer)
            else:
                writer.write(fault or self.says(asked))
                await writer.drain()
        writer.close()


@asynccontextmanager
async def open_fake(fake: FakeProvider) -> AsyncIterator[FakeProvider]:
    """The fake, listening on loopback."""
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    fake.port = server.sockets[0].getsockname()[1]
    try:
        yield fake
    finally:
        server.close()
        await server.wait_closed()


async def _request(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    url = urlsplit(target)
    params = {name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
    return Asked(method, unquote(url.path), params, headers, body)


async def _drip(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while not writer.is_closing():
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


@dataclass(slots=True)
class FakeCoinbase(FakeProvider):
    """`candles` by product, newest first, as arrays."""

    candles: dict[str, list[list[Any]]] = field(default_factory=dict)
    listed: list[str] | None = None

    def says(self, asked: Asked) -> bytes:
        if asked.path == "/products":
            products = self.candles if self.listed is None else self.listed
            return said([{"id": name, "base_currency": name.split("-")[0], "status": "online"} for name in products])
        _, _, product, end = asked.path.split("/")
        if end != "candles" or product not in self.candles:
            return NOT_FOUND
        if asked.params["granularity"] not in {"60", "300", "900", "3600", "21600", "86400"}:
            return said({"message": "Unsupported granularity"}, status="400 Bad Request")
        return said(self.candles[product])


@dataclass(slots=True)
class FakeBinance(FakeProvider):
    """`prices` by market as texts, and `klines` by market as arrays."""

    prices: dict[str, str] = field(default_factory=dict)
    klines: dict[str, list[list[Any]]] = field(default_factory=dict)

    def says(self, asked: Asked) -> bytes:
        weight = "X-MBX-USED-WEIGHT-1M: 4\r\n"
        if asked.path == "/api/v3/ticker/price":
            return said([{"symbol": name, "price": price} for name, price in self.prices.items()], headers=weight)
        if asked.path == "/api/v3/klines":
            if asked.params["symbol"] not in self.klines or asked.params["interval"] != "1h":
                return said({"code": -1121, "msg": "Invalid symbol."}, status="400 Bad Request")
            assert int(asked.params["limit"]) <= 1000
            return said(self.klines[asked.params["symbol"]], headers=weight)
        return NOT_FOUND


@dataclass(slots=True)
class FakeCoinGecko(FakeProvider):
    """`coins` by id as `/simple/price` has them, as JSON texts; `ohlc` by id."""

    coins: dict[str, str] = field(default_factory=dict)
    ohlc: dict[str, list[list[Any]]] = field(default_factory=dict)

    def says(self, asked: Asked) -> bytes:
        if asked.path == "/simple/price":
            assert asked.params["vs_currencies"] == "usd"
            assert asked.params["include_last_updated_at"] == "true"
            known = [name for name in asked.params["ids"].split(",") if name in self.coins]
            return said("{" + ", ".join(f'"{name}": {self.coins[name]}' for name in known) + "}")
        _, _, coin, end = asked.path.split("/")
        if end == "ohlc" and coin in self.ohlc:
            return said(self.ohlc[coin])
        return said({"error": "coin not found"}, status="404 Not Found")


@dataclass(slots=True)
class FakeSkinport(FakeProvider):
    """Lists `items` and `sales`, to nobody who does not read brotli."""

    items: list[dict[str, Any]] = field(default_factory=list)
    sales: list[dict[str, Any]] = field(default_factory=list)

    def says(self, asked: Asked) -> bytes:
        if "br" not in asked.headers.get("accept-encoding", ""):
            return said({"errors": [{"id": "not_acceptable"}]}, status="406 Not Acceptable")
        lists: dict[str, list[dict[str, Any]]] = {"/v1/items": self.items, "/v1/sales/history": self.sales}
        if asked.path not in lists or asked.params != {"app_id": "730", "currency": "EUR"}:
            return said({"errors": [{"id": "validation_error"}]}, status="400 Bad Request")
        return answer(
            brotli.compress(json.dumps(lists[asked.path]).encode(), quality=1), headers="Content-Encoding: br\r\n"
        )


@dataclass(slots=True)
class FakeSteam(FakeProvider):
    """`overviews` by market hash name; of a name that it does not know it says that it failed."""

    overviews: dict[str, object] = field(default_factory=dict)

    def says(self, asked: Asked) -> bytes:
        if asked.path != "/market/priceoverview/" or (asked.params["appid"], asked.params["currency"]) != ("730", "1"):
            return said("null", status="400 Bad Request")
        return said(self.overviews.get(asked.params["market_hash_name"], {"success": False}))


@dataclass(slots=True)
class FakeCsFloat(FakeProvider):
    """`prices` in cents by market hash name, of who has the `key`; as a bare list where it `is_old`."""

    prices: dict[str, Any] = field(default_factory=dict)
    key: str = "key-of-the-operator"
    is_old: bool = False

    def says(self, asked: Asked) -> bytes:
        if asked.headers.get("authorization") != self.key:
            return said({"code": 1, "message": "You need to be logged in to search listings"}, status="403 Forbidden")
        assert asked.params["sort_by"] == "lowest_price"
        name = asked.params["market_hash_name"]
        listings = (
            [{"id": "1", "type": "buy_now", "price": self.prices[name], "item": {"market_hash_name": name}}]
            if name in self.prices
            else []
        )
        return said(listings if self.is_old else {"data": listings, "cursor": "next"})


@dataclass(slots=True)
class FakeScryfall(FakeProvider):
    """`cards` by id. It refuses who does not say who asks and what is taken, and more than 75 at a time."""

    cards: dict[str, dict[str, Any]] = field(default_factory=dict)

    def says(self, asked: Asked) -> bytes:
        if "accept" not in asked.headers or "user-agent" not in asked.headers:
            return said({"object": "error", "status": 400}, status="400 Bad Request")
        identifiers = json.loads(asked.body)["identifiers"]
        if (asked.method, asked.path) != ("POST", "/cards/collection") or len(identifiers) > 75:
            return said({"object": "error", "status": 422}, status="422 Unprocessable Entity")
        found = [self.cards[one["id"]] for one in identifiers if one["id"] in self.cards]
        missing = [one for one in identifiers if one["id"] not in self.cards]
        return said({"object": "list", "not_found": missing, "data": found})


@dataclass(slots=True)
class FakePokemonTcg(FakeProvider):
    """`cards` of all sets, by pages."""

    cards: list[dict[str, Any]] = field(default_factory=list)

    def says(self, asked: Asked) -> bytes:
        if asked.path != "/v2/cards":
            return NOT_FOUND
        set_code = asked.params["q"].removeprefix("set.id:")
        page, size = int(asked.params["page"]), int(asked.params["pageSize"])
        cards = [card for card in self.cards if card["set"]["id"] == set_code]
        shown = cards[(page - 1) * size : page * size]
        return said(
            {"data": shown, "page": page, "pageSize": size, "count": len(shown), "totalCount": len(cards)},
        )
