"""The rules over an item that becomes one with another: they look at the other from then on."""

from sqlalchemy import ARRAY, Uuid, bindparam, text

from app.catalogue.commands.merge_items import Merge
from app.core.database import Transaction

_HOLD = text("SELECT alerts.hold_rules_over(:item, :variants)").bindparams(
    bindparam("item", type_=Uuid), bindparam("variants", type_=ARRAY(Uuid))
)
_TAKE_OVER = text(
    "SELECT alerts.take_over_rules(:merged_item, :kept_item, :merged_variants, :kept_variants)"
).bindparams(
    bindparam("merged_item", type_=Uuid),
    bindparam("kept_item", type_=Uuid),
    bindparam("merged_variants", type_=ARRAY(Uuid)),
    bindparam("kept_variants", type_=ARRAY(Uuid)),
)


async def take_over_rules(transaction: Transaction, merge: Merge) -> None:
    """Have everybody's rules over what goes begin anew over what stays.

    Whoever merges sees none of them: the database does it, for who may write the catalogue. They are taken in the order
    of their ids, as everybody takes them.
    """
    await transaction.connection.execute(_HOLD, {"item": merge.loser.id, "variants": list(merge.variants)})
    await transaction.connection.execute(
        _TAKE_OVER,
        {
            "merged_item": merge.loser.id,
            "kept_item": merge.winner.id,
            "merged_variants": list(merge.variants),
            "kept_variants": list(merge.variants.values()),
        },
    )
