"""Changing one's password and address."""

from datetime import timedelta
from email.message import EmailMessage

from sqlalchemy import update

from app.core.database import Database
from app.identity.models import Challenge, Session
from app.identity.own_credentials import TRIES_OF_CURRENT_PASSWORD
from tests.identity.sign_in.browsers import (
    ADA,
    ADAS_PASSWORD,
    CONFIRM,
    ERRORS,
    OPEN_LINK,
    OTHER_PASSWORD,
    REFRESH,
    REQUEST_LINK,
    SIGN_IN,
    VIEWER,
    Browser,
    Mails,
    audited,
    codes,
    link_in,
    token_in,
)
from tests.identity.sign_in.conftest import APP_ORIGIN, Browsers, signed_up
from tests.identity.sign_in.test_sessions import until_refused

CHANGE = (
    f"mutation ($input: ChangePasswordInput!) {{ changePassword(input: $input) {{ viewer {{ username }} {ERRORS} }} }}"
)
REQUEST = f"mutation ($input: RequestEmailChangeInput!) {{ requestEmailChange(input: $input) {{ {ERRORS} }} }}"
CONFIRM_EMAIL = (
    f"mutation ($input: ConfirmEmailChangeInput!) {{ confirmEmailChange(input: $input) {{ isConfirmed {ERRORS} }} }}"
)
SIGN_OUT_EVERYWHERE = (
    f"mutation ($input: SignOutEverywhereInput) {{ signOutEverywhere(input: $input) {{ endedSessions {ERRORS} }} }}"
)
WAYS_IN = "{ viewer { email isEmailVerified identities { provider email } } }"
NEW = "ada@new.example"


async def test_another_password_ends_the_other_sessions_and_sends_a_notice(
    browser: Browser, browsers: Browsers, mails: Mails, database: Database
) -> None:
    await signed_up(browser, mails)
    other = await browsers.open()
    refresh = (await other.sign_in(email=ADA, password=ADAS_PASSWORD, deliver="BODY"))["refreshToken"]
    payload = await browser.change(CHANGE, currentPassword=ADAS_PASSWORD, newPassword=OTHER_PASSWORD)
    assert payload == {"viewer": {"username": "ada"}, "userErrors": []}
    assert (await until_refused(other)).status_code == 401
    other.token = None
    assert codes(await other.change(REFRESH, refreshToken=refresh)) == ["INVALID_TOKEN"]
    assert (await browser.ask(VIEWER))["username"] == "ada"
    assert codes(await other.change(SIGN_IN, email=ADA, password=ADAS_PASSWORD)) == ["INVALID_CREDENTIALS"]
    assert codes(await other.change(SIGN_IN, email=ADA, password=OTHER_PASSWORD)) == []
    (notice,) = await mails.fetch()
    assert (notice["To"], notice["Subject"]) == (ADA, "Your password was changed")
    assert "password_changed" in [action for action, _ in await audited(database)]


async def test_without_the_current_password_nothing_changes(browser: Browser, mails: Mails, database: Database) -> None:
    await signed_up(browser, mails)
    for current in (None, "", OTHER_PASSWORD):
        payload = await browser.change(CHANGE, currentPassword=current, newPassword=OTHER_PASSWORD)
        assert payload["viewer"] is None
        assert payload["userErrors"][0]["field"] == ["input", "currentPassword"]
    assert codes(await browser.change(SIGN_IN, email=ADA, password=ADAS_PASSWORD)) == []
    reasons = [after["reason"] for action, after in await audited(database) if action == "sign_in_refused"]
    assert reasons == ["wrong current password"] * 3


async def test_guesses_at_the_current_password_are_limited(browser: Browser, mails: Mails) -> None:
    await signed_up(browser, mails)
    given = {"currentPassword": OTHER_PASSWORD, "newPassword": OTHER_PASSWORD}
    for _ in range(TRIES_OF_CURRENT_PASSWORD.tries):
        assert codes(await browser.change(CHANGE, **given)) == ["INVALID_CREDENTIALS"]
    assert (await browser.refusal(CHANGE, input=given))["extensions"]["code"] == "RATE_LIMITED"


async def test_a_weak_password_is_refused(browser: Browser, mails: Mails) -> None:
    await signed_up(browser, mails)
    payload = await browser.change(CHANGE, currentPassword=ADAS_PASSWORD, newPassword="ada@example.com")
    assert (payload["userErrors"][0]["code"], payload["userErrors"][0]["field"]) == (
        "WEAK_PASSWORD",
        ["input", "newPassword"],
    )


async def test_who_came_by_a_link_sets_a_first_password_and_one_who_forgot_theirs_another(
    browser: Browser, mails: Mails
) -> None:
    for password in (ADAS_PASSWORD, OTHER_PASSWORD):
        await browser.change(REQUEST_LINK, email=ADA)
        browser.token = None
        await browser.sign_in(OPEN_LINK, token=token_in(await mails.link()))
        assert codes(await browser.change(CHANGE, newPassword=password)) == []
        assert len(await mails.fetch()) == 1
        browser.token = None
        await browser.sign_in(email=ADA, password=password)
    ways_in = (await browser.ask(WAYS_IN))["identities"]
    assert sorted(way_in["provider"] for way_in in ways_in) == ["magic_link", "password"]


async def test_a_session_that_was_proved_long_ago_changes_no_credentials(
    browser: Browser, mails: Mails, database: Database
) -> None:
    refresh = await signed_up(browser, mails)
    async with database.transaction() as transaction:
        ago = Session.authenticated_at - timedelta(minutes=16)
        await transaction.connection.execute(update(Session).values(authenticated_at=ago))
    browser.token = None
    await browser.sign_in(REFRESH, refreshToken=refresh)
    given = {"currentPassword": ADAS_PASSWORD, "newPassword": OTHER_PASSWORD}
    for query, input_ in ((CHANGE, given), (REQUEST, {"email": NEW})):
        refusal = await browser.refusal(query, input=input_)
        assert refusal["extensions"]["code"] == "FORBIDDEN"
        assert "sign in again" in refusal["message"]


async def requested(browser: Browser, mails: Mails, **given: str) -> EmailMessage:
    """The mail with the link to a new address that somebody asks for; the present one gets a notice."""
    assert codes(await browser.change(REQUEST, email=NEW, **given)) == []
    by_address = {message["To"]: message for message in await mails.fetch()}
    message, notice = by_address[NEW], by_address[ADA]
    assert notice["Subject"] == "Another address was asked for"
    assert NEW not in notice.get_content()
    return message


async def test_a_new_address_is_confirmed_by_its_link_and_leads_to_the_account_from_then_on(
    browser: Browser, mails: Mails, database: Database
) -> None:
    await signed_up(browser, mails)
    message = await requested(browser, mails)
    assert (await browser.ask(WAYS_IN))["email"] == ADA
    payload = await browser.change(CONFIRM_EMAIL, token=token_in(link_in(message)))
    assert payload == {"isConfirmed": True, "userErrors": []}
    account = await browser.ask(WAYS_IN)
    assert (account["email"], account["isEmailVerified"]) == (NEW, True)
    assert {way_in["email"] for way_in in account["identities"]} == {NEW}
    (notice,) = await mails.fetch()
    assert (notice["To"], notice["Subject"]) == (ADA, "Your address was changed")
    assert codes(await browser.change(SIGN_IN, email=NEW, password=ADAS_PASSWORD)) == []
    assert codes(await browser.change(SIGN_IN, email=ADA, password=ADAS_PASSWORD)) == ["INVALID_CREDENTIALS"]
    assert ("email_changed", {"email": NEW}) in await audited(database)
    assert codes(await browser.change(CONFIRM_EMAIL, token=token_in(link_in(message)))) == ["INVALID_TOKEN"]


async def test_an_address_of_another_account_gets_the_same_answer_and_another_mail(
    browser: Browser, browsers: Browsers, mails: Mails
) -> None:
    await signed_up(browser, mails)
    other = await browsers.open()
    await signed_up(other, mails, email="eve@example.com")
    known = await other.post(REQUEST, input={"email": ADA})
    unknown = await other.post(REQUEST, input={"email": "nobody@example.com"})
    assert known.text == unknown.text
    assert sorted((message["To"], message["Subject"]) for message in await mails.fetch()) == [
        (ADA, "This address has an account already"),
        ("eve@example.com", "Another address was asked for"),
        ("eve@example.com", "Another address was asked for"),
        ("nobody@example.com", "Confirm your new address"),
    ]
    assert codes(await other.change(REQUEST, email="EVE@example.com")) == ["ALREADY_DONE"]


async def test_an_address_that_got_an_account_meanwhile_is_refused(
    browser: Browser, browsers: Browsers, mails: Mails
) -> None:
    await signed_up(browser, mails)
    token = token_in(link_in(await requested(browser, mails)))
    await signed_up(await browsers.open(), mails, email=NEW, username="ada-too")
    assert codes(await browser.change(CONFIRM_EMAIL, token=token)) == ["EMAIL_TAKEN"]
    assert (await browser.ask(WAYS_IN))["email"] == ADA


async def test_links_of_one_kind_do_not_open_another(browser: Browser, mails: Mails) -> None:
    await signed_up(browser, mails)
    token = token_in(link_in(await requested(browser, mails)))
    for mutation in (CONFIRM, OPEN_LINK):
        assert codes(await browser.change(mutation, token=token)) == ["INVALID_TOKEN"]
    assert codes(await browser.change(CONFIRM_EMAIL, token=token)) == []


async def test_the_link_asks_first_in_a_browser_that_did_not_ask_for_it(
    browser: Browser, browsers: Browsers, mails: Mails
) -> None:
    await signed_up(browser, mails)
    link = link_in(await requested(browser, mails, returnTo=f"{APP_ORIGIN}/settings"))
    elsewhere = await browsers.open()
    page = await elsewhere.http.get(link)
    assert page.status_code == 200
    assert '<form method="post"' in page.text
    assert page.headers["referrer-policy"] == "same-origin"
    assert (await browser.ask(WAYS_IN))["email"] == ADA
    forged = await elsewhere.http.post(link, headers={"Origin": "https://evil.example"})
    assert forged.status_code == 403
    pressed = await elsewhere.http.post(link, headers={"Origin": str(elsewhere.http.base_url).rstrip("/")})
    assert pressed.headers["location"] == f"{APP_ORIGIN}/settings?email_changed=1"
    assert (await browser.ask(WAYS_IN))["email"] == NEW


async def test_a_link_that_a_stolen_session_asked_for_holds_no_longer_once_its_owner_has_ended_that(
    browser: Browser, browsers: Browsers, mails: Mails
) -> None:
    await signed_up(browser, mails)
    thief = await browsers.open()
    await thief.sign_in(email=ADA, password=ADAS_PASSWORD)
    token = token_in(link_in(await requested(thief, mails)))
    assert codes(await browser.change(SIGN_OUT_EVERYWHERE, exceptThis=True)) == []
    assert codes(await thief.change(CONFIRM_EMAIL, token=token)) == ["INVALID_TOKEN"]
    assert (await browser.ask(WAYS_IN))["email"] == ADA


async def test_another_password_voids_the_link_also_where_its_session_goes_on(browser: Browser, mails: Mails) -> None:
    await signed_up(browser, mails)
    token = token_in(link_in(await requested(browser, mails)))
    assert codes(await browser.change(CHANGE, currentPassword=ADAS_PASSWORD, newPassword=OTHER_PASSWORD)) == []
    assert codes(await browser.change(CONFIRM_EMAIL, token=token)) == ["INVALID_TOKEN"]
    assert (await browser.ask(WAYS_IN))["email"] == ADA


async def test_an_expired_link_changes_no_address(browser: Browser, mails: Mails, database: Database) -> None:
    await signed_up(browser, mails)
    link = link_in(await requested(browser, mails))
    async with database.transaction() as transaction:
        await transaction.connection.execute(update(Challenge).values(expires_at=Challenge.created_at))
    assert codes(await browser.change(CONFIRM_EMAIL, token=token_in(link))) == ["INVALID_TOKEN"]
    assert (await browser.http.post(link)).status_code == 400
