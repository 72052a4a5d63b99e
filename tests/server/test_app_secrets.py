"""Secrets are hashed in a file and in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from symbl_aio.server.app_secrets import (
    AppSecret,
    SecretsFileError,
    add_secret,
    hash_secret,
    made_up_secret,
    read_secrets,
)


def test_a_secret_is_verified_by_its_text_and_by_its_hash() -> None:
    for known in (AppSecret.parse("s3cret"), AppSecret.parse(hash_secret("s3cret"))):
        # Twice: once by the slow hash, then by the digest of this process.
        assert [known.matches("s3cret"), known.matches("s3cret")] == [True, True]
        assert not known.matches("s3cret ")
        assert not known.matches("")
        assert not known.slow


def test_a_hash_is_no_secret_and_has_a_salt() -> None:
    assert hash_secret("s3cret") != hash_secret("s3cret")
    assert "s3cret" not in hash_secret("s3cret")
    text = hash_secret("s3cret")
    assert not AppSecret.parse(text).matches(text)


def test_no_secret_is_in_the_memory_of_its_object() -> None:
    known = AppSecret.parse("s3cret-in-memory")

    assert b"s3cret-in-memory" not in repr(vars_of(known)).encode()
    assert "s3cret" not in repr(known)


def vars_of(known: AppSecret) -> list[object]:
    return [getattr(known, name) for name in ("_salt", "_hash", "_digest")]


def test_a_file_has_an_application_in_each_line(tmp_path: Path) -> None:
    path = tmp_path / "private" / "apps"
    made = made_up_secret()
    add_secret(path, "one", made)
    with path.open("a") as file:
        file.write("\n# by hand\ntwo:a:b\n")

    found = read_secrets(path)

    assert AppSecret.parse(found["one"]).matches(made)
    assert found["two"] == "a:b"
    assert made not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("line", ["one", "one:", ":secret", "one:x\none:y", "one:scrypt:!:!"])
def test_a_line_that_is_wrong_is_named_without_its_text(tmp_path: Path, line: str) -> None:
    path = tmp_path / "apps"
    path.write_text(f"# first\n{line}\n")

    with pytest.raises(SecretsFileError, match=r"line [23] of .*apps") as wrong:
        read_secrets(path)

    assert "secret'" not in str(wrong.value)


def test_a_line_is_added_after_one_without_an_end(tmp_path: Path) -> None:
    path = tmp_path / "apps"
    path.write_text("one:by-hand")

    add_secret(path, "two", "second")

    found = read_secrets(path)
    assert found["one"] == "by-hand"
    assert AppSecret.parse(found["two"]).matches("second")


@pytest.mark.parametrize("app_id", ["", "#one", " one", "one ", "a:b", "a\nb", "a\x85b", "\ud800"])
def test_an_id_that_its_line_would_not_give_back_is_refused(tmp_path: Path, app_id: str) -> None:
    with pytest.raises(ValueError, match="the id of an application"):
        add_secret(tmp_path / "apps", app_id, "secret")

    assert not (tmp_path / "apps").exists()


def test_a_mark_of_an_editor_is_no_part_of_the_first_id(tmp_path: Path) -> None:
    (tmp_path / "apps").write_bytes(b"\xef\xbb\xbfone:secret\r\n")

    assert read_secrets(tmp_path / "apps") == {"one": "secret"}


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "apps").write_bytes("one:gehe\xefm".encode("latin-1"))

    with pytest.raises(SecretsFileError, match=r"apps .*UTF-8"):
        read_secrets(tmp_path / "apps")


def test_a_hash_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    for end in (1, 4, 20, 45):
        (tmp_path / "apps").write_text(f"one:{hash_secret('s3cret')[:-end]}\n")
        with pytest.raises(SecretsFileError, match="line 1"):
            read_secrets(tmp_path / "apps")
