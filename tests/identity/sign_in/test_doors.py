"""The links of mails, as a browser follows them."""

from email.message import EmailMessage

import pytest
from pydantic import SecretStr

from app.core.attempts import AttemptLimit
from app.core.settings import Settings
from app.identity import sign_in
from tests.conftest import running
from tests.core.mail_builders import Mailbox, mail_server
from tests.identity.sign_in.browsers import (
    ADA,
    ADAS_PASSWORD,
    REFRESH,
    REQUEST_LINK,
    SIGN_UP,
    VIEWER,
    Browser,
    Mails,
    codes,
    link_in,
)
from tests.identity.sign_in.conftest import APP_ORIGIN, Browsers
from tests.identity.sign_in.serving import Site
from tests.outages_builders import eventually

WANTED = {"email": ADA, "password": ADAS_PASSWORD, "username": "ada", "returnTo": f"{APP_ORIGIN}/welcome"}


async def test_a_sign_up_ends_in_the_browser_that_began_it(browser: Browser, mails: Mails) -> None:
    assert codes(await browser.change(SIGN_UP, **WANTED)) == []
    response = await browser.http.get(await mails.link())
    assert (response.status_code, response.headers["location"]) == (303, f"{APP_ORIGIN}/welcome?signed_in=1")
    assert (await browser.sign_in(REFRESH))["viewer"]["username"] == "ada"


async def test_elsewhere_a_sign_up_waits_for_somebody_to_press_the_button(
    browser: Browser, browsers: Browsers, mails: Mails
) -> None:
    await browser.change(SIGN_UP, **WANTED)
    link = await mails.link()
    # As the mail server does that looks behind links.
    scanner = await browsers.open()
    page = await scanner.http.get(link)
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert scanner.cookie("trove_refresh") is None
    phone = await browsers.open()
    await phone.http.get(link)
    pressed = await phone.http.post(link)
    assert pressed.headers["location"] == f"{APP_ORIGIN}/welcome?signed_in=1"
    assert (await phone.sign_in(REFRESH))["viewer"]["username"] == "ada"
    again = await phone.http.post(link)
    assert (again.status_code, "does not hold" in again.text) == (400, True)


@pytest.mark.parametrize("path", ["/auth/magic-link", "/auth/sign-up", "/auth/email"])
async def test_a_door_lets_nobody_in_without_a_token(browser: Browser, path: str) -> None:
    for query in ("", "?token=", "?token=%00", "?token=<script>alert(1)</script>"):
        response = await browser.http.get(f"{path}{query}")
        assert response.status_code in {200, 400}
        assert "<script>" not in response.text
        assert "set-cookie" not in response.headers
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-content-type-options"] == "nosniff"


async def test_a_door_says_when_it_was_knocked_at_too_often(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sign_in, "SIGN_INS_BY_IP", AttemptLimit("sign-in-address", tries=2, seconds=900))
    statuses = [(await browser.http.get("/auth/magic-link?token=x")).status_code for _ in range(3)]
    assert statuses == [400, 400, 429]
    assert 0 < int((await browser.http.get("/auth/magic-link?token=x")).headers["retry-after"]) <= 900


async def test_a_worker_sends_the_link_and_the_link_signs_in(
    browser: Browser, site: Site, trove_settings: Settings
) -> None:
    mailbox = Mailbox()
    async with mail_server(mailbox) as port:
        settings = trove_settings.model_copy(
            update={"smtp_url": SecretStr(f"smtp://127.0.0.1:{port}"), "mail_from": "Trove <no-reply@trove.example>"}
        )
        with running(["worker"], settings):
            assert codes(await browser.change(REQUEST_LINK, email=ADA)) == []

            async def has_come() -> bool:
                return bool(mailbox.envelopes)

            await eventually("the mail has come", has_come, within=60)
    message = mailbox.message()
    assert isinstance(message, EmailMessage)
    assert "signed in" in (await browser.http.get(link_in(message))).text
    await browser.sign_in(REFRESH)
    assert (await browser.ask(VIEWER))["username"].startswith("collector-")
