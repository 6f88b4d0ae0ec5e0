"""Items of four kinds, their variants, and the names by which others know them."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.core.database import Base
from app.core.ids import new_id

SCHEMA = "catalogue"
DEFAULT_VARIANT_KEY = "default"


class ItemKind(StrEnum):
    """The four kinds of things."""

    SKIN = "skin"
    COIN = "coin"
    CARD = "card"
    FIGURE = "figure"


class Item(Base):
    """A thing that can be owned, of one kind; its details stand in that kind's table."""

    __tablename__ = "items"
    __table_args__ = (
        UniqueConstraint("slug"),
        CheckConstraint("kind IN ('skin', 'coin', 'card', 'figure')", name="kind_is_known"),
        Index("items_by_name", "name", "id"),
        Index("items_by_kind_and_name", "kind", "name", "id"),
        Index("items_by_creation", "created_at", "id"),
        Index("items_name_trigrams", "name", postgresql_using="gin", postgresql_ops={"name": "gin_trgm_ops"}),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    kind: Mapped[str]
    slug: Mapped[str]
    name: Mapped[str]
    image_url: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Skin(Base):
    """A tradeable CS2 market item. What its name does not tell (a case has no weapon) is null."""

    __tablename__ = "skins"
    __table_args__ = (
        UniqueConstraint("market_hash_name"),
        CheckConstraint("float_minimum BETWEEN 0 AND 1", name="float_minimum_is_a_share"),
        CheckConstraint("float_maximum BETWEEN 0 AND 1", name="float_maximum_is_a_share"),
        {"schema": SCHEMA},
    )

    item_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.items.id", ondelete="CASCADE"), primary_key=True)
    market_hash_name: Mapped[str]
    category: Mapped[str | None]
    weapon: Mapped[str | None]
    skin: Mapped[str | None]
    wear: Mapped[str | None]
    rarity: Mapped[str | None]
    stattrak: Mapped[bool] = mapped_column(server_default=text("false"))
    souvenir: Mapped[bool] = mapped_column(server_default=text("false"))
    float_minimum: Mapped[float | None]
    float_maximum: Mapped[float | None]


class Coin(Base):
    """A crypto coin or token."""

    __tablename__ = "coins"
    __table_args__ = ({"schema": SCHEMA},)

    item_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.items.id", ondelete="CASCADE"), primary_key=True)
    symbol: Mapped[str]
    decimals: Mapped[int | None]


class Card(Base):
    """A trading card: one print of one game's set."""

    __tablename__ = "cards"
    __table_args__ = ({"schema": SCHEMA},)

    item_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.items.id", ondelete="CASCADE"), primary_key=True)
    game: Mapped[str]
    set_code: Mapped[str | None]
    number: Mapped[str | None]
    rarity: Mapped[str | None]


class Figure(Base):
    """A collectible figure."""

    __tablename__ = "figures"
    __table_args__ = ({"schema": SCHEMA},)

    item_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.items.id", ondelete="CASCADE"), primary_key=True)
    manufacturer: Mapped[str | None]
    series: Mapped[str | None]
    scale: Mapped[str | None]


class ItemVariant(Base):
    """What is priced and held: an item in one finish, language, grade or phase. Each item has one default variant."""

    __tablename__ = "item_variants"
    __table_args__ = (
        UniqueConstraint("item_id", "key"),
        Index("item_variants_one_default", "item_id", unique=True, postgresql_where=text("is_default")),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    item_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.items.id", ondelete="CASCADE"))
    key: Mapped[str]
    name: Mapped[str]
    is_default: Mapped[bool] = mapped_column(server_default=text("false"))
    position: Mapped[int] = mapped_column(server_default=text("0"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ExternalId(Base):
    """The name that an outside service has for an item, unique per service."""

    __tablename__ = "external_ids"
    __table_args__ = (Index("external_ids_by_item", "item_id"), {"schema": SCHEMA})

    provider: Mapped[str] = mapped_column(primary_key=True)
    external_id: Mapped[str] = mapped_column(primary_key=True)
    item_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.items.id", ondelete="CASCADE"))
