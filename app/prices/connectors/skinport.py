"""Skinport: what is offered of every CS2 item, and what was sold of it, each in one answer; in euros.

`GET /v1/items` lists `{"market_hash_name", "currency", "min_price", "median_price", "quantity", "updated_at", …}`,
`GET /v1/sales/history` lists `{"market_hash_name", "version", "currency", "last_24_hours": {"median", "volume", …},
…}`. Prices are numbers or null. It answers nobody who does not read brotli. Its `suggested_price` is its own opinion,
neither an offer nor a sale, and is left out.
"""

import asyncio
import base64
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from app.catalogue.slugs import slug_of
from app.prices.connectors import subjects as choose
from app.prices.connectors.interface import Answer, AnswerNotUnderstood, Clock, Connector, FoundPrice, Misread, Subject
from app.prices.connectors.values import amount_of, by_name, currency_of, instant_of, list_of, object_of
from app.prices.models import PriceKind
from app.providers.client import ProviderClient, Question

CURRENCY = "EUR"
COUNTER_STRIKE = "730"

_Read = Callable[[Subject, Mapping[str, object]], list[FoundPrice]]


class _Skinport(Connector):
    provider = "skinport"
    sources = ("skinport",)

    async def subjects(self, connection: AsyncConnection) -> list[Subject]:
        """All skins."""
        return await choose.skins(connection, self.sources)

    async def _rows(self, client: ProviderClient, endpoint: str, path: str) -> dict[str, list[Mapping[str, object]]]:
        question = Question(
            endpoint=endpoint,
            path=path,
            params={"app_id": COUNTER_STRIKE, "currency": CURRENCY},
            headers={"Accept-Encoding": "br", **self._login()},
        )
        return by_name(list_of(await client.ask_exact_json(question), "The list"), "market_hash_name", "An item")

    def _login(self) -> dict[str, str]:
        """The header of a key `client_id:client_secret`; both lists are given without one too."""
        if self._key is None:
            return {}
        return {"Authorization": f"Basic {base64.b64encode(self._key.get_secret_value().encode()).decode()}"}


class Skinport(_Skinport):
    """The lowest offer of each skin, and the middle of its offers."""

    name = "skinport"

    async def ask(self, client: ProviderClient, subjects: Sequence[Subject], *, clock: Clock) -> Answer:
        """What is offered of all subjects."""
        rows, at = await self._rows(client, "items", "/v1/items"), clock()
        return await asyncio.to_thread(_answer, subjects, rows, lambda subject, row: self._offers(subject, row, at))

    def _offers(self, subject: Subject, row: Mapping[str, object], at: datetime) -> list[FoundPrice]:
        currency = currency_of(row.get("currency"), "currency")
        observed_at = instant_of(row.get("updated_at"), "updated_at", per_second=1, latest=at)
        prices = [
            (PriceKind.ASK, amount_of(row.get("min_price"), "min_price"), amount_of(row.get("quantity"), "quantity")),
            (PriceKind.MID, amount_of(row.get("median_price"), "median_price"), None),
        ]
        return [
            FoundPrice(
                subject=subject,
                source=self.sources[0],
                kind=kind,
                currency=currency,
                price=price,
                quantity=quantity,
                observed_at=observed_at,
                variant=_phase(row),
            )
            for kind, price, quantity in prices
            if price is not None
        ]


class SkinportSales(_Skinport):
    """The median of what each skin, or each phase of it, was sold for within a day, and how often."""

    name = "skinport-sales"

    async def ask(self, client: ProviderClient, subjects: Sequence[Subject], *, clock: Clock) -> Answer:
        """What was sold of all subjects."""
        rows, at = await self._rows(client, "sales-history", "/v1/sales/history"), clock()
        return await asyncio.to_thread(_answer, subjects, rows, lambda subject, row: self._sales(subject, row, at))

    def _sales(self, subject: Subject, row: Mapping[str, object], at: datetime) -> list[FoundPrice]:
        day = object_of(row.get("last_24_hours"), "`last_24_hours`")
        price = amount_of(day.get("median"), "median")
        if price is None:
            return []
        return [
            FoundPrice(
                subject=subject,
                source=self.sources[0],
                kind=PriceKind.MARKET,
                currency=currency_of(row.get("currency"), "currency"),
                price=price,
                quantity=amount_of(day.get("volume"), "volume"),
                observed_at=at,
                variant=_phase(row),
            )
        ]


def _phase(row: Mapping[str, object]) -> str | None:
    """The key of the variant that a row is about: a phase, or the item itself."""
    version = row.get("version")
    return slug_of(version) if isinstance(version, str) and version else None


def _answer(subjects: Sequence[Subject], rows: Mapping[str, Sequence[Mapping[str, object]]], read: _Read) -> Answer:
    answer = Answer()
    for subject in subjects:
        found = rows.get(subject.name)
        if found is None:
            answer.unknown.append(subject)
            continue
        try:
            answer.prices += [price for row in found for price in read(subject, row)]
        except AnswerNotUnderstood as error:
            answer.misread.append(Misread(subject, str(error)))
    return answer
