"""Changes what is kept of a source of prices."""

from sqlalchemy import text

from app.core.database import Transaction
from app.prices.errors import SourceNotFound, WrongSourceName

LONGEST_NAME = 100


async def edit_source(
    transaction: Transaction, code: str, *, name: str | None = None, is_change_only: bool | None = None
) -> None:
    """Change a source's name, or whether it stores a price only when it moved; None leaves as it is.

    What is stored already stays. Raises SourceNotFound and WrongSourceName.
    """
    if name is not None and not (1 <= len(name.strip()) <= LONGEST_NAME and name.isprintable()):
        raise WrongSourceName(f"A name has 1 to {LONGEST_NAME} printable characters.")
    found = "\0" not in code and await transaction.connection.scalar(
        _EDIT, {"code": code, "name": None if name is None else name.strip(), "is_change_only": is_change_only}
    )
    if not found:
        raise SourceNotFound("There is no such source; `priceSources` lists those that there are.")


_EDIT = text("SELECT prices.edit_source(:code, :name, CAST(:is_change_only AS boolean))")
