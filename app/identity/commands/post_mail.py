"""Post a mail: it is stored with what it tells of, and sent once that is committed."""

from uuid import UUID

import orjson
from sqlalchemy import insert

from app.core.database import Transaction
from app.core.jobs import Job
from app.core.mail import Mail
from app.core.secrets import Secrets, place_of
from app.identity.models import OutgoingMail

SEND_MAILS = Job("send_mails")


async def post_mail(transaction: Transaction, secrets: Secrets, mail: Mail, *, user_id: UUID | None = None) -> None:
    """Store a mail under its own id, encrypted, and ask for its sending; once this commits, it cannot get lost.

    `user_id` is whose account it is about: it is erased with them.
    """
    content = orjson.dumps({"to": mail.to, "subject": mail.subject, "text": mail.text})
    await transaction.connection.execute(
        insert(OutgoingMail).values(
            id=mail.id, user_id=user_id, content=secrets.encrypt(content, place_of(OutgoingMail.content, mail.id))
        )
    )
    transaction.enqueue(SEND_MAILS)
