"""Post a mail: it is stored with what it tells of, and sent once that is committed."""

from uuid import UUID

import orjson
from sqlalchemy import insert

from app.core.database import Transaction
from app.core.jobs import Job
from app.core.mail import Mail
from app.core.secrets import SecretPlace, Secrets
from app.identity.models import SCHEMA, OutgoingMail

SEND_MAILS = Job("send_mails")


async def post_mail(transaction: Transaction, secrets: Secrets, mail: Mail) -> None:
    """Store a mail under its own id, encrypted, and ask for its sending; once this commits, it cannot get lost."""
    content = orjson.dumps({"to": mail.to, "subject": mail.subject, "text": mail.text})
    await transaction.connection.execute(
        insert(OutgoingMail).values(id=mail.id, content=secrets.encrypt(content, place_of_content(mail.id)))
    )
    transaction.enqueue(SEND_MAILS)


def place_of_content(mail_id: UUID) -> SecretPlace:
    """Where the content of a mail stands."""
    return SecretPlace(f"{SCHEMA}.{OutgoingMail.__tablename__}", OutgoingMail.content.key, str(mail_id))
