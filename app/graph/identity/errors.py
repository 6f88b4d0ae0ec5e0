"""Refusals about accounts, as payloads show them."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

import strawberry

from app.graph.context import Info
from app.graph.fields import Resolver, attribute, resolved, show_enum
from app.identity.access import Access
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


@strawberry.type(description="A refusal that the caller can act on.")
class IdentityError:
    field: list[str] = attribute("The path to the input that is at fault; empty where it is none in particular.")
    message: str = attribute("What is wrong and what to do.")
    code: IdentityErrorCode = attribute("The same in one word.")


USER_ERRORS = "Why it was refused; empty when it was done."


@dataclass(frozen=True, slots=True)
class Refused:
    """The payload of a mutation that was refused: its errors, and null for everything else."""

    user_errors: Sequence[IdentityError]

    def __getattr__(self, _name: str) -> None:
        return None


def changes(description: str, *, type: Any, access: Access) -> Callable[[Resolver], Resolver]:
    """A mutation about accounts: what it refuses with IdentityRefused becomes `userErrors` of its payload."""

    def declare(resolver: Resolver) -> Resolver:
        change: Callable[..., Awaitable[Any]] = resolver.__func__ if isinstance(resolver, staticmethod) else resolver

        @wraps(change)
        async def refusing(*args: Any, **kwargs: Any) -> Any:
            info: Info = kwargs["info"]
            # The payload before may have been read: services take a connection of their own, and one is enough.
            await info.context.begin_again()
            try:
                return await change(*args, **kwargs)
            except IdentityRefused as refusal:
                field = ["input", *refusal.field] if refusal.field else []
                return Refused([IdentityError(field=field, message=refusal.message, code=refusal.reason)])

        return resolved(description, type=type, access=access)(staticmethod(refusing))  # type: ignore[return-value]

    return declare
