"""What mutations refuse, as `userErrors` of their payloads."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

import strawberry

from app.core.errors import ReasonedRefusal
from app.graph.context import Info
from app.graph.fields import Resolver, attribute, resolved
from app.identity.access import Access

USER_ERRORS = "Why it was refused; empty when it was done."
REFUSAL = "A refusal that the caller can act on."
CODE = "The same in one word."


@strawberry.type(description=REFUSAL)
class UserError:
    """What the errors of all rooms have; each adds its `code`."""

    field: list[str] = attribute("The path to the input that is at fault; empty where it is none in particular.")
    message: str = attribute("What is wrong and what to do.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The payload of a mutation that was done; what it gives stands in the fields of its subclasses."""

    user_errors: Sequence[UserError] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """The payload of a mutation that was refused: its errors, and null for everything else."""

    user_errors: Sequence[UserError]

    def __getattr__(self, _name: str) -> None:
        return None


@dataclass(frozen=True, slots=True)
class Mutations:
    """Declares the mutations of a room: what they refuse with `refusal` becomes an `error` in their payload.

    `before` is called ahead of each of them.
    """

    refusal: type[ReasonedRefusal[Any]]
    error: Callable[..., UserError]
    before: Callable[[Info], Awaitable[None]] | None = None

    def __call__(self, description: str, *, type: Any, access: Access) -> Callable[[Resolver], Resolver]:
        """A mutation; `type` is its payload, and `access` says who may ask for it."""

        def declare(resolver: Resolver) -> Resolver:
            change: Callable[..., Awaitable[Any]] = (
                resolver.__func__ if isinstance(resolver, staticmethod) else resolver
            )

            @wraps(change)
            async def refusing(*args: Any, **kwargs: Any) -> Any:
                if self.before is not None:
                    await self.before(kwargs["info"])
                try:
                    return await change(*args, **kwargs)
                except self.refusal as refusal:
                    return Refused([self._shown(refusal)])

            return resolved(description, type=type, access=access)(staticmethod(refusing))  # type: ignore[return-value]

        return declare

    def _shown(self, refusal: ReasonedRefusal[Any]) -> UserError:
        field = ["input", *refusal.field] if refusal.field else []
        return self.error(field=field, message=refusal.message, code=refusal.reason)
