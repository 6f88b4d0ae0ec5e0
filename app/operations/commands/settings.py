"""Values that staff set at run time."""

from typing import TypeVar
from uuid import UUID

import structlog
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from app.core.database import Transaction
from app.core.errors import Refusal
from app.operations.models import RuntimeSetting
from app.operations.settings import SettingKind

logger = structlog.get_logger(__name__)

Value = TypeVar("Value")


async def read_setting(transaction: Transaction, kind: SettingKind[Value]) -> Value:
    """The value that holds; the default where none was set, or where what was set means nothing any more."""
    statement = select(RuntimeSetting.value).where(RuntimeSetting.key == kind.key)
    row = (await transaction.connection.execute(statement)).one_or_none()
    if row is None:
        return kind.default
    try:
        return kind.parse(row.value)
    except Refusal as refusal:
        logger.warning("setting_not_understood", key=kind.key, reason=refusal.message)
        return kind.default


async def write_setting(
    transaction: Transaction, kind: SettingKind[Value], value: Value, *, updated_by: UUID | None
) -> None:
    """Set a value, in place of the one before."""
    values = {"value": kind.write(value), "updated_at": func.now(), "updated_by": updated_by}
    await transaction.connection.execute(
        insert(RuntimeSetting)
        .values(key=kind.key, **values)
        .on_conflict_do_update(index_elements=[RuntimeSetting.key], set_=values)
    )
