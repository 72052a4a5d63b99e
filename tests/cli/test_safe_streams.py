"""The command line when it cannot print, or receives a stop signal."""

import asyncio
import errno
import io
import json
import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from rich.console import Console

from symbl_aio import __version__
from symbl_aio.cli import _interrupted_early, main
from symbl_aio.cli.job_tokens import restored, shortened
from symbl_aio.cli.runner import run
from symbl_aio.cli.safe_streams import Output, stdin
from symbl_aio.cli.show_terminal import MOST_ROWS, Bars
from symbl_aio.cli.unfinished import RunningJob, summary, tokens
from tests.shell import CREDENTIALS, ROOT, Shell

INAUGURAL = ROOT / "examples" / "media" / "inaugural.mp4"
SENSIBILITY = ROOT / "examples" / "media" / "sensibility.m4a"
NARROW = ("cp1252", "ascii", "latin-1", "ascii:strict")


# Narrow encodings


@pytest.mark.parametrize("encoding", NARROW)
async def test_text_degrades_where_the_encoding_is_narrow(encoding, symbl, tmp_path):
    narrow = {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0", "LC_ALL": "C.UTF-8"}
    shell = Shell(SYMBL_BASE_URL=symbl.base_url, **narrow, **CREDENTIALS)
    talk = tmp_path / "talk 会議 \udcff.mp4"
    talk.write_bytes(INAUGURAL.read_bytes())
    symbl.register_transcript("Ελληνικά ✓")

    submitted = await shell.end(await shell.start_python("submit", talk))
    lines = await shell.end(await shell.start("submit", "--json", talk))
    conversation = str(symbl.submissions[0].conversation_id)
    read = await shell.end(await shell.start("messages", conversation))

    assert (submitted.code, submitted.err) == (0, "")
    assert "\\u4f1a" in submitted.out
    assert (lines.code, read.code) == (0, 0)
    assert lines.out.isascii()
    assert lines.lines[-1]["source"] == str(talk)
    assert "\\u2713" in read.out


async def test_an_error_degrades_as_well(symbl, tmp_path):
    shell = Shell(PYTHONIOENCODING="ascii:strict", **CREDENTIALS)

    ended = await shell.end(await shell.start("jobs", "--database", "sqlite:///会議.db"))

    assert ended.code == 2
    assert "\\u4f1a" in ended.err
    assert "Traceback" not in ended.err


def test_a_pipe_gets_no_bars_and_a_narrow_terminal_plain_ones():
    for encoding, drawn in (("utf-8", "━"), ("cp1252", "-")):
        raw = io.BytesIO()
        console = Console(file=io.TextIOWrapper(raw, encoding), force_terminal=True, width=80)
        bars = Bars(console, shown=True)
        bars.set("a", "a.mp4", 0.5, "uploading")
        bars.close()
        console.file.flush()
        assert drawn * 15 in raw.getvalue().decode(encoding)


# A screen that fails


async def _piped(shell: Shell, reader: str, *arguments: object) -> tuple[int, str, str]:
    """Run with a shell's pipe to a reader; return the exit code, its output, and stderr."""
    words = shlex.join([sys.executable, "-m", "symbl_aio.cli", *map(str, arguments)])
    process = await asyncio.create_subprocess_exec(
        "bash",
        *("-o", "pipefail", "-c", f"{words} | {reader}"),
        env=shell.environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


CLOSED = None


@pytest.fixture
def full() -> Iterator[int]:
    """A file that takes no bytes: a disk that is full."""
    with open("/dev/full", "wb") as file:
        yield file.fileno()


@pytest.mark.parametrize("form", [["--json"], []])
async def test_a_closed_pipe_ends_the_printing_and_not_the_work(form, shell, symbl):
    files = [INAUGURAL] * 6

    code, out, err = await _piped(shell, "head -1", "submit", *form, *files)

    assert code == 0
    assert len(out.splitlines()) == 1
    assert len(err.splitlines()) <= 1
    assert [received.accepted for received in symbl.submissions] == [True] * 6
    assert symbl.unfinished == 0


@pytest.mark.parametrize("redirection", ["> full", ">&-", ">&- 2>&-", "> full 2>&1"])
@pytest.mark.parametrize("form", [["--json"], []])
async def test_an_output_that_cannot_be_written_changes_no_exit_code(
    redirection, form, shell, symbl, full
):
    streams = {
        "> full": {"stdout": full},
        ">&-": {"stdout": CLOSED},
        ">&- 2>&-": {"stdout": CLOSED, "stderr": CLOSED},
        "> full 2>&1": {"stdout": full, "stderr": full},
    }[redirection]
    process = await shell.start("submit", *form, INAUGURAL, SENSIBILITY, **streams)
    ended = await shell.end(process)

    assert ended.code == 0
    assert "Traceback" not in ended.err
    assert symbl.unfinished == 0
    assert sum(received.accepted for received in symbl.submissions) == 2


async def test_a_failed_job_keeps_its_exit_code_without_an_output(shell, symbl, full):
    symbl.inject("job_fails")

    ended = await shell.end(await shell.start("submit", "--json", INAUGURAL, stdout=full))

    assert ended.code == 1


async def test_tokens_that_cannot_be_printed_are_told_on_stderr(shell, symbl, full):
    symbl.hold_jobs()

    process = await shell.start("submit", "--json", "--no-wait", INAUGURAL, stdout=full)
    ended = await shell.end(process)

    assert ended.code == 0
    (job,) = symbl.jobs
    token = ended.err.splitlines()[-1].split()[3]
    assert job in restored(token)
    assert "symbl-aio wait" in ended.err


async def test_what_is_only_printed_has_an_exit_code_of_its_own(shell, symbl, full):
    submitted = await shell.run("submit", "--json", INAUGURAL)
    conversation = submitted.lines[-1]["conversation"]
    symbl.register_transcript("Ask what you can do.")

    process = await shell.start("messages", "--json", conversation, stdout=full)
    ended = await shell.end(process)
    help_ended = await shell.end(await shell.start("--help", stdout=full))

    assert ended.code == 7
    assert "cannot be written" in ended.err
    assert "Traceback" not in ended.err + help_ended.err
    assert help_ended.code != 1


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("form", [["--json"], []])
async def test_a_list_that_cannot_be_printed_is_reported_once(closed, form, shell, symbl, full):
    await shell.run("submit", INAUGURAL)
    stdout = CLOSED if closed else full

    process = await shell.start("conversations", *form, stdout=stdout)
    ended = await shell.end(process)

    assert ended.code == 7
    assert ended.err.count("\n") == 1
    assert "the output cannot be written" in ended.err


async def test_a_secret_that_cannot_be_printed_is_no_success(full, tmp_path):
    command = ("serve", "--new-app", "shop", "--apps", tmp_path / "apps")
    ended = await Shell().end(await Shell().start(*command, stdout=full))
    assert ended.code == 7


class Full(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_an_output_never_raises_and_reports_once():
    reported: list[Exception] = []
    out = Output(Full(), reported.append)

    for _ in range(3):
        assert out.write("word") == 4
        out.flush()

    assert len(reported) == 1
    assert out.broken is reported[0]
    assert not out.isatty()


# Signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_a_process_that_is_told_to_stop_prints_its_tokens(number, shell, symbl):
    symbl.hold_jobs()
    process = await shell.start("submit", "--json", INAUGURAL)
    assert process.stdout is not None
    accepted = json.loads(await process.stdout.readline())

    process.send_signal(number)
    ended = await shell.end(process)

    assert ended.code == 130
    assert ended.lines[-1]["running"] == [{"source": str(INAUGURAL), "token": accepted["token"]}]
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("command", [["demo", "--asr", "off"], ["serve", "--port", "0"]])
async def test_other_commands_take_a_hangup_too(command):
    process = await Shell().start(*command)
    assert process.stdout is not None
    await process.stdout.readline()

    process.send_signal(signal.SIGHUP)
    ended = await Shell().end(process)

    assert ended.code == (0 if command[0] == "serve" else 130)
    assert "Traceback" not in ended.err


async def test_a_signal_while_python_ends_changes_no_exit_code():
    program = (
        "import os, sys\n"
        "class Last:\n"
        "    def __del__(self, kill=os.kill, pid=os.getpid()):\n"
        "        kill(pid, 15)\n"
        "last = Last()\n"
        "from symbl_aio.cli import main\n"
        "sys.argv = ['symbl-aio', 'messages', '9']\n"
        "main()\n"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program),
        env=Shell().environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    ended = await Shell().end(process)
    assert (ended.code, "SYMBL_APP_ID" in ended.err) == (2, True)


def test_a_signal_after_the_work_claims_not_that_nothing_was_sent(capsys):
    class Show:
        closed = False

        def error(self, message: str) -> None:
            raise AssertionError(message)

        def close(self) -> None:
            if not self.closed:
                self.closed = True
                raise KeyboardInterrupt

    async def work() -> int:
        return 0

    codes: list[object] = []

    def command() -> None:
        try:
            run(work, Show())
        except SystemExit as ended:
            codes.append(ended.code)

    # In a thread, which takes no signals of this process.
    thread = threading.Thread(target=command)
    thread.start()
    thread.join()
    assert codes == [130]
    assert capsys.readouterr().err == ""


# After Ctrl-C


@pytest.mark.parametrize("count", [1, 3, 4, 1000])
def test_after_ctrl_c_there_are_at_most_ten_lines_and_the_last_goes_on(
    count, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    running = [RunningJob(f"{i}.mp4", json.dumps({"v": 1, "job": str(i)})) for i in range(count)]

    lines = list(summary(running, ["x"] * count, ["y"] * count))

    assert len(lines) <= 10
    command = shlex.split(lines[-1])
    assert command[:2] == ["symbl-aio", "wait"]
    if count > 3:
        assert command[2] == "--from"
        assert tokens(command[3]) == {job.token: job.source for job in running}
    else:
        assert command[2:] == [shortened(job.token) for job in running]
    assert len(list(tmp_path.iterdir())) == (count > 3)


async def test_what_ctrl_c_kept_is_waited_for(shell, symbl, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    symbl.hold_jobs()
    process = await shell.start("submit", *[INAUGURAL] * 5)
    assert process.stdout is not None
    seen = b""
    while seen.count(b"accepted") < 5:
        seen += await process.stdout.readline()
    process.send_signal(signal.SIGINT)
    ended = await shell.end(process)
    symbl.release()

    last = ended.err.splitlines()[-1]
    waited = await shell.run(*shlex.split(last)[1:], "--json")

    assert ended.code == 130
    assert len(ended.err.splitlines()) <= 10
    assert waited.code == 0
    assert waited.events().count("completed") == 5


async def test_the_output_of_json_is_waited_for(shell, symbl, tmp_path):
    symbl.hold_jobs()
    log = tmp_path / "log"
    submitted = await shell.run("submit", "--json", "--no-wait", INAUGURAL, SENSIBILITY)
    log.write_text(submitted.out)
    symbl.release()

    waited = await shell.run("wait", "--from", log, "--json")
    (tmp_path / "wrong").write_text("[1]\n")
    wrong = await shell.run("wait", "--from", tmp_path / "wrong")

    assert (waited.code, waited.events().count("completed")) == (0, 2)
    assert wrong.code == 2
    assert "--from" in wrong.err


# The moving part of a terminal


@pytest.mark.parametrize("height", [1, 3, 5, 30])
def test_there_are_never_more_rows_than_the_screen_has(height):
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=40, height=height)
    bars = Bars(console, shown=True)
    for number in range(100):
        bars.set(str(number), f"{number} " + "会議" * 50, 0.5, "uploading")

    drawn = console.render_lines(bars._render(), pad=False)

    assert len(drawn) <= min(height, MOST_ROWS + 1)
    bars.close()


@pytest.mark.parametrize("width", [44, 60, 80])
def test_the_state_of_a_row_is_seen_in_a_narrow_terminal(width):
    console = Console(file=io.StringIO(), force_terminal=True, width=width, height=9)
    bars = Bars(console, shown=True)
    bars.set("all", "all".ljust(28), 0.5, "1,234 of 5,000  3.2 a second")
    bars.set("one", "a-long-name-of-a-call-9.wav".ljust(28), 0.5, "uploading  1.2 GB of 3.4 GB")

    drawn = str(bars._render())

    assert "1,234 of 5,000  3.2 a second" in drawn
    assert "uploading  1.2 GB of 3.4 GB" in drawn
    assert "9.wav" in drawn
    bars.close()


async def test_a_thousand_lines_do_not_redraw_a_thousand_times():
    class Counted(Bars):
        draws = 0

        def _render(self):
            self.draws += 1
            return super()._render()

    from rich.text import Text

    out = io.StringIO()
    bars = Counted(Console(file=out, force_terminal=True, width=80, height=20), shown=True)
    bars.set("a", "a.mp4", 0.5, "uploading")
    for number in range(1000):
        bars.print(Text(f"line {number}"))
    bars.close()

    assert "line 999" in out.getvalue()
    assert bars.draws <= 6


# Imports


@pytest.mark.parametrize(
    "words",
    [["--version"], ["--help"], ["submit", "--help"], ["worker", "--help"], ["db", "--help"],
     ["demo", "--help"], ["serve", "--help"], ["wait", "--help"], ["submit"]],
    ids=" ".join,
)  # fmt: skip
async def test_help_and_version_import_neither_the_server_nor_aiohttp(words):
    program = (
        "import atexit, sys\n"
        "heavy = ('aiohttp', 'rich', 'cattrs', 'symbl_aio.server', 'symbl_aio.client', 'dbos')\n"
        "found = lambda: print('FOUND', [name for name in heavy if name in sys.modules])\n"
        "atexit.register(found)\n"
        f"sys.argv = ['symbl-aio', *{words!r}]\n"
        "from symbl_aio.cli import main\nmain()\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, cwd=ROOT, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    out, _ = await process.communicate()

    assert "FOUND []" in out.decode()


async def test_version_loads_no_more_than_the_streams_that_print_it():
    program = (
        "import atexit, sys\n"
        "heavy = ('click', 'asyncio', 'attrs', 'json', 'importlib.metadata')\n"
        "found = lambda: print('FOUND', [name for name in heavy if name in sys.modules])\n"
        "atexit.register(found)\n"
        "sys.argv = ['symbl-aio', '--version']\n"
        "from symbl_aio.cli import main\nmain()\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()

    assert out.decode().split("\n") == [f"symbl-aio, version {__version__}", "FOUND []", ""]


# Foreseeable errors


@pytest.mark.parametrize(
    "arguments",
    [
        ["serve", "--host", "a" * 70],
        ["serve", "--host", "nope.invalid"],
        ["serve", "--port", "0", "--directory", "/proc"],
        ["jobs", "--database", f"postgresql://me@{'a' * 70}/name"],
        ["jobs", "--database", "postgresql://me@nope..invalid/name"],
        ["jobs", "--database", "postgresql://me@nope.invalid/name"],
        ["jobs", "--database", "sqlite:////proc/version"],
        ["worker", "--database", "sqlite:////proc/version/x.db"],
        ["db", "migrate", "--database", "sqlite:////proc/x.db"],
        ["demo", "--asr", "off", "--svg", "/proc/x.svg", str(INAUGURAL)],
        ["messages", "1", "--base-url", "foo"],
        ["messages", "1", "--base-url", "http://192.0.2.1"],
        ["wait", "--from", "/proc/no-such-file"],
    ],
    ids=lambda words: " ".join(words)[:50],
)
async def test_a_foreseeable_error_is_one_line_with_an_exit_code(arguments):
    ended = await Shell(**CREDENTIALS).end(await Shell(**CREDENTIALS).start(*arguments))

    assert ended.code in (2, 3)
    assert "Traceback" not in ended.err
    assert len([line for line in ended.err.splitlines() if "symbl-aio:" in line]) == 1


@pytest.mark.parametrize(
    "words,shown",
    [
        (["messages", "my id"], "  symbl-aio messages 'my id'\n"),
        (["submit", "https://example.com/a.mp3?sig=4711"], ""),
        (["serve", "--app", "shop:4711"], ""),
        (["serve", "--app-secret=4711"], ""),
    ],
)
def test_a_command_that_is_interrupted_early_is_repeated_without_secrets(
    words, shown, monkeypatch, capsys
):
    monkeypatch.setattr(sys, "argv", ["symbl-aio", *words])
    assert _interrupted_early() == 130
    assert capsys.readouterr().err == f"Interrupted before anything was sent.\n{shown}"


def test_a_fault_before_the_command_starts_is_not_a_failed_job(monkeypatch, capsys):
    def broken() -> int:
        raise ZeroDivisionError("a fault")

    monkeypatch.setattr("symbl_aio.cli._run", broken)
    monkeypatch.setattr("symbl_aio.cli._ignore_stop_signals", lambda: None)
    monkeypatch.setattr("symbl_aio.cli.safe_streams.protect", lambda: None)

    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 70
    assert "ZeroDivisionError: a fault" in capsys.readouterr().err


async def test_a_fault_of_the_program_is_not_a_failed_job(monkeypatch):
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a fault")

    monkeypatch.setattr("symbl_aio.cli.demo.parts", broken)

    ended = await Shell().run("demo")

    assert ended.code == 70
    assert "ZeroDivisionError: a fault" in ended.err


def test_standard_input_waits_for_a_slow_writer(monkeypatch):
    """A program that shares the pipe has left it in non-blocking mode."""
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    with os.fdopen(read_end) as shared, ThreadPoolExecutor() as pool:
        monkeypatch.setattr(sys, "stdin", shared)
        stream = stdin()
        assert os.get_blocking(read_end)
        assert stream is not None
        read = pool.submit(stream.read)
        os.write(write_end, b"1234")
        os.close(write_end)
        assert read.result() == b"1234"
