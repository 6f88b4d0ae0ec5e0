"""Settings: read from the environment, documented in the README by a table made from this class."""

import json
import re
from collections.abc import Mapping
from functools import cache
from ipaddress import ip_network
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from app.core.errors import BadUserInput
from app.core.mail_server import MailServer, parse_sender
from app.core.provider_settings import ClientSecret, ProviderSettings, read_provider_settings
from app.core.secure_urls import is_secure_url
from app.core.storage_options import read_storage_options

STORES = ("file", "s3", "gs", "az")
# Of Apprise's, those whose addresses name no host: what is sent to them goes to the service itself.
NOTIFICATION_SERVICES = (
    "bulksms",
    "clicksend",
    "discord",
    "gchat",
    "ifttt",
    "join",
    "line",
    "ntfy",
    "ntfys",
    "opsgenie",
    "pagerduty",
    "pbul",
    "pover",
    "prowl",
    "seven",
    "signl4",
    "slack",
    "tgram",
    "threema",
    "twilio",
    "vonage",
    "wxteams",
)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]{0,31}", re.ASCII)
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?", re.ASCII)


class Settings(BaseSettings):
    """Everything that can be set from outside."""

    model_config = SettingsConfigDict(env_prefix="TROVE_", extra="ignore", frozen=True, hide_input_in_errors=True)

    database_url: str | None = Field(
        default=None,
        validation_alias="DATABASE_URL",
        description="PostgreSQL, as `postgresql://user:password@host:port/name`. Migrations run as this user; "
        "without it, Trove starts a private PostgreSQL under `.trove/`.",
    )
    api_database_url: str | None = Field(
        default=None,
        description="The same database as a login of the role `trove_api`; default: `DATABASE_URL`, acting as it.",
    )
    worker_database_url: str | None = Field(
        default=None,
        description="The same database as a login of the role `trove_worker`; default: `DATABASE_URL`, acting as it.",
    )
    redis_url: str | None = Field(
        default=None,
        validation_alias="REDIS_URL",
        description="Redis, as `redis://host:port/0` or `unix:///path`; without it, Trove starts a private one.",
    )
    directory: Path | None = Field(
        default=None,
        description="Where the private PostgreSQL and Redis keep their files; `.trove` in the checkout by default.",
    )
    environment: Literal["development", "production"] = Field(
        default="production",
        description="`development` serves GraphiQL, introspection and readable logs.",
    )
    host: str = Field(default="127.0.0.1", description="Address the API listens on.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port the API listens on; 0 takes a free one.")
    public_url: str | None = Field(
        default=None,
        description="The address by which browsers reach the API, as `https://api.example`: of links in mails, of "
        "redirects, of cookies and passkeys. In development it is this server's own.",
    )
    demo_token: SecretStr | None = Field(
        default=None,
        description="In development: an API token that GraphiQL's examples are sent with. `trove up` makes one.",
    )
    secret_keys: SecretStr | None = Field(
        default=None,
        description="The keys of what is kept encrypted, as the JSON that `trove keys create` prints.",
    )
    secret_keys_file: Path | None = Field(
        default=None,
        description="The same in a file, as `trove keys create --file` makes it; at most one of the two.",
    )
    allowed_origins: tuple[str, ...] = Field(
        default=(),
        description='Origins of browsers that may call the API and open sockets, as a JSON list: `["https://app.example"]`.',
    )
    trusted_proxies: tuple[str, ...] = Field(
        default=(),
        description='Addresses or networks of the proxies in front of the API, as a JSON list: `["10.0.0.0/8"]`. Of '
        "these alone `X-Forwarded-For` and `X-Forwarded-Proto` are believed.",
    )
    identity_providers: tuple[ProviderSettings, ...] = Field(
        default=(),
        description="Secret. Whom people may sign in with, as a JSON list: see `docs/identity-providers.md`.",
    )
    provider_keys: Mapping[str, ClientSecret] = Field(
        default={},
        description="Secret. Your own keys for outside services, as JSON by the codes of providers: "
        '`{"csfloat": "…"}`. CSFloat answers nobody without one; others then allow more.',
    )
    tracker_gateway_is_private: bool = Field(
        default=False,
        description="Whether `TROVE_TRACKER_GATEWAY_URL` may lead into your own network, and begin with `http://`.",
    )
    tracker_gateway_url: str | None = Field(
        default=None,
        description="A gateway of the shape of macless-haystack that a worker asks for reports of trackers, as "
        "`https://gateway.example`; without it none is asked. See `docs/running-in-production.md`.",
    )
    tracker_gateway_login: SecretStr | None = Field(
        default=None, description="Secret. What the gateway knows Trove by, as `user:password`; none by default."
    )
    tracker_gateway_minutes: int = Field(
        default=30,
        ge=5,
        le=1_440,
        description="How often the gateway is asked for a tracker, in minutes. For one that nobody has reported for "
        "two weeks it is twelve times as long, a day at most.",
    )
    asks_outside: bool | None = Field(
        default=None,
        description="Whether a worker asks outside services by itself, such as the bank for exchange rates; "
        "default: not in development. What staff start or enable runs in any case.",
    )
    database_pool_size: int = Field(
        default=20, ge=1, le=500, description="Connections to PostgreSQL per process, and so operations in flight."
    )
    operation_timeout_seconds: float = Field(
        default=10.0, gt=0, le=300, description="Deadline of one operation, in seconds."
    )
    reads: Literal["compiled", "resolvers"] = Field(
        default="compiled",
        description="`resolvers` reads everything by plain resolvers: to compare, or should compiled reads misbehave.",
    )
    breached_passwords_url: str | None = Field(
        default=None,
        description="A list of stolen passwords that speaks the range protocol, such as "
        "`https://api.pwnedpasswords.com/range`; by default none is asked.",
    )
    points_kept_days: int | None = Field(
        default=None,
        ge=90,
        le=36_600,
        description="How long single prices are kept, in days, by whole months; none keeps them forever. The candles "
        "made of them stay. Not less than 90: valuations rest on the sales of so many days.",
    )
    minute_candles_kept_days: int | None = Field(
        default=90,
        ge=2,
        le=36_600,
        description="How long candles of a minute are kept, in days, unless a source gave them.",
    )
    hour_candles_kept_days: int | None = Field(
        default=1_827,
        ge=31,
        le=36_600,
        description="How long candles of an hour are kept, in days, unless a source gave them. Those of a day are "
        "kept forever.",
    )
    worker_metrics_port: int | None = Field(
        default=None, ge=1, le=65535, description="Port on which a worker serves Prometheus metrics; none by default."
    )
    smtp_url: SecretStr | None = Field(
        default=None,
        description="Mail server, as `smtp+starttls://user:password@host:587` or `smtps://user:password@host:465`; "
        "`smtp://` encrypts only when the server offers it. Without it no mail is sent; in development it is laid into "
        "`.trove/mail`.",
    )
    mail_from: str | None = Field(
        default=None,
        validate_default=True,
        description="Sender of mail, as `Trove <no-reply@example.com>`; needed with `TROVE_SMTP_URL`.",
    )
    notification_services: tuple[str, ...] = Field(
        default=NOTIFICATION_SERVICES,
        description="The services by which people may be told beside mail, browsers and webhooks, by the schemes of "
        "their addresses, as a JSON list; see `docs/webhooks-and-push.md`.",
    )
    notification_hosts: tuple[str, ...] = Field(
        default=(),
        description="The hosts that addresses of such services may name, where a service has no host of its own, as a "
        'JSON list: `["ntfy.example", "gotify.example:8443"]`. Nothing keeps these from being private.',
    )
    storage_url: str | None = Field(
        default=None,
        description="Where photos are kept: `file:///var/lib/trove/photos`, `s3://bucket/prefix`, `gs://bucket/prefix` "
        "or `az://container/prefix`; without it, a folder under `.trove/`.",
    )
    storage_options: SecretStr | None = Field(
        default=None,
        description='Secret. What the store needs beside its address, as a JSON object: `{"region": "…", '
        '"access_key_id": "…", "secret_access_key": "…"}`; see `docs/running-in-production.md`.',
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", description="Least level logged.")

    @field_validator("database_url", "api_database_url", "worker_database_url")
    @classmethod
    def _use_asyncpg(cls, url: str | None) -> str | None:
        if url is None:
            return None
        scheme, separator, rest = url.partition("://")
        if not separator or scheme not in {"postgres", "postgresql", "postgresql+asyncpg"}:
            raise ValueError("must begin with postgresql://, for example postgresql://user:password@localhost/trove")
        return f"postgresql+asyncpg://{rest}"

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must begin with redis://, rediss:// or unix://, for example redis://localhost:6379/0")
        return url

    @field_validator("public_url")
    @classmethod
    def _is_origin(cls, url: str | None) -> str | None:
        if url is None:
            return None
        if not is_secure_url(url) or urlsplit(url).path not in {"", "/"} or "?" in url:
            raise ValueError("must be https:// and a host alone, for example https://api.example")
        return url.rstrip("/")

    @field_validator("storage_url")
    @classmethod
    def _is_store(cls, url: str | None) -> str | None:
        if url is not None and urlsplit(url).scheme not in STORES:
            raise ValueError(
                f"must begin with {', '.join(f'{store}://' for store in STORES)}, for example s3://bucket/photos"
            )
        if url is not None and url.startswith("file://") and not url.startswith("file:///"):
            raise ValueError("must name a folder from the root on, for example file:///var/lib/trove/photos")
        if url is not None and "@" in urlsplit(url).netloc:
            raise ValueError("must not hold a secret; what the store needs beside its address is TROVE_STORAGE_OPTIONS")
        return url

    @field_validator("storage_options")
    @classmethod
    def _are_options(cls, options: SecretStr | None) -> SecretStr | None:
        if options is not None:
            read_storage_options(options)
        return options

    @field_validator("notification_services")
    @classmethod
    def _are_schemes(cls, schemes: tuple[str, ...]) -> tuple[str, ...]:
        if not all(_SCHEME.fullmatch(scheme) for scheme in schemes):
            raise ValueError('must hold schemes in small letters, for example ["discord", "ntfys"]')
        return schemes

    @field_validator("notification_hosts")
    @classmethod
    def _are_hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        if not all(_HOST.fullmatch(host) for host in hosts):
            raise ValueError('must hold hosts in small letters, maybe with a port, for example ["ntfy.example:8443"]')
        return hosts

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        for proxy in proxies:
            try:
                ip_network(proxy)
            except ValueError:
                raise ValueError(
                    'must hold addresses or networks without host bits, for example ["127.0.0.1", "10.0.0.0/8"]'
                ) from None
        return proxies

    @field_validator("smtp_url")
    @classmethod
    def _is_mail_server(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            MailServer.parse(url.get_secret_value())
        return url

    @field_validator("mail_from")
    @classmethod
    def _is_sender(cls, sender: str | None, info: ValidationInfo) -> str | None:
        if sender is not None:
            parse_sender(sender)
        elif info.data.get("smtp_url") is not None:
            raise ValueError("must be set with TROVE_SMTP_URL, for example Trove <no-reply@example.com>")
        return sender

    @field_validator("identity_providers", mode="before")
    @classmethod
    def _read_providers(cls, entries: object) -> tuple[ProviderSettings, ...]:
        return read_provider_settings(entries)

    @field_validator("tracker_gateway_url")
    @classmethod
    def _is_gateway(cls, url: str | None, others: ValidationInfo) -> str | None:
        if url is None:
            return None
        is_private = others.data.get("tracker_gateway_is_private") is True
        as_secure = url.replace("http://", "https://", 1) if is_private else url
        if not as_secure.startswith("https://") or not is_secure_url(as_secure) or "?" in url:
            raise ValueError(
                "must begin with https:// and have no password, query or fragment; http:// only with "
                "TROVE_TRACKER_GATEWAY_IS_PRIVATE. The password goes into TROVE_TRACKER_GATEWAY_LOGIN"
            )
        return url

    @field_validator("tracker_gateway_login")
    @classmethod
    def _is_login(cls, login: SecretStr | None) -> SecretStr | None:
        if login is not None:
            user, separator, _ = login.get_secret_value().partition(":")
            if not user or not separator or not login.get_secret_value().isprintable():
                raise ValueError("must be user:password on one line")
        return login

    @field_validator("secret_keys_file")
    @classmethod
    def _is_the_only_ring(cls, file: Path | None, others: ValidationInfo) -> Path | None:
        if file is not None and others.data.get("secret_keys") is not None:
            raise ValueError("TROVE_SECRET_KEYS is set too; keep one of the two, so that it is clear which keys hold")
        return file

    @property
    def has_secure_cookies(self) -> bool:
        """Whether browsers come by HTTPS, and so keep cookies for it alone."""
        return self.public_url.startswith("https://") if self.public_url else not self.is_development

    @field_validator("breached_passwords_url")
    @classmethod
    def _is_http(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("https://", "http://")):
            raise ValueError("must begin with https:// or http://")
        return url

    @property
    def asks_outside_by_itself(self) -> bool:
        """Whether jobs that ask outside services run at their times without somebody of the staff enabling them."""
        return not self.is_development if self.asks_outside is None else self.asks_outside

    @property
    def is_development(self) -> bool:
        """Whether this server is a developer's own."""
        return self.environment == "development"


@cache
def current_settings() -> Settings:
    """The settings of this process, read from the environment once; refuses values that are not allowed."""
    try:
        return Settings()
    except ValidationError as error:
        # The values stay out of it: some of them are secret.
        reasons = [
            f"{variable_of(str(problem['loc'][0]))}: {problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors()
        ]
        raise BadUserInput(f"The settings are not right. {'; '.join(reasons)}.") from None
    except SettingsError as error:
        raise BadUserInput(f'The settings are not right: {error}; lists are JSON, such as ["a"].') from None


def variable_of(field: str) -> str:
    """The environment variable of a setting."""
    known = Settings.model_fields.get(field)
    return str(known.validation_alias or f"TROVE_{field.upper()}") if known else field


def settings_table() -> str:
    """The Markdown table of all settings that stands in the README."""
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        lines.append(f"| `{variable_of(name)}` | {_default_shown(field.default)} | {field.description} |")
    return "\n".join(lines)


def _default_shown(default: object) -> str:
    if default is None:
        return "none"
    return f"`{json.dumps(default) if isinstance(default, tuple) else default}`"
