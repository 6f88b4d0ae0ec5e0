"""What it takes to change anything here."""

from sqlalchemy import Boolean, func, select

from app.core.database import Transaction
from app.identity.scopes import Scope
from app.operations.errors import OperationsErrorCode, OperationsRefused


async def refuse_unless_granted(transaction: Transaction) -> None:
    """Refuse who was not granted `operations:write`, whatever their credential says; row-level security would, too."""
    granted = await transaction.connection.scalar(
        select(func.identity.viewer_may(Scope.OPERATIONS_WRITE.value, type_=Boolean()))
    )
    if not granted:
        raise OperationsRefused(
            OperationsErrorCode.NOT_GRANTED, f"Nobody has granted you `{Scope.OPERATIONS_WRITE}`; an administrator can."
        )
