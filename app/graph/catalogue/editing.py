"""What staff do to the catalogue: they make items, edit them, and merge those that are one."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import strawberry
from strawberry import UNSET

from app.alerts.commands.take_over_rules import take_over_rules
from app.catalogue.commands.edit_items import create_item, edit_item, no_such_item
from app.catalogue.commands.edit_variants import add_item_variant, edit_item_variant, no_such_variant
from app.catalogue.commands.merge_items import merge_items
from app.catalogue.commands.photos import MAXIMUM_PHOTOS
from app.catalogue.errors import CatalogueErrorCode, CatalogueRefused
from app.catalogue.given import GivenDetails, GivenItem
from app.catalogue.models import ItemKind
from app.core.ids import PublicIdTag, parse_public_id
from app.graph.catalogue.errors import CatalogueError, editing, edits
from app.graph.catalogue.items import Item, ItemVariant
from app.graph.context import Info
from app.graph.fields import attribute
from app.graph.reads.fields import Reference, refer
from app.graph.scalars import URL, CurrencyCode
from app.graph.user_errors import USER_ERRORS, Done
from app.identity.access import needs
from app.identity.scopes import Scope
from app.portfolios.commands.merge_wishes import merge_wishes
from app.portfolios.commands.take_over_variants import take_over_variants
from app.prices.commands.merge_variants import merge_variants

MAY_EDIT = needs(Scope.CATALOGUE_WRITE)
# What stands above the catalogue and refers to items, in the order in which it follows a merge.
FOLLOWERS = (merge_variants, take_over_variants, merge_wishes, take_over_rules)
ITEM = "The item as it is now; null when refused, and where it is not safe for work and one chose not to see such."


def _given(description: str) -> Any:
    return strawberry.field(default=UNSET, description=description)


@strawberry.input(description="The name that an outside service has for an item.")
class ExternalIdInput:
    provider: str = strawberry.field(description="The service: 2 to 40 of a-z, 0-9 and -, such as `steam-market`.")
    id: str = strawberry.field(description="Its name for the item; it names no other.")


@strawberry.input(description="What is said of a CS2 market item. A new one must have its market name.")
class SkinInput:
    market_hash_name: str | None = _given("The name by which the market knows it; no other item has it.")
    category: str | None = _given("What sort of item it is, such as Rifle.")
    weapon: str | None = _given("The weapon that is painted.")
    skin: str | None = _given("The name of the paint.")
    wear: str | None = _given("How worn it is, such as Factory New.")
    rarity: str | None = _given("How rare it is, such as Covert.")
    is_stattrak: bool | None = _given("Whether it counts kills; default: false.")
    is_souvenir: bool | None = _given("Whether it is a souvenir of a tournament; default: false.")
    float_minimum: float | None = _given("The least float value that the paint comes in, 0 to 1.")
    float_maximum: float | None = _given("The greatest float value that the paint comes in, 0 to 1.")
    collection: str | None = _given("The collection that its paint belongs to.")
    crates: list[str] | None = _given("The names of all cases and packages that it comes out of; 250 at most.")


@strawberry.input(description="What is said of a coin or token. A new one must have its symbol.")
class CoinInput:
    symbol: str | None = _given("The ticker symbol, such as BTC.")
    decimals: int | None = _given("Decimal places of its smallest unit, 0 to 255.")
    chain: str | None = _given("The chain that it lives on, such as `ethereum`.")
    contract_address: str | None = _given("The address of a token's contract on its chain.")


@strawberry.input(description="What is said of a card. A new one must have its game.")
class CardInput:
    game: str | None = _given("The game, as its sets have it.")
    set_id: strawberry.ID | None = _given("The set that it belongs to, one of its game.")
    number: str | None = _given("The collector number within the set.")
    rarity: str | None = _given("How rare the print is.")
    type_line: str | None = _given("What it is in its game.")
    artist: str | None = _given("Who painted or drew it.")
    language: str | None = _given("The language it is printed in, such as `en`.")
    finishes: list[str] | None = _given(
        "All finishes that it is printed in, such as `foil`; 250 at most. They make no variants: those are added by "
        "`addItemVariant`."
    )


@strawberry.input(description="One release of a figure; it says something at least.")
class FigureReleaseInput:
    released_on: date | None = strawberry.field(default=None, description="The day it comes out.")
    list_price: Decimal | None = strawberry.field(default=None, description="The maker's list price (MSRP), from 0.")
    currency: CurrencyCode | None = strawberry.field(
        default=None, description="The currency of the list price; the two go together."
    )
    jan: str | None = strawberry.field(
        default=None,
        description="The code on its box, of 8 or 13 digits, which no other figure has. The last digit is "
        "checked, unless the figure has the code already.",
    )


@strawberry.input(description="What is said of a figure. Names that are new to the catalogue are added to it.")
class FigureInput:
    manufacturer: str | None = _given("Who makes it, by name.")
    scale: str | None = _given("The scale as its maker writes it, such as `1/7`.")
    origins: list[str] | None = _given("All series that its characters come from, by their names; 250 at most.")
    characters: list[str] | None = _given("All characters that it shows, by their names; 250 at most.")
    sculptors: list[str] | None = _given("All its sculptors, by their names; 250 at most.")
    releases: list[FigureReleaseInput] | None = _given("All its releases, the first one first; 250 at most.")


@strawberry.input(one_of=True, description="The details of one kind of item.")
class ItemDetailsInput:
    skin: SkinInput | None = _given("Of a skin.")
    coin: CoinInput | None = _given("Of a coin.")
    card: CardInput | None = _given("Of a card.")
    figure: FigureInput | None = _given("Of a figure.")


@strawberry.input(description="A new item; its kind is the one that its details are of.")
class CreateItemInput:
    name: str = strawberry.field(description="The name to show, of 200 characters at most.")
    details: ItemDetailsInput = strawberry.field(description="What only its kind has.")
    slug: str | None = _given(
        "Lower-case words joined by hyphens, to which nothing else leads; default: made from the name."
    )
    image_url: URL | None = _given("A picture, by an address that begins with `https://`.")
    is_nsfw: bool | None = _given("Whether it is not safe for work; default: false.")
    external_ids: list[ExternalIdInput] | None = _given("The names that outside services have for it; 250 at most.")
    idempotency_key: str | None = _given(
        "A repeat with the same key and item within 24 hours gives the first one again."
    )


@strawberry.input(
    description="What to change of an item. What is left out stays; null clears it, where it may be null."
)
class EditItemInput:
    id: strawberry.ID = strawberry.field(description="The item.")
    expected_revision: int | None = strawberry.field(
        default=None,
        description="The number of the newest revision that one has seen, 0 for none: refused if there is a newer one.",
    )
    name: str | None = _given("The name to show, of 200 characters at most.")
    slug: str | None = _given("Another slug; the one that it had still leads to it.")
    image_url: URL | None = _given("A picture, by an address that begins with `https://`.")
    is_nsfw: bool | None = _given("Whether it is not safe for work.")
    external_ids: list[ExternalIdInput] | None = _given("All names that outside services have for it; 250 at most.")
    details: ItemDetailsInput | None = _given("What only its kind has.")


@strawberry.input(description="Two items of one kind that are one.")
class MergeItemsInput:
    winner_id: strawberry.ID = strawberry.field(description="The item that stays, with what it says of itself.")
    loser_id: strawberry.ID = strawberry.field(
        description="The item that goes. All that hangs on it, its prices too, goes to the other one; its id and slug "
        "lead there from now on."
    )


@strawberry.input(description="A variant more.")
class AddItemVariantInput:
    item_id: strawberry.ID = strawberry.field(description="The item.")
    key: str = strawberry.field(description="The short name, unique within the item: 1 to 60 of a-z, 0-9 and -.")
    name: str = strawberry.field(description="The name to show, of 200 characters at most.")
    position: int | None = strawberry.field(
        default=None, description="Its place among the others, from 0; default: behind them."
    )


@strawberry.input(description="What to change of a variant. What is left out stays as it is.")
class EditItemVariantInput:
    id: strawberry.ID = strawberry.field(description="The variant.")
    name: str | None = _given("The name to show, of 200 characters at most.")
    position: int | None = _given("Its place among the others of its item, from 0.")


@dataclass(frozen=True, slots=True)
class ItemChanged(Done):
    """The payload of a change to an item."""

    item: Reference


@dataclass(frozen=True, slots=True)
class VariantChanged(Done):
    """The payload of a change to a variant."""

    variant: Reference


@strawberry.type(description="What became of the new item.")
class CreateItemPayload:
    item: Item | None = attribute(ITEM)
    user_errors: list[CatalogueError] = attribute(USER_ERRORS)


@strawberry.type(description="What became of the item.")
class EditItemPayload:
    item: Item | None = attribute(ITEM)
    user_errors: list[CatalogueError] = attribute(USER_ERRORS)


@strawberry.type(description="What became of the two items.")
class MergeItemsPayload:
    item: Item | None = attribute(ITEM)
    user_errors: list[CatalogueError] = attribute(USER_ERRORS)


@strawberry.type(description="What became of the new variant.")
class AddItemVariantPayload:
    variant: ItemVariant | None = attribute("The variant; null when refused.")
    user_errors: list[CatalogueError] = attribute(USER_ERRORS)


@strawberry.type(description="What became of the variant.")
class EditItemVariantPayload:
    variant: ItemVariant | None = attribute("The variant as it is now; null when refused.")
    user_errors: list[CatalogueError] = attribute(USER_ERRORS)


def _key(id: str, tag: PublicIdTag, refusal: CatalogueRefused) -> UUID:
    parsed = parse_public_id(id)
    if parsed is None or parsed[0] is not tag or not isinstance(parsed[1], UUID):
        raise refusal
    return parsed[1]


def _item_key(id: str, field: str) -> UUID:
    return _key(id, PublicIdTag.ITEM, no_such_item([field]))


def _sent(input: object, *, also_null: bool) -> dict[str, Any]:
    """The fields that were sent; of a new item null says nothing."""
    return {
        name: value for name, value in vars(input).items() if value is not UNSET and (also_null or value is not None)
    }


def _given_item(input: CreateItemInput | EditItemInput, *, also_null: bool) -> GivenItem:
    values = _sent(input, also_null=also_null)
    for name in ("id", "expected_revision", "idempotency_key"):
        values.pop(name, None)
    details: ItemDetailsInput | None = values.pop("details", None)
    if values.get("external_ids") is not None:
        values["external_ids"] = [vars(name) for name in values["external_ids"]]
    return GivenItem(values, None if details is None else _given_details(details, also_null=also_null))


def _given_details(input: ItemDetailsInput, *, also_null: bool) -> GivenDetails:
    ((kind, details),) = _sent(input, also_null=False).items()
    values = _sent(details, also_null=also_null)
    if values.get("releases") is not None:
        values["releases"] = [vars(release) for release in values["releases"]]
    if values.get("set_id") is not None:
        field = ["details", "card", "setId"]
        unknown = CatalogueRefused(CatalogueErrorCode.NOT_FOUND, "There is no such set of cards.", field=field)
        values["set_id"] = _key(values["set_id"], PublicIdTag.CARD_SET, unknown)
    return GivenDetails(ItemKind(kind), values)


@strawberry.type
class CatalogueMutations:
    @edits("Add an item to the catalogue.", type=CreateItemPayload, access=MAY_EDIT)
    @staticmethod
    async def create_item(info: Info, input: CreateItemInput) -> ItemChanged:
        async with editing(info) as transaction:
            item_id = await create_item(
                transaction,
                _given_item(input, also_null=False),
                editor_id=info.context.viewer.own_id,
                idempotency_key=None if input.idempotency_key is UNSET else input.idempotency_key,
            )
        return ItemChanged(refer(Item, item_id))

    @edits("Change an item; what was changed stands in its `revisions`.", type=EditItemPayload, access=MAY_EDIT)
    @staticmethod
    async def edit_item(info: Info, input: EditItemInput) -> ItemChanged:
        item_id = _item_key(input.id, "id")
        async with editing(info) as transaction:
            await edit_item(
                transaction,
                item_id,
                _given_item(input, also_null=True),
                editor_id=info.context.viewer.own_id,
                expected_revision=input.expected_revision,
            )
        return ItemChanged(refer(Item, item_id))

    @edits(
        "Make one item of two of the same kind, for good. Variants with the same key become one, and so do their "
        f"series of the same source, kind and currency. Refused where the two have more than {MAXIMUM_PHOTOS} photos.",
        type=MergeItemsPayload,
        access=MAY_EDIT,
    )
    @staticmethod
    async def merge_items(info: Info, input: MergeItemsInput) -> ItemChanged:
        winner_id, loser_id = _item_key(input.winner_id, "winnerId"), _item_key(input.loser_id, "loserId")
        async with editing(info) as transaction:
            await merge_items(
                transaction,
                winner_id=winner_id,
                loser_id=loser_id,
                editor_id=info.context.viewer.own_id,
                followers=FOLLOWERS,
            )
        return ItemChanged(refer(Item, winner_id))

    @edits("Add a variant to an item.", type=AddItemVariantPayload, access=MAY_EDIT)
    @staticmethod
    async def add_item_variant(info: Info, input: AddItemVariantInput) -> VariantChanged:
        item_id = _item_key(input.item_id, "itemId")
        async with editing(info) as transaction:
            variant_id = await add_item_variant(
                transaction,
                item_id,
                key=input.key,
                name=input.name,
                position=input.position,
                editor_id=info.context.viewer.own_id,
            )
        return VariantChanged(refer(ItemVariant, variant_id))

    @edits("Change the name of a variant, or its place among the others.", type=EditItemVariantPayload, access=MAY_EDIT)
    @staticmethod
    async def edit_item_variant(info: Info, input: EditItemVariantInput) -> VariantChanged:
        variant_id = _key(input.id, PublicIdTag.ITEM_VARIANT, no_such_variant(["id"]))
        values = _sent(input, also_null=True)
        del values["id"]
        async with editing(info) as transaction:
            await edit_item_variant(transaction, variant_id, values, editor_id=info.context.viewer.own_id)
        return VariantChanged(refer(ItemVariant, variant_id))
