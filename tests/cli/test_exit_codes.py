"""Every command of the parser with every known error: two lines at most, and an exit code."""

import asyncio
import wave
from collections.abc import Iterator
from pathlib import Path

import click

from symbl_aio.cli.commands import cli
from tests.shell import CREDENTIALS, Ended, Shell

UNRESOLVED = {
    "SYMBL_BASE_URL": "https://does-not-exist.invalid",
    "SYMBL_RETRIES_BASE": "0.01",  # as many attempts as ever, and soon
    **CREDENTIALS,
}
NO_DATABASE = {"SYMBL_AIO_DATABASE": "sqlite:////proc/version/outbox.db", **CREDENTIALS}
NONSENSE = {"SYMBL_AIO_DATABASE": "nonsense", **CREDENTIALS}
FILE = "{file}"

# The errors of each command: its arguments, the environment and the exit code.
WRONG: dict[str, list[tuple[list[str], dict[str, str], int]]] = {
    "submit": [
        ([FILE], UNRESOLVED, 3),
        (["/no/such/file.wav"], UNRESOLVED, 2),
        (["/proc/self/mem"], UNRESOLVED, 2),
        ([FILE], {"SYMBL_APP_ID": "app"}, 2),
        ([FILE, "--base-url", "nonsense"], CREDENTIALS, 2),
        (["--from", "/no/such/file"], CREDENTIALS, 2),
    ],
    "append": [
        (["123", FILE], UNRESOLVED, 3),
        (["a/b", FILE], UNRESOLVED, 2),
        (["123", "--from", "/proc/version"], CREDENTIALS, 2),
    ],
    "wait": [
        (["123"], UNRESOLVED, 3),
        (["--from", "/no/such/file"], CREDENTIALS, 2),
        (['{"v":9}'], CREDENTIALS, 2),
    ],
    "upload": [
        ([FILE, "--ledger", "{file}.1"], UNRESOLVED, 3),
        (["/no/such/file.wav", "--ledger", "{file}.2"], UNRESOLVED, 2),
        ([FILE, "--ledger", "/proc/version"], CREDENTIALS, 2),
        ([FILE, "--ledger", "{file}.3"], {"SYMBL_APP_ID": "app"}, 2),
        ([FILE, "--ledger", "{file}.4", "--base-url", "nonsense"], CREDENTIALS, 2),
        ([FILE, "--ledger", "{file}.5", "--group-by", "("], CREDENTIALS, 2),
        ([FILE, "--ledger", "{file}.6", "--group-by", "/no/such/file.csv"], CREDENTIALS, 2),
        ([FILE, "--ledger", "{file}.7", "-o", "x", "--format", "docx"], CREDENTIALS, 2),
        ([FILE, "--ledger", "{file}.8", "--report", "x.txt"], CREDENTIALS, 2),
    ],
    "settle": [([FILE, "--accepted", "--ledger", "{file}.9"], CREDENTIALS, 2)],
    "conversations": [
        ([], UNRESOLVED, 3),
        (["--filter", "nonsense"], UNRESOLVED, 3),
        ([], {"SYMBL_APP_ID": "app"}, 2),
    ],
    "doctor": [
        ([], UNRESOLVED, 3),
        ([], {"SYMBL_LIMITS_JOBS": "many", **CREDENTIALS}, 2),
    ],
    "export": [
        (["123", "--format", "srt"], UNRESOLVED, 3),
        (["123"], CREDENTIALS, 2),
        (["123", "-o", "x", "--format", "docx"], CREDENTIALS, 2),
        (["a/b", "--format", "srt"], UNRESOLVED, 2),
    ],
    "trackers": [
        ([], UNRESOLVED, 3),
        (["--create", "/no/such/file"], UNRESOLVED, 2),
        (["--create", "/proc/version"], UNRESOLVED, 2),
    ],
    "groups": [([], UNRESOLVED, 3), (["--create", "/no/such/file"], UNRESOLVED, 2)],
    "listen": [
        ([FILE], UNRESOLVED, 3),
        (["/no/such/file.wav"], CREDENTIALS, 2),
        ([FILE], {"SYMBL_APP_ID": "app"}, 2),
    ],
    "messages": [(["123"], UNRESOLVED, 3), (["a/b"], UNRESOLVED, 2)],
    "report": [
        (["123", "-o", "/proc/report.html"], UNRESOLVED, 3),
        (["/no/such/file.json", "-o", "/proc/report.html"], {}, 2),
        (["123", "-o", "/proc/report.html", "--media", "/no/such/file.mp3"], CREDENTIALS, 2),
        (["a/b", "-o", "/proc/report.html"], UNRESOLVED, 2),
    ],
    "worker": [([], NO_DATABASE, 3), ([], NONSENSE, 2), (["--base-url", "x"], NO_DATABASE, 2)],
    "jobs": [([], NO_DATABASE, 2), ([], NONSENSE, 2)],
    "retry": [(["key"], NO_DATABASE, 2), (["key"], NONSENSE, 2)],
    "discard": [(["key"], NO_DATABASE, 2), (["key"], NONSENSE, 2)],
    "resolve": [
        (["key", "--accepted"], NO_DATABASE, 2),
        (["key", "--not-accepted"], NONSENSE, 2),
    ],
    "db migrate": [([], NO_DATABASE, 3), ([], NONSENSE, 2)],
    "db restored": [([], NO_DATABASE, 2), ([], NONSENSE, 2)],
    "pause": [([], NO_DATABASE, 2), ([], NONSENSE, 2)],
    "resume": [([], NO_DATABASE, 2), ([], NONSENSE, 2)],
    "stats": [([], NO_DATABASE, 2), ([], NONSENSE, 2)],
    "demo": [(["--asr", "off", "/no/such/file.mp4"], {}, 2)],
    "serve": [
        (["--host", "nope.invalid"], {}, 2),
        (["--port", "0", "--directory", "/proc"], {}, 2),
    ],
}  # fmt: skip


Case = tuple[tuple[str, ...], dict[str, str], int]


def words_of(group: click.Group, *before: str) -> Iterator[str]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from words_of(command, *before, name)
        else:
            yield " ".join((*before, name))


def recorded(path: Path) -> Path:
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(b"\0" * 1600)
    return path


def test_no_command_is_missed():
    assert sorted(words_of(cli)) == sorted(WRONG)


async def test_a_known_error_is_two_lines_on_stderr_at_most(tmp_path):
    here: list[Case] = []
    beside: list[Case] = []
    for name, form in (("people.wav", []), ("json.wav", ["--json"])):
        recording = recorded(tmp_path / name)
        for words, rows in WRONG.items():
            if words == "demo" and form:
                continue  # it is for people alone
            for arguments, environment, code in rows:
                given = [argument.replace(FILE, str(recording)) for argument in arguments]
                case = ((*words.split(), *form, *given), environment, code)
                # A process for those that handle signals.
                (beside if words in ("worker", "serve") else here).append(case)

    processes = asyncio.gather(*(in_process(*case) for case in beside))
    found = [await in_thread(*case) for case in here]
    found += await processes
    assert not list(filter(None, found))


async def in_process(command: tuple[str, ...], environment: dict[str, str], code: int) -> object:
    shell = Shell(**environment)
    return fault(command, code, await shell.end(await shell.start(*command)))


async def in_thread(command: tuple[str, ...], environment: dict[str, str], code: int) -> object:
    return fault(command, code, await Shell(**environment).run(*command))


def fault(command: tuple[str, ...], code: int, ended: Ended) -> object:
    """Return the outcome of a command, if it is not as all of them should be."""
    lines = ended.err.splitlines()
    good = (
        ended.code == code
        and 1 <= len(lines) <= 2
        and lines[0].startswith("symbl-aio: ")
        and "Traceback" not in ended.err + ended.out
        and "nknown error" not in ended.err
    )
    return None if good else (command, code, ended)
