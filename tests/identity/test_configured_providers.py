"""The setting that names the identity providers: what it makes, what it refuses, and that it shows no secret."""

import json

import pytest
from pydantic import ValidationError

from app.core.errors import BadUserInput
from app.core.secure_urls import is_secure_url
from app.core.settings import Settings, current_settings
from app.identity.identity_providers.configured import identity_providers_of
from app.identity.identity_providers.github import Github
from app.identity.identity_providers.openid_connect import OpenIdConnect
from app.identity.identity_providers.steam import Steam

SECRET = "GOCSPX-a-secret-of-a-client"
GOOGLE = {
    "code": "google",
    "kind": "openid_connect",
    "name": "Google",
    "issuer": "https://accounts.google.com",
    "client_id": "1234.apps.googleusercontent.com",
    "client_secret": SECRET,
}
GITHUB = {"code": "github", "kind": "github", "client_id": "Iv1.01", "client_secret": SECRET}
STEAM = {"code": "steam", "kind": "steam"}


def read(text: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of a process that has this in its environment."""
    monkeypatch.setenv("TROVE_IDENTITY_PROVIDERS", text)
    return current_settings.__wrapped__()


def refusal(entries: object, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a process with these entries says; neither that nor the error itself shows the secret."""
    text = json.dumps(entries)
    with pytest.raises(BadUserInput) as caught:
        read(text, monkeypatch)
    with pytest.raises(ValidationError) as unwrapped:
        Settings()
    assert SECRET not in f"{caught.value!r} {caught.value.__cause__!r} {unwrapped.value} {unwrapped.value!r}"
    return caught.value.message


def test_each_entry_makes_a_provider_of_its_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read(json.dumps([GOOGLE, GITHUB, STEAM]), monkeypatch)
    providers = identity_providers_of(settings)
    assert [(code, type(provider), provider.code, provider.name) for code, provider in providers.items()] == [
        ("google", OpenIdConnect, "google", "Google"),
        ("github", Github, "github", "GitHub"),
        ("steam", Steam, "steam", "Steam"),
    ]
    assert SECRET not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()} {providers!r}"


def test_without_the_setting_there_is_no_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TROVE_IDENTITY_PROVIDERS", raising=False)
    assert identity_providers_of(Settings()) == {}


def test_an_enterprise_server_has_addresses_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = {"url": "https://github.example.com", "api_url": "https://github.example.com/api/v3"}
    settings = read(json.dumps([GITHUB | addresses]), monkeypatch)
    assert isinstance(identity_providers_of(settings)["github"], Github)


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ([GOOGLE | {"code": "Google"}], "entry 1: code is a slug: small letters, digits, and single - or _ between"),
        ([GOOGLE | {"code": "google\n"}], "entry 1: code is a slug"),
        ([GOOGLE | {"code": 7}], "entry 1: code is a text"),
        ([STEAM | {"code": "password"}], "entry 1: code password is a way in of Trove's own"),
        ([STEAM | {"code": "magic-link"}], "entry 1: code magic-link is a way in of Trove's own"),
        ([STEAM | {"code": "sign-up"}], "entry 1: code sign-up is a way in of Trove's own"),
        ([STEAM | {"code": "email"}], "entry 1: code email is a way in of Trove's own"),
        ([STEAM | {"code": "magic_link"}], "entry 1: code magic_link is a way in of Trove's own"),
        ([STEAM, GITHUB, STEAM], "two entries have the code steam"),
        ([STEAM | {"kind": "saml"}], "entry 1: kind is one of openid_connect, github, steam"),
        ([{"code": "steam"}], "entry 1: kind is missing: openid_connect, github or steam"),
        ([STEAM | {"client_secret": SECRET}], "entry 1: client_secret is not known"),
        ([STEAM, "steam"], "entry 2: is an object"),
        ({"code": "steam"}, "is a JSON list of objects, such as"),
        ([{key: value for key, value in GOOGLE.items() if key != "name"}], "entry 1: name is missing"),
        ([GITHUB | {"client_secret": ""}], "entry 1: client_secret is printable ASCII without spaces around it"),
        ([GITHUB | {"client_secret": f"{SECRET}\n"}], "entry 1: client_secret is printable ASCII without spaces"),
        ([GITHUB | {"client_secret": [SECRET]}], "entry 1: client_secret is a text"),
        ([GITHUB | {"client_id": "a b"}], "entry 1: client_id is printable ASCII without spaces"),
        ([GOOGLE | {"issuer": "http://accounts.google.com"}], "entry 1: issuer begins with https://"),
        ([GOOGLE | {"issuer": "https://accounts.google.com/?a=b"}], "entry 1: issuer begins with https://"),
        ([GITHUB | {"api_url": "http://api.github.com"}], "entry 1: api_url begins with https://"),
        ([GOOGLE | {"scopes": ["email"]}], "the scopes of google lack openid"),
        ([GOOGLE | {"scopes": ["openid email"]}], "entry 1: scopes are words of printable ASCII"),
        ([GOOGLE | {"scopes": "openid"}], "entry 1: scopes is a list of texts"),
    ],
)
def test_what_is_wrong_with_an_entry_is_said(entries: object, sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sentence in refusal(entries, monkeypatch)


def test_all_that_is_wrong_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    said = refusal([GOOGLE | {"code": "G"}, GITHUB | {"client_id": ""}, STEAM | {"x": 1}], monkeypatch)
    assert [f"entry {number}: " in said for number in (1, 2, 3)] == [True, True, True]
    assert said.startswith("The settings are not right. TROVE_IDENTITY_PROVIDERS: ")


def test_a_text_that_is_no_json_is_refused_without_being_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadUserInput, match=r'"identity_providers".*lists are JSON') as caught:
        read(f'[{{"client_secret": "{SECRET}"', monkeypatch)
    assert SECRET not in f"{caught.value!r} {caught.value.__cause__!r}"


@pytest.mark.parametrize(
    ("url", "is_secure"),
    [
        ("https://accounts.google.com", True),
        ("https://accounts.google.com:8443/x?y=z", True),
        ("http://127.0.0.1:8080/x", True),
        ("http://[::1]/x", True),
        ("http://localhost/x", True),
        ("http://accounts.google.com", False),
        ("http://localhost.example.com", False),
        ("http://127.0.0.1.example.com", False),
        ("http://0.0.0.0", False),
        ("https://user:password@example.com", False),
        ("https://user@example.com", False),
        ("https://example.com/#fragment", False),
        ("https://example.com:port", False),
        ("https://exa mple.com", False),
        ("https://example.com\\@evil.example", False),
        ("https://example.com/\n", False),
        ("https://exämple.com", False),
        ("https://[::1", False),
        ("https://", False),
        ("//example.com", False),
        ("javascript:alert(1)", False),
        ("", False),
    ],
)
def test_secrets_go_over_tls_or_stay_on_this_machine(url: str, is_secure: bool) -> None:
    assert is_secure_url(url) is is_secure
