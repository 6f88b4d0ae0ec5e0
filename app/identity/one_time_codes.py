"""One-time codes: those that an authenticator app shows (TOTP, RFC 6238), and the recovery codes kept for its loss."""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterator
from datetime import datetime

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

# What every authenticator app speaks, whatever else an address may ask it for.
SECRET_BYTES = 20
DIGITS = 6
STEP_SECONDS = 30
# Clocks are off and people type slowly: the code before and the code after are taken too.
STEPS_EITHER_WAY = 1

RECOVERY_CODES = 10
RECOVERY_GROUPS = 4
RECOVERY_GROUP_LENGTH = 4
# Crockford's base 32: no I, L, O, which are read as 1 and 0, and no U.
RECOVERY_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

_CODE = re.compile(rf"[0-9]{{{DIGITS}}}")
_BETWEEN_GROUPS = re.compile(r"[\s-]+")
_MISREAD = str.maketrans("ILO", "110")


def new_totp_secret() -> bytes:
    """A fresh secret of 160 bits to share with an authenticator app."""
    return secrets.token_bytes(SECRET_BYTES)


def totp_uri(secret: bytes, *, account: str, issuer: str) -> str:
    """The `otpauth://` address that an app reads from a QR code; it holds the secret."""
    # Some apps show the + that stands for a space in a form; %20 every app understands.
    return _totp(secret).get_provisioning_uri(account, issuer).replace("+", "%20")


def totp_text(secret: bytes) -> str:
    """The secret for typing into an app: base 32 in groups of four."""
    return " ".join(_groups(base64.b32encode(secret).decode().rstrip("=")))


def accepted_step(secret: bytes, code: str, *, now: datetime, last_step: int | None) -> int | None:
    """The time step that the code is accepted for, to be kept as the next `last_step`; None where it is refused.

    A step that is not after the last one accepted is refused, so that no code works twice. Whoever keeps the step must
    do so only if the kept one is still earlier, since two may come with the same code at once.
    """
    typed = _BETWEEN_GROUPS.sub("", code)
    if not _CODE.fullmatch(typed):
        return None
    totp = _totp(secret)
    this_step = int(now.timestamp()) // STEP_SECONDS
    steps = range(max(0, this_step - STEPS_EITHER_WAY), this_step + STEPS_EITHER_WAY + 1)
    # All are compared, so that time does not tell which one it was. Where one code stands for two steps the later
    # counts, or the code would work again.
    matches = [step for step in steps if hmac.compare_digest(totp.generate(step * STEP_SECONDS), typed.encode())]
    fresh = [step for step in matches if last_step is None or step > last_step]
    return max(fresh, default=None)


def new_recovery_codes() -> list[str]:
    """Ten codes of 80 random bits each, as in `7KQ2-M9XT-4HRB-0ZCE`; each stands in for the second factor once."""
    length = RECOVERY_GROUPS * RECOVERY_GROUP_LENGTH
    codes = ("".join(secrets.choice(RECOVERY_ALPHABET) for _ in range(length)) for _ in range(RECOVERY_CODES))
    return ["-".join(_groups(code)) for code in codes]


def recovery_code_hash(code: str) -> bytes:
    """What the database knows a code by, however it is typed: case, spaces and dashes do not matter, nor O for 0.

    SHA-256 without salt suffices: a slow hash protects what people choose, and nobody tries 80 random bits one by one.
    """
    typed = _BETWEEN_GROUPS.sub("", code).upper().translate(_MISREAD)
    return hashlib.sha256(typed.encode("utf-8", "surrogatepass")).digest()


def _totp(secret: bytes) -> TOTP:
    return TOTP(secret, DIGITS, SHA1(), STEP_SECONDS)  # noqa: S303


def _groups(text: str) -> Iterator[str]:
    return (text[start : start + RECOVERY_GROUP_LENGTH] for start in range(0, len(text), RECOVERY_GROUP_LENGTH))
