"""What is held of a variant that becomes one with another: the other takes it over."""

from sqlalchemy import text

from app.catalogue.commands.merge_items import Merge
from app.core.database import Transaction


async def take_over_variants(transaction: Transaction, merge: Merge) -> None:
    """Have everybody's holdings be of the variants that stay, for those that go.

    Whoever merges sees none of them: the database does it, for who may write the catalogue.
    """
    for merged, kept in merge.variants.items():
        await transaction.connection.execute(_TAKE_OVER, {"merged": merged, "kept": kept})


_TAKE_OVER = text("SELECT portfolios.take_over_variant(:merged, :kept)")
