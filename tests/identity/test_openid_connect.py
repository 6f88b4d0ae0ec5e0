"""OpenID Connect against a provider on loopback: the good path, and each way in which an answer can be wrong."""

import asyncio
import re
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from joserfc.errors import SecurityWarning

from app.core.clock import utc_now
from app.core.provider_settings import OpenIdConnectSettings
from app.identity.identity_providers import CANCELLED, ProvenIdentity, ProviderAway, ProviderRefused
from app.identity.identity_providers.calls import ProviderCalls
from app.identity.identity_providers.openid_connect import OpenIdConnect
from tests.identity.fake_openid_provider import (
    CLIENT_ID,
    CRITICAL,
    DISCOVERY,
    JWKS,
    SHORT_KEY,
    TOKEN,
    USERINFO,
    FakeOpenIdProvider,
    running_openid_provider,
)
from tests.identity.journeys import CALLBACK_URL, Journey, failure_of
from tests.identity.loopback_server import REASONS, Fault, free_listener, patience_with, serving, url_of

FAULTS = [*Fault]


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def fake() -> Iterator[FakeOpenIdProvider]:
    with running_openid_provider() as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    return Clock()


def provider_of(fake: FakeOpenIdProvider, clock: Clock | None = None, **changes: object) -> OpenIdConnect:
    settings = fake.settings.model_copy(update=changes)
    return OpenIdConnect(settings, calls=ProviderCalls(), clock=clock or Clock())


async def refusal(fake: FakeOpenIdProvider, journey: Journey, caplog: pytest.LogCaptureFixture) -> str:
    """Why the journey is refused; nothing secret is shown."""
    failure = await failure_of(
        journey.end(), ProviderRefused, hidden=[*journey.secrets, *fake.secrets, "ada@example.com"], caplog=caplog
    )
    # The tokens of the last call were made after the list above was.
    assert not [secret for secret in fake.secrets if secret in failure.reason or secret in caplog.text]
    return failure.reason


async def test_somebody_who_consents_is_proven(fake: FakeOpenIdProvider) -> None:
    journey = await Journey.begin(provider_of(fake))
    assert await journey.end() == ProvenIdentity(
        provider="example",
        issuer=fake.issuer,
        subject="248289761001",
        email="ada@example.com",
        is_email_verified=True,
        display_name="Ada Lovelace",
        avatar_url="https://pictures.example.com/ada.png",
        nonce=None,
    )
    assert fake.traffic.asked[USERINFO] == 0


async def test_the_departure_asks_for_a_code_and_keeps_its_secrets_out_of_the_address(fake: FakeOpenIdProvider) -> None:
    departure = await provider_of(fake).depart(state="the-state", callback_url=CALLBACK_URL)
    query = {name: values[0] for name, values in parse_qs(urlsplit(departure.url).query).items()}
    assert (query["response_type"], query["code_challenge_method"], len(query)) == ("code", "S256", 8)
    assert (query["client_id"], query["redirect_uri"], query["state"]) == (CLIENT_ID, CALLBACK_URL, "the-state")
    assert (query["scope"], query["nonce"]) == ("openid email profile", departure.kept["nonce"])
    assert departure.kept["code_verifier"] not in departure.url
    assert not [value for value in (*departure.kept.values(), departure.url) if value in repr(departure)]


async def test_no_two_departures_share_a_nonce_or_a_verifier(fake: FakeOpenIdProvider) -> None:
    provider = provider_of(fake)
    first, second = [await provider.depart(state="same", callback_url=CALLBACK_URL) for _ in range(2)]
    assert not set(first.kept.values()) & set(second.kept.values())


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256"])
async def test_each_family_of_signatures_is_verified(fake: FakeOpenIdProvider, algorithm: str) -> None:
    fake.algorithm = algorithm
    assert (await (await Journey.begin(provider_of(fake))).end()).subject == "248289761001"


@pytest.mark.parametrize("authentication", ["client_secret_basic", "client_secret_post"])
async def test_the_client_authenticates_as_the_provider_offers(fake: FakeOpenIdProvider, authentication: str) -> None:
    fake.authentication = authentication
    fake.client_secret = "with + and % and : and / in it"
    assert (await (await Journey.begin(provider_of(fake))).end()).subject == "248289761001"


async def test_a_public_client_sends_no_secret(fake: FakeOpenIdProvider) -> None:
    fake.authentication, fake.client_secret = "none", None
    assert (await (await Journey.begin(provider_of(fake))).end()).subject == "248289761001"


async def test_an_issuer_may_end_with_a_slash() -> None:
    with running_openid_provider() as fake:
        fake.issuer = f"{fake.issuer}/"
        fake.metadata = {f"{name}_endpoint": f"{fake.issuer}{name}" for name in ("token", "userinfo")} | {
            "authorization_endpoint": f"{fake.issuer}authorize",
            "jwks_uri": f"{fake.issuer}jwks",
        }
        assert (await (await Journey.begin(provider_of(fake))).end()).issuer == fake.issuer


async def test_a_token_for_several_audiences_says_that_it_is_for_us(fake: FakeOpenIdProvider) -> None:
    fake.claims = {"aud": [CLIENT_ID, "another"], "azp": CLIENT_ID}
    assert (await (await Journey.begin(provider_of(fake))).end()).subject == "248289761001"


async def test_a_token_without_at_hash_or_kid_is_accepted(fake: FakeOpenIdProvider) -> None:
    fake.claims, fake.header = {"at_hash": None}, {"kid": None}
    assert (await (await Journey.begin(provider_of(fake))).end()).subject == "248289761001"


async def test_clocks_may_differ_by_a_minute(fake: FakeOpenIdProvider) -> None:
    now = int(utc_now().timestamp())
    fake.claims = {"iat": now + 55, "exp": now - 55}
    assert (await (await Journey.begin(provider_of(fake))).end()).subject == "248289761001"


CLAIMS: dict[str, tuple[dict[str, object], str]] = {
    "another issuer": ({"iss": "https://accounts.example.net"}, "iss of the ID token does not hold"),
    "no issuer": ({"iss": None}, "iss of the ID token does not hold"),
    "another audience": ({"aud": "another"}, "aud of the ID token does not hold"),
    "no audience": ({"aud": None}, "aud of the ID token does not hold"),
    "several audiences without azp": ({"aud": [CLIENT_ID, "another"]}, "azp of the ID token does not hold"),
    "another azp": ({"azp": "another"}, "azp of the ID token does not hold"),
    "expired": ({"exp": 1_000_000_000}, "exp of the ID token does not hold"),
    "never expires": ({"exp": None}, "exp of the ID token does not hold"),
    "expires in words": ({"exp": "tomorrow"}, "exp of the ID token does not hold"),
    "issued in the future": ({"iat": 4_000_000_000}, "iat of the ID token does not hold"),
    "not yet valid": ({"nbf": 4_000_000_000}, "nbf of the ID token does not hold"),
    "another nonce": ({"nonce": "another"}, "the nonce of the ID token is not the one of the departure"),
    "no nonce": ({"nonce": None}, "the nonce of the ID token is not the one of the departure"),
    "a nonce that is no text": ({"nonce": 7}, "the nonce of the ID token is not the one of the departure"),
    "another at_hash": ({"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}, "at_hash of the ID token does not hold"),
    "no subject": ({"sub": None}, "sub of the ID token does not hold"),
    "an empty subject": ({"sub": ""}, "a claim of the ID token is of the wrong type"),
    "a subject that is a number": ({"sub": 7}, "sub of the ID token does not hold"),
    "a subject with a NUL": ({"sub": "ada\0"}, "a claim of the ID token is of the wrong type"),
}


@pytest.mark.parametrize("case", CLAIMS)
async def test_a_claim_that_is_wrong_is_refused(
    fake: FakeOpenIdProvider, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    fake.claims, reason = CLAIMS[case]
    assert await refusal(fake, await Journey.begin(provider_of(fake)), caplog) == reason


def _unsigned(fake: FakeOpenIdProvider) -> None:
    fake.header = {"alg": "none"}


def _public_key_as_secret(fake: FakeOpenIdProvider) -> None:
    fake.header = {"alg": "HS256"}


def _foreign_key(fake: FakeOpenIdProvider) -> None:
    fake.signs_with_foreign_key = True


def _unknown_kid(fake: FakeOpenIdProvider) -> None:
    fake.header = {"kid": "nobody-knows"}


def _unknown_critical_header(fake: FakeOpenIdProvider) -> None:
    fake.header = {"crit": [CRITICAL], CRITICAL: 1}


@pytest.mark.parametrize(
    "tamper", [_unsigned, _public_key_as_secret, _foreign_key, _unknown_kid, _unknown_critical_header]
)
async def test_a_signature_that_does_not_hold_is_refused(
    fake: FakeOpenIdProvider, caplog: pytest.LogCaptureFixture, tamper: Callable[[FakeOpenIdProvider], None]
) -> None:
    tamper(fake)
    reason = await refusal(fake, await Journey.begin(provider_of(fake)), caplog)
    assert reason == "the signature of the ID token does not hold"


@pytest.mark.parametrize("id_token", ["", "a.b", "a.b.c", "e30.e30.e30", "ä.ö.ü", "." * 300_000])
async def test_what_is_no_token_is_refused(
    fake: FakeOpenIdProvider, caplog: pytest.LogCaptureFixture, id_token: str
) -> None:
    fake.token_answer = {"id_token": id_token}
    reason = await refusal(fake, await Journey.begin(provider_of(fake)), caplog)
    assert reason == "the signature of the ID token does not hold"


async def test_a_changed_key_is_read_anew(fake: FakeOpenIdProvider, clock: Clock) -> None:
    provider = provider_of(fake, clock)
    await (await Journey.begin(provider)).end()
    fake.rotate_keys()
    clock.seconds += 60
    assert (await (await Journey.begin(provider)).end()).subject == "248289761001"
    assert fake.traffic.asked[JWKS] == 2


async def test_a_changed_key_is_read_anew_although_no_token_names_it(fake: FakeOpenIdProvider, clock: Clock) -> None:
    fake.header = {"kid": None}
    provider = provider_of(fake, clock)
    await (await Journey.begin(provider)).end()
    fake.rotate_keys()
    clock.seconds += 60
    assert (await (await Journey.begin(provider)).end()).subject == "248289761001"


async def test_unknown_keys_make_us_ask_once_a_minute_at_most(
    fake: FakeOpenIdProvider, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    provider = provider_of(fake, clock)
    await (await Journey.begin(provider)).end()
    fake.header = {"kid": "nobody-knows"}
    clock.seconds += 60
    for _ in range(3):
        await refusal(fake, await Journey.begin(provider), caplog)
    assert fake.traffic.asked[JWKS] == 2
    clock.seconds += 60
    await refusal(fake, await Journey.begin(provider), caplog)
    assert fake.traffic.asked[JWKS] == 3


async def test_a_key_set_that_cannot_be_reloaded_is_asked_for_once_a_minute(
    fake: FakeOpenIdProvider, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    provider = provider_of(fake, clock)
    await (await Journey.begin(provider)).end()
    fake.rotate_keys()
    clock.seconds += 60
    fake.traffic.faults[JWKS] = Fault.SERVER_ERROR
    journey = await Journey.begin(provider)
    await failure_of(journey.end(), ProviderAway, hidden=journey.secrets, caplog=caplog)
    await refusal(fake, await Journey.begin(provider), caplog)
    assert fake.traffic.asked[JWKS] == 2


async def test_what_is_published_is_kept_for_an_hour(fake: FakeOpenIdProvider, clock: Clock) -> None:
    provider = provider_of(fake, clock)
    for _ in range(3):
        await (await Journey.begin(provider)).end()
    assert (fake.traffic.asked[DISCOVERY], fake.traffic.asked[JWKS]) == (1, 1)
    clock.seconds += 3600
    await (await Journey.begin(provider)).end()
    assert (fake.traffic.asked[DISCOVERY], fake.traffic.asked[JWKS]) == (2, 2)


async def test_many_at_once_share_what_is_published(fake: FakeOpenIdProvider) -> None:
    provider = provider_of(fake)
    journeys = await asyncio.gather(*(Journey.begin(provider) for _ in range(8)))
    await asyncio.gather(*(journey.end() for journey in journeys))
    assert (fake.traffic.asked[DISCOVERY], fake.traffic.asked[JWKS]) == (1, 1)


async def test_one_who_gives_up_waiting_does_not_end_the_call_of_the_others(fake: FakeOpenIdProvider) -> None:
    provider = provider_of(fake)
    first, second = [asyncio.create_task(provider.depart(state="state", callback_url=CALLBACK_URL)) for _ in range(2)]
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).url.startswith(fake.issuer)
    assert first.cancelled()
    assert fake.traffic.asked[DISCOVERY] == 1


async def test_another_state_is_refused(fake: FakeOpenIdProvider, caplog: pytest.LogCaptureFixture) -> None:
    provider = provider_of(fake)
    for state in ("", "another", "\ud800"):
        journey = await Journey.begin(provider)
        journey.parameters["state"] = state
        assert await refusal(fake, journey, caplog) == "the state is not the one of the departure"
    journey = await Journey.begin(provider)
    del journey.parameters["state"]
    assert await refusal(fake, journey, caplog) == "the state is not the one of the departure"
    assert fake.traffic.asked[TOKEN] == 0


async def test_an_empty_state_is_never_the_right_one(
    fake: FakeOpenIdProvider, caplog: pytest.LogCaptureFixture
) -> None:
    journey = await Journey.begin(provider_of(fake))
    journey.state = journey.parameters["state"] = ""
    assert await refusal(fake, journey, caplog) == "the state is not the one of the departure"


@pytest.mark.parametrize(
    ("issuer", "reason"),
    [("https://other.example.com", "the answer is of another issuer"), ("", "the answer does not say its issuer")],
)
async def test_an_answer_of_another_issuer_is_refused_before_its_code_goes_anywhere(
    fake: FakeOpenIdProvider, caplog: pytest.LogCaptureFixture, issuer: str, reason: str
) -> None:
    fake.issuer_parameter = issuer
    assert await refusal(fake, await Journey.begin(provider_of(fake)), caplog) == reason
    assert fake.traffic.asked[TOKEN] == 0


async def test_a_provider_that_promises_no_issuer_need_not_send_it(fake: FakeOpenIdProvider) -> None:
    fake.issuer_parameter, fake.metadata = "", {"authorization_response_iss_parameter_supported": None}
    assert (await (await Journey.begin(provider_of(fake))).end()).subject == "248289761001"


async def test_the_click_on_cancel_is_told_apart(fake: FakeOpenIdProvider, caplog: pytest.LogCaptureFixture) -> None:
    fake.denies_with = "access_denied"
    assert await refusal(fake, await Journey.begin(provider_of(fake)), caplog) == CANCELLED


async def test_an_error_is_refused_without_its_words(
    fake: FakeOpenIdProvider, caplog: pytest.LogCaptureFixture
) -> None:
    fake.denies_with = "<script>somebody's words"
    journey = await Journey.begin(provider_of(fake))
    reason = await refusal(fake, journey, caplog)
    assert reason == "the provider sent the browser back with an error"


async def test_a_provider_in_trouble_is_away(fake: FakeOpenIdProvider, caplog: pytest.LogCaptureFixture) -> None:
    fake.denies_with = "temporarily_unavailable"
    journey = await Journey.begin(provider_of(fake))
    await failure_of(journey.end(), ProviderAway, hidden=journey.secrets, caplog=caplog)


@pytest.mark.parametrize("code", ["", "a\nb", "ä", "x" * 5000])
async def test_what_is_no_code_is_refused(
    fake: FakeOpenIdProvider, caplog: pytest.LogCaptureFixture, code: str
) -> None:
    journey = await Journey.begin(provider_of(fake))
    journey.parameters["code"] = code
    assert await refusal(fake, journey, caplog) == "there is no code among the parameters"
    assert fake.traffic.asked[TOKEN] == 0


async def test_a_code_holds_once(fake: FakeOpenIdProvider, caplog: pytest.LogCaptureFixture) -> None:
    journey = await Journey.begin(provider_of(fake))
    await journey.end()
    assert await refusal(fake, journey, caplog) == "the provider does not accept the code"


async def test_an_expired_code_is_refused(fake: FakeOpenIdProvider, caplog: pytest.LogCaptureFixture) -> None:
    journey = await Journey.begin(provider_of(fake))
    fake.grant.has_expired = True
    assert await refusal(fake, journey, caplog) == "the provider does not accept the code"


async def test_a_code_of_another_departure_is_refused(
    fake: FakeOpenIdProvider, caplog: pytest.LogCaptureFixture
) -> None:
    provider = provider_of(fake)
    ours, theirs = await Journey.begin(provider), await Journey.begin(provider)
    # Injected into our browser: the state is ours, the verifier is ours, the code is somebody else's.
    ours.parameters["code"] = theirs.parameters["code"]
    assert await refusal(fake, ours, caplog) == "the provider does not accept the code"


async def test_another_callback_address_is_refused(fake: FakeOpenIdProvider, caplog: pytest.LogCaptureFixture) -> None:
    journey = await Journey.begin(provider_of(fake))
    journey.callback_url = "https://elsewhere.example.com/callback"
    assert await refusal(fake, journey, caplog) == "the provider does not accept the code"


async def test_a_client_that_the_provider_does_not_know_is_said_to_the_operator(
    fake: FakeOpenIdProvider, caplog: pytest.LogCaptureFixture
) -> None:
    journey = await Journey.begin(provider_of(fake))
    fake.client_secret = "changed-at-the-provider"
    failure = await failure_of(journey.end(), ProviderAway, hidden=journey.secrets, caplog=caplog)
    assert failure.reason == "the token endpoint refuses our request with 401; check the client's settings"


@pytest.mark.parametrize(
    ("verified", "is_verified"),
    [
        (True, True),
        ("true", True),
        (False, False),
        (None, False),
        ("True", False),
        (1, False),
        ("yes", False),
        ([], False),
    ],
)
async def test_an_address_is_verified_where_the_provider_says_so_in_so_many_words(
    fake: FakeOpenIdProvider, verified: object, is_verified: bool
) -> None:
    fake.person["email_verified"] = verified
    proven = await (await Journey.begin(provider_of(fake))).end()
    assert (proven.email, proven.is_email_verified) == ("ada@example.com", is_verified)


@pytest.mark.parametrize("email", ["not an address", "ada@localhost", "ada@example.com\n", 7])
async def test_what_is_no_address_is_left_out(fake: FakeOpenIdProvider, email: object) -> None:
    fake.person["email"], fake.traffic.faults[USERINFO] = email, Fault.SERVER_ERROR
    if not isinstance(email, str):
        fake.traffic.faults.clear()
        fake.userinfo = {"email": email}
    proven = await (await Journey.begin(provider_of(fake))).end()
    assert (proven.email, proven.is_email_verified) == (None, False)


async def test_what_cannot_be_shown_is_left_out_or_cleaned(fake: FakeOpenIdProvider) -> None:
    fake.person |= {"name": " Ada\n\x00 \u202eLovelace ", "picture": "javascript:alert(1)"}
    proven = await (await Journey.begin(provider_of(fake))).end()
    assert (proven.display_name, proven.avatar_url) == ("Ada Lovelace", None)


async def test_userinfo_is_asked_for_an_address_that_the_token_lacks(fake: FakeOpenIdProvider) -> None:
    fake.claims = {"email": None, "email_verified": None}
    proven = await (await Journey.begin(provider_of(fake))).end()
    assert (proven.email, proven.is_email_verified, fake.traffic.asked[USERINFO]) == ("ada@example.com", True, 1)


async def test_userinfo_of_another_subject_is_refused(
    fake: FakeOpenIdProvider, caplog: pytest.LogCaptureFixture
) -> None:
    fake.claims, fake.userinfo = {"email": None}, {"sub": "another"}
    reason = await refusal(fake, await Journey.begin(provider_of(fake)), caplog)
    assert reason == "the userinfo endpoint speaks of another subject"


async def test_a_discovery_document_of_another_issuer_is_not_used(
    fake: FakeOpenIdProvider, caplog: pytest.LogCaptureFixture
) -> None:
    fake.metadata = {"issuer": "https://accounts.example.net"}
    departing = provider_of(fake).depart(state="state", callback_url=CALLBACK_URL)
    failure = await failure_of(departing, ProviderAway, hidden=fake.secrets, caplog=caplog)
    assert failure.reason == "the discovery document is of another issuer"


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"])
@pytest.mark.parametrize("url", ["http://accounts.example.net/x", "ftp://127.0.0.1/x", "javascript:alert(1)", "", 7])
async def test_an_address_that_is_not_https_is_not_used(
    fake: FakeOpenIdProvider, caplog: pytest.LogCaptureFixture, name: str, url: object
) -> None:
    fake.metadata = {name: url}
    departing = provider_of(fake).depart(state="state", callback_url=CALLBACK_URL)
    failure = await failure_of(departing, ProviderAway, hidden=fake.secrets, caplog=caplog)
    assert failure.reason == "the discovery document is not understood"


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri"])
async def test_an_address_that_is_missing_is_not_made_up(
    fake: FakeOpenIdProvider, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    fake.metadata = {name: None}
    departing = provider_of(fake).depart(state="state", callback_url=CALLBACK_URL)
    failure = await failure_of(departing, ProviderAway, hidden=fake.secrets, caplog=caplog)
    assert failure.reason == "the discovery document is not understood"


async def test_a_key_that_is_too_short_is_not_used(fake: FakeOpenIdProvider, caplog: pytest.LogCaptureFixture) -> None:
    fake.key_name, fake.published_keys = SHORT_KEY, ("first", SHORT_KEY)
    journey = await Journey.begin(provider_of(fake))
    # The library warns of it, too.
    with pytest.warns(SecurityWarning, match="2048 bits"):
        assert await refusal(fake, journey, caplog) == "the signature of the ID token does not hold"


async def test_a_key_set_without_a_key_for_us_is_not_used(
    fake: FakeOpenIdProvider, caplog: pytest.LogCaptureFixture
) -> None:
    fake.published_keys = ()
    journey = await Journey.begin(provider_of(fake))
    failure = await failure_of(journey.end(), ProviderAway, hidden=journey.secrets, caplog=caplog)
    assert failure.reason == "the key set has no key that can verify"


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("path", [DISCOVERY, TOKEN, JWKS, USERINFO])
async def test_a_provider_that_misbehaves_is_away(
    fake: FakeOpenIdProvider, caplog: pytest.LogCaptureFixture, path: str, fault: Fault
) -> None:
    fake.claims = {"email": None}
    journey = await Journey.begin(provider_of(fake))
    fake.traffic.faults[path] = fault
    # One that has read nothing yet. A trickle outlives the patience with a whole call, not that with each piece.
    journey.provider = OpenIdConnect(fake.settings, calls=ProviderCalls(total_seconds=patience_with(fault)))
    failure = await failure_of(journey.end(), ProviderAway, hidden=journey.secrets, caplog=caplog)
    assert not [secret for secret in fake.secrets if secret in failure.reason or secret in caplog.text]
    assert re.search(REASONS[fault], failure.reason)
    assert fake.traffic.asked["/elsewhere"] == 0
    fake.traffic.faults.clear()
    assert (await (await Journey.begin(provider_of(fake))).end()).subject == "248289761001"


@pytest.mark.parametrize(
    "answer", [{"token_type": "mac"}, {"access_token": None}, {"access_token": "a\r\nb"}, {"id_token": None}]
)
async def test_a_token_answer_that_lacks_a_part_is_not_understood(
    fake: FakeOpenIdProvider, caplog: pytest.LogCaptureFixture, answer: dict[str, object]
) -> None:
    fake.token_answer = answer
    journey = await Journey.begin(provider_of(fake))
    failure = await failure_of(journey.end(), ProviderAway, hidden=journey.secrets, caplog=caplog)
    assert failure.reason.startswith("the token endpoint gave no ")


async def test_a_provider_that_is_down_is_away(caplog: pytest.LogCaptureFixture) -> None:
    with running_openid_provider() as fake:
        journey = await Journey.begin(provider_of(fake))
    failure = await failure_of(journey.end(), ProviderAway, hidden=[*journey.secrets, *fake.secrets], caplog=caplog)
    assert failure.reason == "the token endpoint cannot be reached"


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate for loopback that signs itself, and its key."""

    certificate: Path
    key: Path


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    private_key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = utc_now()
    signed = (
        x509.CertificateBuilder(name, name, private_key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(private_key, hashes.SHA256())
    )
    made = Certificate(tmp_path / "certificate.pem", tmp_path / "key.pem")
    made.certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    made.key.write_bytes(
        private_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return made


@pytest.fixture
def secured(certificate: Certificate) -> Iterator[FakeOpenIdProvider]:
    """A provider over TLS."""
    listener = free_listener()
    fake = FakeOpenIdProvider(url_of(listener, scheme="https"))
    app = fake.traffic.watching(fake.app)
    with serving(app, listener, certificate=certificate.certificate, key=certificate.key):
        yield fake


async def test_a_certificate_that_nobody_vouches_for_is_not_trusted(
    secured: FakeOpenIdProvider, caplog: pytest.LogCaptureFixture
) -> None:
    departing = provider_of(secured).depart(state="state", callback_url=CALLBACK_URL)
    failure = await failure_of(departing, ProviderAway, hidden=secured.secrets, caplog=caplog)
    assert failure.reason == "the discovery document cannot be reached"
    assert secured.traffic.asked[DISCOVERY] == 0


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"])
async def test_a_provider_elsewhere_cannot_send_us_to_this_machine(
    secured: FakeOpenIdProvider, certificate: Certificate, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    trusting = ssl.create_default_context(cafile=certificate.certificate)
    calls = ProviderCalls(tls_context=trusting)
    provider = OpenIdConnect(secured.settings, calls=calls)
    secured.metadata = {name: "http://127.0.0.1:1/x"}
    departing = provider.depart(state="state", callback_url=CALLBACK_URL)
    failure = await failure_of(departing, ProviderAway, hidden=secured.secrets, caplog=caplog)
    assert failure.reason == "the discovery document names an address that is not https"
    secured.metadata = {}
    assert (await provider.depart(state="state", callback_url=CALLBACK_URL)).url.startswith(secured.issuer)


def test_the_secret_stands_in_no_repr(fake: FakeOpenIdProvider) -> None:
    assert fake.client_secret is not None
    settings: OpenIdConnectSettings = fake.settings
    provider = provider_of(fake)
    assert fake.client_secret not in repr((settings, provider, provider._client))
