"""The authorization server's half of the code grant with PKCE, for the fakes: codes that hold once."""

import base64
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode


@dataclass(frozen=True, slots=True)
class Grant:
    """What somebody has consented to."""

    redirect_uri: str
    challenge: str
    scopes: frozenset[str]
    nonce: str | None


@dataclass(slots=True)
class CodeGrant:
    """Issues codes and takes each back once; `issued` are all the secrets that went over the wire."""

    client_id: str
    has_expired: bool = False
    issued: list[str] = field(default_factory=list)
    _grants: dict[str, Grant] = field(default_factory=dict)

    def consent(self, query: Mapping[str, str], **more: str) -> str:
        """Where the browser of somebody who consents goes."""
        assert query["client_id"] == self.client_id
        assert query["response_type"] == "code"
        assert query["code_challenge_method"] == "S256"
        code = self.secret()
        self._grants[code] = Grant(
            query["redirect_uri"], query["code_challenge"], frozenset(query["scope"].split()), query.get("nonce")
        )
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state'], **more})}"

    def denial(self, query: Mapping[str, str], error: str, **more: str) -> str:
        """Where the browser goes after an error or a click on cancel."""
        return f"{query['redirect_uri']}?{urlencode({'error': error, 'state': query['state'], **more})}"

    def redeem(self, form: Mapping[str, str]) -> Grant | None:
        """What the code stands for; none if it was used, has expired, or came with another address or verifier."""
        grant = self._grants.pop(form.get("code", ""), None)
        if grant is None or self.has_expired or form.get("redirect_uri") != grant.redirect_uri:
            return None
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        return grant if secrets.compare_digest(challenge, grant.challenge) else None

    def secret(self) -> str:
        """A fresh secret, remembered as issued."""
        self.issued.append(secrets.token_urlsafe(24))
        return self.issued[-1]
