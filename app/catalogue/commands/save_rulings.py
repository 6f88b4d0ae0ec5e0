"""Save rulings of cards: what the makers of a game said of a card, known by all that it says."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.catalogue.models import CardRuling
from app.catalogue.new_items import NewRuling
from app.core.database import among


@dataclass(frozen=True, slots=True)
class SavedRulings:
    """How many rulings were new, and known."""

    inserted: int = 0
    unchanged: int = 0

    def __add__(self, other: "SavedRulings") -> "SavedRulings":
        return SavedRulings(self.inserted + other.inserted, self.unchanged + other.unchanged)


async def save_rulings(connection: AsyncConnection, rulings: Sequence[NewRuling]) -> SavedRulings:
    """Insert the rulings that are new, in their order; a ruling that stands twice is one.

    To be called by the only writer of the catalogue.
    """
    if not rulings:
        return SavedRulings()
    told = dict.fromkeys(rulings)
    rows = await connection.execute(
        select(CardRuling.oracle_id, CardRuling.published_on, CardRuling.source, CardRuling.comment).where(
            among(CardRuling.oracle_id, {ruling.oracle_id for ruling in told})
        )
    )
    stored = {NewRuling(*row) for row in rows}
    new = [ruling for ruling in told if ruling not in stored]
    if new:
        await connection.execute(insert(CardRuling), [asdict(ruling) for ruling in new])
    return SavedRulings(len(new), len(rulings) - len(new))
