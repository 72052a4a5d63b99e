"""The command line as its users meet it: real sockets, exit codes, signals."""

import asyncio
import io
import json
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from rich.console import Console

from symbl_aio import (
    AmbiguousSubmissionError,
    AppendBlockedError,
    ConcurrencyLimitError,
    ConfigurationError,
    MediaRejectedError,
    SymblError,
    TransportError,
)
from symbl_aio.cli.commands import cli
from symbl_aio.cli.exit_codes import MEANINGS, code_of, most_severe
from symbl_aio.cli.follow_jobs import Outcomes
from symbl_aio.cli.job_tokens import shortened
from symbl_aio.cli.safe_streams import clean
from symbl_aio.cli.show_terminal import Screen
from symbl_aio.cli.sources import labels
from symbl_aio.cli.unfinished import RunningJob
from tests.names import CONTROLS, FILE_NAMES
from tests.shell import CREDENTIALS, Shell

ROOT = Path(__file__).parents[2]
INAUGURAL = ROOT / "examples" / "media" / "inaugural.mp4"
SENSIBILITY = ROOT / "examples" / "media" / "sensibility.m4a"


# Exit codes, without a process


def test_the_gravest_of_several_outcomes_is_told():
    assert most_severe([]) == 0
    assert most_severe([0, 3, 0]) == 3
    assert most_severe([2, 1, 4, 0]) == 4
    assert all(most_severe([code]) == code for code in MEANINGS if code != 130)


async def _no_proof() -> None: ...


AMBIGUOUS = AmbiguousSubmissionError("no answer", key="k", reconcile=_no_proof)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "error,code",
    [
        (ConfigurationError("x"), 2),
        (MediaRejectedError("x"), 2),
        (TransportError("x", "no"), 3),
        (AMBIGUOUS, 4),
        (AppendBlockedError("x", AMBIGUOUS), 4),
        (ConcurrencyLimitError(429), 5),
        (SymblError("a kind yet to come"), 3),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, SymblError) else str(value),
)
def test_an_error_has_its_exit_code(error, code):
    assert code_of(error) == code


def test_a_source_given_twice_is_told_apart():
    assert labels(["a", "b", "a"]) == ["a", "b", "a (2)"]
    assert labels(["a", "a", "a (2)", "a (2)"]) == ["a", "a (3)", "a (2)", "a (2) (2)"]


def test_text_of_a_server_cannot_steer_the_terminal():
    assert clean("all\x1b[2Jgood\r\n") == "all [2Jgood  "
    assert clean("".join(CONTROLS)) == " " * len(CONTROLS)


@pytest.mark.parametrize("name", FILE_NAMES)
def test_what_people_write_is_shown_as_it_is(name):
    assert clean(name) == name


# Commands, against the local server


async def test_a_process_does_it_all_without_a_warning(shell):
    ended = await shell.end(await shell.start_python("submit", INAUGURAL))

    assert (ended.code, ended.err) == (0, "")
    assert "completed" in ended.out


async def test_submit_waits_for_the_job_and_tells_it_line_by_line(shell, symbl):
    ended = await shell.run("submit", "--json", INAUGURAL)

    assert (ended.code, ended.err) == (0, "")
    assert ended.events()[0] == "accepted"
    assert ended.events()[-1] == "completed"
    assert [line["status"] for line in ended.lines if line["event"] == "status"][-1] == "completed"
    (received,) = symbl.submissions
    assert ended.lines[-1]["conversation"] == received.conversation_id
    assert ended.lines[-1]["source"] == str(INAUGURAL)


async def test_submit_tells_a_person_the_states(shell):
    ended = await shell.run("submit", INAUGURAL, "--name", "Monday")

    assert (ended.code, ended.err) == (0, "")
    for word in ("uploaded", "77.6 kB", "accepted", "completed"):
        assert word in ended.out


async def test_options_reach_the_server(shell, symbl):
    await shell.run("submit", "--json", "--name", "Monday", "--language", "en-US", INAUGURAL)

    (received,) = symbl.submissions
    assert received.query == {"name": "Monday", "languageCode": "en-US"}


async def test_several_files_are_several_conversations(shell, symbl):
    ended = await shell.run("submit", "--json", INAUGURAL, SENSIBILITY, INAUGURAL)

    assert ended.code == 0
    assert ended.events().count("completed") == 3
    assert len({received.conversation_id for received in symbl.submissions}) == 3


async def test_append_keeps_the_order_of_the_files(shell, symbl):
    first = await shell.run("submit", "--json", INAUGURAL)
    conversation = str(first.lines[-1]["conversation"])

    ended = await shell.run("append", "--json", conversation, SENSIBILITY, INAUGURAL)

    assert ended.code == 0
    appended = symbl.appended(conversation)
    assert [(r.method, r.kind) for r in appended if r.method == "PUT"] == [
        ("PUT", "audio"),
        ("PUT", "video"),
    ]


async def test_no_wait_gives_a_token_and_wait_takes_it(shell, symbl):
    symbl.hold_jobs()
    submitted = await shell.run("submit", "--json", "--no-wait", INAUGURAL)
    assert submitted.code == 0
    assert submitted.events() == ["accepted"]
    symbl.release()

    waited = await shell.run("wait", "--json", str(submitted.lines[0]["token"]))

    assert (waited.code, waited.err) == (0, "")
    assert waited.lines[-1]["job"] == submitted.lines[0]["job"]


async def test_no_wait_prints_the_command_to_wait_with(shell):
    ended = await shell.run("submit", "--no-wait", INAUGURAL)

    assert (ended.code, ended.err) == (0, "")
    assert "symbl-aio wait eyJ" in ended.out


async def test_wait_takes_a_plain_job_id(shell):
    submitted = await shell.run("submit", "--json", "--no-wait", INAUGURAL)

    waited = await shell.run("wait", str(submitted.lines[0]["job"]))

    assert waited.code == 0
    assert "completed" in waited.out


@pytest.mark.timeout(20)  # the grace for a new job, 30 s, is not for an id that a person gives
@pytest.mark.parametrize("words", [["garbage"], ["123", "456"]])
async def test_wait_refuses_an_unknown_job_at_once(words, shell):
    ended = await shell.run("wait", *words)

    assert (ended.code, ended.out) == (5, "")
    assert "check the id" in ended.err


async def test_messages_prints_the_transcript(shell, symbl):
    symbl.register_transcript("Ask what you can do.", name="Monday")
    submitted = await shell.run("submit", "--json", "--name", "Monday", INAUGURAL)
    conversation = str(submitted.lines[-1]["conversation"])

    for_people = await shell.run("messages", conversation)
    for_machines = await shell.run("messages", "--json", conversation)

    assert "Ask what you can do." in for_people.out
    assert [line["text"] for line in for_machines.lines] == ["Ask what you can do."]
    assert for_people.code == for_machines.code == 0


async def test_a_failed_job_is_exit_code_1_and_hides_no_other(shell, symbl):
    symbl.inject("job_fails")

    ended = await shell.run("submit", "--json", INAUGURAL, SENSIBILITY)

    assert ended.code == 1
    (failed,) = (line for line in ended.lines if line["event"] == "failed")
    assert (failed["error"], failed["exit_code"]) == ("JobFailedError", 1)
    assert failed["token"]
    assert ended.events().count("completed") == 1


@pytest.mark.parametrize("command", ["submit", "append", "wait", "messages"])
async def test_missing_credentials_are_named_before_anything_is_sent(command, symbl):
    shell = Shell(SYMBL_BASE_URL=symbl.base_url, SYMBL_APP_ID="app")
    arguments = {"append": ["123", str(INAUGURAL)], "submit": [str(INAUGURAL)]}

    ended = await shell.run(command, *arguments.get(command, ["123"]))

    assert (ended.code, ended.out) == (2, "")
    assert "SYMBL_APP_SECRET" in ended.err
    assert "Traceback" not in ended.err
    assert symbl.requests == []


async def test_wrong_credentials_are_exit_code_2_and_not_printed(symbl):
    shell = Shell(SYMBL_BASE_URL=symbl.base_url, SYMBL_APP_ID="app", SYMBL_APP_SECRET="wrong-4711")

    ended = await shell.run("submit", INAUGURAL)

    assert ended.code == 2
    assert "AuthenticationError" in ended.out
    assert "wrong-4711" not in ended.out + ended.err
    assert symbl.submissions == []


async def test_a_missing_file_is_exit_code_2(shell, symbl, tmp_path):
    ended = await shell.run("submit", "--json", tmp_path / "gone.mp4")

    assert ended.code == 2
    assert "gone.mp4" in str(ended.lines[0]["message"])
    assert symbl.submissions == []


async def test_a_conversation_id_with_a_slash_is_exit_code_2(shell, symbl):
    ended = await shell.run("append", "a/b", INAUGURAL)

    assert (ended.code, ended.out) == (2, "")
    assert "CONVERSATION is 'a/b'" in ended.err
    assert symbl.requests == []


PYTHON = re.compile(r"\w\(|=True|\b(?:Config|MediaOptions|client|error|Job)\.\w|\w+URL\b|_id\b")


@pytest.mark.parametrize(
    "words",
    [
        ["submit", "{folder}/unknown.dat"],
        ["submit", "https://youtube.com/a.mp3"],
        ["submit", "https://exa mple.com/a.mp3"],
        ["submit", "--language", " ", str(INAUGURAL)],
        ["submit", "--base-url", "http://example.com", str(INAUGURAL)],
        ["submit", "--base-url", "http://example.com/path", str(INAUGURAL)],
        ["submit", ""],
        ["append", "a/b", str(INAUGURAL)],
        ["messages", "a/b"],
        ["wait", '{"v":1}'],
        ["wait", '{"v":1,"job":"a","conversation":"b","origin":"https://x.y","since":1}'],
    ],
    ids=" ".join,
)
async def test_no_error_of_a_command_speaks_of_python(words, shell, tmp_path):
    (tmp_path / "unknown.dat").write_bytes(b"no recording")

    ended = await shell.run(*(word.replace("{folder}", str(tmp_path)) for word in words))

    assert ended.code == 2
    assert not PYTHON.search(ended.err), ended.err


async def test_missing_credentials_do_not_speak_of_python(symbl):
    ended = await Shell(SYMBL_BASE_URL=symbl.base_url).run("submit", INAUGURAL)
    assert not PYTHON.search(ended.err), ended.err


def test_in_a_terminal_a_reason_is_shown_once():
    told = io.StringIO()
    console = Console(file=told, force_terminal=True, width=200)
    screen = Screen(console, console, bars=False)
    error = TransportError("no route", "no")
    outcomes = Outcomes({})
    outcomes.failed("a.mp4", error)
    screen.failed("a.mp4", error)
    screen.ended(outcomes.message(1), outcomes.brief(1))
    assert told.getvalue().count("no route") == 1
    assert "check the network" in told.getvalue()


async def test_no_file_is_wrong_usage(shell):
    ended = await shell.run("submit")

    assert ended.code == 2
    assert "Usage: symbl-aio submit" in ended.err


@pytest.mark.slow  # tries for some seconds
async def test_a_host_that_is_not_there_is_exit_code_3(unused_tcp_port):
    shell = Shell(SYMBL_BASE_URL=f"http://127.0.0.1:{unused_tcp_port}", **CREDENTIALS)

    ended = await shell.run("messages", "123")

    assert ended.code == 3
    assert "Traceback" not in ended.err


async def test_an_unknown_conversation_is_exit_code_5(shell):
    ended = await shell.run("messages", "123")

    assert ended.code == 5
    assert "404" in ended.err


async def test_a_lost_answer_is_exit_code_4(shell, symbl):
    symbl.inject("accept_then_drop", on="POST")

    ended = await shell.run("submit", "--json", INAUGURAL)

    assert ended.code == 4
    assert ended.lines[-1]["error"] == "AmbiguousSubmissionError"
    assert len(symbl.submissions) == 1


async def test_ctrl_c_says_what_still_runs_and_how_to_wait_for_it(shell, symbl):
    symbl.hold_jobs()
    process = await shell.start("submit", "--json", INAUGURAL)
    assert process.stdout is not None
    accepted = json.loads(await process.stdout.readline())

    process.send_signal(signal.SIGINT)
    ended = await shell.end(process)

    assert ended.code == 130
    assert ended.lines[-1] == {
        "event": "interrupted",
        "running": [{"source": str(INAUGURAL), "token": accepted["token"]}],
        "unsure": [],
        "unsent": [],
        "files": [],
    }
    symbl.release()
    for token in (accepted["token"], shortened(accepted["token"])):
        waited = await shell.run("wait", token)
        assert waited.code == 0


async def test_ctrl_c_prints_the_command_to_wait_with(shell, symbl):
    symbl.hold_jobs()
    process = await shell.start_python("submit", INAUGURAL, SENSIBILITY)
    await symbl.until(lambda: sum(r.job_id is not None for r in symbl.submissions) == 2)
    assert process.stdout is not None
    seen = b""
    while seen.count(b"accepted") < 2:
        seen += await process.stdout.readline()

    process.send_signal(signal.SIGINT)
    ended = await shell.end(process)

    assert ended.code == 130
    *_, last = ended.err.splitlines()
    assert last.count(" eyJ") == 2
    assert "symbl-aio wait" in last
    assert "Traceback" not in ended.err


async def test_ctrl_c_tells_what_was_not_sent(shell, symbl):
    symbl.hold_jobs()
    first = await shell.run("submit", "--json", "--no-wait", INAUGURAL)
    conversation = str(first.lines[0]["conversation"])
    process = await shell.start("append", "--json", conversation, SENSIBILITY, INAUGURAL)
    assert process.stdout is not None
    assert json.loads(await process.stdout.readline())["source"] == str(SENSIBILITY)

    process.send_signal(signal.SIGINT)
    ended = await shell.end(process)

    assert ended.code == 130
    assert ended.lines[-1]["unsent"] == [str(INAUGURAL)]


async def test_ctrl_c_before_the_answer_says_that_it_is_unsure(shell, symbl):
    symbl.inject("slow:60", on="POST")
    process = await shell.start("submit", "--json", INAUGURAL)
    await symbl.until(lambda: symbl.submissions and symbl.submissions[0].complete)

    process.send_signal(signal.SIGINT)
    ended = await shell.end(process)

    assert ended.code == 130
    assert ended.lines[-1]["unsure"] == [str(INAUGURAL)]


async def test_ctrl_c_does_not_repeat_what_failed_before(shell, symbl, tmp_path):
    symbl.hold_jobs()
    process = await shell.start("submit", "--json", tmp_path / "gone.mp4", INAUGURAL)
    assert process.stdout is not None
    seen = {json.loads(await process.stdout.readline())["event"] for _ in range(2)}
    assert seen == {"failed", "accepted"}

    process.send_signal(signal.SIGINT)
    ended = await shell.end(process)

    assert ended.code == 130
    assert ended.lines[-1]["unsent"] == ended.lines[-1]["unsure"] == []


def test_a_person_is_told_what_runs_what_is_unsure_and_what_was_not_sent():
    told = io.StringIO()
    screen = Screen(Console(file=io.StringIO()), Console(file=told, width=200))

    screen.interrupted([RunningJob("a.mp4", '{"v":1}')], ["b.mp4"], ["c.mp4"])

    command = "symbl-aio wait " + shortened('{"v":1}')
    assert command in told.getvalue().splitlines()[-1]
    assert "b.mp4: perhaps accepted" in told.getvalue()
    assert "c.mp4: not sent" in told.getvalue()


def test_a_terminal_gets_a_bar_for_each_upload():
    terminal = io.StringIO()
    console = Console(file=terminal, force_terminal=True, width=100)
    screen = Screen(console, console)

    screen.upload("a.mp4", 500, 1000)
    screen.upload("a.mp4", 1000, 1000)
    screen.close()

    assert "uploading  1.0 kB of 1.0 kB" in terminal.getvalue()


# serve and demo


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_serve_serves_until_it_is_stopped(number):
    shell = Shell(**CREDENTIALS)
    process = await shell.start("serve", "--port", "0", "--json", "--asr", "off")
    assert process.stdout is not None
    serving = json.loads(await process.stdout.readline())

    used = await Shell(SYMBL_BASE_URL=serving["base_url"], **CREDENTIALS).run("submit", INAUGURAL)
    process.send_signal(number)
    ended = await shell.end(process)

    assert used.code == 0
    assert ended.code == 0
    assert "Traceback" not in ended.err


async def test_serve_says_how_to_use_it_and_keeps_a_secret_of_the_user():
    shell = Shell(SYMBL_APP_ID="mine", SYMBL_APP_SECRET="known-to-me-4711")
    process = await shell.start("serve", "--port", "0", "--asr", "off")
    assert process.stdout is not None
    said = b"".join([await process.stdout.readline() for _ in range(5)]).decode()
    process.send_signal(signal.SIGINT)
    ended = await shell.end(process)

    assert "export SYMBL_BASE_URL=http://127.0.0.1:" in said
    assert "export SYMBL_APP_ID=mine" in said
    assert "known-to-me-4711" not in said + ended.out + ended.err


async def test_a_port_in_use_is_exit_code_2(symbl, tmp_path):
    port = symbl.base_url.rsplit(":", 1)[1]

    shell = Shell()
    ended = await shell.end(await shell.start("serve", "--port", port))

    worker = ("worker", "--database", f"sqlite:///{tmp_path}/outbox.db", "--health", port)
    shell = Shell(SYMBL_BASE_URL=symbl.base_url, **CREDENTIALS)
    of_a_worker = await shell.end(await shell.start(*worker))

    for refused, option in ((ended, "--port"), (of_a_worker, "--health")):
        assert refused.code == 2
        assert f"cannot listen on 127.0.0.1:{port} (Address already in use);" in refused.err
        assert option in refused.err


async def test_the_demo_needs_no_account_and_keeps_the_order():
    ended = await Shell().run("demo", "--asr", "off")

    assert (ended.code, ended.err) == (0, "")
    for line in (
        "1. inaugural.mp4: POST /v1/process/video,",
        "2. sensibility.m4a: PUT /v1/process/audio/",
        "3. a note: PUT /v1/process/text/",
    ):
        assert line in ended.out
    for word in ("scheduled", "in_progress", "completed", "Transcript", "action items"):
        assert word in ended.out


@pytest.mark.asr
async def test_the_demo_prints_most_of_the_words_that_are_spoken():
    ended = await Shell().run("demo")

    assert ended.code == 0
    transcript = ended.out[ended.out.index("Transcript") : ended.out.index("Insights")].lower()
    spoken = "fellow americans ask not what your country can do for you leisure consider power"
    heard = [word for word in spoken.split() if word in transcript]
    assert len(heard) >= 0.75 * len(spoken.split())


async def test_the_demo_takes_a_recording_of_the_user(tmp_path):
    talk = tmp_path / "talk[1].mp4"
    talk.write_bytes(INAUGURAL.read_bytes())

    ended = await Shell().run("demo", "--asr", "off", talk)

    assert ended.code == 0
    assert "talk[1].mp4" in ended.out
    assert "In the order" not in ended.out


async def test_the_demo_appends_a_second_recording_of_the_user():
    ended = await Shell().run("demo", "--asr", "off", INAUGURAL, "--append", INAUGURAL)

    assert ended.code == 0
    assert "1. inaugural.mp4: POST" in ended.out
    assert "2. inaugural.mp4 (2): PUT" in ended.out


async def test_the_demo_without_the_checkout_asks_for_a_file(monkeypatch, tmp_path):
    monkeypatch.setattr("symbl_aio.cli.demo.MEDIA", tmp_path)

    ended = await Shell().run("demo")

    assert ended.code == 2
    assert "symbl-aio demo FILE" in ended.err


async def test_the_picture_of_the_demo_loads_nothing_from_elsewhere(tmp_path):
    ended = await Shell().run("demo", "--asr", "off", "--svg", tmp_path / "demo.svg", INAUGURAL)

    picture = (tmp_path / "demo.svg").read_text("utf-8")
    assert ended.code == 0
    assert "completed" in picture
    assert "url(" not in re.sub(r"url\(#", "", picture)


async def test_the_demo_refuses_a_file_that_is_no_recording(tmp_path):
    (tmp_path / "notes.mp4").write_text("not a film")

    ended = await Shell().run("demo", "--asr", "off", tmp_path / "notes.mp4")

    assert ended.code == 2
    assert "MediaRejectedError" in ended.out


# Without the extra, and help


@pytest.mark.parametrize("missing", ["click", "rich"])
async def test_without_the_extra_the_command_says_what_to_install(missing):
    # Other packages bring click, too.
    blocker = f"import sys; sys.modules[{missing!r}] = None; from symbl_aio.cli import main; main()"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", blocker, "upload", "recordings"),
        cwd=ROOT,
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await process.communicate()

    assert process.returncode == 2
    assert "pip install '.[cli]' in a checkout of symbl-aio" in err.decode()


async def test_help_tells_the_exit_codes():
    ended = await Shell().run("--help")

    assert ended.code == 0
    for code, meaning in MEANINGS.items():
        assert f"{code}  {meaning}" in " ".join(ended.out.split()).replace(f"{code} ", f"{code}  ")


def _options() -> Iterator[tuple[str, str]]:
    for name, command in cli.commands.items():
        for option in command.params:
            if isinstance(option.type, click.FloatRange):
                yield name, option.opts[-1]


@pytest.mark.parametrize("command,option", list(_options()))
@pytest.mark.parametrize("number", ["nan", "inf"])
async def test_no_number_of_an_option_is_nan_or_infinite(command, option, number):
    ended = await Shell().run(command, option, number)
    assert ended.code == 2
    assert "is no finite number" in ended.err
