"""Signing in with outside identity providers: real servers, real browsers with cookies, all the way there and back."""

import asyncio
import io
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import insert

from app.core.attempts import AttemptLimit
from app.core.clock import utc_now
from app.core.database import Database
from app.core.secrets import place_of
from app.core.settings import Settings
from app.identity.models import Challenge, Identity, Session, TotpSecret, UsedNonce, User
from tests.conftest import Server
from tests.doors.provider_world import BACK, Browser, World, open_challenges, open_world, parameter, with_parameter
from tests.identity.builders import SECRETS
from tests.identity.fake_openid_provider import TOKEN
from tests.identity.loopback_server import Fault

PROVIDERS = ("example", "github", "steam")
WITH_ADDRESS = {"example": "ada@example.com", "github": "octocat@example.com"}
IN = f"{BACK}?signed_in=1"


async def identities(world: World) -> list[tuple[str, str, UUID]]:
    """Who is known to which provider, as what."""
    return [(row["provider"], row["subject"], row["user_id"]) for row in await world.rows(Identity)]


def subject_of(world: World, provider: str) -> str:
    """Who consents at a provider."""
    return {
        "example": str(world.openid.person["sub"]),
        "github": str(world.github.user["id"]),
        "steam": world.steam.steam_id,
    }[provider]


# Good ways.


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_stranger_gets_an_account_and_is_signed_in(world: World, provider: str) -> None:
    browser = world.browser()
    assert await browser.sign_in(provider) == IN
    (person,) = await world.rows(User)
    assert await world.signed_in(browser) == person["id"]
    assert await identities(world) == [(provider, subject_of(world, provider), person["id"])]
    (session,) = await world.rows(Session)
    assert session["method"] == "provider"
    assert str(session["address"]) == "127.0.0.1"
    assert await world.audit() == [("signed_up", person["id"], None), ("signed_in", person["id"], None)]
    assert await world.mails() == []


@pytest.mark.parametrize(
    ("provider", "expected"),
    [
        ("example", ("Ada-Lovelace", "Ada Lovelace", "ada@example.com", "https://pictures.example.com/ada.png")),
        ("github", ("The-Octocat", "The Octocat", "octocat@example.com", "https://avatars.example.com/u/583231")),
    ],
)
async def test_an_account_begins_with_what_the_provider_says(
    world: World, provider: str, expected: tuple[str, ...]
) -> None:
    await world.browser().sign_in(provider)
    (person,) = await world.rows(User)
    assert tuple(person[name] for name in ("username", "display_name", "email", "avatar_url")) == expected
    assert person["email_verified_at"] is not None


async def test_an_account_begins_with_nothing_but_a_made_up_name_where_the_provider_says_nothing(world: World) -> None:
    await world.browser().sign_in("steam")
    (person,) = await world.rows(User)
    assert person["username"].startswith("collector-")
    assert [person[name] for name in ("display_name", "email", "email_verified_at", "avatar_url")] == [None] * 4


async def test_a_picture_that_is_not_https_is_left_out(world: World) -> None:
    world.openid.person["picture"] = "http://pictures.example.com/ada.png"
    await world.browser().sign_in("example")
    (person,) = await world.rows(User)
    assert person["avatar_url"] is None


async def test_a_name_that_somebody_has_gets_digits(world: World) -> None:
    await world.person(username="ada-lovelace")
    assert await world.browser().sign_in("example") == IN
    (name,) = [row["username"] for row in await world.rows(User) if row["username"] != "ada-lovelace"]
    assert name.startswith("Ada-Lovelace-")


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_somebody_known_comes_back_to_the_same_account(world: World, provider: str) -> None:
    first, second = world.browser(), world.browser()
    await first.sign_in(provider)
    # What a provider says of a person may change; the subject does not.
    world.openid.person |= {"email": "countess@example.com", "name": "The Countess"}
    assert await second.sign_in(provider) == IN
    (person,) = await world.rows(User)
    assert await world.signed_in(first) == await world.signed_in(second) == person["id"]
    (identity,) = await world.rows(Identity)
    assert identity["last_used_at"] is not None
    assert [action for action, *_ in await world.audit()] == ["signed_up", "signed_in", "signed_in"]


@pytest.mark.parametrize("provider", WITH_ADDRESS)
async def test_a_verified_address_leads_to_the_account_that_has_it_verified(world: World, provider: str) -> None:
    email = WITH_ADDRESS[provider].capitalize()
    owner = await world.person(email=email, email_verified_at=utc_now())
    browser = world.browser()
    assert await browser.sign_in(provider) == IN
    assert await world.signed_in(browser) == owner
    assert await identities(world) == [(provider, subject_of(world, provider), owner)]
    assert sorted(await world.audit()) == [("identity_linked", owner, None), ("signed_in", owner, None)]
    (mail,) = await world.mails()
    assert mail["to"] == email
    assert "now leads to your account" in mail["subject"]


async def test_who_has_a_second_factor_is_asked_for_it(world: World) -> None:
    await world.browser().sign_in("example")
    (person,) = await world.rows(User)
    await add_totp(world, person["id"])
    browser = world.browser()
    end = await browser.sign_in("example")
    assert parameter(end, "second_factor").startswith("trove_challenge_")
    assert browser.refresh_token is None
    assert len(await world.rows(Session)) == 1


async def test_an_address_alone_links_nothing_before_the_second_factor(world: World) -> None:
    owner = await world.person(email="ada@example.com", email_verified_at=utc_now())
    await add_totp(world, owner)
    browser = world.browser()
    assert parameter(await browser.sign_in("example"), "second_factor").startswith("trove_challenge_")
    assert (browser.refresh_token, await identities(world), await world.rows(Session)) == (None, [], [])


async def add_totp(world: World, user_id: UUID) -> None:
    """Have a person give one-time codes."""
    secret = SECRETS.encrypt(b"0" * 20, place_of(TotpSecret.secret, user_id))
    async with world.database.transaction() as transaction:
        await transaction.connection.execute(
            insert(TotpSecret).values(user_id=user_id, secret=secret, confirmed_at=utc_now())
        )


async def test_without_an_address_to_go_back_to_there_is_a_plain_page(world: World) -> None:
    browser = world.browser()
    response = await browser.go(await browser.walk_to_callback("github", return_to=None))
    assert (response.status_code, "You are signed in." in response.text) == (200, True)
    assert await world.signed_in(browser) is not None


async def test_the_query_of_the_address_to_go_back_to_stays(world: World) -> None:
    assert await world.browser().sign_in("github", return_to=f"{BACK}?tab=2") == f"{BACK}?tab=2&signed_in=1"


@pytest.mark.parametrize(
    ("public_url", "name", "secure"),
    [("https://trove.example", "__Host-trove_browser", "; Secure"), (None, "trove_browser", "")],
)
async def test_the_cookie_of_an_attempt_is_for_this_host_and_no_script(
    database: Database, api_database: Database, trove_settings: Settings, public_url: str | None, name: str, secure: str
) -> None:
    changes = {} if public_url is None else {"public_url": public_url}
    async with open_world(database, api_database, trove_settings, **changes) as world:
        response = await world.browser().go(f"{world.url}/auth/github")
    value, _, attributes = response.headers["Set-Cookie"].partition("; ")
    assert value.startswith(f"{name}=trove_browser_")
    assert attributes == f"Path=/; Max-Age=86400; HttpOnly; SameSite=Lax{secure}"
    assert (response.status_code, response.headers["Cache-Control"], response.headers["Referrer-Policy"]) == (
        303,
        "no-store",
        "no-referrer",
    )


async def test_two_attempts_in_one_browser_do_not_disturb_each_other(world: World) -> None:
    browser = world.browser()
    first = await browser.walk_to_callback("github")
    second = await browser.walk_to_callback("steam")
    assert [await browser.walk(first), await browser.walk(second)] == [IN, IN]
    assert sorted(provider for provider, *_ in await identities(world)) == ["github", "steam"]


@pytest.mark.parametrize("number", [2, 8])
async def test_those_who_arrive_as_the_same_stranger_at_once_get_one_account(world: World, number: int) -> None:
    browsers = [world.browser() for _ in range(number)]
    callbacks = [await browser.walk_to_callback("example") for browser in browsers]
    ends = await asyncio.gather(*(browser.walk(url) for browser, url in zip(browsers, callbacks, strict=True)))
    assert ends == [IN] * number
    (person,) = await world.rows(User)
    assert {await world.signed_in(browser) for browser in browsers} == {person["id"]}


async def test_the_application_has_these_doors(live_server: Server) -> None:
    browser = Browser(client=httpx.AsyncClient(), url=live_server.url)
    async with browser.client:
        for path in ("/auth/nobody", "/auth/nobody/callback"):
            response = await browser.go(f"{live_server.url}{path}")
            assert (response.status_code, "There is no such identity provider" in response.text) == (404, True)


# What is forged, late, or somebody else's.


async def test_a_failure_of_ours_tells_nothing_in_the_log(
    world: World, monkeypatch: pytest.MonkeyPatch, log: io.StringIO
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError("planted")

    browser = world.browser()
    callback = await browser.walk_to_callback("example")
    monkeypatch.setattr("app.identity.arrivals.admit", fail)
    assert (await browser.go(callback)).status_code == 500
    assert "planted" in log.getvalue()
    assert len(world.secrets) > 3
    assert await world.rows(User) == []


async def refused(world: World, browser: Browser, callback: str, *, back: bool = True) -> str:
    """Why a callback is refused; nobody is signed in by it, and it says nothing of the reason."""
    people = len(await world.rows(User))
    sessions = len(await world.rows(Session))
    before = browser.refresh_token
    response = await browser.go(callback)
    if back:
        assert response.headers["Location"] == f"{BACK}?error=invalid_credentials"
    else:
        assert response.status_code == 400
        assert "This does not let you in" in response.text
    reason = (await world.refusals())[-1]
    assert reason is not None
    assert reason.partition(": ")[2] not in response.text
    assert (browser.refresh_token, len(await world.rows(User)), len(await world.rows(Session))) == (
        before,
        people,
        sessions,
    )
    return reason


UNKNOWN = "no departure from this browser has this state, or not any more"


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_callback_counts_once(world: World, provider: str) -> None:
    browser = world.browser()
    callback = await browser.walk_to_callback(provider)
    await browser.walk(callback)
    assert await refused(world, browser, callback, back=False) == f"{provider}: {UNKNOWN}"


async def test_of_two_callbacks_at_once_one_counts(world: World) -> None:
    browser = world.browser()
    callback = await browser.walk_to_callback("github")
    responses = await asyncio.gather(*(browser.go(callback) for _ in range(4)))
    assert sorted(response.status_code for response in responses) == [303, 400, 400, 400]
    assert len(await world.rows(Session)) == 1


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_callback_in_another_browser_signs_nobody_in(world: World, provider: str) -> None:
    attacker, victim, stranger = world.browser(), world.browser(), world.browser()
    callback = await attacker.walk_to_callback(provider)
    # The victim has a cookie of an attempt of their own, the stranger has none.
    await victim.walk_to_callback(provider)
    assert await refused(world, victim, callback, back=False) == f"{provider}: {UNKNOWN}"
    assert await refused(world, stranger, callback, back=False) == f"{provider}: {UNKNOWN}"
    assert (victim.refresh_token, stranger.refresh_token) == (None, None)
    # It was not the victim's to end.
    assert await attacker.walk(callback) == IN


@pytest.mark.parametrize("cookie", [None, "", "trove_browser_x", "trove_challenge_x"])
async def test_without_the_cookie_of_the_attempt_nothing_holds(world: World, cookie: str | None) -> None:
    browser = world.browser()
    callback = await browser.walk_to_callback("github")
    browser.client.cookies.clear()
    if cookie is not None:
        browser.client.cookies.set("trove_browser", cookie, domain="127.0.0.1")
    assert await refused(world, browser, callback, back=False) == f"github: {UNKNOWN}"


@pytest.mark.parametrize("state", [None, "", "x", "trove_challenge_x", "\x00", "é" * 500])
async def test_a_state_that_we_did_not_give_is_refused(world: World, state: str | None) -> None:
    browser = world.browser()
    callback = with_parameter(await browser.walk_to_callback("example"), "state", state)
    assert await refused(world, browser, callback, back=False) == f"example: {UNKNOWN}"
    assert world.openid.traffic.asked[TOKEN] == 0


async def test_the_state_of_another_attempt_of_the_same_browser_does_not_fit_the_code(world: World) -> None:
    browser = world.browser()
    first, second = await browser.walk_to_callback("example"), await browser.walk_to_callback("example")
    mixed = with_parameter(first, "state", parameter(second, "state"))
    assert await refused(world, browser, mixed) == "example: the provider does not accept the code"


async def test_a_parameter_that_stands_there_twice_is_refused(world: World) -> None:
    browser = world.browser()
    callback = await browser.walk_to_callback("example")
    assert await refused(world, browser, f"{callback}&code=x", back=False) == (
        "example: a parameter was sent more than once"
    )


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_an_attempt_that_took_too_long_is_over(world: World, provider: str) -> None:
    browser = world.browser()
    callback = await browser.walk_to_callback(provider)
    await world.change(Challenge, expires_at=utc_now())
    assert await refused(world, browser, callback, back=False) == f"{provider}: {UNKNOWN}"


@pytest.mark.parametrize(("departed", "arrived"), [("example", "github"), ("github", "example"), ("steam", "github")])
async def test_an_answer_of_one_provider_is_not_taken_for_one_of_another(
    world: World, departed: str, arrived: str
) -> None:
    browser = world.browser()
    callback = await browser.walk_to_callback(departed)
    elsewhere = callback.replace(browser.callback(departed), browser.callback(arrived))
    assert await refused(world, browser, elsewhere) == f"{arrived}: the departure was to another provider"
    assert world.openid.traffic.asked[TOKEN] == world.github.traffic.asked["/login/oauth/access_token"] == 0
    assert await refused(world, browser, callback, back=False) == f"{departed}: {UNKNOWN}"


@pytest.mark.parametrize("provider", WITH_ADDRESS)
async def test_a_code_that_was_given_to_somebody_else_is_refused(world: World, provider: str) -> None:
    attacker, victim = world.browser(), world.browser()
    theirs = await attacker.walk_to_callback(provider)
    callback = with_parameter(await victim.walk_to_callback(provider), "code", parameter(theirs, "code"))
    assert await refused(world, victim, callback) == f"{provider}: the provider does not accept the code"


async def test_a_code_without_its_verifier_is_refused(world: World) -> None:
    browser = world.browser()
    callback = await browser.walk_to_callback("github")
    await world.change_kept(code_verifier="v" * 43)
    assert await refused(world, browser, callback) == "github: the provider does not accept the code"


async def test_an_id_token_with_another_nonce_is_refused(world: World) -> None:
    browser = world.browser()
    callback = await browser.walk_to_callback("example")
    await world.change_kept(nonce="another")
    reason = "the nonce of the ID token is not the one of the departure"
    assert await refused(world, browser, callback) == f"example: {reason}"


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("claimed_id", "https://steamcommunity.com/openid/id/76561197960287931", "the identity is not the claimed one"),
        ("identity", "https://steamcommunity.com/openid/id/76561197960287931", "the identity is not the claimed one"),
        ("sig", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=", "Steam has not signed this, or was asked about it before"),
        ("op_endpoint", "https://evil.example/openid/login", "the answer is of another endpoint"),
        ("return_to", "https://evil.example/callback", "the answer was meant for another address"),
        ("signed", "claimed_id", "the list of what is signed is not complete"),
        ("response_nonce", "2026-01-01T00:00:00Zx", "the nonce is not of these five minutes"),
        ("mode", "error", "the mode of the answer is wrong"),
    ],
)
async def test_an_answer_of_steam_that_was_changed_on_the_way_is_refused(
    world: World, name: str, value: str, reason: str
) -> None:
    browser = world.browser()
    callback = with_parameter(await browser.walk_to_callback("steam"), f"openid.{name}", value)
    assert await refused(world, browser, callback) == f"steam: {reason}"
    assert await world.rows(UsedNonce, by=UsedNonce.nonce) == []


async def test_an_answer_of_steam_does_not_fit_another_attempt(world: World) -> None:
    browser = world.browser()
    first = await browser.walk_to_callback("steam")
    second = await browser.walk_to_callback("steam")
    replayed = with_parameter(first, "state", parameter(second, "state"))
    assert await refused(world, browser, replayed) == "steam: the answer was meant for another address"


async def test_a_nonce_of_steam_counts_once_whatever_steam_says(world: World) -> None:
    world.steam.fields = {"response_nonce": f"{utc_now():%Y-%m-%dT%H:%M:%SZ}the-same"}
    first, second = world.browser(), world.browser()
    assert await first.sign_in("steam") == IN
    (used,) = await world.rows(UsedNonce, by=UsedNonce.nonce)
    assert (used["issuer"], used["nonce"]) == ("https://steamcommunity.com", world.steam.fields["response_nonce"])
    assert await refused(world, second, await second.walk_to_callback("steam")) == "steam: the nonce was used before"


@pytest.mark.parametrize("verified", [False, None, "yes", 1])
async def test_an_address_that_is_not_verified_leads_to_nobodys_account(world: World, verified: object) -> None:
    owner = await world.person(email="ada@example.com", email_verified_at=utc_now())
    world.openid.person["email_verified"] = verified
    browser = world.browser()
    assert await browser.sign_in("example") == IN
    newcomer = await world.signed_in(browser)
    assert newcomer not in {None, owner}
    (row,) = [row for row in await world.rows(User) if row["id"] == newcomer]
    assert (row["email"], row["email_verified_at"]) == (None, None)
    assert await identities(world) == [("example", subject_of(world, "example"), newcomer)]
    assert await world.mails() == []


async def test_a_verified_address_does_not_lead_to_an_account_that_only_claims_it(world: World) -> None:
    claimer = await world.person(email="ada@example.com")
    browser = world.browser()
    assert await browser.sign_in("example") == IN
    newcomer = await world.signed_in(browser)
    assert newcomer not in {None, claimer}
    verified = {row["id"]: row["email_verified_at"] is not None for row in await world.rows(User)}
    assert verified == {claimer: False, newcomer: True}


@pytest.mark.parametrize(
    "return_to",
    [
        "https://evil.example/welcome",
        "https://app.example.evil.example/",
        "https://app.example@evil.example/",
        "https://app.example:8443/",
        "http://app.example/",
        "//evil.example",
        "/\\evil.example",
        "https:evil.example",
        "javascript:alert(1)",
        "https://evil.example\\@app.example/",
        "https://app.example/\nLocation: https://evil.example",
        "",
    ],
)
async def test_nobody_is_sent_on_to_a_foreign_origin(world: World, return_to: str) -> None:
    response = await world.browser().go(world.browser().departure("github", return_to=return_to))
    assert (response.status_code, "Location" in response.headers) == (400, False)
    assert "an origin that is not allowed here" in response.text
    assert await world.rows(Challenge) == []


async def test_an_origin_that_is_allowed_no_longer_is_not_gone_back_to(
    database: Database, api_database: Database, trove_settings: Settings, world: World
) -> None:
    browser = world.browser()
    callback = await browser.walk_to_callback("github")
    same_address = {"public_url": world.url, "identity_providers": (world.github.settings,), "allowed_origins": ()}
    async with open_world(database, api_database, trove_settings, **same_address) as later:
        response = await browser.go(callback.replace(world.url, later.url))
    assert (response.status_code, "You are signed in." in response.text) == (200, True)


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_forged_host_changes_nothing(world: World, provider: str) -> None:
    browser = world.browser()
    browser.client.headers.update({"Host": "evil.example", "X-Forwarded-Host": "evil.example"})
    response = await browser.go(browser.departure(provider))
    assert response.status_code == 303
    assert "evil.example" not in str(response.headers)
    name = "openid.return_to" if provider == "steam" else "redirect_uri"
    assert parameter(response.headers["Location"], name).startswith(browser.callback(provider))


async def test_a_question_by_head_begins_nothing_and_ends_nothing(world: World) -> None:
    browser = world.browser()
    callback = await browser.walk_to_callback("github")
    for url in (callback, browser.departure("github")):
        response = await browser.client.head(url)
        assert (response.status_code, "Set-Cookie" in response.headers) == (200, False)
    assert await open_challenges(world) == 1
    assert await browser.walk(callback) == IN


# What is no fault of the person.


async def test_who_cancels_goes_back_and_may_begin_again(world: World) -> None:
    world.openid.denies_with = world.github.denies_with = "access_denied"
    world.steam.is_cancelled = True
    for provider in PROVIDERS:
        browser = world.browser()
        assert await browser.sign_in(provider) == f"{BACK}?error=cancelled"
        assert browser.refresh_token is None
    assert await world.refusals() == [f"{provider}: the person cancelled" for provider in PROVIDERS]


async def test_a_provider_that_is_away_is_told_apart_from_a_refusal(world: World, log: io.StringIO) -> None:
    world.openid.traffic.faults[TOKEN] = Fault.SERVER_ERROR
    assert await world.browser().sign_in("example") == f"{BACK}?error=unavailable"
    assert "the token endpoint answered 500" in log.getvalue()
    assert await world.rows(User) == []


async def test_a_provider_that_is_away_at_the_departure_is_said_on_a_page(world: World, log: io.StringIO) -> None:
    world.openid.traffic.faults["/.well-known/openid-configuration"] = Fault.HTML
    response = await world.browser().go(world.browser().departure("example"))
    assert (response.status_code, "cannot be used at the moment" in response.text) == (503, True)
    assert "the discovery document is not understood" in log.getvalue()
    assert await world.rows(Challenge) == []


async def test_a_server_that_does_not_know_its_address_sends_nobody_away(
    database: Database, api_database: Database, trove_settings: Settings
) -> None:
    async with open_world(database, api_database, trove_settings, public_url=None) as world:
        browser = world.browser()
        response = await browser.go(browser.departure("github", return_to=None))
        assert (response.status_code, "TROVE_PUBLIC_URL" in response.text) == (503, True)
        assert (await browser.ask("{ identityProviders { code } }"))["data"] == {"identityProviders": []}


async def test_tries_from_one_address_are_limited(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = AttemptLimit("provider-address", tries=2, seconds=900)
    monkeypatch.setattr("app.identity.arrivals.ARRIVALS_BY_IP", limit)
    browser = world.browser()
    callback = await browser.walk_to_callback("github")
    assert await browser.walk(callback) == IN
    response = await browser.go(browser.departure("github"))
    assert response.status_code == 429
    assert 0 < int(response.headers["Retry-After"]) <= 900
    assert (await browser.go(callback)).status_code == 429
    assert await world.refusals() == []


async def test_the_providers_are_listed(world: World) -> None:
    answer: dict[str, Any] = await world.browser().ask("{ identityProviders { code name url } }")
    assert answer["data"]["identityProviders"] == [
        {"code": code, "name": name, "url": f"{world.url}/auth/{code}"}
        for code, name in (("example", "Example"), ("github", "GitHub"), ("steam", "Steam"))
    ]
