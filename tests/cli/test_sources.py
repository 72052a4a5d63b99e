"""What FILE may be on the command line, and which host it goes to."""

import asyncio
import io
import json
import signal
from pathlib import Path

import pytest
from rich.console import Console

from symbl_aio import AudioURL, ConfigurationError, VideoURL
from symbl_aio.cli.serve import reachable
from symbl_aio.cli.show_terminal import Screen
from symbl_aio.cli.sources import opened, redacted
from tests.shell import CREDENTIALS, ROOT, Shell

INAUGURAL = ROOT / "examples" / "media" / "inaugural.mp4"


@pytest.mark.parametrize(
    "link,kind,media",
    [
        ("https://example.com/a.mp4?X-Sig=4711", None, VideoURL),
        ("HTTPS://example.com/a%2Emp3", None, AudioURL),
        ("http://example.com/a.WAV", None, AudioURL),
        ("https://example.com/download?id=1", "video", VideoURL),
        ("https://example.com/a.mp4", "audio", AudioURL),
    ],
)
def test_a_link_is_audio_or_video_by_its_ending_or_as_it_is_said(link, kind, media):
    with opened([link, "here.mp4"], kind) as (found, path):
        assert type(found) is media
        assert path == "here.mp4"


@pytest.mark.parametrize(
    "files", [["https://example.com/x?sig=4711"], ["http://[", "a"], ["-", "-"]]
)
def test_what_cannot_be_taken_is_refused_without_its_secrets(files):
    with pytest.raises(ConfigurationError) as caught, opened(files, None):
        pass
    assert "4711" not in str(caught.value)


def test_a_link_is_shown_without_what_may_be_secret():
    assert redacted("https://me:pass@example.com/a.mp4?sig=4711") == "https://example.com/a.mp4?…"


async def test_a_link_is_submitted_and_its_secret_not_shown(symbl):
    shell = Shell(SYMBL_BASE_URL=symbl.base_url, **CREDENTIALS)
    link = f"{symbl.base_url}/nothing/talk.mp4?sig=secret-4711"

    ended = await shell.run("submit", "--json", "--no-wait", link)

    assert ended.code == 0
    assert (symbl.submissions[0].method, symbl.submissions[0].kind) == ("POST", "video/url")
    assert "secret-4711" not in ended.out + ended.err
    assert ended.lines[0]["source"].endswith("/talk.mp4?…")


async def test_a_recording_on_stdin_is_submitted_and_appended(symbl):
    shell = Shell(SYMBL_BASE_URL=symbl.base_url, **CREDENTIALS)
    recording = INAUGURAL.read_bytes()
    codes = []
    for command in (["submit"], ["append", None]):
        if command[-1] is None:
            command[-1] = str(symbl.submissions[0].conversation_id)
        process = await shell.start(*command, "-", "--json", stdin=asyncio.subprocess.PIPE)
        out, err = await process.communicate(recording)
        assert err == b""
        assert json.loads(out.splitlines()[-1])["source"] == "-"
        codes.append(process.returncode)

    assert codes == [0, 0]
    assert [received.size for received in symbl.submissions] == [len(recording)] * 2
    assert [received.kind for received in symbl.submissions] == ["video", "video"]


async def test_a_stdin_that_holds_no_recording_is_exit_code_2(symbl):
    shell = Shell(SYMBL_BASE_URL=symbl.base_url, **CREDENTIALS)
    for given in (b"", b"only words"):
        process = await shell.start("submit", "-", stdin=asyncio.subprocess.PIPE)
        _, err = await process.communicate(given)
        assert process.returncode == 2
        assert b"Traceback" not in err
    assert symbl.submissions == []


async def test_the_host_is_given_on_the_command_line_too(symbl):
    shell = Shell(**CREDENTIALS)

    ended = await shell.run("submit", "--json", "--base-url", symbl.base_url, INAUGURAL)
    plain = await shell.run("messages", "1", "--base-url", "http://192.0.2.1")

    assert ended.code == 0
    assert plain.code == 2
    assert "http" in plain.err


@pytest.mark.parametrize("tls", [(), ("--tls", "self-signed")])
async def test_the_printed_export_lines_of_serve_are_true(tmp_path: Path, tls: tuple[str, ...]):
    # A directory of its own: the secret is printed once, when it is made up.
    data = ("--data", str(tmp_path / "data"))
    address = ("--host", "0.0.0.0", "--port", "0", *tls)
    own = Shell(XDG_DATA_HOME=str(tmp_path))
    process = await own.start("serve", *address, *data, "--asr", "off")
    assert process.stdout is not None
    said = ""
    while "SYMBL_APP_SECRET" not in said:
        said += (await process.stdout.readline()).decode()
    exported = dict(
        line.split("export ", 1)[1].split("=", 1) for line in said.splitlines() if "export" in line
    )

    used = await Shell(**exported).run("submit", INAUGURAL)
    process.send_signal(signal.SIGINT)
    ended = await Shell().end(process)

    assert (used.code, used.err) == (0, "")
    assert ended.code == 0


@pytest.mark.parametrize(
    "listens,called",
    [
        ("http://0.0.0.0:8080", "http://127.0.0.1:8080"),
        ("http://[::]:8080", "http://[::1]:8080"),
        ("http://192.0.2.7:8080", "http://192.0.2.7:8080"),
        ("http://localhost:8080", "http://localhost:8080"),
    ],
)
def test_an_address_that_cannot_be_called_is_not_shown(listens, called):
    assert reachable(listens) == called


@pytest.mark.parametrize("host,lines", [("127.0.0.1", 0), ("192.0.2.7", 1)])
@pytest.mark.parametrize("here", ["0", "1"])
def test_plain_http_to_another_machine_is_allowed_in_what_serve_prints(
    host, lines, here, monkeypatch
):
    monkeypatch.setenv("SYMBL_ALLOW_HTTP", here)  # of this terminal, and not of the other one
    out = io.StringIO()
    screen = Screen(Console(file=out), Console(file=io.StringIO()))
    screen.serving(f"http://{host}:1", "a", "b", data=None, ca_file=None)

    assert out.getvalue().count("export SYMBL_ALLOW_HTTP=1") == lines


async def test_a_link_that_no_kind_makes_usable_is_not_told_to_name_one(shell: Shell):
    for kind in ([], ["--kind", "video"]):
        ended = await shell.run("submit", "https://youtu.be/abc", *kind)

        assert ended.code == 2
        assert "give a direct link to the file" in ended.err.replace("\n", " ")
        assert "--kind" not in ended.err
