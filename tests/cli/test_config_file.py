"""The configuration file: which values apply, and which errors it has."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from symbl_aio import ConfigurationError
from symbl_aio.cli.config_file import apply, load, restore, settings, variable
from tests.shell import CREDENTIALS, Shell

FILE = """
profile = "local"
retries.attempts = 2

[profiles.local]
base_url = "http://127.0.0.1:1"
app_id = "app"
app_secret = "secret"
limits.jobs = 5
trust_env = false
webhook_networks = ["192.0.2.0/24", "198.51.100.0/24"]

[profiles.work]
access_token = "abc"
retries.attempts = 3
"""


@pytest.fixture(autouse=True)
def _environment(monkeypatch) -> None:
    for name in [*os.environ]:
        if name.startswith("SYMBL_"):
            monkeypatch.delenv(name)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(FILE, "utf-8")
    return path


def test_the_named_profile_is_over_the_top_of_the_file(path):
    assert load(path, None).variables == {
        "SYMBL_RETRIES_ATTEMPTS": "2",
        "SYMBL_BASE_URL": "http://127.0.0.1:1",
        "SYMBL_APP_ID": "app",
        "SYMBL_APP_SECRET": "secret",
        "SYMBL_LIMITS_JOBS": "5",
        "SYMBL_TRUST_ENV": "0",
        "SYMBL_WEBHOOK_NETWORKS": "192.0.2.0/24,198.51.100.0/24",
    }


def test_the_environment_is_over_the_file_and_the_option_over_both(path, monkeypatch):
    monkeypatch.setenv("SYMBL_RETRIES_ATTEMPTS", "9")
    monkeypatch.setenv("SYMBL_AIO_PROFILE", "work")

    assert load(path, None).variables == {"SYMBL_ACCESS_TOKEN": "abc"}
    chosen = load(path, "work")
    assert chosen.variables == {"SYMBL_ACCESS_TOKEN": "abc", "SYMBL_RETRIES_ATTEMPTS": "3"}


def test_credentials_are_not_mixed(path, monkeypatch):
    monkeypatch.setenv("SYMBL_APP_ID", "other")
    assert "SYMBL_APP_SECRET" not in load(path, None).variables


def test_variables_are_put_back(path, monkeypatch):
    monkeypatch.setenv("SYMBL_BASE_URL", "http://127.0.0.1:2")
    before = apply(load(path, "local"))
    assert os.environ["SYMBL_BASE_URL"] == "http://127.0.0.1:1"
    restore(before)
    assert os.environ["SYMBL_BASE_URL"] == "http://127.0.0.1:2"
    assert "SYMBL_APP_ID" not in os.environ


@pytest.mark.parametrize(
    "text,words",
    [
        ("a = ", "is not TOML"),
        ("color = 'red'", "color, which is no setting"),
        ("limits.job = 5", r"limits\.job, which is no setting"),
        ("limits.jobs = {a = 1}", "neither a text"),
        ("base_url = 2026-01-01", "neither a text"),
        ("profile = 'gone'", "no profile 'gone'; it has none"),
        ("[profiles.x]\nfoo = 1\n", "profiles.x.foo"),
        ("profiles = 3", "no profile"),
        ("profile = ['a']", "profile is no text"),
        ("app_id = 'a'\nbase_url = \"\\u0000\"", "base_url has a NUL"),
        ("webhook_networks = ['a', \"\\u0000\"]", "webhook_networks has a NUL"),
        (f"a = {'[' * 5000}{']' * 5000}", "is not TOML"),
    ],
)
def test_a_wrong_file_is_refused_with_the_key(text, words, path):
    path.write_text(text, "utf-8")
    with pytest.raises(ConfigurationError, match=words):
        load(path, "x" if "profiles" in text else None)


def test_a_profile_without_a_file_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="does not exist"):
        load(tmp_path / "gone.toml", "work")
    assert load(tmp_path / "gone.toml", None).variables == {}


async def test_a_profile_of_the_environment_without_a_file_is_refused(tmp_path, monkeypatch):
    # Another account would be used without a word.
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    ended = await Shell(SYMBL_AIO_CONFIG="", SYMBL_AIO_PROFILE="work").run("messages", "9")
    assert (ended.code, "no profile 'work'" in ended.err) == (2, True)


async def test_a_folder_that_cannot_be_looked_into_has_no_file(shell, monkeypatch):
    # A name that is too long is refused to root, too, as another user's folder is to others.
    unusable = os.path.join(os.sep, "a" * 300)
    monkeypatch.setenv("XDG_CONFIG_HOME", unusable)
    unnamed = await Shell(SYMBL_AIO_CONFIG="").run("messages", "9")
    named = await Shell(SYMBL_AIO_CONFIG=unusable).run("messages", "9")
    assert (unnamed.code, "SYMBL_APP_ID" in unnamed.err) == (2, True)
    assert (named.code, "cannot be read (File name too long)" in named.err) == (2, True)


def test_every_setting_has_the_variable_of_the_table():
    page = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text("utf-8")
    for setting in settings():
        assert f"`{variable(setting)}`" in page, setting


async def test_a_command_works_with_the_file_alone(symbl, path):
    path.write_text(FILE.replace("http://127.0.0.1:1", symbl.base_url), "utf-8")
    shell = Shell(SYMBL_AIO_CONFIG=str(path))

    ended = await shell.run("conversations", "--json")
    other = await shell.run("--profile", "gone", "conversations")

    assert (ended.code, ended.err) == (0, "No conversation matches.\n")
    assert (other.code, other.err.count("\n")) == (2, 1)
    assert "no profile 'gone'; it has local, work" in other.err
    assert "SYMBL_APP_ID" not in os.environ


async def test_a_shell_completes_commands_and_options(symbl):
    for words, at, completed in (
        ("symbl-aio upl", 1, "upload"),
        ("symbl-aio upload --rep", 2, "--report"),
    ):
        completing = {"COMP_WORDS": words, "COMP_CWORD": str(at)}
        shell = Shell(_SYMBL_AIO_COMPLETE="bash_complete", **completing)
        ended = await shell.end(await shell.start_python())
        assert (ended.code, ended.err) == (0, "")
        assert f"plain,{completed}" in ended.out.splitlines()


async def test_colours_can_be_switched_off(symbl):
    shell = Shell(SYMBL_BASE_URL=symbl.base_url, **CREDENTIALS, FORCE_COLOR="1")
    file = Path(__file__).parents[2] / "examples" / "media" / "inaugural.mp4"

    coloured = await shell.run("submit", file)
    plain = await Shell(
        SYMBL_BASE_URL=symbl.base_url, **CREDENTIALS, FORCE_COLOR="1", NO_COLOR="1"
    ).run("submit", file)

    assert "\x1b[36m" in coloured.out or "\x1b[1;32m" in coloured.out
    assert "\x1b[36m" not in plain.out
    assert "\x1b[1;32m" not in plain.out
