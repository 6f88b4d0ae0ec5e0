"""The live stream of prices."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import strawberry
from strawberry import Parent

from app.catalogue import queries as catalogue
from app.catalogue.queries import ItemRow, VariantRow
from app.core.errors import BadUserInput
from app.core.ids import PublicIdTag
from app.core.paging import decode_cursor, encode_cursor
from app.graph.context import Info
from app.graph.fields import resolved, streamed, type_in
from app.graph.prices.quotes import Price
from app.graph.prices.series import PriceSeries
from app.graph.relay import key_of
from app.prices.queries.changes import ChangeRow
from app.prices.queries.quotes import QuoteRow
from app.prices.queries.series import SeriesRow, series_by_id

CHANGE_ORDER = "price-changes"
MAXIMUM_WATCHED_ITEMS = 250
# Changes are kept for seven days; a day less is promised, so that a replay never meets the pruning.
REPLAY_KEPT_FOR = timedelta(days=6)


ITEM = type_in("app.graph.catalogue", "Item")
ITEM_VARIANT = type_in("app.graph.catalogue", "ItemVariant")


@strawberry.type(description="A new latest price of a series.")
class PriceUpdate:
    @resolved("The position of this update; give it as `since` to go on from here after a reconnect.")
    @staticmethod
    def cursor(root: Parent[ChangeRow]) -> str:
        return encode_cursor(CHANGE_ORDER, [root.position, int(root.recorded_at.timestamp())])

    @resolved("The new price.", type=Price)
    @staticmethod
    def price(root: Parent[ChangeRow]) -> QuoteRow:
        return root.quote

    @resolved("The item whose price it is.", type=ITEM)
    @staticmethod
    async def item(root: Parent[ChangeRow], info: Info) -> ItemRow | None:
        return await info.context.loaders.one(catalogue.items_by_id, root.item_id)

    @resolved("The variant whose price it is.", type=ITEM_VARIANT)
    @staticmethod
    async def variant(root: Parent[ChangeRow], info: Info) -> VariantRow | None:
        return await info.context.loaders.one(catalogue.variants_by_id, root.variant_id)

    @resolved("The series that it continues.", type=PriceSeries)
    @staticmethod
    async def series(root: Parent[ChangeRow], info: Info) -> SeriesRow | None:
        return await info.context.loaders.one(series_by_id, root.series_id)


async def watched_items(info: Info, item_ids: Sequence[str] | None, slugs: Sequence[str] | None) -> list[UUID]:
    """The keys of the items to watch; a refusal names what is wrong with the list."""
    argument, names = ("slugs", slugs) if item_ids is None else ("itemIds", item_ids)
    if names is None or (item_ids is not None and slugs is not None):
        raise BadUserInput("Give `itemIds` or `slugs`, one of them.", argument="itemIds", allowed=["itemIds", "slugs"])
    if not 1 <= len(names) <= MAXIMUM_WATCHED_ITEMS:
        raise BadUserInput(
            f"`{argument}` must hold 1 to {MAXIMUM_WATCHED_ITEMS} entries, and holds {len(names)}.",
            argument=argument,
            allowed=[f"1..{MAXIMUM_WATCHED_ITEMS} entries"],
        )
    keys: list[UUID | int | None]
    if item_ids is None:
        items = await info.context.loaders.several(catalogue.items_by_slug, names)
        keys = [item.id if item else None for item in items]
    else:
        keys = [key_of(item_id, PublicIdTag.ITEM, argument=argument) for item_id in names]
    watched = [key for key in keys if isinstance(key, UUID)]
    if len(watched) < len(keys):
        unknown = names[next(place for place, key in enumerate(keys) if not isinstance(key, UUID))]
        raise BadUserInput(f"`{argument}` holds {unknown}, which is no item.", argument=argument)
    return watched


def replay_position(since: str, now: datetime) -> int:
    """The position behind a cursor of the stream; refuses one that is older than what is kept."""
    position, recorded_at = decode_cursor(since, order=CHANGE_ORDER, argument="since", types=[int, int])
    if int(recorded_at or 0) < (now - REPLAY_KEPT_FOR).timestamp():
        raise BadUserInput(
            f"`since` is older than the {REPLAY_KEPT_FOR.days} days that updates are kept for; "
            "read the current prices and subscribe without it.",
            argument="since",
            allowed=["a `cursor` of the last days"],
        )
    return int(position or 0)


@strawberry.type
class PriceSubscriptions:
    @streamed(
        "Each new latest price of the items (1 to 250, by `itemIds` or by `slugs`), as it is stored. With `since`, a "
        "`cursor` of this stream, first what came after it: no gap and nothing twice. A reader that is slower than the "
        "prices is sent only the latest of each series.",
        type=PriceUpdate,
    )
    @staticmethod
    async def price_updates(
        info: Info,
        item_ids: list[strawberry.ID] | None = None,
        slugs: list[str] | None = None,
        since: str | None = None,
    ) -> AsyncIterator[ChangeRow]:
        items = await watched_items(info, item_ids, slugs)
        position = None if since is None else replay_position(since, info.context.now)
        return info.context.resources.price_feed.subscribe(items, since=position)
