"""Where the ring of keys is kept: what is refused, that no file is overwritten, and that none is left half written."""

import base64
import os
import stat
from pathlib import Path

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from app.core.errors import BadUserInput, Conflict, Refusal, ServiceUnavailable
from app.core.key_rings import (
    change_key_ring_file,
    create_key_ring_file,
    key_ring_of,
    local_key_ring_file,
    read_key_ring,
)
from app.core.secrets import KeyRing
from app.core.settings import Settings, current_settings


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with a fresh ring."""
    created = tmp_path / "keys.json"
    create_key_ring_file(created)
    return created


def mode_of(file: Path) -> int:
    """Who may read and write it."""
    return stat.S_IMODE(file.stat().st_mode)


def test_a_new_file_is_for_its_owner_only_and_holds_one_key(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        ring = create_key_ring_file(tmp_path / "keys.json")
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "keys.json") == 0o600
    assert list(ring.keys) == [ring.current]
    with capture_logs() as logs:
        assert read_key_ring(tmp_path / "keys.json") == ring
    assert logs == []
    assert [path.name for path in tmp_path.iterdir()] == ["keys.json"]


def test_an_existing_file_is_never_overwritten(file: Path) -> None:
    before = file.read_bytes()
    with pytest.raises(Conflict, match="exists already"):
        create_key_ring_file(file)
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == ["keys.json"]


def test_the_ring_of_the_settings_is_that_of_the_variable_or_of_the_file(file: Path) -> None:
    ring = read_key_ring(file)
    assert key_ring_of(Settings(secret_keys_file=file)) == ring
    assert key_ring_of(Settings(secret_keys=SecretStr(ring.text()))) == ring


def test_without_a_ring_it_is_said_how_to_make_one() -> None:
    with pytest.raises(ServiceUnavailable, match=r"`trove keys create --file PATH`.*TROVE_SECRET_KEYS_FILE"):
        key_ring_of(Settings())


def test_both_at_once_are_refused_without_the_keys(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = read_key_ring(file)
    monkeypatch.setenv("TROVE_SECRET_KEYS", ring.text())
    monkeypatch.setenv("TROVE_SECRET_KEYS_FILE", str(file))
    current_settings.cache_clear()
    with pytest.raises(BadUserInput, match="TROVE_SECRET_KEYS_FILE: TROVE_SECRET_KEYS is set too") as refused:
        current_settings()
    assert base64.b64encode(ring.keys[ring.current]).decode() not in f"{refused.value!r} {refused.value.__dict__}"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, r"cannot be read \(no such file or directory\): check TROVE_SECRET_KEYS_FILE"),
        (b"", "is broken: it is JSON such as"),
        (b"\xff\xfe", "is broken: it is JSON such as"),
        (b'{"current": "a", "keys": {}}', "is broken: `current` names a key"),
        (b" " * 200_000, "is broken: it is JSON such as"),
    ],
)
def test_a_file_that_holds_no_ring_is_refused_with_what_to_do(
    tmp_path: Path, content: bytes | None, sentence: str
) -> None:
    file = tmp_path / "keys.json"
    if content is not None:
        file.write_bytes(content)
        file.chmod(0o600)
    with pytest.raises(ServiceUnavailable, match=sentence) as refused:
        key_ring_of(Settings(secret_keys_file=file))
    assert str(file) in refused.value.message


def test_a_folder_is_no_file_of_keys(tmp_path: Path) -> None:
    with pytest.raises(ServiceUnavailable, match="is a directory"):
        read_key_ring(tmp_path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_a_file_open_to_others_is_read_with_a_warning_that_names_it(file: Path, mode: int) -> None:
    file.chmod(mode)
    with capture_logs() as logs:
        ring = read_key_ring(file)
    assert [(log["event"], log["file"], log["mode"]) for log in logs] == [
        ("keys_file_open_to_others", str(file), f"{mode:04o}")
    ]
    assert base64.b64encode(ring.keys[ring.current]).decode() not in str(logs)


def test_a_changed_file_keeps_its_old_keys_its_mode_and_its_owner(file: Path) -> None:
    old = read_key_ring(file)
    file.chmod(0o440)
    if os.geteuid() == 0:
        os.chown(file, 12345, 23456)
    owner = (file.stat().st_uid, file.stat().st_gid)
    changed = change_key_ring_file(file, lambda ring: ring.with_new_key("second"))
    assert read_key_ring(file) == changed
    assert changed.keys[old.current] == old.keys[old.current]
    assert changed.current == "second"
    assert mode_of(file) == 0o440
    assert (file.stat().st_uid, file.stat().st_gid) == owner
    assert [path.name for path in file.parent.iterdir()] == ["keys.json"]


def test_a_link_stays_a_link(file: Path) -> None:
    link = file.with_name("link.json")
    link.symlink_to(file)
    changed = change_key_ring_file(link, lambda ring: ring.with_new_key("second"))
    assert link.is_symlink()
    assert read_key_ring(file) == changed


def test_while_another_command_changes_the_keys_nothing_is_changed(file: Path) -> None:
    before = file.read_bytes()

    def change_twice(ring: KeyRing) -> KeyRing:
        with pytest.raises(Conflict, match="another command changes these keys"):
            change_key_ring_file(file, lambda ring: ring.with_new_key("lost"))
        assert file.read_bytes() == before
        return ring.with_new_key("kept")

    change_key_ring_file(file, change_twice)
    assert "kept" in read_key_ring(file).keys
    change_key_ring_file(file, lambda ring: ring.with_new_key("later"))
    assert {"kept", "later"} < read_key_ring(file).keys.keys()


def fail(_: KeyRing) -> KeyRing:
    """Something goes wrong in the middle."""
    raise OSError(28, "No space left on device")


def test_a_change_that_fails_leaves_the_file_as_it_was(file: Path) -> None:
    before = file.read_bytes()
    with pytest.raises(BadUserInput, match="cannot be replaced"):
        change_key_ring_file(file, fail)
    with pytest.raises(BadUserInput, match="stays as it was: the ring has no such key"):
        change_key_ring_file(file, lambda ring: ring.using("nothing"))
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == ["keys.json"]


def test_a_file_in_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="cannot be written"):
        create_key_ring_file(tmp_path / "nowhere" / "keys.json")


def test_the_ring_of_a_laptop_is_made_once(tmp_path: Path) -> None:
    directory = tmp_path / ".trove"
    file = local_key_ring_file(directory)
    ring = read_key_ring(file)
    assert read_key_ring(local_key_ring_file(directory)) == ring
    assert mode_of(file) == 0o600
