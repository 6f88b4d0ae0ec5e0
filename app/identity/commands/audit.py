"""The audit log: what was done, by whom, to whose account, from where."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import insert

from app.core.database import Transaction
from app.core.ids import new_id
from app.identity.actions import AuditAction
from app.identity.models import AuditEntry
from app.identity.viewer import Caller

LONGEST_USER_AGENT = 300


async def record(
    transaction: Transaction,
    action: AuditAction,
    *,
    caller: Caller,
    subject_id: UUID | None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Write down what is being done to the account of `subject_id`; nothing secret belongs in `before` and `after`."""
    await transaction.connection.execute(
        insert(AuditEntry).values(
            id=new_id(),
            action=action.value,
            actor_id=caller.viewer.user_id,
            subject_id=subject_id,
            credential_id=caller.viewer.credential_id,
            address=caller.client.address,
            user_agent=caller.client.user_agent[:LONGEST_USER_AGENT] or None,
            before=before,
            after=after,
        )
    )
