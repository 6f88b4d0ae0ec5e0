"""Steam against a fake of its OpenID 2.0 on loopback: each field that could be forged, and who is asked about it."""

import re
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from app.core.clock import utc_now
from app.identity.identity_providers import CANCELLED, ProvenIdentity, ProviderAway, ProviderRefused, read_parameters
from app.identity.identity_providers.calls import ProviderCalls
from app.identity.identity_providers.steam import ENDPOINT, Steam
from tests.identity.fake_steam import LOGIN, NAMESPACE, SIGNED, STEAM_ID, FakeSteam, running_steam
from tests.identity.journeys import CALLBACK_URL, Journey, failure_of
from tests.identity.loopback_server import REASONS, Fault, patience_with

ID = "https://steamcommunity.com/openid/id/"


@pytest.fixture
def fake() -> Iterator[FakeSteam]:
    with running_steam() as running:
        yield running


@pytest.fixture
def steam(fake: FakeSteam) -> Steam:
    return Steam(fake.settings, endpoint=fake.endpoint)


def questions(fake: FakeSteam) -> int:
    """How often Steam was asked whether it has signed; each browser's visit is one of its path, too."""
    return fake.traffic.asked[LOGIN] - 1


async def refusal(journey: Journey, caplog: pytest.LogCaptureFixture) -> str:
    """Why the journey is refused; nothing secret is shown."""
    failure = await failure_of(journey.end(), ProviderRefused, hidden=journey.secrets, caplog=caplog)
    return failure.reason


async def test_somebody_who_signs_in_is_proven_by_their_steam_id(fake: FakeSteam, steam: Steam) -> None:
    journey = await Journey.begin(steam)
    proven = await journey.end()
    assert proven == ProvenIdentity(
        provider="steam",
        issuer="https://steamcommunity.com",
        subject=STEAM_ID,
        email=None,
        is_email_verified=False,
        display_name=None,
        avatar_url=None,
        nonce=journey.parameters["openid.response_nonce"],
    )
    assert questions(fake) == 1


async def test_the_departure_is_to_steam_and_says_where_to_come_back(fake: FakeSteam) -> None:
    departure = await Steam(fake.settings).depart(state="the-state", callback_url=CALLBACK_URL)
    assert departure.url.startswith(f"{ENDPOINT}?")
    query = {name: values[0] for name, values in parse_qs(urlsplit(departure.url).query).items()}
    assert query["openid.return_to"] == f"{CALLBACK_URL}?state=the-state" == departure.kept["return_to"]
    assert query["openid.realm"] == "https://trove.example.com/"


async def test_a_callback_address_may_have_a_query(steam: Steam) -> None:
    departure = await steam.depart(state="a b", callback_url=f"{CALLBACK_URL}?from=steam")
    assert departure.kept["return_to"] == f"{CALLBACK_URL}?from=steam&state=a+b"


def test_another_endpoint_has_to_be_https(fake: FakeSteam) -> None:
    with pytest.raises(ValueError, match="not https"):
        Steam(fake.settings, endpoint="http://steamcommunity.com/openid/login")


# Each is signed by Steam itself, so that only our own check can find it.
FORGED = {
    "another site": ("claimed_id", f"https://steamcommunity.example.com/openid/id/{STEAM_ID}"),
    "another site in front": ("claimed_id", f"https://example.com/https://steamcommunity.com/openid/id/{STEAM_ID}"),
    "any sign for the dot": ("claimed_id", f"https://steamcommunityxcom/openid/id/{STEAM_ID}"),
    "no TLS": ("claimed_id", f"http://steamcommunity.com/openid/id/{STEAM_ID}"),
    "more behind": ("claimed_id", f"{ID}{STEAM_ID}/more"),
    "too few digits": ("claimed_id", f"{ID}{STEAM_ID[:-1]}"),
    "too many digits": ("claimed_id", f"{ID}{STEAM_ID}0"),
    "letters": ("claimed_id", f"{ID}7656119796028793a"),
    "nothing": ("claimed_id", ID),
}


@pytest.mark.parametrize("case", FORGED)
async def test_a_claimed_id_that_is_not_exactly_one_of_steams_is_refused(
    fake: FakeSteam, steam: Steam, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    name, value = FORGED[case]
    fake.fields = {name: value, "identity": value}
    assert await refusal(await Journey.begin(steam), caplog) == "the claimed identifier is not one of Steam's"
    assert questions(fake) == 0


@pytest.mark.parametrize(
    "subject", [f"{STEAM_ID}\n", "٧٦٥٦١١٩٧٩٦٠٢٨٧٩٣٠", "７６５６１１９７９６０２８７９３０", f"{STEAM_ID}\0"]
)
async def test_a_line_feed_or_digits_of_other_scripts_are_refused(
    fake: FakeSteam, steam: Steam, caplog: pytest.LogCaptureFixture, subject: str
) -> None:
    fake.fields = {"claimed_id": f"{ID}{subject}", "identity": f"{ID}{subject}"}
    assert await refusal(await Journey.begin(steam), caplog) == "a field is not printable ASCII, or too long"
    assert questions(fake) == 0


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("identity", f"{ID}76561197960287931", "the identity is not the claimed one"),
        ("identity", "", "a field that is said to be signed is missing"),
        ("op_endpoint", "https://steamcommunity.example.com/openid/login", "the answer is of another endpoint"),
        ("op_endpoint", ENDPOINT, "the answer is of another endpoint"),
        ("mode", "setup_needed", CANCELLED),
        ("mode", "error", "the mode of the answer is wrong"),
        ("mode", "check_authentication", "the mode of the answer is wrong"),
        ("ns", "http://openid.net/signon/1.1", "the answer is not of OpenID 2.0"),
        ("return_to", "https://evil.example.com/callback", "the answer was meant for another address"),
        ("return_to", CALLBACK_URL, "the answer was meant for another address"),
        ("assoc_handle", "", "a field that is said to be signed is missing"),
        ("response_nonce", "yesterday", "the nonce is malformed"),
        ("response_nonce", "2026-13-01T00:00:00Zabc", "the nonce is malformed"),
        ("response_nonce", "2026-01-01T00:00:00Z", "the nonce is malformed"),
        ("response_nonce", "2020-01-01T00:00:00Zabc", "the nonce is not of these five minutes"),
        ("response_nonce", "2099-01-01T00:00:00Zabc", "the nonce is not of these five minutes"),
        ("assoc_handle", "x" * 3000, "a field is not printable ASCII, or too long"),
    ],
)
async def test_a_field_that_is_wrong_is_refused_without_asking_steam(
    fake: FakeSteam, steam: Steam, caplog: pytest.LogCaptureFixture, name: str, value: str, reason: str
) -> None:
    fake.fields = {name: value}
    assert await refusal(await Journey.begin(steam), caplog) == reason
    assert questions(fake) == 0


@pytest.mark.parametrize("name", SIGNED)
async def test_a_field_that_is_not_signed_is_refused(
    fake: FakeSteam, steam: Steam, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    fake.signed = tuple(field for field in SIGNED if field != name)
    assert await refusal(await Journey.begin(steam), caplog) == "the list of what is signed is not complete"
    assert questions(fake) == 0


async def test_a_field_that_is_signed_twice_is_refused(
    fake: FakeSteam, steam: Steam, caplog: pytest.LogCaptureFixture
) -> None:
    fake.signed = (*SIGNED, "claimed_id")
    assert await refusal(await Journey.begin(steam), caplog) == "the list of what is signed is not complete"


async def test_a_field_that_is_said_to_be_signed_has_to_be_there(
    fake: FakeSteam, steam: Steam, caplog: pytest.LogCaptureFixture
) -> None:
    fake.signed = (*SIGNED, "made_up")
    assert await refusal(await Journey.begin(steam), caplog) == "a field that is said to be signed is missing"


@pytest.mark.parametrize(
    "name",
    [
        "ns",
        "mode",
        "op_endpoint",
        "claimed_id",
        "identity",
        "return_to",
        "response_nonce",
        "assoc_handle",
        "signed",
        "sig",
    ],
)
async def test_each_field_has_to_be_there(
    fake: FakeSteam, steam: Steam, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    journey = await Journey.begin(steam)
    del journey.parameters[f"openid.{name}"]
    await refusal(journey, caplog)
    assert questions(fake) == 0


async def test_what_was_changed_after_signing_is_refused_by_steam(
    fake: FakeSteam, steam: Steam, caplog: pytest.LogCaptureFixture
) -> None:
    journey = await Journey.begin(steam)
    for name in ("openid.claimed_id", "openid.identity"):
        journey.parameters[name] = f"{ID}76561197960287931"
    assert await refusal(journey, caplog) == "Steam has not signed this, or was asked about it before"
    assert questions(fake) == 1


async def test_a_signature_that_is_made_up_is_refused_by_steam(
    fake: FakeSteam, steam: Steam, caplog: pytest.LogCaptureFixture
) -> None:
    journey = await Journey.begin(steam)
    journey.parameters["openid.sig"] = "AAAAAAAAAAAAAAAAAAAAAAAAAAA="
    assert await refusal(journey, caplog) == "Steam has not signed this, or was asked about it before"


async def test_an_answer_holds_once(steam: Steam, caplog: pytest.LogCaptureFixture) -> None:
    journey = await Journey.begin(steam)
    await journey.end()
    assert await refusal(journey, caplog) == "Steam has not signed this, or was asked about it before"


@pytest.mark.parametrize(("minutes", "is_taken"), [(-6, False), (-4, True), (4, True), (6, False)])
async def test_a_nonce_holds_for_five_minutes(
    steam: Steam, caplog: pytest.LogCaptureFixture, minutes: int, is_taken: bool
) -> None:
    journey = await Journey.begin(steam)
    ending = journey.end(now=utc_now() + timedelta(minutes=minutes))
    if is_taken:
        assert (await ending).subject == STEAM_ID
    else:
        failure = await failure_of(ending, ProviderRefused, hidden=journey.secrets, caplog=caplog)
        assert failure.reason == "the nonce is not of these five minutes"


async def test_another_state_is_refused(fake: FakeSteam, steam: Steam, caplog: pytest.LogCaptureFixture) -> None:
    journey = await Journey.begin(steam)
    journey.parameters["state"] = "another"
    assert await refusal(journey, caplog) == "the state is not the one of the departure"
    assert questions(fake) == 0


async def test_an_answer_to_another_departure_is_refused(steam: Steam, caplog: pytest.LogCaptureFixture) -> None:
    ours, theirs = await Journey.begin(steam), await Journey.begin(steam)
    # Steam's answer to somebody else, under our state.
    ours.parameters = theirs.parameters | {"state": ours.state}
    assert await refusal(ours, caplog) == "the answer was meant for another address"


async def test_an_answer_at_another_address_is_refused(steam: Steam, caplog: pytest.LogCaptureFixture) -> None:
    journey = await Journey.begin(steam)
    journey.callback_url = "https://trove.example.com/elsewhere"
    assert await refusal(journey, caplog) == "the departure was from another address"


async def test_the_click_on_cancel_is_told_apart(
    fake: FakeSteam, steam: Steam, caplog: pytest.LogCaptureFixture
) -> None:
    fake.is_cancelled = True
    assert await refusal(await Journey.begin(steam), caplog) == CANCELLED


@pytest.mark.parametrize(
    "verdict",
    [
        b"",
        b"<html>is_valid:true</html>",
        b"is_valid: true\n",
        b"is_valid:TRUE\n",
        b" is_valid:true\n",
        b"is_valid:true \n",
        b"is_valid:true\r\n",
        b"is_valid:truefalse\n",
        b"is_valid:true\nis_valid:true\n",
    ],
)
async def test_anything_but_the_exact_line_proves_nothing(
    fake: FakeSteam, steam: Steam, caplog: pytest.LogCaptureFixture, verdict: bytes
) -> None:
    fake.verdict = verdict
    journey = await Journey.begin(steam)
    failure = await failure_of(journey.end(), ProviderAway, hidden=journey.secrets, caplog=caplog)
    assert failure.reason == "Steam's answer is not understood"


async def test_a_no_beside_a_yes_is_a_no(fake: FakeSteam, steam: Steam, caplog: pytest.LogCaptureFixture) -> None:
    fake.verdict = f"ns:{NAMESPACE}\nis_valid:true\nis_valid:false\n".encode()
    journey = await Journey.begin(steam)
    assert await refusal(journey, caplog) == "Steam has not signed this, or was asked about it before"


@pytest.mark.parametrize("fault", [*Fault])
async def test_a_steam_that_misbehaves_is_away(fake: FakeSteam, caplog: pytest.LogCaptureFixture, fault: Fault) -> None:
    steam = Steam(fake.settings, endpoint=fake.endpoint, calls=ProviderCalls(total_seconds=patience_with(fault)))
    journey = await Journey.begin(steam)
    fake.traffic.faults[LOGIN] = fault
    failure = await failure_of(journey.end(), ProviderAway, hidden=journey.secrets, caplog=caplog)
    assert re.search(REASONS[fault], failure.reason)
    assert fake.traffic.asked["/elsewhere"] == 0


async def test_a_steam_that_is_down_is_away(caplog: pytest.LogCaptureFixture) -> None:
    with running_steam() as fake:
        journey = await Journey.begin(Steam(fake.settings, endpoint=fake.endpoint))
    failure = await failure_of(journey.end(), ProviderAway, hidden=journey.secrets, caplog=caplog)
    assert failure.reason == "Steam's sign-in cannot be reached"


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("state=a&openid.claimed_id=x&openid.claimed_id=y", "a parameter was sent more than once"),
        ("state=a&state=a", "a parameter was sent more than once"),
        ("state=%ff", "the parameters cannot be read"),
        ("&".join(f"a{number}=1" for number in range(65)), "the parameters cannot be read"),
    ],
)
def test_each_parameter_of_a_callback_stands_there_once(query: str, reason: str) -> None:
    with pytest.raises(ProviderRefused) as caught:
        read_parameters(query)
    assert caught.value.reason == reason


def test_the_parameters_of_a_callback_are_decoded() -> None:
    assert read_parameters("state=a%20b&code=c+d&empty=") == {"state": "a b", "code": "c d", "empty": ""}
