"""Refusals about accounts, as payloads show them."""

import strawberry

from app.graph.context import Info
from app.graph.fields import attribute, show_enum
from app.graph.user_errors import CODE, REFUSAL, Mutations, UserError
from app.identity.errors import IdentityErrorCode, IdentityRefused

show_enum(
    IdentityErrorCode,
    "Why something about an account was refused.",
    {
        IdentityErrorCode.INVALID_CREDENTIALS: "What was given lets nobody in; which part is wrong is not told.",
        IdentityErrorCode.INVALID_TOKEN: "The token or link does not hold, or no longer.",
        IdentityErrorCode.INVALID_CODE: "The code does not hold, or was used before.",
        IdentityErrorCode.INVALID_PASSKEY: "The passkey's answer does not hold.",
        IdentityErrorCode.INVALID_INPUT: "A value is outside of what is allowed.",
        IdentityErrorCode.WEAK_PASSWORD: "The password is too easy to guess, or was stolen elsewhere.",
        IdentityErrorCode.USERNAME_TAKEN: "Somebody else has the username.",
        IdentityErrorCode.EMAIL_TAKEN: "The address belongs to another account.",
        IdentityErrorCode.IDENTITY_TAKEN: "The way in leads to another account.",
        IdentityErrorCode.LAST_WAY_IN: "It is the last way in, and cannot go.",
        IdentityErrorCode.NOT_FOUND: "There is no such thing among one's own.",
        IdentityErrorCode.NOT_GRANTED: "One may not give what one does not have.",
        IdentityErrorCode.TOO_MANY: "There are as many as there may be.",
        IdentityErrorCode.ALREADY_DONE: "It is so already.",
    },
)


@strawberry.type(description=REFUSAL)
class IdentityError(UserError):
    code: IdentityErrorCode = attribute(CODE)


async def _begin_again(info: Info) -> None:
    # The payload before may have been read: services take a connection of their own, and one is enough.
    await info.context.begin_again()


# A mutation about accounts.
changes = Mutations(IdentityRefused, IdentityError, before=_begin_again)
