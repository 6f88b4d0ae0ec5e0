"""Links in mails that sign in: once, within their time, in the browser that asked."""

import asyncio
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import insert, select, update

from app.core.clock import utc_now
from app.core.database import Database
from app.core.secrets import place_of
from app.identity.mail_limits import MAILS_TO_EMAIL
from app.identity.models import Challenge, TotpSecret, User
from tests.identity.builders import SECRETS
from tests.identity.sign_in.browsers import (
    ADA,
    ADAS_PASSWORD,
    OPEN_LINK,
    REFRESH,
    REQUEST_LINK,
    SIGN_IN,
    Browser,
    Mails,
    audited,
    codes,
    token_in,
)
from tests.identity.sign_in.conftest import APP_ORIGIN, Browsers, signed_up

RETURN_TO = f"{APP_ORIGIN}/welcome?from=mail"


async def requested(browser: Browser, mails: Mails, email: str = ADA, **given: str) -> str:
    """The link that an address gets."""
    assert codes(await browser.change(REQUEST_LINK, email=email, **given)) == []
    return await mails.link()


async def test_a_link_signs_in_the_browser_that_asked_and_leads_back(
    browser: Browser, mails: Mails, database: Database
) -> None:
    link = await requested(browser, mails, returnTo=RETURN_TO)
    assert await audited(database) == [("magic_link_requested", None)]
    response = await browser.http.get(link)
    assert (response.status_code, response.headers["location"]) == (303, f"{RETURN_TO}&signed_in=1")
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["cache-control"] == "no-store"
    session = await browser.sign_in(REFRESH)
    assert session["viewer"]["email"] == ADA
    # Everybody sees a username, and nobody is to guess the address from it.
    assert session["viewer"]["username"].startswith("collector-")


async def test_without_an_address_to_go_back_to_a_page_says_that_it_worked(browser: Browser, mails: Mails) -> None:
    response = await browser.http.get(await requested(browser, mails))
    assert response.status_code == 200
    assert "You are signed in." in response.text
    assert browser.cookie("trove_refresh")


async def test_a_program_keeps_the_tokens_itself(browser: Browser, mails: Mails) -> None:
    payload = await browser.change(REQUEST_LINK, email=ADA, deliver="BODY")
    token = token_in(await mails.link())
    given = {"token": token, "deliver": "BODY", "device": "Ada's script"}
    assert codes(await browser.change(OPEN_LINK, **given)) == ["INVALID_TOKEN"]
    session = await browser.sign_in(OPEN_LINK, **given, browserToken=payload["browserToken"])
    assert session["refreshToken"].startswith("trove_refresh_")
    assert dict(browser.http.cookies) == {}
    (device,) = (await browser.ask("{ viewer { sessions { nodes { device method } } } }"))["sessions"]["nodes"]
    assert device == {"device": "Ada's script", "method": "magic_link"}


async def test_known_and_unknown_addresses_get_the_same_answer_and_the_same_mail(
    browser: Browser, browsers: Browsers, mails: Mails
) -> None:
    await signed_up(browser, mails)
    stranger = await browsers.open()
    known = await stranger.post(REQUEST_LINK, input={"email": ADA})
    unknown = await stranger.post(REQUEST_LINK, input={"email": "bob@example.com"})
    assert (known.status_code, known.text) == (unknown.status_code, unknown.text)
    first, second = await mails.fetch()
    assert first["Subject"] == second["Subject"]


async def test_an_account_with_a_password_is_the_one_that_the_link_opens(browser: Browser, mails: Mails) -> None:
    await signed_up(browser, mails)
    browser.token = None
    link = await requested(browser, mails, email=ADA.upper())
    session = await browser.sign_in(OPEN_LINK, token=token_in(link), deliver="BODY")
    assert session["viewer"]["username"] == "ada"


async def test_a_link_opened_in_another_browser_does_not_hold_and_is_not_used_up(
    browser: Browser, browsers: Browsers, mails: Mails, database: Database
) -> None:
    link = await requested(browser, mails, returnTo=RETURN_TO)
    other = await browsers.open()
    await requested(other, mails, email="eve@example.com")
    response = await other.http.get(link)
    assert response.status_code == 400
    assert "another browser" in response.text
    assert other.cookie("trove_refresh") is None
    assert (await audited(database))[-1] == ("magic_link_refused", {"kind": "magic_link"})
    assert (await browser.http.get(link)).status_code == 303


async def test_a_used_an_expired_and_a_forged_link_do_not_hold(
    browser: Browser, mails: Mails, database: Database
) -> None:
    used = token_in(await requested(browser, mails))
    assert codes(await browser.change(OPEN_LINK, token=used)) == []
    expired = token_in(await requested(browser, mails))
    async with database.transaction() as transaction:
        await transaction.connection.execute(update(Challenge).values(expires_at=Challenge.created_at))
    for token in (used, expired, "trove_challenge_nonsense", ""):
        assert codes(await browser.change(OPEN_LINK, token=token)) == ["INVALID_TOKEN"]
        assert (await browser.http.get(f"/auth/magic-link?token={token}")).status_code == 400


async def test_of_two_who_open_a_link_at_once_one_is_let_in(browser: Browser, mails: Mails) -> None:
    token = token_in(await requested(browser, mails))
    payloads = await asyncio.gather(*(browser.change(OPEN_LINK, token=token) for _ in range(4)))
    assert sorted(len(codes(payload)) for payload in payloads) == [0, 1, 1, 1]


async def test_what_is_fetched_ahead_uses_no_link_up(browser: Browser, mails: Mails) -> None:
    link = await requested(browser, mails, returnTo=RETURN_TO)
    assert (await browser.http.head(link)).status_code == 200
    purposes = {"Sec-Purpose": "prefetch;prerender", "Purpose": "prefetch", "X-Moz": "prefetch", "X-Purpose": "preview"}
    for header, purpose in purposes.items():
        ahead = await browser.http.get(link, headers={header: purpose})
        assert ahead.status_code == 503
        assert "set-cookie" not in ahead.headers
    assert (await browser.http.get(link)).headers["location"].endswith("signed_in=1")


async def test_a_second_factor_is_asked_for_after_the_link_too(
    browser: Browser, mails: Mails, database: Database
) -> None:
    await signed_up(browser, mails)
    async with database.transaction() as transaction:
        user_id = (await transaction.connection.execute(select(User.id))).scalar_one()
        secret = SECRETS.encrypt(b"a seed of twenty byt", place_of(TotpSecret.secret, user_id))
        await transaction.connection.execute(
            insert(TotpSecret).values(user_id=user_id, secret=secret, confirmed_at=utc_now())
        )
    browser.token = None
    link = await requested(browser, mails, returnTo=RETURN_TO)
    response = await browser.http.get(link)
    told = parse_qs(urlsplit(response.headers["location"]).query)
    assert told["second_factor"][0].startswith("trove_challenge_")
    assert browser.cookie("trove_refresh") is None
    payload = await browser.change(SIGN_IN, email=ADA, password=ADAS_PASSWORD)
    assert payload["session"] is None
    assert payload["secondFactor"]["methods"] == ["TOTP", "RECOVERY_CODE"]


async def test_mails_to_one_address_are_limited_whoever_has_it(browser: Browser, mails: Mails) -> None:
    for email in (ADA, "bob@example.com"):
        for _ in range(MAILS_TO_EMAIL.tries):
            assert codes(await browser.change(REQUEST_LINK, email=email)) == []
        refusal = await browser.refusal(REQUEST_LINK, input={"email": email.upper()})
        assert refusal["extensions"]["code"] == "RATE_LIMITED"
    assert len(await mails.fetch()) == 2 * MAILS_TO_EMAIL.tries


@pytest.mark.parametrize(
    "return_to",
    [
        "https://evil.example/",
        "https://app.example.evil.example/",
        "https://app.example@evil.example/",
        "https://evil.example\\@app.example/",
        "//app.example/",
        "/relative",
        "javascript:alert(1)",
        "http://app.example/",
        "https://app.example/\r\nSet-Cookie: a=b",
        "https://app.example/#fragment",
        "https://app.example/" + "x" * 2_000,
    ],
)
async def test_a_link_leads_nowhere_but_to_origins_that_are_allowed(browser: Browser, return_to: str) -> None:
    (error,) = (await browser.change(REQUEST_LINK, email=ADA, returnTo=return_to))["userErrors"]
    assert (error["code"], error["field"]) == ("INVALID_INPUT", ["input", "returnTo"])
