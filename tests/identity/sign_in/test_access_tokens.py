"""Access tokens: what can be wrong with one, each refused in the same words; and keys that change."""

import base64
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from joserfc.jwk import OKPKey
from sqlalchemy import insert, select, update

from app.core.database import Database
from app.core.secrets import place_of
from app.identity.access_tokens import LIFETIME
from app.identity.models import SigningKey
from app.identity.services import IdentityServices
from tests.identity.builders import SECRETS
from tests.identity.sign_in.browsers import ADA, ADAS_PASSWORD, VIEWER, Browser, Mails
from tests.identity.sign_in.conftest import signed_up
from tests.identity.sign_in.serving import Site


def parts_of(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of a token."""
    header, claims, _ = token.split(".")
    return json.loads(decoded(header)), json.loads(decoded(claims))


def decoded(part: str) -> bytes:
    """What a part of a token says."""
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def encoded(value: object) -> str:
    """A part of a token that says this."""
    return in_base64(json.dumps(value).encode())


def in_base64(content: bytes) -> str:
    """Bytes as tokens write them."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


async def our_key(database: Database) -> Ed25519PrivateKey:
    """The key that signs."""
    async with database.transaction() as transaction:
        row = (await transaction.connection.execute(select(SigningKey).order_by(SigningKey.signs_from).limit(1))).one()
    pem = SECRETS.decrypt(row.private_key, place_of(SigningKey.private_key, row.id))
    key = load_pem_private_key(pem, password=None)
    assert isinstance(key, Ed25519PrivateKey)
    return key


def signed(header: dict[str, Any], claims: dict[str, Any], key: Ed25519PrivateKey) -> str:
    """A token as somebody with this key would sign it."""
    said = f"{encoded(header)}.{encoded(claims)}"
    return f"{said}.{in_base64(key.sign(said.encode()))}"


def signed_with_shared_key(header: dict[str, Any], claims: dict[str, Any], key: bytes) -> str:
    """A token signed by HS256."""
    said = f"{encoded(header | {'alg': 'HS256'})}.{encoded(claims)}"
    return f"{said}.{in_base64(hmac.digest(key, said.encode(), 'sha256'))}"


async def test_a_forged_token_is_refused_whatever_is_forged(browser: Browser, mails: Mails, database: Database) -> None:
    await signed_up(browser, mails)
    good = browser.token
    assert good is not None
    header, claims = parts_of(good)
    key = await our_key(database)
    now = datetime.now(UTC).timestamp()
    public_key = key.public_key()
    raw = public_key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    pem = public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    # The same key and claims do hold: what is refused below is refused for what is changed.
    browser.token = signed(header, claims, key)
    assert (await browser.ask(VIEWER))["username"] == "ada"
    first, second, third = good.split(".")
    forged = {
        "no algorithm": f"{encoded(header | {'alg': 'none'})}.{second}.",
        "no algorithm, in capitals": f"{encoded(header | {'alg': 'NONE'})}.{second}.{third}",
        "the public key as a shared one": signed_with_shared_key(header, claims, raw),
        "the same as it is stored": signed_with_shared_key(header, claims, pem),
        "another name of the algorithm": signed(header | {"alg": "Ed25519"}, claims, key),
        "an unknown key": signed(header | {"kid": "unknown"}, claims, key),
        "no key": signed({name: value for name, value in header.items() if name != "kid"}, claims, key),
        "a key that is no text": f"{encoded(header | {'kid': 7})}.{second}.{third}",
        "another key under our id": signed(header, claims, Ed25519PrivateKey.generate()),
        "another type": signed(header | {"typ": "JWT"}, claims, key),
        "another issuer": signed(header, claims | {"iss": "https://evil.example"}, key),
        "another audience": signed(header, claims | {"aud": "others"}, key),
        "several audiences": signed(header, claims | {"aud": ["trove", "others"]}, key),
        "expired": signed(header, claims | {"exp": now - 1}, key),
        "never expires": signed(header, {name: value for name, value in claims.items() if name != "exp"}, key),
        "of tomorrow": signed(header, claims | {"iat": now + 86_400, "exp": now + 90_000}, key),
        "nobody's": signed(header, {name: value for name, value in claims.items() if name != "sub"}, key),
        "of no session": signed(header, claims | {"sid": claims["sub"]}, key),
        "critical extension": signed(header | {"crit": ["x"], "x": 1}, claims, key),
        "changed claims": f"{first}.{encoded(claims | {'scope': 'roles:write'})}.{third}",
        "no signature": f"{first}.{second}.",
        "not base64": f"{first}.{second}.!!!",
        "two parts": f"{first}.{second}",
        "five parts": f"{good}.a.b",
        "no token": "nonsense",
        "too long": f"{first}.{second}{'A' * 5000}.{third}",
    }
    answers = {}
    for name, token in forged.items():
        browser.token = token
        response = await browser.post(VIEWER)
        answers[name] = (response.status_code, response.text)
    assert [name for name, (status, _) in answers.items() if status != 401] == []
    assert len({text for _, text in answers.values()}) == 1, answers


@pytest.mark.parametrize("authorization", ["Bearer", "Basic YWRhOmFkYQ==", "Bearer a b", "token abc"])
async def test_what_is_no_bearer_token_is_refused_and_never_taken_for_nobody(
    browser: Browser, authorization: str
) -> None:
    response = await browser.post(VIEWER, headers={"Authorization": authorization})
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == 'Bearer realm="trove"'


async def test_a_token_of_the_key_before_still_holds_and_the_key_set_lists_both(
    browser: Browser, mails: Mails, site: Site, database: Database
) -> None:
    await signed_up(browser, mails)
    before = browser.token
    assert before is not None
    old_id = parts_of(before)[0]["kid"]
    await replace_signing_key(site.identity, database)
    browser.token = None
    after = str((await browser.sign_in(email=ADA, password=ADAS_PASSWORD, deliver="BODY"))["accessToken"])
    new_id = parts_of(after)[0]["kid"]
    assert new_id != old_id
    for token in (before, after):
        browser.token = token
        assert (await browser.ask(VIEWER))["username"] == "ada"
    response = await browser.http.get("/.well-known/jwks.json")
    assert response.headers["cache-control"] == "public, max-age=300"
    keys = response.json()["keys"]
    assert {old_id, new_id} <= {key["kid"] for key in keys}
    assert all(set(key) == {"kty", "crv", "x", "use", "alg", "kid"} for key in keys)
    # Whoever has the set can verify our tokens.
    (published,) = (key for key in keys if key["kid"] == old_id)
    said, _, signature = before.rpartition(".")
    Ed25519PublicKey.from_public_bytes(decoded(published["x"])).verify(decoded(signature), said.encode())


async def replace_signing_key(identity: IdentityServices, database: Database) -> None:
    """As after thirty days: the key that signed signs no more, and another one does."""
    now = datetime.now(UTC)
    key = OKPKey.generate_key("Ed25519", {"kid": "the-next-one"})
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            update(SigningKey).values(signs_from=now - timedelta(days=30), signs_until=now - LIFETIME / 2)
        )
        await transaction.connection.execute(
            insert(SigningKey).values(
                id="the-next-one",
                private_key=SECRETS.encrypt(key.as_pem(private=True), place_of(SigningKey.private_key, "the-next-one")),
                public_key=key.as_pem(private=False),
                signs_from=now - LIFETIME / 2,
                signs_until=now + timedelta(days=30),
            )
        )
    identity.authentication._keys_loaded_at = float("-inf")
    await identity.authentication._load_keys()
