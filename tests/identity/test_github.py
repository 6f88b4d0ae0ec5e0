"""GitHub against a fake of its sign-in and API on loopback."""

import re
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest

from app.identity.identity_providers import CANCELLED, ProvenIdentity, ProviderAway, ProviderRefused
from app.identity.identity_providers.calls import ProviderCalls
from app.identity.identity_providers.github import Github
from tests.identity.fake_github import EMAILS, TOKEN, USER, FakeGithub, running_github
from tests.identity.journeys import CALLBACK_URL, Journey, failure_of
from tests.identity.loopback_server import REASONS, Fault, patience_with


@pytest.fixture
def fake() -> Iterator[FakeGithub]:
    with running_github() as running:
        yield running


@pytest.fixture
def github(fake: FakeGithub) -> Github:
    return Github(fake.settings)


async def refusal(fake: FakeGithub, journey: Journey, caplog: pytest.LogCaptureFixture) -> str:
    """Why the journey is refused; nothing secret is shown."""
    failure = await failure_of(journey.end(), ProviderRefused, hidden=[*journey.secrets, *fake.secrets], caplog=caplog)
    return failure.reason


async def test_somebody_who_consents_is_proven_by_their_number(fake: FakeGithub, github: Github) -> None:
    assert await (await Journey.begin(github)).end() == ProvenIdentity(
        provider="github",
        issuer=fake.url,
        subject="583231",
        email="octocat@example.com",
        is_email_verified=True,
        display_name="The Octocat",
        avatar_url="https://avatars.example.com/u/583231",
        nonce=None,
    )


async def test_the_departure_asks_for_a_code_with_a_challenge(github: Github) -> None:
    departure = await github.depart(state="the-state", callback_url=CALLBACK_URL)
    query = {name: values[0] for name, values in parse_qs(urlsplit(departure.url).query).items()}
    assert (query["redirect_uri"], query["state"], query["scope"]) == (
        CALLBACK_URL,
        "the-state",
        "read:user user:email",
    )
    assert query["code_challenge_method"] == "S256"
    assert departure.kept["code_verifier"] not in departure.url


async def test_somebody_without_a_name_is_called_by_their_login(fake: FakeGithub, github: Github) -> None:
    fake.user |= {"name": None}
    assert (await (await Journey.begin(github)).end()).display_name == "octocat"


async def test_a_primary_address_that_is_not_verified_is_left_out(fake: FakeGithub, github: Github) -> None:
    fake.emails[1]["verified"] = False
    proven = await (await Journey.begin(github)).end()
    assert (proven.email, proven.is_email_verified) == (None, False)


async def test_addresses_that_may_not_be_read_are_left_out(fake: FakeGithub, github: Github) -> None:
    fake.hides_emails = True
    proven = await (await Journey.begin(github)).end()
    assert (proven.subject, proven.email, proven.is_email_verified) == ("583231", None, False)


async def test_another_state_is_refused_before_the_code_goes_anywhere(
    fake: FakeGithub, github: Github, caplog: pytest.LogCaptureFixture
) -> None:
    journey = await Journey.begin(github)
    journey.parameters["state"] = "another"
    assert await refusal(fake, journey, caplog) == "the state is not the one of the departure"
    assert fake.traffic.asked[TOKEN] == 0


async def test_a_code_of_another_departure_is_refused(
    fake: FakeGithub, github: Github, caplog: pytest.LogCaptureFixture
) -> None:
    ours, theirs = await Journey.begin(github), await Journey.begin(github)
    ours.parameters["code"] = theirs.parameters["code"]
    assert await refusal(fake, ours, caplog) == "the provider does not accept the code"


async def test_a_code_holds_once(fake: FakeGithub, github: Github, caplog: pytest.LogCaptureFixture) -> None:
    journey = await Journey.begin(github)
    await journey.end()
    assert await refusal(fake, journey, caplog) == "the provider does not accept the code"


async def test_an_expired_code_is_refused(fake: FakeGithub, github: Github, caplog: pytest.LogCaptureFixture) -> None:
    journey = await Journey.begin(github)
    fake.grant.has_expired = True
    assert await refusal(fake, journey, caplog) == "the provider does not accept the code"


async def test_the_click_on_cancel_is_told_apart(
    fake: FakeGithub, github: Github, caplog: pytest.LogCaptureFixture
) -> None:
    fake.denies_with = "access_denied"
    assert await refusal(fake, await Journey.begin(github), caplog) == CANCELLED


async def test_a_client_that_github_does_not_know_is_said_to_the_operator(
    fake: FakeGithub, github: Github, caplog: pytest.LogCaptureFixture
) -> None:
    journey = await Journey.begin(github)
    hidden = [*journey.secrets, *fake.secrets]
    fake.client_secret = "changed-at-github"
    failure = await failure_of(journey.end(), ProviderAway, hidden=hidden, caplog=caplog)
    assert failure.reason == "the token endpoint refuses our request with 200; check the client's settings"


async def test_a_token_that_the_api_does_not_know_is_not_believed(
    fake: FakeGithub, github: Github, caplog: pytest.LogCaptureFixture
) -> None:
    fake.token_answer = {"access_token": "gho_of_nobody_at_all"}
    journey = await Journey.begin(github)
    hidden = [*journey.secrets, *fake.secrets, "gho_of_nobody_at_all"]
    failure = await failure_of(journey.end(), ProviderAway, hidden=hidden, caplog=caplog)
    assert failure.reason == "GitHub's API answered 401"


@pytest.mark.parametrize("number", [0, -1, None, "octocat", 1.5])
async def test_a_user_without_a_number_is_not_understood(
    fake: FakeGithub, github: Github, caplog: pytest.LogCaptureFixture, number: object
) -> None:
    fake.user["id"] = number
    journey = await Journey.begin(github)
    failure = await failure_of(journey.end(), ProviderAway, hidden=journey.secrets, caplog=caplog)
    assert failure.reason == "GitHub's answer on the user is not understood"


# Addresses that are not to be found are an answer, and a list is what is expected of them.
MISBEHAVIOUR = [
    (path, fault)
    for path in (TOKEN, USER, EMAILS)
    for fault in Fault
    if (path, fault) not in {(EMAILS, Fault.NOT_FOUND), (EMAILS, Fault.NOT_JSON_OF_OURS)}
]


@pytest.mark.parametrize(("path", "fault"), MISBEHAVIOUR)
async def test_a_github_that_misbehaves_is_away(
    fake: FakeGithub, caplog: pytest.LogCaptureFixture, path: str, fault: Fault
) -> None:
    journey = await Journey.begin(Github(fake.settings, calls=ProviderCalls(total_seconds=patience_with(fault))))
    fake.traffic.faults[path] = fault
    failure = await failure_of(journey.end(), ProviderAway, hidden=journey.secrets, caplog=caplog)
    assert not [secret for secret in fake.secrets if secret in failure.reason or secret in caplog.text]
    assert re.search(REASONS[fault], failure.reason)
    assert fake.traffic.asked["/elsewhere"] == 0


async def test_a_github_that_is_down_is_away(caplog: pytest.LogCaptureFixture) -> None:
    with running_github() as fake:
        journey = await Journey.begin(Github(fake.settings))
    hidden = [*journey.secrets, *fake.secrets]
    failure = await failure_of(journey.end(), ProviderAway, hidden=hidden, caplog=caplog)
    assert failure.reason == "the token endpoint cannot be reached"
