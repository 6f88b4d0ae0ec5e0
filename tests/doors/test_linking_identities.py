"""Linking and unlinking ways in: by who is signed in, in the browser that asked, and nobody else."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert

from app.core.clock import utc_now
from app.core.ids import PublicIdTag, new_id, public_id
from app.core.secrets import place_of
from app.identity.commands.sessions import OpenSession, SignInMethod, begin_session
from app.identity.models import AuditEntry, Challenge, Credential, Identity, Session, UnlinkedIdentity, User
from app.identity.viewer import Caller
from tests.doors.provider_world import BACK, Browser, SignedIn, World
from tests.identity.builders import PARTNER_TOKEN, SECRETS
from tests.identity.fake_steam import STEAM_ID

PROVIDERS = ("example", "github", "steam")
LINKED = f"{BACK}?linked=1"
REFUSED = f"{BACK}?error=invalid_credentials"
LINK = """
mutation($provider: String!, $returnTo: URL) {
  linkIdentity(input: {provider: $provider, returnTo: $returnTo}) { url userErrors { field code } }
}
"""
UNLINK = "mutation($id: ID!) { unlinkIdentity(input: {id: $id}) { unlinkedId userErrors { field code message } } }"


async def signed_in(world: World, **columns: Any) -> SignedIn:
    """Somebody who has just signed in."""
    return await world.session_of(await world.person(**columns))


async def begin(browser: Browser, person: SignedIn, provider: str) -> str:
    """Ask for a link; gives where the browser is to go."""
    answer = await browser.ask(LINK, person.access_token, provider=provider, returnTo=BACK)
    payload = answer["data"]["linkIdentity"]
    assert payload["userErrors"] == []
    url: str = payload["url"]
    return url


async def owners(world: World) -> dict[str, UUID]:
    """Whose each identity is, by its subject."""
    return {row["subject"]: row["user_id"] for row in await world.rows(Identity)}


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_who_is_signed_in_gets_another_way_in(world: World, provider: str) -> None:
    person = await signed_in(world, email="somebody@example.com", email_verified_at=utc_now())
    browser = world.browser()
    assert await browser.walk(await begin(browser, person, provider)) == LINKED
    assert browser.refresh_token is None
    (identity,) = await world.rows(Identity)
    assert (identity["provider"], identity["user_id"]) == (provider, person.user_id)
    assert [row["id"] for row in await world.rows(User)] == [person.user_id]
    entry = (await world.rows(AuditEntry))[-1]
    assert (entry["action"], entry["actor_id"], entry["subject_id"], entry["credential_id"], entry["after"]) == (
        "identity_linked",
        person.user_id,
        person.user_id,
        person.session_id,
        {"provider": provider},
    )
    (mail,) = await world.mails()
    assert mail["to"] == "somebody@example.com"
    other = world.browser()
    assert await other.sign_in(provider) == f"{BACK}?signed_in=1"
    assert await world.signed_in(other) == person.user_id


async def test_a_person_may_have_several_steam_accounts(world: World) -> None:
    person = await signed_in(world)
    for steam_id in (STEAM_ID, "76561197960287931"):
        world.steam.steam_id = steam_id
        browser = world.browser()
        assert await browser.walk(await begin(browser, person, "steam")) == LINKED
    assert await owners(world) == {STEAM_ID: person.user_id, "76561197960287931": person.user_id}


async def test_linking_what_is_linked_already_changes_nothing(world: World) -> None:
    person = await signed_in(world)
    browser = world.browser()
    assert [await browser.walk(await begin(browser, person, "github")) for _ in range(2)] == [LINKED, LINKED]
    assert [action for action, *_ in await world.audit()].count("identity_linked") == 1
    assert len(await owners(world)) == 1


async def test_an_address_that_is_somebody_elses_does_not_change_whom_it_is_linked_to(world: World) -> None:
    other = await world.person(email="ada@example.com", email_verified_at=utc_now())
    person = await signed_in(world)
    browser = world.browser()
    assert await browser.walk(await begin(browser, person, "example")) == LINKED
    assert other not in (await owners(world)).values()
    (row,) = [row for row in await world.rows(User) if row["id"] == person.user_id]
    assert (row["email"], row["email_verified_at"]) == (None, None)


async def test_an_identity_of_somebody_else_stays_theirs(world: World) -> None:
    await world.browser().sign_in("github")
    (owner,) = (await owners(world)).values()
    person = await signed_in(world)
    browser = world.browser()
    assert await browser.walk(await begin(browser, person, "github")) == f"{BACK}?error=identity_taken"
    assert list((await owners(world)).values()) == [owner]
    assert (await world.audit())[-1] == (
        "sign_in_refused",
        person.user_id,
        "github: the identity leads to another account",
    )


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_link_finished_in_another_browser_links_nothing(world: World, provider: str) -> None:
    """An attacker asks for a link and has a victim finish it, to get in by the victim's identity."""
    attacker = await signed_in(world)
    theirs, victim = world.browser(), world.browser()
    await victim.sign_in("github" if provider == "steam" else "steam")
    before = await owners(world)
    url = await begin(theirs, attacker, provider)
    response = await victim.go(await victim.walk(url, until=victim.callback(provider)))
    assert response.status_code == 400
    assert await owners(world) == before
    assert (await world.refusals())[-1] == f"{provider}: no departure from this browser has this state, or not any more"


async def test_an_attackers_callback_links_nothing_to_who_opens_it(world: World) -> None:
    """An attacker stops before the callback of their own sign-in, and has a victim who is linking open it."""
    person = await signed_in(world)
    theirs, victim = world.browser(), world.browser()
    callback = await theirs.walk_to_callback("github")
    await begin(victim, person, "github")
    assert (await victim.go(callback)).status_code == 400
    assert (await owners(world), victim.refresh_token) == ({}, None)


async def test_a_link_of_a_session_that_has_ended_links_nothing(world: World) -> None:
    person = await signed_in(world)
    browser = world.browser()
    url = await begin(browser, person, "github")
    await world.change(Session, ended_at=utc_now(), end_reason="signed_out")
    assert await browser.walk(url) == REFUSED
    assert await owners(world) == {}
    assert (await world.audit())[-1][1:] == (person.user_id, "github: the session that asked for the link is over")


async def test_a_link_is_not_finished_for_somebody_else_who_signed_in_meanwhile(world: World) -> None:
    person = await signed_in(world)
    browser = world.browser()
    url = await begin(browser, person, "github")
    assert await browser.sign_in("steam") == f"{BACK}?signed_in=1"
    assert await browser.walk(url) == REFUSED
    assert list(await owners(world)) == [STEAM_ID]
    assert (await world.refusals())[-1] == "github: somebody else is signed in in this browser by now"


async def test_a_link_that_took_too_long_is_over(world: World) -> None:
    person = await signed_in(world)
    browser = world.browser()
    url = await browser.walk(await begin(browser, person, "github"), until=browser.callback("github"))
    await world.change(Challenge, expires_at=utc_now())
    assert (await browser.go(url)).status_code == 400
    assert await owners(world) == {}


async def test_who_cancels_a_link_has_no_new_way_in(world: World) -> None:
    world.github.denies_with = "access_denied"
    person = await signed_in(world)
    browser = world.browser()
    assert await browser.walk(await begin(browser, person, "github")) == f"{BACK}?error=cancelled"
    assert await owners(world) == {}
    assert (await world.audit())[-1] == ("sign_in_refused", person.user_id, "github: the person cancelled")


async def test_links_of_two_people_to_one_identity_at_once_go_to_one_of_them(world: World) -> None:
    people = [await signed_in(world) for _ in range(2)]
    browsers = [world.browser() for _ in people]
    callbacks = [
        await browser.walk(await begin(browser, person, "github"), until=browser.callback("github"))
        for browser, person in zip(browsers, people, strict=True)
    ]
    ends = await asyncio.gather(*(browser.walk(url) for browser, url in zip(browsers, callbacks, strict=True)))
    assert sorted(ends) == sorted([LINKED, f"{BACK}?error=identity_taken"])
    assert list((await owners(world)).values()) == [people[ends.index(LINKED)].user_id]


@pytest.mark.parametrize(
    ("provider", "return_to", "error"),
    [
        ("nobody", BACK, {"field": ["input", "provider"], "code": "NOT_FOUND"}),
        ("github", "https://evil.example/", {"field": ["input", "returnTo"], "code": "INVALID_INPUT"}),
        ("github", "https://app.example@evil.example/", {"field": ["input", "returnTo"], "code": "INVALID_INPUT"}),
    ],
)
async def test_a_link_that_leads_nowhere_is_refused(
    world: World, provider: str, return_to: str, error: dict[str, object]
) -> None:
    person = await signed_in(world)
    answer = await world.browser().ask(LINK, person.access_token, provider=provider, returnTo=return_to)
    assert answer["data"]["linkIdentity"] == {"url": None, "userErrors": [error]}
    assert await world.rows(Challenge) == []


@pytest.mark.parametrize("document", [LINK, UNLINK])
async def test_only_who_has_just_proved_who_they_are_changes_ways_in(
    world: World, partner: None, document: str
) -> None:
    variables = {"provider": "github"} if document is LINK else {"id": public_id(PublicIdTag.IDENTITY, new_id())}
    browser = world.browser()

    async def code_for(token: str | None) -> str:
        (error,) = (await browser.ask(document, token, **variables))["errors"]
        return str(error["extensions"]["code"])

    async with world.database.transaction() as transaction:
        session: OpenSession = await begin_session(
            transaction, user_id=await world.person(), method=SignInMethod.PASSWORD, caller=Caller()
        )
    stale = replace(session, authenticated_at=session.authenticated_at.replace(year=2025))
    stale_token = (await world.identity.authentication.access_token(stale)).text
    assert [await code_for(token) for token in (None, PARTNER_TOKEN.text, stale_token)] == [
        "UNAUTHENTICATED",
        "FORBIDDEN",
        "FORBIDDEN",
    ]
    assert await world.rows(Challenge) == []


async def test_a_page_of_a_foreign_origin_links_nothing(world: World) -> None:
    person = await signed_in(world)
    browser = world.browser()
    browser.client.headers["Origin"] = "https://evil.example"
    answer = await browser.ask(LINK, person.access_token, provider="github")
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["FORBIDDEN"]
    assert (browser.token, await world.rows(Challenge)) == (None, [])


async def add_identity(world: World, user_id: UUID, provider: str = "github", subject: str = "1") -> str:
    """A way in of a person; gives its id in the graph."""
    identity_id = new_id()
    async with world.database.transaction() as transaction:
        await transaction.connection.execute(
            insert(Identity).values(
                id=identity_id, user_id=user_id, provider=provider, issuer=provider, subject=subject
            )
        )
    return public_id(PublicIdTag.IDENTITY, identity_id)


async def unlink(browser: Browser, person: SignedIn, identity: str) -> tuple[str | None, list[str]]:
    """Take a way in away: its id where it is gone, and the codes of what is wrong."""
    answer = await browser.ask(UNLINK, person.access_token, id=identity)
    payload = answer["data"]["unlinkIdentity"]
    return payload["unlinkedId"], [error["code"] for error in payload["userErrors"]]


async def test_a_way_in_goes_and_lets_nobody_in_any_more(world: World) -> None:
    person = await signed_in(world)
    await add_identity(world, person.user_id, "magic_link", "somebody@example.com")
    browser = world.browser()
    assert await browser.walk(await begin(browser, person, "steam")) == LINKED
    (steam,) = [row["id"] for row in await world.rows(Identity) if row["provider"] == "steam"]
    identity = public_id(PublicIdTag.IDENTITY, steam)
    assert await unlink(browser, person, identity) == (identity, [])
    assert list(await owners(world)) == ["somebody@example.com"]
    assert await unlink(browser, person, identity) == (None, ["NOT_FOUND"])
    entry = (await world.rows(AuditEntry))[-1]
    assert (entry["action"], entry["actor_id"], entry["before"]) == (
        "identity_unlinked",
        person.user_id,
        {"provider": "steam"},
    )
    stranger = world.browser()
    await stranger.sign_in("steam")
    assert await world.signed_in(stranger) != person.user_id


async def test_an_unlinked_way_in_does_not_come_back_by_its_address_but_by_its_owner(world: World) -> None:
    person = await signed_in(world, email="ada@example.com", email_verified_at=utc_now())
    await add_identity(world, person.user_id, "steam")
    browser, other = world.browser(), world.browser()
    assert await browser.walk(await begin(browser, person, "example")) == LINKED
    (linked,) = [row["id"] for row in await world.rows(Identity) if row["provider"] == "example"]
    identity = public_id(PublicIdTag.IDENTITY, linked)
    assert await unlink(browser, person, identity) == (identity, [])
    assert await other.sign_in("example") == REFUSED
    assert (other.refresh_token, list(await owners(world))) == (None, ["1"])
    assert (await world.audit())[-1] == ("sign_in_refused", person.user_id, "example: its owner has unlinked it")
    assert await browser.walk(await begin(browser, person, "example")) == LINKED
    assert await world.rows(UnlinkedIdentity, by=UnlinkedIdentity.user_id) == []
    assert await other.sign_in("example") == f"{BACK}?signed_in=1"
    assert await world.signed_in(other) == person.user_id


async def test_links_by_mail_are_not_unlinked_while_the_address_is_verified(world: World) -> None:
    person = await signed_in(world, email="ada@example.com", email_verified_at=utc_now())
    await add_identity(world, person.user_id)
    link = await add_identity(world, person.user_id, "magic_link", "ada@example.com")
    assert await unlink(world.browser(), person, link) == (None, ["INVALID_INPUT"])
    await world.change(User, email_verified_at=None)
    assert await unlink(world.browser(), person, link) == (link, [])


async def test_the_last_way_in_stays(world: World) -> None:
    person = await signed_in(world)
    identity = await add_identity(world, person.user_id)
    assert await unlink(world.browser(), person, identity) == (None, ["LAST_WAY_IN"])
    assert list(await owners(world)) == ["1"]


async def test_of_the_last_two_ways_in_that_go_at_once_one_stays(world: World) -> None:
    person = await signed_in(world)
    both = [await add_identity(world, person.user_id, subject=subject) for subject in ("1", "2")]
    browser = world.browser()
    outcomes = await asyncio.gather(*(unlink(browser, person, identity) for identity in both))
    assert sorted(codes for _, codes in outcomes) == [[], ["LAST_WAY_IN"]]
    assert len(await owners(world)) == 1


async def test_nobody_unlinks_what_is_somebody_elses(world: World) -> None:
    person = await signed_in(world)
    await add_identity(world, person.user_id)
    theirs = await add_identity(world, await world.person(), subject="2")
    account = public_id(PublicIdTag.ACCOUNT, person.user_id)
    for foreign in (theirs, account, public_id(PublicIdTag.IDENTITY, new_id())):
        assert await unlink(world.browser(), person, foreign) == (None, ["NOT_FOUND"])
    assert len(await owners(world)) == 2


async def test_the_password_goes_with_the_way_in_by_it(world: World) -> None:
    person = await signed_in(world)
    await add_identity(world, person.user_id)
    password = await add_identity(world, person.user_id, "password", "somebody@example.com")
    sealed = SECRETS.encrypt(b"a hash", place_of(Credential.password_hash, person.user_id))
    async with world.database.transaction() as transaction:
        await transaction.connection.execute(insert(Credential).values(user_id=person.user_id, password_hash=sealed))
    assert await unlink(world.browser(), person, password) == (password, [])
    assert await world.rows(Credential, by=Credential.user_id) == []
