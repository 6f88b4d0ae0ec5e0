"""Sessions: their cookies, refreshed once by each token, ended by their owner."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.core.database import Database
from app.core.settings import Settings
from app.identity.models import Session
from tests.graph.transports.sockets import opened
from tests.identity.sign_in.browsers import (
    ADA,
    ADAS_PASSWORD,
    REFRESH,
    REQUEST_LINK,
    SIGN_IN,
    SIGN_OUT,
    VIEWER,
    Browser,
    Mails,
    audited,
    codes,
)
from tests.identity.sign_in.conftest import APP_ORIGIN, Browsers, signed_up
from tests.identity.sign_in.serving import Site, serving

EVERYWHERE = (
    "mutation ($input: SignOutEverywhereInput) "
    "{ signOutEverywhere(input: $input) { endedSessions userErrors { code } } }"
)
END = "mutation ($input: EndSessionInput!) { endSession(input: $input) { endedSessions userErrors { code field } } }"
SESSIONS = "{ viewer { sessions { nodes { id isOpen device } } } }"


async def test_a_session_by_cookie_is_refreshed_by_cookie_and_its_token_is_never_in_the_answer(
    browser: Browser, mails: Mails
) -> None:
    await signed_up(browser, mails, deliver="COOKIE")
    first = browser.cookie("trove_refresh")
    browser.token = None
    session = await browser.sign_in(REFRESH)
    assert session["refreshToken"] is None
    assert session["viewer"]["username"] == "ada"
    second = browser.cookie("trove_refresh")
    assert first is not None
    assert second is not None
    assert first != second
    assert (await browser.ask(VIEWER))["username"] == "ada"


async def test_the_cookie_is_for_http_alone_and_for_this_host_alone(
    browser: Browser, mails: Mails, trove_settings: Settings
) -> None:
    await signed_up(browser, mails)
    given = {"email": ADA, "password": ADAS_PASSWORD}
    browser.token = None
    header = (await browser.post(SIGN_IN, input=given)).headers["set-cookie"]
    name, _, rest = header.partition("=")
    assert name == "trove_refresh"
    assert rest.split("; ")[1:] == ["Path=/", "Max-Age=604800", "HttpOnly", "SameSite=Lax"]
    async with serving(trove_settings, public_url="https://trove.example") as secure:
        response = await browser.post(SIGN_IN, url=secure.url, input=given)
    name, _, rest = response.headers["set-cookie"].partition("=")
    assert name == "__Host-trove_refresh"
    assert rest.split("; ")[1:] == ["Path=/", "Max-Age=604800", "HttpOnly", "SameSite=Lax", "Secure"]


async def test_pages_of_other_origins_do_nothing_by_cookie(browser: Browser, mails: Mails, site: Site) -> None:
    await signed_up(browser, mails, deliver="COOKIE")
    browser.token = None
    for query in (SIGN_IN, REQUEST_LINK):
        given = {"email": ADA} | ({"password": ADAS_PASSWORD} if query == SIGN_IN else {})
        response = await browser.post(query, headers={"Origin": "https://evil.example"}, input=given)
        assert response.json()["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    response = await browser.post(REFRESH, headers={"Origin": "https://evil.example"})
    assert response.json()["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert "set-cookie" not in response.headers
    allowed = await browser.post(REFRESH, headers={"Origin": APP_ORIGIN})
    assert allowed.json()["data"]["refreshSession"]["userErrors"] == []
    assert allowed.headers["access-control-allow-credentials"] == "true"


async def test_no_form_of_another_page_can_refresh_a_session(browser: Browser, mails: Mails) -> None:
    await signed_up(browser, mails, deliver="COOKIE")
    for content_type in ("text/plain", "application/x-www-form-urlencoded"):
        response = await browser.http.post(
            "/graphql",
            content=b'{"query":"mutation{refreshSession{userErrors{code}}}"}',
            headers={"Content-Type": content_type},
        )
        assert response.status_code == 415
    by_get = await browser.http.get(
        "/graphql",
        params={"query": "mutation{refreshSession{userErrors{code}}}"},
        headers={"Trove-Require-Preflight": "true"},
    )
    assert by_get.status_code == 405


async def test_a_refresh_token_that_comes_twice_ends_its_session(
    browser: Browser, mails: Mails, database: Database
) -> None:
    first = await signed_up(browser, mails)
    stolen = browser.token
    browser.token = None
    second = (await browser.sign_in(REFRESH, refreshToken=first))["refreshToken"]
    fresh, browser.token = browser.token, None
    assert codes(await browser.change(REFRESH, refreshToken=first)) == ["INVALID_TOKEN"]
    # What the thief, or the owner, has got meanwhile is of no use either.
    assert codes(await browser.change(REFRESH, refreshToken=second)) == ["INVALID_TOKEN"]
    assert ("refresh_token_reused") in [action for action, _ in await audited(database)]
    for token in (stolen, fresh):
        browser.token = token
        assert (await until_refused(browser)).status_code == 401


async def test_of_two_who_refresh_by_one_token_at_once_one_gets_a_session_that_has_ended(
    browser: Browser, mails: Mails
) -> None:
    first = await signed_up(browser, mails)
    browser.token = None
    payloads = await asyncio.gather(*(browser.change(REFRESH, refreshToken=first) for _ in range(2)))
    (given,) = (payload["session"] for payload in payloads if not codes(payload))
    assert codes(await browser.change(REFRESH, refreshToken=given["refreshToken"])) == ["INVALID_TOKEN"]


@pytest.fixture
async def owner(_owner: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection that may change the tables; each statement is committed."""
    async with _owner.connect() as connection:
        yield await connection.execution_options(isolation_level="AUTOCOMMIT")


async def test_a_refresh_token_is_not_used_up_while_nothing_can_be_signed(
    browser: Browser, mails: Mails, site: Site, owner: AsyncConnection
) -> None:
    refresh = await signed_up(browser, mails)
    browser.token = None
    # As in a process that has just started.
    site.identity.authentication._periods = ()
    await owner.execute(text("REVOKE SELECT ON identity.signing_keys FROM trove_authenticator"))
    try:
        refusal = await browser.refusal(REFRESH, input={"refreshToken": refresh})
    finally:
        await owner.execute(text("GRANT SELECT ON identity.signing_keys TO trove_authenticator"))
    assert refusal["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
    await browser.sign_in(REFRESH, refreshToken=refresh)


async def test_a_refused_cookie_is_taken_back(browser: Browser, mails: Mails) -> None:
    await signed_up(browser, mails, deliver="COOKIE")
    old = browser.cookie("trove_refresh")
    browser.token = None
    await browser.sign_in(REFRESH)
    browser.token = None
    browser.http.cookies.clear()
    response = await browser.post(REFRESH, headers={"Cookie": f"trove_refresh={old}"})
    assert codes(response.json()["data"]["refreshSession"]) == ["INVALID_TOKEN"]
    assert response.headers["set-cookie"] == "trove_refresh=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"


@pytest.mark.parametrize("token", ["", "nonsense", "trove_refresh_" + "0" * 49, "é"])
async def test_what_is_no_refresh_token_is_refused(browser: Browser, token: str) -> None:
    assert codes(await browser.change(REFRESH, refreshToken=token)) == ["INVALID_TOKEN"]


async def test_without_any_token_there_is_nothing_to_refresh(browser: Browser) -> None:
    assert codes(await browser.ask(REFRESH)) == ["INVALID_TOKEN"]


async def test_who_signs_out_loses_the_cookie_and_the_access_token(
    browser: Browser, mails: Mails, database: Database
) -> None:
    await signed_up(browser, mails, deliver="COOKIE")
    assert await browser.ask(SIGN_OUT) == {"endedSessions": 1, "userErrors": []}
    assert browser.cookie("trove_refresh") is None
    assert (await audited(database))[-1] == ("signed_out", None)
    assert (await until_refused(browser)).status_code == 401


async def test_all_sessions_end_but_the_one_that_asks_if_it_is_to_stay(
    browser: Browser, browsers: Browsers, mails: Mails
) -> None:
    await signed_up(browser, mails)
    others = [await browsers.open() for _ in range(2)]
    for other in others:
        await other.sign_in(email=ADA, password=ADAS_PASSWORD, deliver="BODY")
    assert await browser.change(EVERYWHERE, exceptThis=True) == {"endedSessions": 2, "userErrors": []}
    for other in others:
        assert (await until_refused(other)).status_code == 401
    assert (await browser.ask(VIEWER))["username"] == "ada"
    assert await browser.ask(EVERYWHERE) == {"endedSessions": 1, "userErrors": []}
    assert (await until_refused(browser)).status_code == 401


async def test_one_ends_a_session_of_ones_own_and_no_other(
    browser: Browser, browsers: Browsers, mails: Mails, database: Database
) -> None:
    await signed_up(browser, mails)
    other = await browsers.open()
    await other.sign_in(email=ADA, password=ADAS_PASSWORD, deliver="BODY", device="Lost phone")
    stranger = await browsers.open()
    await signed_up(stranger, mails, email="eve@example.com")
    nodes = (await browser.ask(SESSIONS))["sessions"]["nodes"]
    (lost,) = (node["id"] for node in nodes if node["device"] == "Lost phone")
    assert codes(await stranger.change(END, id=lost)) == ["NOT_FOUND"]
    assert (await other.ask(VIEWER))["username"] == "ada"
    assert codes(await browser.change(END, id=lost)) == []
    async with database.transaction() as transaction:
        ended = await transaction.connection.scalar(select(Session.id).where(Session.device == "Lost phone"))
    assert (await audited(database))[-1] == ("session_ended", {"sessions": [str(ended)]})
    assert (await until_refused(other)).status_code == 401
    assert codes(await browser.change(END, id=lost)) == ["NOT_FOUND"]


async def test_who_is_not_signed_in_cannot_sign_out(browser: Browser) -> None:
    assert (await browser.refusal(SIGN_OUT))["extensions"]["code"] == "UNAUTHENTICATED"


async def test_over_a_socket_one_signs_in_with_the_tokens_in_the_answer_alone(
    browser: Browser, mails: Mails, site: Site
) -> None:
    await signed_up(browser, mails)
    async with opened(site.websocket_url) as socket:
        await socket.initialise()
        given = {"email": ADA, "password": ADAS_PASSWORD}
        await socket.subscribe(SIGN_IN, id="1", input=given)
        (error,) = (await socket.receive())["payload"]["errors"]
        assert "deliver: BODY" in error["message"]
        await socket.receive()
        await socket.subscribe(SIGN_IN, id="2", input=given | {"deliver": "BODY"})
        payload = (await socket.receive())["payload"]["data"]["signIn"]
        assert payload["session"]["viewer"]["username"] == "ada"


async def until_refused(browser: Browser) -> httpx.Response:
    """The first answer to a token that was revoked; a process may take a moment to hear of it."""

    async with asyncio.timeout(5):
        while True:
            response: httpx.Response = await browser.post(VIEWER)
            if response.status_code != 200:
                return response
            await asyncio.sleep(0.02)
