"""Figures, who made them, and whom they show."""

from datetime import date, datetime
from decimal import Decimal
from enum import Enum

import strawberry

from app.catalogue import models
from app.catalogue.models import ItemKind
from app.core.ids import PublicIdTag
from app.graph.catalogue.items import Item, ItemOrderField
from app.graph.reads.arguments import Orders, equals
from app.graph.reads.fields import column, connection, edge, edges, shows, shows_kind
from app.graph.reads.tables import join
from app.graph.relay import Connection, Node
from app.graph.scalars import CurrencyCode
from app.identity.access import ANYBODY

MAKER_OF_FIGURE = join(models.Figure, models.Figure.manufacturer_id == models.Manufacturer.id)
SERIES_OF_FIGURE = join(models.FigureSeries, models.FigureSeries.series_id == models.Series.id)
CHARACTER_OF_FIGURE = join(models.FigureCharacter, models.FigureCharacter.character_id == models.Character.id)
SCULPTOR_OF_FIGURE = join(models.FigureSculptor, models.FigureSculptor.sculptor_id == models.Sculptor.id)

DETAILS_OF_FIGURE = join(models.Figure, models.Figure.item_id == models.Item.id)
FIGURE_OF_SERIES = join(models.FigureSeries, models.FigureSeries.item_id == models.Item.id)
FIGURE_OF_CHARACTER = join(models.FigureCharacter, models.FigureCharacter.item_id == models.Item.id)
FIGURE_OF_SCULPTOR = join(models.FigureSculptor, models.FigureSculptor.item_id == models.Item.id)
FIGURE_ORDERS = Orders("figures", {ItemOrderField.NAME: models.Item.name}, tie=models.Item.id)


class NameOrderField(Enum):
    """What makers, series, characters and sculptors are ordered by."""

    NAME = "name"


MANUFACTURER_ORDERS = Orders(
    "manufacturers", {NameOrderField.NAME: models.Manufacturer.name}, tie=models.Manufacturer.id
)
SERIES_ORDERS = Orders("series", {NameOrderField.NAME: models.Series.name}, tie=models.Series.id)
CHARACTER_ORDERS = Orders("characters", {NameOrderField.NAME: models.Character.name}, tie=models.Character.id)
SCULPTOR_ORDERS = Orders("sculptors", {NameOrderField.NAME: models.Sculptor.name}, tie=models.Sculptor.id)


@strawberry.type(description="The name that an outside service, such as a list of anime, has for a series.")
@shows(models.SeriesExternalId)
class SeriesExternalId:
    provider: str = column(models.SeriesExternalId.provider, "The service, such as `myanimelist`.")
    external_id: str = column(models.SeriesExternalId.external_id, "Its name for the series, unique there.", name="id")


@strawberry.type(description="One release of a figure.")
@shows(models.FigureRelease)
class FigureRelease:
    released_on: date | None = column(models.FigureRelease.released_on, "The day it comes out; null where not known.")
    list_price: Decimal | None = column(
        models.FigureRelease.list_price, "The price that its maker lists it at (MSRP), exact; null where not known."
    )
    currency: CurrencyCode | None = column(models.FigureRelease.currency, "The currency of the list price.")
    jan: str | None = column(models.FigureRelease.jan, "The code on its box, of 8 or 13 digits; null where not known.")


@strawberry.type(description="Who makes figures.")
@shows(models.Manufacturer, PublicIdTag.MANUFACTURER)
class Manufacturer(Node):
    slug: str = column(models.Manufacturer.slug, "The readable name in addresses, unique.")
    name: str = column(models.Manufacturer.name, "The name to show.")
    created_at: datetime = column(models.Manufacturer.created_at, "When the catalogue first had it.")
    updated_at: datetime = column(models.Manufacturer.updated_at, "When its entry last changed.")
    figures: Connection["Figure"] | None = connection(
        "The figures that it makes, by name.",
        on=models.Manufacturer.id,
        to=models.Figure.manufacturer_id,
        joins=[DETAILS_OF_FIGURE],
        orders=FIGURE_ORDERS,
    )


@strawberry.type(description="An anime, a game or a manga whose characters are made into figures.")
@shows(models.Series, PublicIdTag.SERIES)
class Series(Node):
    slug: str = column(models.Series.slug, "The readable name in addresses, unique.")
    name: str = column(models.Series.name, "The name to show.")
    created_at: datetime = column(models.Series.created_at, "When the catalogue first had it.")
    updated_at: datetime = column(models.Series.updated_at, "When its entry last changed.")
    external_ids: list[SeriesExternalId] = edges(
        "The names that outside services have for it.",
        on=models.Series.id,
        to=models.SeriesExternalId.series_id,
        order=[models.SeriesExternalId.provider, models.SeriesExternalId.external_id],
    )
    figures: Connection["Figure"] | None = connection(
        "The figures of its characters, by name.",
        on=models.Series.id,
        to=models.FigureSeries.series_id,
        joins=[FIGURE_OF_SERIES],
        orders=FIGURE_ORDERS,
    )


@strawberry.type(description="Whom a figure shows.")
@shows(models.Character, PublicIdTag.CHARACTER)
class Character(Node):
    slug: str = column(models.Character.slug, "The readable name in addresses, unique.")
    name: str = column(models.Character.name, "The name to show.")
    created_at: datetime = column(models.Character.created_at, "When the catalogue first had it.")
    updated_at: datetime = column(models.Character.updated_at, "When its entry last changed.")
    figures: Connection["Figure"] | None = connection(
        "The figures that show it, by name.",
        on=models.Character.id,
        to=models.FigureCharacter.character_id,
        joins=[FIGURE_OF_CHARACTER],
        orders=FIGURE_ORDERS,
    )


@strawberry.type(description="Who gave a figure its form.")
@shows(models.Sculptor, PublicIdTag.SCULPTOR)
class Sculptor(Node):
    slug: str = column(models.Sculptor.slug, "The readable name in addresses, unique.")
    name: str = column(models.Sculptor.name, "The name to show.")
    created_at: datetime = column(models.Sculptor.created_at, "When the catalogue first had it.")
    updated_at: datetime = column(models.Sculptor.updated_at, "When its entry last changed.")
    figures: Connection["Figure"] | None = connection(
        "The figures that they gave form, by name.",
        on=models.Sculptor.id,
        to=models.FigureSculptor.sculptor_id,
        joins=[FIGURE_OF_SCULPTOR],
        orders=FIGURE_ORDERS,
    )


@strawberry.type(description="A collectible figure.")
@shows_kind(ItemKind.FIGURE, details=models.Figure.item_id)
class Figure(Item):
    manufacturer: Manufacturer | None = edge(
        "Who made it; null where not known.", on=models.Item.id, to=models.Figure.item_id, joins=[MAKER_OF_FIGURE]
    )
    scale: str | None = column(models.Figure.scale, "Its scale, such as 1/7; null for figures without one.")
    origins: list[Series] = edges(
        "The anime, games or manga that its characters come from, by name. (`series` are its prices.)",
        on=models.Item.id,
        to=models.FigureSeries.item_id,
        joins=[SERIES_OF_FIGURE],
        order=[models.Series.name, models.Series.id],
    )
    characters: list[Character] = edges(
        "Whom it shows, by name.",
        on=models.Item.id,
        to=models.FigureCharacter.item_id,
        joins=[CHARACTER_OF_FIGURE],
        order=[models.Character.name, models.Character.id],
    )
    sculptors: list[Sculptor] = edges(
        "Who gave it its form, by name.",
        on=models.Item.id,
        to=models.FigureSculptor.item_id,
        joins=[SCULPTOR_OF_FIGURE],
        order=[models.Sculptor.name, models.Sculptor.id],
    )
    releases: list[FigureRelease] = edges(
        "Its releases, the first one first.",
        on=models.Item.id,
        to=models.FigureRelease.item_id,
        order=[models.FigureRelease.position],
    )


@strawberry.type
class FigureQueries:
    manufacturers: Connection[Manufacturer] | None = connection(
        "Makers of figures, by name; of one slug if given.",
        orders=MANUFACTURER_ORDERS,
        arguments=[equals("slug", str | None, models.Manufacturer.slug)],
        access=ANYBODY,
    )
    series: Connection[Series] | None = connection(
        "Anime, games and manga whose characters are made into figures, by name; of one slug if given.",
        orders=SERIES_ORDERS,
        arguments=[equals("slug", str | None, models.Series.slug)],
        access=ANYBODY,
    )
    characters: Connection[Character] | None = connection(
        "Whom figures show, by name; of one slug if given.",
        orders=CHARACTER_ORDERS,
        arguments=[equals("slug", str | None, models.Character.slug)],
        access=ANYBODY,
    )
    sculptors: Connection[Sculptor] | None = connection(
        "Who gave figures their form, by name; of one slug if given.",
        orders=SCULPTOR_ORDERS,
        arguments=[equals("slug", str | None, models.Sculptor.slug)],
        access=ANYBODY,
    )
