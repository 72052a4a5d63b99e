"""Applications come from the command line or a file, and secrets are printed once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from symbl_aio import ConfigurationError, Text
from symbl_aio.cli.serve_apps import Applications, applications
from symbl_aio.server import APPLICATIONS
from tests.cli.test_serve import client_of, serving
from tests.shell import Shell


def of(**options: object) -> Applications:
    given = {
        "app_id": "app", "app_secret": None, "pairs": (), "file": None, "data": None,
        "is_local": True,
    }  # fmt: skip
    return applications(**{**given, **options})  # type: ignore[arg-type]


def test_a_secret_that_is_made_up_is_the_same_after_a_restart(tmp_path: Path) -> None:
    first = of(is_local=False, data=tmp_path)
    first.store()
    again = of(is_local=False, data=tmp_path)

    assert first.shown is not None
    assert again.shown is None
    assert first.shown not in (tmp_path / APPLICATIONS).read_text()
    assert again.made_up == tmp_path / APPLICATIONS


def test_an_id_whose_secret_would_not_be_found_again_gets_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="id of an application"):
        of(app_id="team:shop", is_local=False, data=tmp_path)


@pytest.mark.parametrize("pairs", [["one"], ["one:"], [":x"], ["one:x", "one:y"]])
def test_a_pair_that_is_none_is_refused(pairs: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="ID:SECRET"):
        of(pairs=pairs)


def test_an_empty_secret_counts_as_absent() -> None:
    made_up = of(is_local=False, app_secret="")

    assert made_up.shown is not None
    assert len(made_up.shown) >= 32


@pytest.mark.parametrize("is_local", [True, False])
def test_a_file_without_applications_opens_no_other(tmp_path: Path, is_local: bool) -> None:
    (tmp_path / "apps").write_text("# none yet\n")

    with pytest.raises(ConfigurationError, match="--new-app"):
        of(file=tmp_path / "apps", is_local=is_local)


async def test_a_new_application_is_added_to_a_file_and_served_from_it(tmp_path: Path) -> None:
    file = tmp_path / "apps"
    made = {}
    for name in ("one", "two"):
        ended = await Shell().run("serve", "--apps", file, "--new-app", name, "--json")
        made[name] = json.loads(ended.out)["app_secret"]
    twice = await Shell().run("serve", "--apps", file, "--new-app", "one", "--json")

    async with serving("--apps", file) as started:
        for name, secret in made.items():
            one = {**started, "app_id": name, "app_secret": secret}
            async with client_of(one) as symbl:
                await symbl.process(Text("Hello."))
                assert len([found async for found in symbl.conversations()]) == 1

    assert twice.code == 2
    assert not any(secret in file.read_text() for secret in made.values())


async def test_applications_of_the_command_line_are_served_apart() -> None:
    async with serving("--app", "one:first-secret", "--app", "two:second-secret") as at:
        for name, secret in (("one", "first-secret"), ("two", "second-secret")):
            async with client_of({**at, "app_id": name, "app_secret": secret}) as symbl:
                await symbl.process(Text("Hello."))
                assert len([found async for found in symbl.conversations()]) == 1

    assert "app_secret" not in at


async def test_a_secret_that_is_made_up_is_printed_at_the_first_start_only(tmp_path: Path) -> None:
    where = ("--host", "0.0.0.0", "--data", tmp_path / "data")
    async with serving(*where, stores=True) as first:
        secret = first["app_secret"]
    async with serving(*where, stores=True) as again:
        assert "app_secret" not in again
        async with client_of({**again, "app_secret": secret}, allow_http=True) as symbl:
            await symbl.process(Text("Hello."))


async def test_a_start_that_fails_makes_no_secret_up_that_no_user_has_read(tmp_path: Path) -> None:
    where = ("--public-url", "https://symbl.example.com", "--data", tmp_path / "data")
    shell = Shell()
    no_certificate = ("--tls-cert", tmp_path / "none.pem")
    failed = await shell.end(await shell.start("serve", "--asr", "off", *where, *no_certificate))

    async with serving(*where, stores=True) as first:
        assert "app_secret" in first
    async with serving(*where, stores=True) as again:
        pass

    assert failed.code == 2
    assert f"remove {tmp_path / 'data' / APPLICATIONS}" in again["ended"].err
    assert "remove" not in first["ended"].err


@pytest.mark.parametrize("option", [("--app-secret", "shown-in-ps"), ("--app", "a:shown-in-ps")])
async def test_a_secret_among_the_arguments_is_a_warning(option: tuple[str, str]) -> None:
    async with serving(*option) as started:
        pass

    assert f"Warning: {option[0]}" in started["ended"].err
    assert "shown-in-ps" not in started["ended"].err
