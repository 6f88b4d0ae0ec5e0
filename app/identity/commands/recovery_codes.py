"""Recovery codes: ten that stand in for a lost second factor, each once; kept as hashes."""

from uuid import UUID

from sqlalchemy import delete, func, insert, update

from app.core.database import Transaction
from app.core.ids import new_id
from app.identity.actions import AuditAction
from app.identity.commands.audit import record
from app.identity.models import RecoveryCode
from app.identity.one_time_codes import new_recovery_codes, recovery_code_hash
from app.identity.viewer import Caller


async def replace_recovery_codes(transaction: Transaction, *, caller: Caller, user_id: UUID) -> list[str]:
    """Make ten codes for a person, to be shown once; those made before hold no longer."""
    codes = new_recovery_codes()
    await delete_recovery_codes(transaction, user_id)
    await transaction.connection.execute(
        insert(RecoveryCode),
        [{"id": new_id(), "user_id": user_id, "code_hash": recovery_code_hash(code)} for code in codes],
    )
    await record(
        transaction,
        AuditAction.RECOVERY_CODES_MADE,
        caller=caller,
        subject_id=user_id,
        after={"codes": len(codes)},
    )
    return codes


async def use_recovery_code(transaction: Transaction, *, caller: Caller, user_id: UUID, code: str) -> bool:
    """Whether the code is one of this person's that was not used; it is used now. Of two at once one is right."""
    used = await transaction.connection.execute(
        update(RecoveryCode)
        .where(
            RecoveryCode.user_id == user_id,
            RecoveryCode.code_hash == recovery_code_hash(code),
            RecoveryCode.used_at.is_(None),
        )
        .values(used_at=func.now())
        .returning(RecoveryCode.id)
    )
    if used.first() is None:
        return False
    await record(transaction, AuditAction.RECOVERY_CODE_USED, caller=caller, subject_id=user_id)
    return True


async def delete_recovery_codes(transaction: Transaction, user_id: UUID) -> None:
    """Have none of a person's codes hold any longer."""
    await transaction.connection.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
