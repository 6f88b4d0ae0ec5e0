"""The identity providers that the settings name."""

from collections.abc import Mapping

from app.core.provider_settings import GithubSettings, OpenIdConnectSettings, ProviderSettings
from app.core.settings import Settings
from app.identity.identity_providers import IdentityProvider
from app.identity.identity_providers.calls import ProviderCalls
from app.identity.identity_providers.github import Github
from app.identity.identity_providers.openid_connect import OpenIdConnect
from app.identity.identity_providers.steam import Steam


def identity_providers_of(settings: Settings, *, calls: ProviderCalls | None = None) -> Mapping[str, IdentityProvider]:
    """The providers by their codes, in the order of the settings; made once, since they keep what they have read."""
    return {entry.code: _provider_of(entry, calls or ProviderCalls()) for entry in settings.identity_providers}


def _provider_of(entry: ProviderSettings, calls: ProviderCalls) -> IdentityProvider:
    if isinstance(entry, OpenIdConnectSettings):
        return OpenIdConnect(entry, calls=calls)
    if isinstance(entry, GithubSettings):
        return Github(entry, calls=calls)
    return Steam(entry, calls=calls)
