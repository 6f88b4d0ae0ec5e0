"""Signing in with an address: by password, or by a link in a mail."""

import strawberry

from app.graph.context import Info
from app.graph.identity.errors import changes
from app.graph.identity.sessions import Delivery, ShownSignIn, SignInPayload, require_delivery, show_sign_in
from app.identity.access import ANYBODY


@strawberry.input(description="An address and its password.")
class SignInInput:
    email: str = strawberry.field(description="The address.")
    password: str = strawberry.field(description="The password.")
    device: str | None = strawberry.field(
        default=None, description="What to call this device among one's sessions; by default “Firefox on Windows”."
    )
    deliver: Delivery = strawberry.field(default=Delivery.COOKIE, description="How to hand over the refresh token.")


@strawberry.type
class SignInMutations:
    @changes(
        "Sign in by address and password. What is wrong is not told: neither whether the address is known here.",
        type=SignInPayload,
        access=ANYBODY,
    )
    @staticmethod
    async def sign_in(info: Info, input: SignInInput) -> ShownSignIn:
        context = info.context
        require_delivery(context, input.deliver)
        outcome = await context.resources.identity.sign_in.with_password(
            email=input.email, password=input.password, caller=context.caller, device=input.device
        )
        return await show_sign_in(context, outcome, deliver=input.deliver)
