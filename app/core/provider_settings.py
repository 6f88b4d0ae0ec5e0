"""The settings of identity providers: one shape for each kind, and sentences for what is wrong with an entry."""

from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import ErrorDetails

from app.core.secure_urls import is_secure_url

# Ways in of Trove's own, and what stands in its addresses where the code of a provider does.
RESERVED_CODES = frozenset({"password", "magic-link", "magic_link", "sign-up", "email"})
SLUG = r"^[a-z0-9]+(?:[-_][a-z0-9]+)*\z"


def _secure(url: str) -> str:
    if not is_secure_url(url) or "?" in url:
        raise ValueError("begins with https:// (http:// only on this machine), and has no query and no fragment")
    return url


def _not_reserved(code: str) -> str:
    if code in RESERVED_CODES:
        raise ValueError(f"{code} is a way in of Trove's own; choose another")
    return code


def _not_blank(secret: SecretStr) -> SecretStr:
    value = secret.get_secret_value()
    if not value or not value.isascii() or not value.isprintable() or value != value.strip():
        raise ValueError("is printable ASCII without spaces around it, as the provider showed it")
    return secret


SecureUrl = Annotated[str, AfterValidator(_secure)]
Code = Annotated[str, StringConstraints(pattern=SLUG, max_length=32), AfterValidator(_not_reserved)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=60)]
ClientId = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]+\z", max_length=512)]
ClientSecret = Annotated[SecretStr, AfterValidator(_not_blank)]
ScopeName = Annotated[str, StringConstraints(pattern=r"^[\x21\x23-\x5b\x5d-\x7e]+\z", max_length=128)]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    code: Code


class OpenIdConnectSettings(_Entry):
    """A provider of OpenID Connect, found by its issuer; without a secret, Trove is its public client."""

    kind: Literal["openid_connect"]
    name: Name
    issuer: SecureUrl
    client_id: ClientId
    client_secret: ClientSecret | None = None
    scopes: tuple[ScopeName, ...] = ("openid", "email", "profile")


class GithubSettings(_Entry):
    """GitHub, or a GitHub Enterprise Server: there `url` is its address, and `api_url` that with `/api/v3`."""

    kind: Literal["github"]
    name: Name = "GitHub"
    client_id: ClientId
    client_secret: ClientSecret
    url: SecureUrl = "https://github.com"
    api_url: SecureUrl = "https://api.github.com"


class SteamSettings(_Entry):
    """Steam, which needs no registration."""

    kind: Literal["steam"]
    name: Name = "Steam"


ProviderSettings = Annotated[
    OpenIdConnectSettings | GithubSettings | SteamSettings,
    Field(discriminator="kind"),
]
_ENTRY: TypeAdapter[OpenIdConnectSettings | GithubSettings | SteamSettings] = TypeAdapter(ProviderSettings)
_KINDS = frozenset({"openid_connect", "github", "steam"})
# What the library says of these speaks of its own types.
_SENTENCES = {
    "missing": "is missing",
    "extra_forbidden": "is not known",
    "string_type": "is a text",
    "secret_type": "is a text",
    "tuple_type": "is a list of texts",
    "union_tag_not_found": "kind is missing: openid_connect, github or steam",
    "union_tag_invalid": "kind is one of openid_connect, github, steam",
    "model_attributes_type": "is an object",
    "model_type": "is an object",
    "dict_type": "is an object",
}
_PATTERN_SENTENCES = {
    "code": "is a slug: small letters, digits, and single - or _ between them",
    "client_id": "is printable ASCII without spaces",
    "scopes": "are words of printable ASCII, one scope in each",
}


def read_provider_settings(entries: object) -> tuple[ProviderSettings, ...]:
    """The entries of a list, checked; raises ValueError that names each entry and what is wrong, and no value of it."""
    if not isinstance(entries, list | tuple):
        raise ValueError('is a JSON list of objects, such as [{"code": "steam", "kind": "steam"}]')  # noqa: TRY004 - pydantic takes ValueError only
    wrong: list[str] = []
    providers: list[ProviderSettings] = []
    for number, entry in enumerate(entries, start=1):
        try:
            providers.append(_ENTRY.validate_python(entry))
        except ValidationError as error:
            wrong += [f"entry {number}: {_sentence(problem)}" for problem in error.errors(include_input=False)]
    codes = [provider.code for provider in providers]
    wrong += [f"two entries have the code {code}" for code in sorted({code for code in codes if codes.count(code) > 1})]
    wrong += [
        f"the scopes of {provider.code} lack openid"
        for provider in providers
        if isinstance(provider, OpenIdConnectSettings) and "openid" not in provider.scopes
    ]
    if wrong:
        raise ValueError("; ".join(wrong))
    return tuple(providers)


def _sentence(problem: ErrorDetails) -> str:
    # The first part of a location is the kind that was chosen.
    path = [str(part) for part in problem["loc"] if part not in _KINDS]
    field = path[0] if path else ""
    if problem["type"] == "string_pattern_mismatch":
        said = _PATTERN_SENTENCES[field]
    else:
        said = _SENTENCES.get(problem["type"], problem["msg"].removeprefix("Value error, "))
    return f"{field} {said}".strip()
