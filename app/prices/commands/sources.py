"""Changes what is kept of a source of prices."""

from sqlalchemy import text

from app.core.database import Transaction
from app.prices.errors import PriceSourceErrorCode, PriceSourceRefused

LONGEST_NAME = 100


async def edit_source(
    transaction: Transaction, code: str, *, name: str | None = None, is_change_only: bool | None = None
) -> None:
    """Change a source's name, or whether it stores a price only when it moved; None leaves as it is.

    What is stored already stays. Raises PriceSourceRefused for a source that is not there and a name that cannot be.
    """
    if name is not None and not (1 <= len(name.strip()) <= LONGEST_NAME and name.isprintable()):
        raise PriceSourceRefused(
            PriceSourceErrorCode.INVALID_NAME, f"A name has 1 to {LONGEST_NAME} printable characters.", field=["name"]
        )
    found = "\0" not in code and await transaction.connection.scalar(
        _EDIT, {"code": code, "name": None if name is None else name.strip(), "is_change_only": is_change_only}
    )
    if not found:
        raise PriceSourceRefused(
            PriceSourceErrorCode.NOT_FOUND,
            "There is no such source; `priceSources` lists those that there are.",
            field=["code"],
        )


_EDIT = text("SELECT prices.edit_source(:code, :name, CAST(:is_change_only AS boolean))")
