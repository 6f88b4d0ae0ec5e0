"""Ends somebody's mails of a type of event, or of all."""

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from app.core.database import Transaction
from app.identity.models import User
from app.notifications.commands.held import only_writer_of
from app.notifications.commands.preferences import save_preferences
from app.notifications.models import ChannelKind, EventType, Route
from app.notifications.unsubscribing import Unsubscription


async def unsubscribe(transaction: Transaction, unsubscription: Unsubscription) -> None:
    """Set the routes to mail to never, as their owner, who may choose otherwise later; doing it twice is once.

    It counts as a change of their preferences. Of who was erased nothing is kept.
    """
    connection = transaction.connection
    await only_writer_of(connection, unsubscription.owner_id)
    is_somebody = select(User.id).where(User.id == unsubscription.owner_id, User.deleted_at.is_(None))
    if await connection.scalar(is_somebody) is None:
        return
    types = list(EventType) if unsubscription.event_type is None else [unsubscription.event_type]
    rows = [
        {
            "owner_id": unsubscription.owner_id,
            "event_type": event_type.value,
            "channel": ChannelKind.EMAIL.value,
            "minimum_severity": None,
        }
        for event_type in types
    ]
    set_to_never = (
        insert(Route)
        .values(rows)
        .on_conflict_do_update(
            index_elements=[Route.owner_id, Route.event_type, Route.channel],
            set_={"minimum_severity": None},
            where=Route.minimum_severity.is_not(None),
        )
        .returning(Route.event_type)
    )
    if (await connection.execute(set_to_never)).all():
        # Else a page that was open meanwhile would take it back without anybody noticing.
        await save_preferences(connection, {}, owner_id=unsubscription.owner_id)
