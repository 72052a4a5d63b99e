"""A reader of the output that pauses, and the report of an interrupted command."""

import asyncio
import io
import os
import shlex
import signal
from pathlib import Path

import pytest

from symbl_aio import ConfigurationError
from symbl_aio.cli.safe_streams import MOST_CHARACTERS, Output, Writer
from symbl_aio.cli.show_json import Lines
from symbl_aio.cli.unfinished import LONGEST, Resumption, RunningJob, summary, tokens, unsent_files
from tests.forks import Program
from tests.shell import CREDENTIALS, ROOT, Shell

INAUGURAL = ROOT / "examples" / "media" / "inaugural.mp4"


class Unread:
    """A pipe that is full before the command writes to it, and is not read."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        os.set_blocking(self.writing, False)
        self.filled = 0
        try:
            while True:
                self.filled += os.write(self.writing, b"x" * 4096)
        except BlockingIOError:
            os.set_blocking(self.writing, True)

    async def start(self, shell: Shell, *arguments: str | Path) -> Program:
        process = await shell.start(*arguments, stdout=self.writing)
        os.close(self.writing)
        return process

    def read(self) -> bytes:
        """Read to the end what the command wrote."""
        with os.fdopen(self.reading, "rb") as pipe:
            pipe.read(self.filled)
            return pipe.read()


# A reader that pauses


@pytest.mark.parametrize("form", [["--json"], []])
async def test_a_reader_that_pauses_stops_no_work_and_misses_no_line(form, shell, symbl):
    unread = Unread()
    process = await unread.start(shell, "submit", *form, *[INAUGURAL] * 6)

    await symbl.until(lambda: len(symbl.submissions) == 6 and symbl.unfinished == 0)
    assert process.returncode is None
    out, _ = await asyncio.gather(asyncio.to_thread(unread.read), process.wait())

    assert process.returncode == 0
    assert out.decode().count("completed") >= 6


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_command_with_a_paused_reader_ends_when_it_is_told_to(number, shell, symbl):
    symbl.hold_jobs()
    unread = Unread()
    process = await unread.start(shell, "submit", "--json", INAUGURAL)
    await symbl.until(lambda: any(seen.path.startswith("/v1/job/") for seen in symbl.requests))

    process.send_signal(number)
    _, err = await process.communicate()
    os.close(unread.reading)

    assert process.returncode == 130
    (job,) = symbl.jobs
    last = err.decode().splitlines()[-1]
    assert shlex.split(last)[:3] == ["symbl-aio", "wait", "--json"] or job in last


async def test_more_than_is_kept_for_a_reader_counts_as_broken():
    unread = Unread()
    with os.fdopen(unread.writing, "w") as stream:
        writer = Writer(stream)
        writer.write("x" * (MOST_CHARACTERS - 1))
        writer.flush()
        assert writer.behind
        with pytest.raises(OSError, match="not read"):
            writer.write("xx")
        os.close(unread.reading)
        assert writer.wait()


# After Ctrl-C


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("form", [["--json"], []])
async def test_interrupted_before_anything_was_accepted_it_is_sent_again(
    number, form, shell, symbl, tmp_path
):
    asked, over = asyncio.Event(), asyncio.Event()

    async def never_answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        asked.set()
        await over.wait()
        writer.close()

    silent = await asyncio.start_server(never_answers, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    files = [tmp_path / "a talk.mp4", tmp_path / "it's.mp4"]
    for file in files:
        file.write_bytes(INAUGURAL.read_bytes())
    stuck = Shell(SYMBL_BASE_URL=f"http://127.0.0.1:{port}", **CREDENTIALS)
    process = await stuck.start("submit", "--name", "Mon day", *form, *files)
    await asked.wait()

    process.send_signal(number)
    ended = await shell.end(process)
    over.set()
    silent.close()

    assert ended.code == 130
    assert len(ended.err.splitlines()) <= 10
    last = shlex.split(ended.err.splitlines()[-1])
    assert last == ["symbl-aio", "submit", "--name", "Mon day", *form, *map(str, files)]
    again = await shell.run(*last[1:], "--no-wait")
    assert again.code == 0
    assert sum(received.accepted for received in symbl.submissions) == 2


async def test_what_was_accepted_is_waited_for_and_what_was_not_sent_is_sent(
    shell, symbl, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    symbl.hold_jobs()
    first = await shell.run("submit", "--json", "--no-wait", INAUGURAL)
    conversation = str(first.lines[0]["conversation"])
    process = await shell.start("append", conversation, *[INAUGURAL] * 7)
    assert process.stdout is not None
    while b"accepted" not in await process.stdout.readline():
        pass
    process.send_signal(signal.SIGINT)
    ended = await shell.end(process)
    symbl.release()

    lines = ended.err.splitlines()
    commands = [shlex.split(line) for line in lines if line.startswith("  symbl-aio ")]
    assert ended.code == 130
    assert len(lines) <= 10
    assert lines[-1].startswith("  symbl-aio wait ")
    assert [words[1] for words in commands] == ["append", "wait"]
    codes = [(await shell.run(*words[1:])).code for words in reversed(commands)]
    assert codes == [0, 0]
    assert len([r for r in symbl.appended(conversation) if r.method == "PUT"]) == 7


async def test_interrupted_wait_goes_on_with_its_options(shell, symbl):
    symbl.hold_jobs()
    submitted = await shell.run("submit", "--json", "--no-wait", INAUGURAL)
    process = await shell.start(
        "wait", "--json", "--base-url", symbl.base_url, submitted.lines[0]["token"]
    )
    assert process.stdout is not None
    await process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    ended = await shell.end(process)

    assert ended.code == 130
    words = shlex.split(ended.err.splitlines()[-1])
    assert words[:5] == ["symbl-aio", "wait", "--json", "--base-url", symbl.base_url]


@pytest.mark.parametrize("name", ["a" * LONGEST, "会\udcff.wav", "two\nlines.wav"])
def test_files_that_no_line_holds_are_sent_from_a_file(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    *_, last = summary([], [], [name], Resumption(files={}))

    words = shlex.split(last)
    assert words[:3] == ["symbl-aio", "submit", "--from"]
    assert unsent_files(words[3]) == [name]


def test_a_signed_link_is_kept_in_a_file_of_its_owner_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    link = "https://example.com/a.mp4?sig=secret-4711"
    label = "https://example.com/a.mp4?…"

    lines = list(summary([], [], [label], Resumption(files={label: link})))

    kept = Path(shlex.split(lines[-1])[-1])
    assert "secret-4711" not in "".join(lines)
    assert kept.stat().st_mode & 0o077 == 0
    assert unsent_files(str(kept)) == [link]


@pytest.mark.parametrize("running,unsure,unsent", [(3, 3, 3), (9, 9, 9), (0, 9, 3), (0, 1, 0)])
def test_at_most_ten_lines_and_the_last_a_command(running, unsure, unsent, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    lines = list(
        summary(
            [RunningJob(f"{i}.wav", f'{{"job":"{i}"}}') for i in range(running)],
            [f"u{i}.wav" for i in range(unsure)],
            [f"-n{i}.wav" for i in range(unsent)],
        )
    )

    assert len(lines) <= 10
    assert shlex.split(lines[-1])[0] == "symbl-aio"


def test_the_output_of_json_names_files_as_they_were_given_and_no_secret(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = {"a.wav (2)": "a.wav", "https://h.example/b.mp3?…": "https://h.example/b.mp3?sig=4711"}
    out, errors = io.StringIO(), io.StringIO()
    lines = Lines(Output(out), Output(errors), Resumption(files=files))
    kept = tmp_path / "out.jsonl"

    lines.interrupted([], [], ["a.wav (2)"])
    kept.write_text(out.getvalue())
    assert unsent_files(str(kept)) == ["a.wav"]

    lines.interrupted([], [], list(files))
    kept.write_text(out.getvalue())
    assert "4711" not in out.getvalue() + errors.getvalue()
    with pytest.raises(ConfigurationError, match="without its signature"):
        unsent_files(str(kept))


@pytest.mark.parametrize(
    "text",
    ["[" * 5000, '{"event": "accepted", "token": "9", "source": ["a"]}', '{"running": 3}', "[]"],
)
@pytest.mark.parametrize("read", [tokens, unsent_files])
def test_any_other_file_is_refused_with_the_remedy(read, text, tmp_path):
    kept = tmp_path / "kept.json"
    kept.write_text(text)
    with pytest.raises(ConfigurationError, match="--from"):
        read(str(kept))
