"""What the mails of identity say. Nothing that a stranger typed stands in them."""

from app.core.mail import Mail
from app.identity.commands.challenges import LIFETIMES
from app.identity.models import ChallengeKind

_IF_NOT = "If this was not you, leave it alone: nothing happens without this link."


def sign_up_mail(to: str, link: str) -> Mail:
    """The link that makes the account which somebody has asked for."""
    return Mail(
        to=to,
        subject="Confirm your address",
        text=f"Welcome to Trove. This link confirms your address and makes your account, within "
        f"{_hours(ChallengeKind.SIGN_UP)}:\n\n{link}\n\n{_IF_NOT}\n",
    )


def account_exists_mail(to: str, public_url: str) -> Mail:
    """For who signs up with an address that has an account: how to get in."""
    return Mail(
        to=to,
        subject="You have an account already",
        text=f"Somebody, maybe you, wanted to make an account with this address at {public_url}. There is one already: "
        "sign in with your password, or ask for a link to sign in where you sign in, and set a new password then.\n\n"
        "If this was not you, there is nothing to do.\n",
    )


def magic_link_mail(to: str, link: str) -> Mail:
    """The link that signs in."""
    minutes = int(LIFETIMES[ChallengeKind.MAGIC_LINK].total_seconds() // 60)
    return Mail(
        to=to,
        subject="Your link to sign in",
        text=f"This link signs you in, once, within {minutes} minutes, in the browser in which you asked for it:\n\n"
        f"{link}\n\n{_IF_NOT}\n",
    )


def email_change_mail(to: str, link: str) -> Mail:
    """The link that makes a new address that of the account."""
    return Mail(
        to=to,
        subject="Confirm your new address",
        text=f"This link makes this address the one of your account, within {_hours(ChallengeKind.CHANGE_EMAIL)}, as "
        f"long as you are signed in where you asked for it:\n\n{link}\n\n{_IF_NOT}\n",
    )


def email_change_requested_mail(to: str, public_url: str) -> Mail:
    """The notice to the address that is to be another one; which one, only its own mail says."""
    return Mail(
        to=to,
        subject="Another address was asked for",
        text=f"Somebody who is signed in to your account at {public_url} asked for another address for it. It stays as "
        "it is until a link in a mail to the other address is opened.\n\n"
        "If this was not you, sign in, end your other sessions and change your password: then that link no longer "
        "holds.\n",
    )


def email_in_use_mail(to: str, public_url: str) -> Mail:
    """For who wants an address for their account that another account has."""
    return Mail(
        to=to,
        subject="This address has an account already",
        text=f"Somebody, maybe you, wanted this address for another account at {public_url}. It belongs to one "
        "already, which has to be erased or given another address first.\n\n"
        "If this was not you, there is nothing to do.\n",
    )


def email_changed_mail(to: str, public_url: str) -> Mail:
    """The notice to the address that was."""
    return Mail(
        to=to,
        subject="Your address was changed",
        text=f"Your account at {public_url} has another address now, and this one no longer leads to it. "
        "If this was not you, write to those who run it at once.\n",
    )


def password_changed_mail(to: str, public_url: str) -> Mail:
    """The notice of a new password."""
    return Mail(
        to=to,
        subject="Your password was changed",
        text=f"The password of your account at {public_url} was set or changed, and all other sessions were ended. "
        "If this was not you, ask for a link to sign in, and set another one at once.\n",
    )


def identity_linked_mail(to: str, provider: str) -> Mail:
    """The notice of a way in by an outside provider, of this name."""
    return Mail(
        to=to,
        subject=f"{provider} now leads to your account",
        text=f"A sign-in with {provider} was linked to your account: whoever signs in there as that person gets in.\n\n"
        "If this was not you, sign in, unlink it among your ways in, and end the sessions that you do not know.\n",
    )


def _hours(kind: ChallengeKind) -> str:
    return f"{int(LIFETIMES[kind].total_seconds() // 3600)} hours"
