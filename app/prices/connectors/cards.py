"""Prices of cards, as files and services of cards tell them."""

from collections.abc import Iterator
from datetime import UTC, datetime, time

from app.catalogue.card_prices import CardPrice
from app.catalogue.new_items import NewItem
from app.prices.connectors.interface import FoundPrice, Subject
from app.prices.connectors.rows import row_of_price
from app.prices.models import PriceKind


def card_prices(prices: Iterator[CardPrice], subject: Subject, *, at: datetime) -> Iterator[FoundPrice]:
    """The prices of a card, each as of its own day, else of the day of `at`: such prices are made once a day.

    Finishes are never pooled: of a card without variants each shop's first finish is the card's price. Raises
    `RowNotUnderstood` as the reader of the row does.
    """
    finishes: dict[str, str | None] = {}
    for price in prices:
        if not price.amount:
            continue
        if subject.variants or finishes.setdefault(price.source, price.variant) == price.variant:
            yield FoundPrice(
                subject=subject,
                source=price.source,
                kind=PriceKind(price.kind),
                currency=price.currency,
                price=price.amount,
                observed_at=datetime.combine(min(price.day or at.date(), at.date()), time(), UTC),
                variant=subject.variant(price.variant),
            )


def card_price_rows(prices: Iterator[CardPrice], item: NewItem, *, at: datetime) -> list[bytes]:
    """The prices of a card that was just imported, as rows of a batch: the card by the id that it is known by."""
    known_as = item.external_ids[0]
    subject = Subject(slug="", name=known_as.external_id, variants=frozenset(variant.key for variant in item.variants))
    return [
        row_of_price(found, external_id=f"{known_as.provider}:{known_as.external_id}")
        for found in card_prices(prices, subject, at=at)
    ]
