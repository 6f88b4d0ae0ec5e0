"""Writes into the audit log what is done to where people are told outside of the app, and by whom."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from app.core.database import Transaction
from app.identity.actions import AuditAction
from app.identity.commands.audit import record
from app.identity.viewer import Caller


async def record_destination(
    transaction: Transaction,
    action: AuditAction,
    what: str,
    key: UUID,
    *,
    caller: Caller,
    owner_id: UUID | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Write down what is done to the `what` of this key: of the caller's own, or of `owner_id`, as the worker does it.

    Nothing secret belongs in `before` and `after`; addresses of services and the paths of others are.
    """
    await record(
        transaction,
        action,
        caller=caller,
        subject_id=owner_id or caller.viewer.own_id,
        before=None if before is None else {what: str(key), **before},
        after=None if after is None else {what: str(key), **after},
    )
