"""Where the ring of keys is kept: in the settings or in a file that only its owner can read."""

import os
import secrets
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog

from app.core.errors import BadUserInput, Conflict, ServiceUnavailable
from app.core.secrets import InvalidKeyRing, KeyRing
from app.core.settings import Settings

logger = structlog.get_logger(__name__)

OWNER_ONLY = 0o600
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL
LOCAL_FILE = "secret-keys.json"
# A ring of a thousand keys has less.
LARGEST_FILE_BYTES = 100_000


def key_ring_of(settings: Settings) -> KeyRing:
    """The ring of the settings; raises ServiceUnavailable, which says what to do, when there is none or it is broken.

    A file that its group or others may read gives a warning and is used all the same: that is how orchestrators lend
    secrets to a container.
    """
    if settings.secret_keys is not None:
        return _parse(settings.secret_keys.get_secret_value(), "The ring of keys in TROVE_SECRET_KEYS")
    if settings.secret_keys_file is not None:
        return read_key_ring(settings.secret_keys_file)
    raise ServiceUnavailable(
        "There is no ring of keys for what is encrypted: make one with `trove keys create --file PATH`, keep a copy "
        "in a safe place, and set TROVE_SECRET_KEYS_FILE to the path."
    )


def read_key_ring(file: Path) -> KeyRing:
    """The ring of a file; raises ServiceUnavailable, and warns, as `key_ring_of` does."""
    ring = _parse_file(file)
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        logger.warning(
            "keys_file_open_to_others", file=str(file), mode=f"{mode:04o}", advice="chmod 600, unless you mean it"
        )
    return ring


def _parse_file(file: Path) -> KeyRing:
    try:
        with file.open("rb") as opened:
            content = opened.read(LARGEST_FILE_BYTES + 1)
    except OSError as error:
        raise ServiceUnavailable(
            f"The file of keys {file} cannot be read ({_reason(error)}): check TROVE_SECRET_KEYS_FILE and the file's "
            "owner, or make one with `trove keys create --file PATH`."
        ) from error
    # What cannot be decoded is no JSON either, and is refused as such.
    return _parse(content.decode(errors="replace"), f"The ring of keys in {file}")


def create_key_ring_file(file: Path) -> KeyRing:
    """Make a ring and keep it in a new file that only its owner can read; raises Conflict when there is one already."""
    ring = KeyRing.fresh()
    beside = file.with_name(f"{file.name}.{secrets.token_hex(4)}.new")
    try:
        try:
            _write(beside, ring, like=None)
            # Unlike a rename this leaves a file alone that is there; and never is there one that is not complete.
            os.link(beside, file)
        finally:
            beside.unlink(missing_ok=True)
        _sync(file.parent)
    except FileExistsError as error:
        raise Conflict(
            f"{file} exists already, and whoever loses a ring of keys loses what it encrypted: choose another path, or "
            "add a key with `trove keys add`."
        ) from error
    except OSError as error:
        raise BadUserInput(f"{file} cannot be written ({_reason(error)}).") from error
    return ring


def local_key_ring_file(directory: Path) -> Path:
    """The file of keys of a laptop, in the folder of its private services; made once."""
    file = directory / LOCAL_FILE
    directory.mkdir(parents=True, exist_ok=True)
    with suppress(Conflict):
        create_key_ring_file(file)
    return file


def change_key_ring_file(file: Path, change: Callable[[KeyRing], KeyRing]) -> KeyRing:
    """Change the ring of a file, which is replaced as a whole or stays as it was, and keeps its owner and mode.

    The new file beside it also keeps other commands out: of two keys added at once, none may get lost. Raises Conflict
    when there is one, and BadUserInput when `change` raises InvalidKeyRing or the file cannot be replaced.
    """
    # The file itself is to be replaced, and not a link to it.
    file = file.resolve()
    beside = file.with_name(file.name + ".new")
    read_key_ring(file)
    try:
        os.close(os.open(beside, NEW_FILE, OWNER_ONLY))
    except FileExistsError as error:
        raise Conflict(
            f"{beside} exists: another command changes these keys, or was killed at it. Remove that file if none runs."
        ) from error
    except OSError as error:
        raise BadUserInput(f"{file} cannot be replaced ({_reason(error)}).") from error
    try:
        # Read once more: another command may have changed it until now.
        changed = change(_parse_file(file))
        _write(beside, changed, like=file.stat())
        beside.replace(file)
    except BaseException as error:
        beside.unlink(missing_ok=True)
        if isinstance(error, InvalidKeyRing):
            raise BadUserInput(f"The ring stays as it was: {error}.") from error
        if isinstance(error, OSError):
            raise BadUserInput(f"{file} cannot be replaced ({_reason(error)}).") from error
        raise
    _sync(file.parent)
    return changed


def _write(file: Path, ring: KeyRing, *, like: os.stat_result | None) -> None:
    """Write a ring into a file that only its owner can read, or whoever could read the other one; safely on disk."""
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT, OWNER_ONLY), "w", encoding="utf-8") as opened:
        if like is not None:
            if (like.st_uid, like.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(opened.fileno(), like.st_uid, like.st_gid)
            os.fchmod(opened.fileno(), stat.S_IMODE(like.st_mode))
        opened.write(ring.text() + "\n")
        opened.flush()
        os.fsync(opened.fileno())


def _sync(directory: Path) -> None:
    """Have the names of a folder on disk."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _parse(text: str, what: str) -> KeyRing:
    try:
        return KeyRing.parse(text)
    except InvalidKeyRing as error:
        raise ServiceUnavailable(
            f"{what} is broken: {error}. Put back a copy of it; `trove keys create` makes a new one, which reads "
            "nothing that the old one encrypted."
        ) from error


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
