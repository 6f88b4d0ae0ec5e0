"""The live stream of prices."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import strawberry

from app.catalogue import models
from app.catalogue.queries.items import items_by_slug
from app.catalogue.queries.redirects import items_of_old_ids, items_of_old_slugs
from app.core.errors import BadUserInput
from app.core.ids import PublicIdTag
from app.core.paging import decode_cursor
from app.graph.context import Info
from app.graph.fields import streamed
from app.graph.prices.quotes import OF_SOURCE, Price
from app.graph.prices.series import PriceSeries
from app.graph.reads.fields import Reference, column, edge, embedded, refer, shows
from app.graph.reads.tables import join
from app.graph.reads.wire import cursor_text
from app.graph.relay import key_of
from app.identity.access import ANYBODY
from app.prices.models import PriceChange
from app.prices.models import PriceSeries as Series
from app.prices.queries.changes import RECORDED_SECOND, changes_of_items

if TYPE_CHECKING:
    from app.graph.catalogue.items import Item, ItemVariant

CHANGE_ORDER = "price-changes"
MAXIMUM_WATCHED_ITEMS = 250
# Changes are kept for seven days; a day less is promised, so that a replay never meets the pruning.
REPLAY_KEPT_FOR = timedelta(days=6)


OF_SERIES = join(Series, Series.id == PriceChange.series_id)
OF_VARIANT = join(models.ItemVariant, models.ItemVariant.id == Series.variant_id)


@strawberry.type(description="A new latest price of a series.")
@shows(PriceChange, key=PriceChange.position, joins=[OF_SERIES, OF_SOURCE, OF_VARIANT])
class PriceUpdate:
    cursor: str = column(
        cursor_text(CHANGE_ORDER, [PriceChange.position, RECORDED_SECOND]),
        "The position of this update; give it as `since` to go on from here after a reconnect.",
    )
    price: Price = embedded(
        "The new price.",
        instead={
            Series.latest_price: PriceChange.price,
            Series.latest_quantity: PriceChange.quantity,
            Series.latest_observed_at: PriceChange.observed_at,
            Series.last_seen_at: PriceChange.observed_at,
        },
    )
    item: Annotated["Item", strawberry.lazy("app.graph.catalogue.items")] = edge(
        "The item whose price it is.", on=models.ItemVariant.item_id, to=models.Item.id
    )
    variant: Annotated["ItemVariant", strawberry.lazy("app.graph.catalogue.items")] = edge(
        "The variant whose price it is.", on=Series.variant_id, to=models.ItemVariant.id
    )
    series: PriceSeries = edge("The series that it continues.", on=PriceChange.series_id, to=Series.id)


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
    several = info.context.loaders.several
    if item_ids is None:
        items = await several(items_by_slug, names)
        moved = await several(items_of_old_slugs, [name for name, item in zip(names, items, strict=True) if not item])
        moved_to = iter(moved)
        keys = [item.id if item else next(moved_to) for item in items]
    else:
        asked = [key_of(item_id, PublicIdTag.ITEM, argument=argument) for item_id in names]
        moved = await several(items_of_old_ids, [key for key in asked if isinstance(key, UUID)])
        moved_to = iter(moved)
        keys = [(next(moved_to) or key) if isinstance(key, UUID) else key for key in asked]
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
        access=ANYBODY,
    )
    @staticmethod
    async def price_updates(
        info: Info,
        item_ids: list[strawberry.ID] | None = None,
        slugs: list[str] | None = None,
        since: str | None = None,
    ) -> AsyncIterator[Reference]:
        items = await watched_items(info, item_ids, slugs)
        position = None if since is None else replay_position(since, info.context.now)
        missed = partial(changes_of_items, item_ids=items)
        changes = info.context.resources.feeds.prices.subscribe(items, since=position, missed=missed)
        return (refer(PriceUpdate, change.position) async for change in changes)
