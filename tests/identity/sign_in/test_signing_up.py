"""Signing up with an address and a password, over real servers and real mail."""

from sqlalchemy import update

from app.core.database import Database
from app.identity.mail_limits import MAILS_TO_EMAIL
from app.identity.models import Challenge
from tests.identity.sign_in.browsers import (
    ADA,
    ADAS_PASSWORD,
    CONFIRM,
    OTHER_PASSWORD,
    SIGN_IN,
    SIGN_UP,
    VIEWER,
    Browser,
    Mails,
    audited,
    codes,
    link_in,
    token_in,
)
from tests.identity.sign_in.conftest import Browsers, signed_up

IDENTITIES = "{ viewer { isEmailVerified displayName identities { provider email } } }"


async def test_the_link_in_the_mail_makes_the_account_and_signs_in(
    browser: Browser, mails: Mails, database: Database
) -> None:
    wanted = {"email": "Ada@Example.COM", "password": ADAS_PASSWORD, "username": "ada", "displayName": "👩‍💻 Ada L."}
    assert await browser.change(SIGN_UP, **wanted) == {"userErrors": []}
    assert await browser.ask(VIEWER) is None
    (message,) = await mails.fetch()
    assert message["To"] == "Ada@example.com"
    session = await browser.sign_in(CONFIRM, token=token_in(link_in(message)), deliver="BODY")
    assert session["viewer"]["username"] == "ada"
    assert session["viewer"]["email"] == "Ada@example.com"
    account = await browser.ask(IDENTITIES)
    assert account["isEmailVerified"] is True
    assert account["displayName"] == "👩‍💻 Ada L."
    assert {identity["provider"] for identity in account["identities"]} == {"password", "magic_link"}
    assert [action for action, _ in await audited(database)] == ["signed_up", "signed_in"]


async def test_who_signed_up_signs_in_with_their_password_and_any_spelling_of_their_address(
    browser: Browser, mails: Mails
) -> None:
    await signed_up(browser, mails)
    browser.token = None
    session = await browser.sign_in(email=" ADA@example.com ", password=ADAS_PASSWORD, deliver="BODY")
    assert session["viewer"]["username"] == "ada"


async def test_an_address_that_has_an_account_gets_the_same_answer_and_another_mail(
    browser: Browser, browsers: Browsers, mails: Mails
) -> None:
    await signed_up(browser, mails)
    other = await browsers.open()
    unknown = await other.post(SIGN_UP, input=wanted(email="bob@example.com", username="bob"))
    known = await other.post(SIGN_UP, input=wanted(email=ADA, username="bob2"))
    assert (known.status_code, known.json()) == (unknown.status_code, unknown.json())
    assert [message["Subject"] for message in await mails.fetch()] == [
        "Confirm your address",
        "You have an account already",
    ]
    # The password of who asked is not that of the account.
    assert codes(await other.change(SIGN_IN, email=ADA, password=OTHER_PASSWORD)) == ["INVALID_CREDENTIALS"]


async def test_what_cannot_be_an_account_is_refused_with_the_input_at_fault(browser: Browser, mails: Mails) -> None:
    await signed_up(browser, mails)
    refused = {
        ("USERNAME_TAKEN", "username"): wanted(username="ADA"),
        ("INVALID_INPUT", "username"): wanted(username="no spaces"),
        ("INVALID_INPUT", "email"): wanted(email="nobody"),
        ("WEAK_PASSWORD", "password"): wanted(password="password1"),
        ("INVALID_INPUT", "displayName"): wanted(displayName="x" * 61),
        ("INVALID_INPUT", "returnTo"): wanted(returnTo="https://evil.example/"),
    }
    for (code, field), given in refused.items():
        (error,) = (await browser.change(SIGN_UP, **given))["userErrors"]
        assert (error["code"], error["field"]) == (code, ["input", field])
    # The person's own words make a password easy to guess.
    own = wanted(username="zanzibar-lantern", password="zanzibar-lantern")
    assert codes(await browser.change(SIGN_UP, **own)) == ["WEAK_PASSWORD"]
    assert await mails.fetch() == []


async def test_what_is_refused_keeps_no_mail_from_the_address(browser: Browser, mails: Mails) -> None:
    await signed_up(browser, mails, email="bob@example.com", username="bob")
    for _ in range(MAILS_TO_EMAIL.tries):
        assert codes(await browser.change(SIGN_UP, **wanted(password="password1"))) == ["WEAK_PASSWORD"]
        assert codes(await browser.change(SIGN_UP, **wanted(username="bob"))) == ["USERNAME_TAKEN"]
    assert codes(await browser.change(SIGN_UP, **wanted())) == []
    assert (await mails.link()).startswith("/auth/sign-up?token=")


async def test_a_link_makes_one_account_and_no_second_one(browser: Browser, mails: Mails, database: Database) -> None:
    await browser.change(SIGN_UP, **wanted())
    token = token_in(await mails.link())
    assert codes(await browser.change(CONFIRM, token=token, deliver="BODY")) == []
    assert codes(await browser.change(CONFIRM, token=token, deliver="BODY")) == ["INVALID_TOKEN"]
    assert (await audited(database))[-1] == ("magic_link_refused", {"kind": "sign_up"})


async def test_an_expired_or_forged_link_makes_no_account(browser: Browser, mails: Mails, database: Database) -> None:
    await browser.change(SIGN_UP, **wanted())
    token = token_in(await mails.link())
    async with database.transaction() as transaction:
        await transaction.connection.execute(update(Challenge).values(expires_at=Challenge.created_at))
    forged = token[:-7] + ("A" if token[-7] != "A" else "B") + token[-6:]
    for bad in (token, forged, "nonsense", ""):
        assert codes(await browser.change(CONFIRM, token=bad, deliver="BODY")) == ["INVALID_TOKEN"]


async def test_of_two_who_wanted_one_username_the_second_gets_digits_at_its_end(browser: Browser, mails: Mails) -> None:
    await browser.change(SIGN_UP, **wanted())
    first = token_in(await mails.link())
    await browser.change(SIGN_UP, **wanted(email="other@example.com"))
    second = token_in(await mails.link())
    assert (await browser.sign_in(CONFIRM, token=first, deliver="BODY"))["viewer"]["username"] == "ada"
    browser.token = None
    name = (await browser.sign_in(CONFIRM, token=second, deliver="BODY"))["viewer"]["username"]
    assert name.startswith("ada-")


async def test_of_two_sign_ups_with_one_address_the_second_link_says_that_there_is_an_account(
    browser: Browser, mails: Mails
) -> None:
    await browser.change(SIGN_UP, **wanted())
    first = token_in(await mails.link())
    await browser.change(SIGN_UP, **wanted(username="ada2", password=OTHER_PASSWORD))
    second = token_in(await mails.link())
    assert codes(await browser.change(CONFIRM, token=first, deliver="BODY")) == []
    assert codes(await browser.change(CONFIRM, token=second, deliver="BODY")) == ["EMAIL_TAKEN"]
    assert codes(await browser.change(SIGN_IN, email=ADA, password=OTHER_PASSWORD)) == ["INVALID_CREDENTIALS"]


def wanted(**changes: str) -> dict[str, str]:
    """What somebody types who signs up."""
    return {"email": ADA, "password": ADAS_PASSWORD, "username": "ada"} | changes
