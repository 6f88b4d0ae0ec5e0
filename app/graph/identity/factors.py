"""Second factors and passkeys: set up, used to sign in, taken away."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeVar, cast
from uuid import UUID

import strawberry

from app.core.database import Transaction
from app.core.ids import PublicIdTag
from app.core.secrets import Secrets
from app.graph.context import Context, Info
from app.graph.fields import attribute
from app.graph.identity.accounts import Account, Passkey
from app.graph.identity.errors import IdentityError, changes
from app.graph.identity.payloads import AccountChanged
from app.graph.identity.sign_in_payload import (
    DELIVER,
    DEVICE,
    Delivery,
    ShownSignIn,
    SignInPayload,
    require_delivery,
    show_sign_in,
)
from app.graph.reads.fields import Reference, refer
from app.graph.relay import key_of
from app.graph.scalars import JSON
from app.graph.user_errors import USER_ERRORS, Done
from app.identity.access import ANYBODY, OWN_CREDENTIALS
from app.identity.commands.passkeys import (
    BegunPasskey,
    begin_registration,
    register_passkey,
    remove_passkey,
    rename_passkey,
)
from app.identity.commands.totp import CodeRefused, confirm_totp, disable_totp, enable_totp, renew_recovery_codes
from app.identity.errors import IdentityErrorCode, IdentityRefused
from app.identity.second_factor import PasskeyAnswer, RecoveryCodeGiven, SecondFactorAnswer, TotpCode
from app.identity.viewer import Caller

Changed = TypeVar("Changed", covariant=True)

ANSWER = "What `navigator.credentials.{}()` gave, as its `toJSON()` writes it."
OPTIONS = "What to hand to `navigator.credentials.{}()`, by `PublicKeyCredential.parse{}OptionsFromJSON()`."
CODES = "The codes, ten of them, shown this once; each stands in for the second factor once. Null when refused."


@strawberry.input(description="The second factor: a one-time code, a recovery code or a passkey, one of them.")
class CompleteSignInInput:
    challenge: str = strawberry.field(description="The token that the first factor gave.")
    totp_code: str | None = strawberry.field(default=None, description="The code that the app shows.")
    recovery_code: str | None = strawberry.field(default=None, description="A recovery code that was not used.")
    passkey: JSON | None = strawberry.field(
        default=None, description=f"{ANSWER.format('get')} Ask for it by `beginPasskeySecondFactor`."
    )
    device: str | None = strawberry.field(
        default=None, description="What to call this device; by default what it was called with the first factor."
    )
    deliver: Delivery = strawberry.field(default=Delivery.COOKIE, description=DELIVER)


@strawberry.input(description="A sign-in that a passkey is to complete.")
class BeginPasskeySecondFactorInput:
    challenge: str = strawberry.field(description="The token that the first factor gave.")


@strawberry.input(description="Who is to sign in by a passkey.")
class BeginPasskeySignInInput:
    email: str | None = strawberry.field(
        default=None, description="Their address; without one the browser offers the passkeys that it has."
    )


@strawberry.input(description="The answer of a passkey.")
class SignInWithPasskeyInput:
    challenge: str = strawberry.field(description="The token that `beginPasskeySignIn` gave.")
    response: JSON = strawberry.field(description=ANSWER.format("get"))
    device: str | None = strawberry.field(default=None, description=DEVICE)
    deliver: Delivery = strawberry.field(default=Delivery.COOKIE, description=DELIVER)


@strawberry.input(description="A first code of the app that was set up.")
class ConfirmTotpInput:
    code: str = strawberry.field(description="The code that the app shows.")


@strawberry.input(description="A proof that it is the owner who turns one-time codes off.")
class DisableTotpInput:
    code: str = strawberry.field(description="The code that the app shows, or a recovery code.")


@strawberry.input(description="A proof that it is the owner who asks for new recovery codes.")
class CreateRecoveryCodesInput:
    code: str = strawberry.field(description="The code that the app shows, or a recovery code.")


@strawberry.input(description="A passkey that a browser has made.")
class RegisterPasskeyInput:
    challenge: str = strawberry.field(description="The token that `beginPasskeyRegistration` gave.")
    response: JSON = strawberry.field(description=ANSWER.format("create"))
    name: str = strawberry.field(description="What to call it: 1 to 80 characters.")


@strawberry.input(description="A passkey's new name.")
class RenamePasskeyInput:
    id: strawberry.ID = strawberry.field(description="The passkey.")
    name: str = strawberry.field(description="What to call it: 1 to 80 characters.")


@strawberry.input(description="A passkey that is to go.")
class RemovePasskeyInput:
    id: strawberry.ID = strawberry.field(description="The passkey.")


@strawberry.type(description="What to share with an app that shows one-time codes. It is shown this once.")
class EnableTotpPayload:
    secret: str | None = attribute("The seed as text to type (base 32, in groups of four); null when refused.")
    uri: str | None = attribute("The same as an `otpauth://` address, for a QR code; null when refused.")
    user_errors: list[IdentityError] = attribute(USER_ERRORS)


@strawberry.type(description="What came of confirming one-time codes.")
class ConfirmTotpPayload:
    recovery_codes: list[str] | None = attribute(CODES)
    account: Account | None = attribute("The account, as it is now; null when refused.")
    user_errors: list[IdentityError] = attribute(USER_ERRORS)


@strawberry.type(description="What came of turning one-time codes off.")
class DisableTotpPayload:
    account: Account | None = attribute("The account, as it is now; null when refused.")
    user_errors: list[IdentityError] = attribute(USER_ERRORS)


@strawberry.type(description="New recovery codes; those before hold no longer.")
class CreateRecoveryCodesPayload:
    recovery_codes: list[str] | None = attribute(CODES)
    user_errors: list[IdentityError] = attribute(USER_ERRORS)


@strawberry.type(description="What to ask of a browser for a new passkey.")
class BeginPasskeyRegistrationPayload:
    challenge: str | None = attribute("The token to give to `registerPasskey`, within ten minutes. Null when refused.")
    options: JSON | None = attribute(f"{OPTIONS.format('create', 'Creation')} Null when refused.")
    user_errors: list[IdentityError] = attribute(USER_ERRORS)


@strawberry.type(description="What came of registering a passkey.")
class RegisterPasskeyPayload:
    passkey: Passkey | None = attribute("The passkey; null when refused.")
    user_errors: list[IdentityError] = attribute(USER_ERRORS)


@strawberry.type(description="What came of renaming a passkey.")
class RenamePasskeyPayload:
    passkey: Passkey | None = attribute("The passkey; null when refused.")
    user_errors: list[IdentityError] = attribute(USER_ERRORS)


@strawberry.type(description="What came of removing a passkey.")
class RemovePasskeyPayload:
    account: Account | None = attribute("The account, as it is now; null when refused.")
    user_errors: list[IdentityError] = attribute(USER_ERRORS)


@strawberry.type(description="What to ask of a browser to sign in by a passkey.")
class BeginPasskeySignInPayload:
    challenge: str | None = attribute(
        "The token to give to `signInWithPasskey`, within ten minutes. Null when refused."
    )
    options: JSON | None = attribute(f"{OPTIONS.format('get', 'Request')} Null when refused.")
    user_errors: list[IdentityError] = attribute(USER_ERRORS)


@strawberry.type(description="What to ask of a browser to complete a sign-in by a passkey.")
class BeginPasskeySecondFactorPayload:
    options: JSON | None = attribute(f"{OPTIONS.format('get', 'Request')} Null when refused.")
    user_errors: list[IdentityError] = attribute(USER_ERRORS)


@dataclass(frozen=True, slots=True)
class ShownSeed(Done):
    """The payload of `enableTotp`."""

    secret: str = field(repr=False)
    uri: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ShownCodes(Done):
    """The payload of what makes recovery codes."""

    account: Reference
    recovery_codes: Sequence[str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ShownOptions(Done):
    """The payload of what asks a browser for a passkey."""

    options: Mapping[str, object] = field(repr=False)
    challenge: str | None = field(repr=False, default=None)

    @classmethod
    def of(cls, begun: BegunPasskey) -> "ShownOptions":
        """The payload of something begun."""
        return cls(begun.options, begun.challenge)


@dataclass(frozen=True, slots=True)
class ShownPasskey(Done):
    """The payload of what makes or changes a passkey."""

    passkey: Reference


@strawberry.type
class FactorMutations:
    @changes(
        "Complete a sign-in by the second factor. What is wrong is not told; the fifth wrong answer ends it.",
        type=SignInPayload,
        access=ANYBODY,
    )
    @staticmethod
    async def complete_sign_in(info: Info, input: CompleteSignInInput) -> ShownSignIn:
        context = info.context
        await require_delivery(context, input.deliver)
        outcome = await context.resources.identity.second_factor.complete(
            challenge=input.challenge,
            answer=_answer_of(context, input),
            caller=context.caller,
            device=input.device,
            now=context.now,
        )
        return await show_sign_in(context, outcome, deliver=input.deliver)

    @changes(
        "Ask for a passkey to complete a sign-in that a first factor began. What was asked before holds no longer.",
        type=BeginPasskeySecondFactorPayload,
        access=ANYBODY,
    )
    @staticmethod
    async def begin_passkey_second_factor(info: Info, input: BeginPasskeySecondFactorInput) -> ShownOptions:
        identity = info.context.resources.identity
        return ShownOptions(
            await identity.second_factor.ask_for_passkey(identity.relying_party, challenge=input.challenge)
        )

    @changes(
        "Ask for a passkey to sign in with it alone. The answer does not tell whether the address is known here.",
        type=BeginPasskeySignInPayload,
        access=ANYBODY,
    )
    @staticmethod
    async def begin_passkey_sign_in(info: Info, input: BeginPasskeySignInInput) -> ShownOptions:
        context = info.context
        identity = context.resources.identity
        return ShownOptions.of(
            await identity.passkey_sign_in.begin(identity.relying_party, email=input.email, caller=context.caller)
        )

    @changes(
        "Sign in by a passkey alone. It has to verify its holder, and no second factor is asked for.",
        type=SignInPayload,
        access=ANYBODY,
    )
    @staticmethod
    async def sign_in_with_passkey(info: Info, input: SignInWithPasskeyInput) -> ShownSignIn:
        context = info.context
        await require_delivery(context, input.deliver)
        identity = context.resources.identity
        outcome = await identity.passkey_sign_in.finish(
            identity.relying_party,
            challenge=input.challenge,
            response=_response(input.response),
            caller=context.caller,
            device=input.device,
        )
        return await show_sign_in(context, outcome, deliver=input.deliver)

    @changes(
        "Set up an app that shows one-time codes. They are asked for once `confirmTotp` has seen a first one.",
        type=EnableTotpPayload,
        access=OWN_CREDENTIALS,
    )
    @staticmethod
    async def enable_totp(info: Info) -> ShownSeed:
        context = info.context
        async with context.authentication() as transaction:
            totp = await enable_totp(transaction, context.resources.identity.secrets, user_id=context.viewer.own_id)
        return ShownSeed(totp.secret, totp.uri)

    @changes(
        "Ask for one-time codes at each sign-in from now on; gives the recovery codes.",
        type=ConfirmTotpPayload,
        access=OWN_CREDENTIALS,
    )
    @staticmethod
    async def confirm_totp(info: Info, input: ConfirmTotpInput) -> ShownCodes:
        codes = await _by_code(info.context, confirm_totp, input.code)
        return ShownCodes(refer(Account, info.context.viewer.own_id), codes)

    @changes(
        "Ask for one-time codes no longer. The recovery codes go with them.",
        type=DisableTotpPayload,
        access=OWN_CREDENTIALS,
    )
    @staticmethod
    async def disable_totp(info: Info, input: DisableTotpInput) -> AccountChanged:
        await _by_code(info.context, disable_totp, input.code)
        return AccountChanged(refer(Account, info.context.viewer.own_id))

    @changes(
        "Make ten recovery codes in place of those before.",
        type=CreateRecoveryCodesPayload,
        access=OWN_CREDENTIALS,
    )
    @staticmethod
    async def create_recovery_codes(info: Info, input: CreateRecoveryCodesInput) -> ShownCodes:
        codes = await _by_code(info.context, renew_recovery_codes, input.code)
        return ShownCodes(refer(Account, info.context.viewer.own_id), codes)

    @changes(
        "Ask for a new passkey.",
        type=BeginPasskeyRegistrationPayload,
        access=OWN_CREDENTIALS,
    )
    @staticmethod
    async def begin_passkey_registration(info: Info) -> ShownOptions:
        context = info.context
        identity = context.resources.identity
        async with context.authentication() as transaction:
            begun = await begin_registration(
                transaction, identity.secrets, identity.relying_party, user_id=context.viewer.own_id
            )
        return ShownOptions.of(begun)

    @changes(
        "Keep a passkey that a browser has made: to sign in with it alone, or as second factor.",
        type=RegisterPasskeyPayload,
        access=OWN_CREDENTIALS,
    )
    @staticmethod
    async def register_passkey(info: Info, input: RegisterPasskeyInput) -> ShownPasskey:
        context = info.context
        identity = context.resources.identity
        async with context.authentication() as transaction:
            passkey_id = await register_passkey(
                transaction,
                identity.secrets,
                identity.relying_party,
                caller=context.caller,
                user_id=context.viewer.own_id,
                challenge=input.challenge,
                response=_response(input.response),
                name=input.name,
            )
        if passkey_id is None:
            raise IdentityRefused(
                IdentityErrorCode.INVALID_PASSKEY,
                "This passkey could not be verified; begin again with `beginPasskeyRegistration`.",
                field=["response"],
            )
        return ShownPasskey(refer(Passkey, passkey_id))

    @changes("Give a passkey another name.", type=RenamePasskeyPayload, access=OWN_CREDENTIALS)
    @staticmethod
    async def rename_passkey(info: Info, input: RenamePasskeyInput) -> ShownPasskey:
        context, passkey_id = info.context, _passkey_id(input.id)
        async with context.authentication() as transaction:
            await rename_passkey(
                transaction, passkey_id, caller=context.caller, user_id=context.viewer.own_id, name=input.name
            )
        return ShownPasskey(refer(Passkey, passkey_id))

    @changes(
        "Remove a passkey. The last way into an account cannot go.", type=RemovePasskeyPayload, access=OWN_CREDENTIALS
    )
    @staticmethod
    async def remove_passkey(info: Info, input: RemovePasskeyInput) -> AccountChanged:
        context, user_id = info.context, info.context.viewer.own_id
        async with context.authentication() as transaction:
            await remove_passkey(
                transaction,
                _passkey_id(input.id),
                caller=context.caller,
                user_id=user_id,
                providers=context.resources.identity.providers_that_let_in,
            )
        return AccountChanged(refer(Account, user_id))


def _answer_of(context: Context, input: CompleteSignInInput) -> SecondFactorAnswer:
    answers: list[SecondFactorAnswer] = []
    if input.totp_code is not None:
        answers.append(TotpCode(input.totp_code))
    if input.recovery_code is not None:
        answers.append(RecoveryCodeGiven(input.recovery_code))
    if input.passkey is not None:
        answers.append(PasskeyAnswer(context.resources.identity.relying_party, _response(input.passkey)))
    if len(answers) != 1:
        raise IdentityRefused(
            IdentityErrorCode.INVALID_INPUT, "Give one of `totpCode`, `recoveryCode` and `passkey`, and no other."
        )
    return answers[0]


def _response(response: JSON) -> Mapping[str, object]:
    """What a browser answered. Whether it is an object at all, its verification says."""
    return cast("Mapping[str, object]", response)


def _passkey_id(text: str) -> UUID:
    key = key_of(text, PublicIdTag.PASSKEY, argument="id")
    if not isinstance(key, UUID):
        raise IdentityRefused(
            IdentityErrorCode.NOT_FOUND, "This is the id of no passkey; `viewer` lists yours.", field=["id"]
        )
    return key


class ChangeByCode(Protocol[Changed]):
    """A command that a code of the owner allows."""

    async def __call__(
        self, transaction: Transaction, secrets: Secrets, /, *, caller: Caller, user_id: UUID, code: str, now: datetime
    ) -> Changed | CodeRefused:
        """Change something."""
        ...


async def _by_code(context: Context, change: ChangeByCode[Changed], code: str) -> Changed:
    """Make the change, and count the tries; that a code was wrong is committed before it is refused."""
    identity, user_id = context.resources.identity, context.viewer.own_id
    await identity.second_factor.count_code(user_id)
    async with context.authentication() as transaction:
        changed = await change(
            transaction, identity.secrets, caller=context.caller, user_id=user_id, code=code, now=context.now
        )
    if isinstance(changed, CodeRefused):
        raise changed.refusal
    await identity.second_factor.forget_codes(user_id)
    return changed
