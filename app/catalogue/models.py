"""Items of four kinds, what they belong to, their variants and photos, and the names by which others know them."""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import cast
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Constraint,
    ForeignKey,
    Identity,
    Index,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TSVECTOR
from sqlalchemy.orm import Mapped, declared_attr, mapped_column

from app.core.database import Base
from app.core.ids import new_id
from app.identity.models import User

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
    is_nsfw: Mapped[bool] = mapped_column(server_default=text("false"))
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
    collection: Mapped[str | None]
    crates: Mapped[list[str] | None] = mapped_column(ARRAY(Text))


class Coin(Base):
    """A crypto coin or token."""

    __tablename__ = "coins"
    __table_args__ = ({"schema": SCHEMA},)

    item_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.items.id", ondelete="CASCADE"), primary_key=True)
    symbol: Mapped[str]
    decimals: Mapped[int | None]
    chain: Mapped[str | None]
    contract_address: Mapped[str | None]


class CardSet(Base):
    """A set of one game's cards. Its code is unique within the game; `card_count` is what its publisher says."""

    __tablename__ = "card_sets"
    __table_args__ = (
        UniqueConstraint("game", "code"),
        UniqueConstraint("slug"),
        CheckConstraint("card_count >= 0", name="card_count_is_not_negative"),
        Index("card_sets_by_name", "name", "id"),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    game: Mapped[str]
    code: Mapped[str]
    slug: Mapped[str]
    name: Mapped[str]
    released_on: Mapped[date | None]
    card_count: Mapped[int | None]
    icon_url: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Card(Base):
    """A trading card: one print, of a set of its game where it has one."""

    __tablename__ = "cards"
    __table_args__ = (
        Index("cards_by_set", "set_id", "item_id"),
        Index("cards_by_oracle_id", "oracle_id", "item_id"),
        {"schema": SCHEMA},
    )

    item_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.items.id", ondelete="CASCADE"), primary_key=True)
    game: Mapped[str]
    set_id: Mapped[UUID | None] = mapped_column(ForeignKey(CardSet.id))
    number: Mapped[str | None]
    rarity: Mapped[str | None]
    type_line: Mapped[str | None]
    artist: Mapped[str | None]
    language: Mapped[str | None]
    finishes: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    oracle_id: Mapped[str | None]


class CardRuling(Base):
    """What was said of how a card is to be played; it holds for all prints of the card, which share its oracle id."""

    __tablename__ = "card_rulings"
    __table_args__ = (Index("card_rulings_by_card", "oracle_id", "published_on", "id"), {"schema": SCHEMA})

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    oracle_id: Mapped[str]
    published_on: Mapped[date]
    source: Mapped[str]
    comment: Mapped[str]


class _Named:
    """What is known by its name: `name_key` is the name as it is compared, without case and odd spaces."""

    @declared_attr.directive
    def __table_args__(cls) -> tuple[object, ...]:  # noqa: N805  # a directive of the mapped class
        table = cls.__tablename__  # type: ignore[attr-defined]  # each of them has one
        return (
            UniqueConstraint("slug"),
            UniqueConstraint("name_key"),
            Index(f"{table}_by_name", "name", "id"),
            {"schema": SCHEMA},
        )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    slug: Mapped[str]
    name: Mapped[str]
    name_key: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Manufacturer(_Named, Base):
    """Who makes figures."""

    __tablename__ = "manufacturers"


class Series(_Named, Base):
    """An anime, a game or a manga whose characters are made into figures."""

    __tablename__ = "series"


class Character(_Named, Base):
    """Whom a figure shows."""

    __tablename__ = "characters"


class Sculptor(_Named, Base):
    """Who gave a figure its form."""

    __tablename__ = "sculptors"


class SeriesExternalId(Base):
    """The name that an outside service, such as a list of anime, has for a series."""

    __tablename__ = "series_external_ids"
    __table_args__ = (Index("series_external_ids_by_series", "series_id"), {"schema": SCHEMA})

    provider: Mapped[str] = mapped_column(primary_key=True)
    external_id: Mapped[str] = mapped_column(primary_key=True)
    series_id: Mapped[UUID] = mapped_column(ForeignKey(Series.id, ondelete="CASCADE"))


class Figure(Base):
    """A collectible figure."""

    __tablename__ = "figures"
    __table_args__ = (Index("figures_by_manufacturer", "manufacturer_id", "item_id"), {"schema": SCHEMA})

    item_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.items.id", ondelete="CASCADE"), primary_key=True)
    manufacturer_id: Mapped[UUID | None] = mapped_column(ForeignKey(Manufacturer.id))
    scale: Mapped[str | None]


class FigureSeries(Base):
    """A series that a figure's characters come from."""

    __tablename__ = "figure_series"
    __table_args__ = (Index("figure_series_by_series", "series_id", "item_id"), {"schema": SCHEMA})

    item_id: Mapped[UUID] = mapped_column(ForeignKey(Figure.item_id, ondelete="CASCADE"), primary_key=True)
    series_id: Mapped[UUID] = mapped_column(ForeignKey(Series.id), primary_key=True)


class FigureCharacter(Base):
    """A character that a figure shows."""

    __tablename__ = "figure_characters"
    __table_args__ = (Index("figure_characters_by_character", "character_id", "item_id"), {"schema": SCHEMA})

    item_id: Mapped[UUID] = mapped_column(ForeignKey(Figure.item_id, ondelete="CASCADE"), primary_key=True)
    character_id: Mapped[UUID] = mapped_column(ForeignKey(Character.id), primary_key=True)


class FigureSculptor(Base):
    """A sculptor of a figure."""

    __tablename__ = "figure_sculptors"
    __table_args__ = (Index("figure_sculptors_by_sculptor", "sculptor_id", "item_id"), {"schema": SCHEMA})

    item_id: Mapped[UUID] = mapped_column(ForeignKey(Figure.item_id, ondelete="CASCADE"), primary_key=True)
    sculptor_id: Mapped[UUID] = mapped_column(ForeignKey(Sculptor.id), primary_key=True)


class FigureRelease(Base):
    """One release of a figure: when, at what price its maker listed it (MSRP), and its JAN code. `position` from 0."""

    __tablename__ = "figure_releases"
    __table_args__ = (
        CheckConstraint("list_price >= 0", name="list_price_is_not_negative"),
        CheckConstraint("(list_price IS NULL) = (currency IS NULL)", name="list_price_has_a_currency"),
        CheckConstraint("jan ~ '^([0-9]{8}|[0-9]{13})$'", name="jan_has_8_or_13_digits"),
        Index("figure_releases_by_jan", "jan"),
        {"schema": SCHEMA},
    )

    item_id: Mapped[UUID] = mapped_column(ForeignKey(Figure.item_id, ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    released_on: Mapped[date | None]
    list_price: Mapped[Decimal | None]
    currency: Mapped[str | None]
    jan: Mapped[str | None]


DETAILS: Mapping[ItemKind, type[Base]] = {
    ItemKind.SKIN: Skin,
    ItemKind.COIN: Coin,
    ItemKind.CARD: Card,
    ItemKind.FIGURE: Figure,
}


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


class RevisionAction(StrEnum):
    """What staff did to an item."""

    CREATED = "created"
    EDITED = "edited"
    MERGED = "merged"


class ItemRevision(Base):
    """What somebody changed of an item: by the name of each field what it was before and after. Numbers begin with 1.

    Importers write none. `user_id` is null once the account is erased.
    """

    __tablename__ = "item_revisions"
    __table_args__ = (
        UniqueConstraint("item_id", "number", deferrable=True),
        CheckConstraint("number > 0", name="number_is_positive"),
        CheckConstraint("action IN ('created', 'edited', 'merged')", name="action_is_known"),
        Index("item_revisions_by_user", "user_id", "created_at", postgresql_where=text("user_id IS NOT NULL")),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    item_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.items.id", ondelete="CASCADE"))
    number: Mapped[int]
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey(User.id, ondelete="SET NULL"))
    action: Mapped[str]
    changes: Mapped[dict[str, object]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ItemRedirect(Base):
    """An id or a slug that an item does not have any more, or that another had which was merged into it."""

    __tablename__ = "item_redirects"
    __table_args__ = (
        UniqueConstraint("old_id"),
        UniqueConstraint("slug"),
        CheckConstraint("old_id IS NOT NULL OR slug IS NOT NULL", name="something_is_old"),
        Index("item_redirects_by_item", "item_id"),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    item_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.items.id", ondelete="CASCADE"))
    old_id: Mapped[UUID | None]
    slug: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class CreationKey(Base):
    """Which item somebody made under an idempotency key, and a hash of what they said of it."""

    __tablename__ = "creation_keys"
    __table_args__ = (Index("creation_keys_by_item", "item_id"), {"schema": SCHEMA})

    user_id: Mapped[UUID] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    content_hash: Mapped[str]
    item_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.items.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class SearchDocument(Base):
    """What an item is found by: its name and words without case and accents, and what searches are narrowed by.

    Made by the database alone, just before a transaction commits that wrote an item or what it belongs to. The weights
    of `words` are A for the name, B for what it belongs to, C for external ids.
    """

    __tablename__ = "search_documents"
    __table_args__ = (
        Index("search_documents_by_name", "folded_name", "item_id"),
        Index("search_documents_words", "words", postgresql_using="gin", postgresql_with={"fastupdate": "off"}),
        {"schema": SCHEMA},
    )

    item_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.items.id", ondelete="CASCADE"), primary_key=True)
    kind: Mapped[str]
    folded_name: Mapped[str] = mapped_column(Text(collation="C"))
    words: Mapped[str] = mapped_column(TSVECTOR)
    set_id: Mapped[UUID | None]
    manufacturer_id: Mapped[UUID | None]
    series_ids: Mapped[list[UUID] | None] = mapped_column(ARRAY(Uuid))
    rarity: Mapped[str | None]
    wear: Mapped[str | None]
    is_nsfw: Mapped[bool]


class SearchWord(Base):
    """A word of a name, by which words that are typed wrongly are put right. It stays when its last item goes."""

    __tablename__ = "search_words"
    __table_args__ = (
        Index(
            "search_words_trigrams",
            "word",
            postgresql_using="gin",
            postgresql_ops={"word": "gin_trgm_ops"},
            postgresql_with={"fastupdate": "off"},
        ),
        {"schema": SCHEMA},
    )

    word: Mapped[str] = mapped_column(Text(collation="C"), primary_key=True)


class SearchChange(Base):
    """The items that a statement wrote, until its transaction commits; so nobody ever sees a row of it."""

    __tablename__ = "search_changes"
    __table_args__ = ({"schema": SCHEMA},)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    item_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid))


class StoredPhoto:
    """What is kept of every photo. Its objects are the sizes in the folder `storage_key` of the store.

    `position` is its place among the others of the same thing, from 0; `sha256` is of the whole photo. The database
    itself notes the objects of a photo that goes, however it goes, to be deleted.
    """

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    position: Mapped[int]
    content_type: Mapped[str]
    width: Mapped[int]
    height: Mapped[int]
    bytes: Mapped[int]
    sha256: Mapped[str]
    storage_key: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


def constraints_of_photos() -> tuple[Constraint, ...]:
    """What holds of the columns of a stored photo."""
    return (
        UniqueConstraint("storage_key"),
        CheckConstraint("position >= 0", name="position_is_not_negative"),
        CheckConstraint("width > 0 AND height > 0 AND bytes > 0", name="size_is_positive"),
        CheckConstraint("content_type IN ('image/jpeg', 'image/png', 'image/webp')", name="content_type_is_known"),
    )


class ItemPhoto(StoredPhoto, Base):
    """A photo of an item."""

    __tablename__ = "item_photos"
    __table_args__ = (
        # Checked at the commit: a new order passes through many others.
        UniqueConstraint("item_id", "position", deferrable=True, initially="DEFERRED"),
        *constraints_of_photos(),
        Index("item_photos_one_primary", "item_id", unique=True, postgresql_where=text("is_primary")),
        {"schema": SCHEMA},
    )

    item_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.items.id", ondelete="CASCADE"))
    is_primary: Mapped[bool] = mapped_column(server_default=text("false"))
    caption: Mapped[str | None]
    credit: Mapped[str | None]
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class PhotoUpload(Base):
    """A photo that somebody sent and may add to an item or a holding for a day.

    Then the row goes, and what was not added with it.

    Of one that was added the row stays for a day from then on, so that a repeat is known by its idempotency key.

    The row is there before its objects, so that none is ever left behind: `stored_at` says that they are all there.
    A photo that was made of it has its id.
    """

    __tablename__ = "photo_uploads"
    __table_args__ = (
        UniqueConstraint("uploaded_by", "idempotency_key"),
        UniqueConstraint("storage_key"),
        Index("photo_uploads_by_creation", "created_at"),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    uploaded_by: Mapped[UUID] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"))
    content_type: Mapped[str]
    width: Mapped[int]
    height: Mapped[int]
    bytes: Mapped[int]
    sha256: Mapped[str]
    storage_key: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    stored_at: Mapped[datetime | None]
    claimed_at: Mapped[datetime | None]
    item_id: Mapped[UUID | None]
    idempotency_key: Mapped[str | None]


class DoomedPhoto(Base):
    """The objects of a photo that is gone: a worker deletes them, and the row once they are deleted."""

    __tablename__ = "doomed_photos"
    __table_args__ = (Index("doomed_photos_by_attempt", "attempted_at", "storage_key"), {"schema": SCHEMA})

    storage_key: Mapped[str] = mapped_column(primary_key=True)
    content_type: Mapped[str]
    doomed_at: Mapped[datetime] = mapped_column(server_default=func.now())
    attempted_at: Mapped[datetime] = mapped_column(server_default=func.now())


# What goes from these is written there.
for _table in (ItemPhoto.__table__, PhotoUpload.__table__):
    cast("Table", _table).add_is_dependent_on(cast("Table", DoomedPhoto.__table__))
