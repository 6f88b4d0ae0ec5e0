"""The wishes for an item that becomes one with another: the other takes them over."""

from sqlalchemy import ARRAY, Uuid, bindparam, text

from app.catalogue.commands.merge_items import Merge
from app.core.database import Transaction

_TAKE_OVER = text(
    "SELECT portfolios.take_over_wishes(:merged_item, :kept_item, :merged_variants, :kept_variants)"
).bindparams(
    bindparam("merged_item", type_=Uuid),
    bindparam("kept_item", type_=Uuid),
    bindparam("merged_variants", type_=ARRAY(Uuid)),
    bindparam("kept_variants", type_=ARRAY(Uuid)),
)


async def merge_wishes(transaction: Transaction, merge: Merge) -> None:
    """Have everybody's watchlists, wants and preorders name the item and the variants that stay.

    Who watches or wants both keeps one of the two, the winner's.
    """
    await transaction.connection.execute(
        _TAKE_OVER,
        {
            "merged_item": merge.loser.id,
            "kept_item": merge.winner.id,
            "merged_variants": list(merge.variants),
            "kept_variants": list(merge.variants.values()),
        },
    )
